"""Asking again where an answer may still come: how long the waits are, what counts them, and the one loop. Sleep and chance are
arguments."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeVar

T = TypeVar("T")

ASKED_AGAIN: Final = frozenset({408, 425, 429})
"""Of 4xx those that refuse nothing: a time-out of something in between, which may have passed it on; too early; too much."""

_DOUBLINGS_MAX: Final = 60
"""What lasts for ever must not end with a number that is too large; by then every wait is the longest."""


class Waits(NamedTuple):
    """Seconds: doubling from the one to the other, and then no longer."""

    first_s: float
    most_s: float

    def before(self, again: int, chance: float = 1.0) -> float:
        """Before the attempt that is the 1st, 2nd ... again. chance: 0 to 1, from half of the wait to all of it; it spreads apart
        those who wait for the same."""
        return min(self.most_s, self.first_s * 2.0 ** min(again - 1, _DOUBLINGS_MAX)) * (0.5 + chance / 2)


class InARow:
    """Failures of what is begun again for ever, such as a connection: the waits grow until it has worked once more.

    For who hears of each failure, or counts an end without one as such; `retry` is for all others.
    """

    def __init__(
        self, waits: Waits, sleep: Callable[[float], Awaitable[None]], chance: Callable[[], float] = lambda: 1.0
    ) -> None:
        self.failed = 0
        self._waits, self._sleep, self._chance = waits, sleep, chance

    def worked(self) -> None:
        """The next failure is the first again."""
        self.failed = 0

    async def wait(self) -> None:
        """After one more failure."""
        self.failed += 1
        await self._sleep(self._waits.before(self.failed, self._chance()))


async def retry(
    attempt: Callable[[], Awaitable[T]],
    passing: type[Exception] | tuple[type[Exception], ...],
    waits: Waits,
    sleep: Callable[[float], Awaitable[None]],
    tell: Callable[[Any], None],
    attempts_max: int | None = None,
    chance: Callable[[], float] = lambda: 1.0,
) -> T:
    """The first result of an attempt. A `passing` failure is told and tried again; any other is raised at once.

    attempts_max: after so many the last failure is raised. None: for as long as it takes, where nobody else could do better, or
    where whoever waits has a time-out of their own.
    """
    in_a_row = InARow(waits, sleep, chance)
    while True:
        try:
            return await attempt()
        except passing as failure:
            tell(failure)
            if in_a_row.failed + 1 == attempts_max:
                raise
        await in_a_row.wait()
