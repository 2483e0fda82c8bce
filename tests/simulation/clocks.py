"""What the clocks of a story show. The loop's timers are not among them: they run on, or stand still while all machines sleep."""

from __future__ import annotations

import asyncio

NOON_US = 1_760_000_000_000_500


class SharedTime:
    """The right time, everywhere. leapt_us: how much of it has gone by at once, while nothing was asked and no timer ran."""

    def __init__(self) -> None:
        self.leapt_us = 0

    def monotonic_us(self) -> int:
        return round(asyncio.get_running_loop().time() * 1e6) + self.leapt_us

    def wall_us(self) -> int:
        return NOON_US + self.monotonic_us()


class LifeClock:
    """A process's clocks. `wall_apart_us` is how far its wall clock was set away from the right time."""

    def __init__(self, time: SharedTime) -> None:
        self._time = time
        self.wall_apart_us = 0

    def wall_us(self) -> int:
        return self._time.wall_us() + self.wall_apart_us

    def monotonic_us(self) -> int:
        return self._time.monotonic_us()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
