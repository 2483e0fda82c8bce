"""Whoever closes a client of Kafka goes on, whatever the client does."""

from __future__ import annotations

import asyncio
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
