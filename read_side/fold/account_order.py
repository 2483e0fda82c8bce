"""The accounts of a fold in the order of their names, for lists: a number of four bytes each, made when somebody asks first.

New accounts are put in when a list is asked for: few by binary search, many by sorting again. Threads ask one at a time.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from typing import Final

import numpy as np
import numpy.typing as npt

from write_side.contract.state.state import State

Int64s = npt.NDArray[np.int64]

FEW: Final = 4_096
"""So many new ones are put in one by one; more are sorted with all others."""
_AT_ONCE: Final = 10_000
"""Names made at a time, so that other threads go on between."""
_NAME: Final = "S64"
BEHIND_EVERY_NAME: Final = "\x7f"


class AccountOrder:
    """Of one partition; system accounts are left out."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._order: npt.NDArray[np.uint32] = np.empty(0, np.uint32)
        self._known = 0
        self._lock = threading.Lock()

    def numbers(self, prefix: str, after: str, most: int) -> Int64s:
        """The accounts whose names begin so, from behind the name `after` on, at most so many. Blocks."""
        with self._lock:
            self._bring_up()
            order = self._order
        name = self.state.names.__getitem__
        first = max(
            bisect_left(order, prefix, key=lambda number: name(int(number))),
            bisect_right(order, after, key=lambda number: name(int(number))),
        )
        end = bisect_left(order, prefix + BEHIND_EVERY_NAME, first, key=lambda number: name(int(number)))
        return order[first : min(end, first + most)].astype(np.int64)

    def _bring_up(self) -> None:
        count = self.state.count
        new = np.arange(self._known, count, dtype=np.int64)
        if not len(new):
            return
        self._known = count
        if len(new) > FEW:
            self._order = self._sorted(np.concatenate((self._order.astype(np.int64), new)))
            return
        added = self._sorted(new)
        name = self.state.names.__getitem__
        places = [
            bisect_left(self._order, name(int(number)), key=lambda other: name(int(other))) for number in added.tolist()
        ]
        self._order = np.insert(self._order, places, added)

    def _sorted(self, numbers: Int64s) -> npt.NDArray[np.uint32]:
        parts = [
            np.array(self.state.names.take(numbers[first : first + _AT_ONCE]), _NAME)
            for first in range(0, len(numbers), _AT_ONCE)
        ]
        names = np.concatenate(parts)
        theirs = np.flatnonzero(names.astype("S1") != b"@")
        return numbers[theirs[np.argsort(names[theirs])]].astype(np.uint32)
