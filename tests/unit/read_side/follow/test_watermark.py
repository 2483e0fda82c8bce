"""A watermark wakes whom it satisfies, in order, and forgets who gave up."""

from __future__ import annotations

import asyncio

from read_side.follow.watermark import Watermark

LIMIT_S = 20.0


async def test_what_is_reached_already_needs_no_wait() -> None:
    assert await Watermark(5).reach(5, 0)
    assert not await Watermark(5).reach(6, 0)


async def test_waiters_are_woken_when_their_value_is_reached_and_not_before() -> None:
    mark = Watermark(0)
    low, high = (asyncio.ensure_future(mark.reach(value, LIMIT_S)) for value in (1, 3))
    await asyncio.sleep(0)
    mark.advance(2)
    assert await low
    assert not high.done()
    mark.advance(7)
    assert await high


async def test_a_mark_never_falls() -> None:
    mark = Watermark(5)
    mark.advance(3)
    assert mark.value == 5


async def test_a_wait_ends_with_false() -> None:
    assert not await Watermark(0).reach(1, 0.001)


async def test_those_who_gave_up_do_not_fill_the_heap() -> None:
    mark = Watermark(0)
    for _ in range(10):
        waiting = [asyncio.ensure_future(mark.reach(100, LIMIT_S)) for _ in range(100)]
        await asyncio.sleep(0)
        for each in waiting:
            each.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert len(mark._waiting) < 200
    stays = asyncio.ensure_future(mark.reach(100, LIMIT_S))
    await asyncio.sleep(0)
    mark.advance(100)
    assert await stays
    assert not mark._waiting
