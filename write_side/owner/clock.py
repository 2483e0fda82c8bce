"""Time as an argument: the two clocks a writer compares."""

from __future__ import annotations

import time
from typing import Final, Protocol


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


STEADY_US: Final = 60_000_000
MENDED_US: Final = 300_000_000
"""A clock that was wrong by some minutes is set right by NTP in one step, and then goes on as any other: a jump of at most
`MENDED_US` (as far ahead as ids may be, `idempotency.py`) is taken for that when the new time has been steady for `STEADY_US`."""


class SteppedClockGuard:
    """Gives the time, and raises ClockStepped when the wall clock jumped since the last time it was asked.

    Slow correction (slewing) is followed; a jump of more than `max_step_us` between two questions is not, unless it is seen to be
    a clock that was put right (`MENDED_US`).
    """

    def __init__(self, clock: Clock, max_step_us: int) -> None:
        self._clock = clock
        self._max_step_us = max_step_us
        self._apart_us = clock.wall_us() - clock.monotonic_us()
        self._stepped: tuple[int, int] | None = None
        """How far the clocks are apart since the jump, and when that was seen first (monotonic)."""

    def now_us(self) -> int:
        wall_us, monotonic_us = self._clock.wall_us(), self._clock.monotonic_us()
        apart_us = wall_us - monotonic_us
        if abs(apart_us - self._apart_us) > self._max_step_us and not self._is_mended(apart_us, monotonic_us):
            raise ClockStepped(
                f"the machine's clock jumped by {(apart_us - self._apart_us) / 1e6:.1f} s. No money moved with the new time; "
                "what was answered is in the log. If the clock is wrong now, set it right, and the writer goes on by itself. If "
                f"it is right now, it was wrong before: after {STEADY_US // 1_000_000} s the writer goes on, when the jump is "
                f"at most {MENDED_US // 60_000_000} minutes; else start the process again, and it goes by the clock as it is."
            )
        self._apart_us, self._stepped = apart_us, None
        return wall_us

    def _is_mended(self, apart_us: int, monotonic_us: int) -> bool:
        if self._stepped is None or abs(apart_us - self._stepped[0]) > self._max_step_us:
            self._stepped = apart_us, monotonic_us
        return abs(apart_us - self._apart_us) <= MENDED_US and monotonic_us - self._stepped[1] >= STEADY_US
