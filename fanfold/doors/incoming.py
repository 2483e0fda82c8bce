"""Bodies on their way in: one budget of bytes over all that a door reads or works on, so that no crowd fills the memory.

A body counts with what has come of it, not with what its headers promise, until its request is answered: what it becomes
(commands, rows, an answer) is some ten times as large when its transfers have 32 legs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from fanfold.api.requests import BODY_BYTES_MAX
from fanfold.doors.shared_room import SharedRoom

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

BODIES_BYTES_MAX: Final = 128 * 1024 * 1024
"""Of one door, small and large together."""

LARGE_BODIES_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of the large ones alone: eight batches of the largest, some 0.7 GB while they are worked on. The rest is left to small ones."""

SMALL_BODY_BYTES_MAX: Final = BODY_BYTES_MAX
"""A body is small up to here: one command. 4,096 have room whatever else comes."""


SHARE_PERCENT: Final = 50
"""Of a room, for each who asks, of what he has and what is free: four of the largest batches at once for one alone."""


class TooMuchAtOnce(Exception):
    """The budget is used up. Nothing of this request was taken."""


class Budget:
    """One door's. Each who asks may have half of what he has and what is free, of all and of the large ones: so one who sends
    many large bodies slowly keeps nobody else's out."""

    def __init__(self, bytes_max: int = BODIES_BYTES_MAX, large_bytes_max: int = LARGE_BODIES_BYTES_MAX) -> None:
        self._all = SharedRoom(bytes_max, SHARE_PERCENT)
        self._large = SharedRoom(large_bytes_max, SHARE_PERCENT)

    @property
    def small_bytes(self) -> int:
        """Held now, of small bodies."""
        return self._all.used - self._large.used

    @property
    def large_bytes(self) -> int:
        return self._large.used

    def move(self, before: int, after: int, whose: str | None = None) -> bool:
        """A body that had `before` bytes has `after`; False, and nothing has changed, when there is no room for more. whose: None
        where nobody says who asks: all of those are one, and may have all of it."""
        more, more_large = after - before, _large(after) - _large(before)
        if more > 0 and not (
            self._all.has_room(whose, more) and (not more_large or self._large.has_room(whose, more_large))
        ):
            return False
        for room, size in ((self._all, more), (self._large, more_large)):
            if size > 0:
                room.take(whose, size)
            elif size:
                room.give_back(whose, -size)
        return True


def _large(body_bytes: int) -> int:
    return body_bytes if body_bytes > SMALL_BODY_BYTES_MAX else 0


class Incoming:
    """The body of one request. `receive` gives its next message (ASGI); `keep` what is not dropped again at once. whose: as of
    `Budget.move`, said before anything is kept."""

    def __init__(self, receive: Receive, budget: Budget, whose: str | None = None) -> None:
        self.receive = receive
        self.whose = whose
        self._budget = budget
        self._kept_bytes = 0

    def keep(self, more_bytes: int) -> None:
        """Raises TooMuchAtOnce, and then holds nothing any more."""
        if not self._budget.move(self._kept_bytes, self._kept_bytes + more_bytes, self.whose):
            self.give_back()
            raise TooMuchAtOnce
        self._kept_bytes += more_bytes

    def give_back(self) -> None:
        """Whatever became of the request: its bytes are others' now. Twice is once."""
        self._budget.move(self._kept_bytes, 0, self.whose)
        self._kept_bytes = 0
