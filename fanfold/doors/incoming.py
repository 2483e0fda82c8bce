"""Bodies on their way in: one budget of bytes over all that a door reads or works on, so that no crowd fills the memory.

A body counts with what has come of it, not with what its headers promise, until its request is answered: what it becomes
(commands, rows, an answer) is some ten times as large when its transfers have 32 legs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from fanfold.api.requests import BODY_BYTES_MAX

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

BODIES_BYTES_MAX: Final = 128 * 1024 * 1024
"""Of one door, small and large together."""

LARGE_BODIES_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of the large ones alone: eight batches of the largest, some 0.7 GB while they are worked on. The rest is left to small ones."""

SMALL_BODY_BYTES_MAX: Final = BODY_BYTES_MAX
"""A body is small up to here: one command. 4,096 have room whatever else comes."""


class TooMuchAtOnce(Exception):
    """The budget is used up. Nothing of this request was taken."""


class Budget:
    """One door's. small_bytes, large_bytes: what is held now."""

    def __init__(self, bytes_max: int = BODIES_BYTES_MAX, large_bytes_max: int = LARGE_BODIES_BYTES_MAX) -> None:
        self.small_bytes = 0
        self.large_bytes = 0
        self._bytes_max = bytes_max
        self._large_bytes_max = large_bytes_max

    def move(self, before: int, after: int) -> bool:
        """A body that had `before` bytes has `after`; False, and nothing has changed, when there is no room for more."""
        small, large = self.small_bytes, self.large_bytes
        if before <= SMALL_BODY_BYTES_MAX:
            small -= before
        else:
            large -= before
        if after <= SMALL_BODY_BYTES_MAX:
            small += after
        else:
            large += after
        if after > before and (
            small + large > self._bytes_max or (large > self.large_bytes and large > self._large_bytes_max)
        ):
            return False
        self.small_bytes, self.large_bytes = small, large
        return True


class Incoming:
    """The body of one request. `receive` gives its next message (ASGI); `keep` what is not dropped again at once."""

    def __init__(self, receive: Receive, budget: Budget) -> None:
        self.receive = receive
        self._budget = budget
        self._kept_bytes = 0

    def keep(self, more_bytes: int) -> None:
        """Raises TooMuchAtOnce, and then holds nothing any more."""
        if not self._budget.move(self._kept_bytes, self._kept_bytes + more_bytes):
            self.give_back()
            raise TooMuchAtOnce
        self._kept_bytes += more_bytes

    def give_back(self) -> None:
        """Whatever became of the request: its bytes are others' now. Twice is once."""
        self._budget.move(self._kept_bytes, 0)
        self._kept_bytes = 0
