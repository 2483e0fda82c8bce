"""Time as an argument: the two clocks a writer compares."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """wall_us: UTC microseconds, may be set; monotonic_us: microseconds since anything, never set."""

    def wall_us(self) -> int: ...

    def monotonic_us(self) -> int: ...


class SystemClock:
    """The machine's clocks."""

    def wall_us(self) -> int:
        return time.time_ns() // 1000

    def monotonic_us(self) -> int:
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000  # goes on while the machine sleeps, as the wall does


class ClockStepped(Exception):
    """Wall and monotonic clock parted: the machine's time was set. The writer stops before it stamps a block with it."""


class SteppedClockGuard:
    """Gives the time, and raises ClockStepped when the wall clock jumped since the last time it was asked.

    Slow correction (slewing) is followed; a jump of more than `max_step_us` between two questions is not.
    """

    def __init__(self, clock: Clock, max_step_us: int) -> None:
        self._clock = clock
        self._max_step_us = max_step_us
        self._apart_us = clock.wall_us() - clock.monotonic_us()

    def now_us(self) -> int:
        wall_us = self._clock.wall_us()
        apart_us = wall_us - self._clock.monotonic_us()
        if abs(apart_us - self._apart_us) > self._max_step_us:
            raise ClockStepped(
                f"the machine's clock jumped by {(apart_us - self._apart_us) / 1e6:.1f} s. No money moved with the new time; "
                "what was answered is in the log. If the clock is wrong now, set it right, and the writer goes on by itself. If "
                "it is right now, it was wrong before: start the process again, and it goes by the clock as it is."
            )
        self._apart_us = apart_us
        return wall_us
