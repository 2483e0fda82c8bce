"""Which of the accounts that changed may be watched: found by their marks, without their names.

A change that nobody watches costs a gateway what this does: of its mark (`read_side/contract/marks.py`) two parts are places in
a table of bits, and only where both are set its row is read. Who is watched no more leaves bits behind until the table is made
again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from read_side.contract.feed import Places
from read_side.contract.marks import Marks, marks_of, marks_of_keys

_BITS_A_NAME: Final = 32
"""At least: of some 250 rows that nobody watches one is read for nothing, at most."""
_SIZE_MIN: Final = 1 << 12

T = TypeVar("T", str, bytes)


class Interest:
    """`Interest` (read_side/contract/feed.py) of one partition. accounts, keys: changes of these are seen here as they are made,
    and additions are to be said."""

    def __init__(self, accounts: Collection[str], keys: Collection[bytes]) -> None:
        self.everything = 0
        """Who has to see the rows of every account, as a prefix cannot be seen in marks."""
        self.asked_upto = -1
        """The furthest block of which it was asked what is wanted: who is added now may have been left out up to there."""
        self._accounts = _Table(accounts, marks_of)
        self._keys = _Table(keys, marks_of_keys)

    def add(self, account: str) -> None:
        """It is watched from now on."""
        self._accounts.add(account)

    def add_key(self, key: bytes) -> None:
        """So are the phases of its transfers."""
        self._keys.add(key)

    def accounts(self, upto: int, marks: Marks) -> Places:
        self.asked_upto = max(self.asked_upto, upto)
        if self.everything:
            return np.arange(len(marks))
        return self._accounts.find(marks)

    def keys(self, marks: Marks) -> Places:
        return self._keys.find(marks)


class _Table(Generic[T]):
    def __init__(self, watched: Collection[T], marks: Callable[[Sequence[T]], Marks]) -> None:
        self._watched: Collection[T] = watched
        self._marks: Callable[[Sequence[T]], Marks] = marks
        self._bits: npt.NDArray[np.bool_] | None = None
        """None until somebody asks: a feed within the process does not."""
        self._held = 0
        self._new: list[T] = []

    def add(self, name: T) -> None:
        if self._bits is None:
            return
        self._new.append(name)
        if self._is_full(self._bits):
            self._bits, self._new = None, []  # it is made again when it is asked, which may be never

    def find(self, marks: Marks) -> Places:
        """Places of those that may be watched; more than those is one of some hundreds."""
        if not len(marks) or not self._watched:
            return np.zeros(0, np.int64)
        bits = self._made()
        high, low = _places(marks, bits)
        places = np.flatnonzero(bits[high])
        found: Places = places[bits[low[places]]]
        return found

    def _made(self) -> npt.NDArray[np.bool_]:
        """The table with all that is watched."""
        bits, new = self._bits, self._new
        if bits is None:
            new = list(self._watched)
            size = 1 << (2 * len(new) * _BITS_A_NAME - 1).bit_length()
            bits, self._held = np.zeros(max(_SIZE_MIN, size), np.bool_), 0
        if new:
            for places in _places(self._marks(new), bits):
                bits[places] = True
        self._bits, self._held, self._new = bits, self._held + len(new), []
        return bits

    def _is_full(self, bits: npt.NDArray[np.bool_]) -> bool:
        return (self._held + len(self._new)) * _BITS_A_NAME > len(bits)


def _places(marks: Marks, bits: npt.NDArray[np.bool_]) -> tuple[Marks, Marks]:
    """Two for each mark: by its highest bits and by its lowest."""
    return marks >> np.uint32(33 - len(bits).bit_length()), marks & np.uint32(len(bits) - 1)
