"""Whether a quiet log is still there: asked once in a while, and asked anew when the one who asks hangs."""

from __future__ import annotations

import asyncio

from read_side.follow.log_watch import ABANDONED_BEATS, QUIET_BEATS, SILENT, SILENT_BEATS, LogWatch


class Looks:
    """Looks of which the first never end."""

    def __init__(self, hang: int) -> None:
        self.begun = 0
        self._hang = hang

    async def look(self) -> None:
        self.begun += 1
        if self.begun <= self._hang:
            await asyncio.Event().wait()


async def _beats(watch: LogWatch, beats: int, away: str | None = None) -> str | None:
    for _ in range(beats):
        away = watch.beat(7, away)
        await asyncio.sleep(0)
    return away


async def test_a_look_that_hangs_says_that_the_log_is_silent_and_the_next_one_that_it_is_there() -> None:
    looks = Looks(hang=1)
    watch = LogWatch(looks.look)
    away = await _beats(watch, 1 + QUIET_BEATS + SILENT_BEATS + 1)
    assert away == SILENT
    assert looks.begun == 1
    away = await _beats(watch, ABANDONED_BEATS + 3, away)
    assert looks.begun == 2
    assert away is None
    watch.stop()
