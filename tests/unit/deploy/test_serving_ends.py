"""A process that serves ends when its work has, whatever a library left running."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from deploy.serving import run

LEFT: set[asyncio.Task[None]] = set()


async def swallows(often: int) -> None:
    """Being cancelled, so often, as aiokafka does now and then while it ends a task of its own."""
    for _ in range(often):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    await asyncio.Event().wait()


async def main() -> None:
    LEFT.add(asyncio.create_task(swallows(2)))
    await asyncio.sleep(0)


def test_a_task_that_swallows_being_cancelled_keeps_no_process() -> None:
    LEFT.clear()
    run(main())
    assert [task.cancelled() for task in LEFT] == [True]


async def test_nor_does_it_keep_a_test() -> None:
    await main()
