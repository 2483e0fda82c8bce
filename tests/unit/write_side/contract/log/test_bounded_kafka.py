"""Whoever closes a client of Kafka goes on, whatever the client does."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

import pytest

from tests.simulation import virtual_time
from write_side.contract.log import bounded_kafka
from write_side.contract.log.bounded_kafka import ended_within


async def deaf(heard: asyncio.Event) -> None:
    """Swallows being cancelled and waits on, as aiokafka does for a task that it is ending."""
    while not heard.is_set():
        with suppress(asyncio.CancelledError):
            await heard.wait()


def test_what_swallows_being_cancelled_holds_up_nobody() -> None:
    async def story() -> None:
        heard = asyncio.Event()
        started_s = asyncio.get_running_loop().time()
        assert not await ended_within(deaf(heard), 5.0)
        assert asyncio.get_running_loop().time() - started_s == 5.0
        assert len(bounded_kafka._left) == 1, "or the collector would end it"
        heard.set()
        await asyncio.wait(bounded_kafka._left)
        assert not bounded_kafka._left

    virtual_time.run(story, lambda: 0.001)


async def test_whoever_is_cancelled_while_closing_is_not_kept() -> None:
    heard = asyncio.Event()
    closing = asyncio.create_task(ended_within(deaf(heard), 60.0))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    heard.set()
    await asyncio.wait(bounded_kafka._left)


async def test_what_ends_in_time_is_told_and_what_it_raises_is_raised() -> None:
    async def ends() -> None: ...

    async def fails() -> None:
        raise OSError("no route")

    assert await ended_within(ends(), 60.0)
    with pytest.raises(OSError, match="no route"):
        await ended_within(fails(), 60.0)


def test_a_loop_is_closed_though_one_was_left_behind_that_swallowed_being_cancelled() -> None:
    """asyncio's own close cancels every task once, and waits: a process that ends, or a test, waited for ever."""

    async def swallows(often: int) -> None:
        for _ in range(often):
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.Event().wait()

    async def story() -> None:
        # What leaves it behind cancels it, and the loop's close does once more.
        assert not await ended_within(swallows(3), 0.01)

    closing = threading.Thread(target=asyncio.run, args=(story(),), daemon=True)
    closing.start()
    closing.join(20.0)
    assert not closing.is_alive(), "the loop's close waits for what was left behind"
