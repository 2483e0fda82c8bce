"""Which of the accounts that changed are watched: found without looking at each name, where there are many.

A change that nobody watches costs a gateway what this does. A table of bits says which marks (`packed_names.py`) may be watched;
only a row whose bit is set has its name looked at. Who is watched no more leaves a bit behind until the table is made again.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from read_side.contract.packed_names import Marks, PackedNames, marks_of

_BITS_A_NAME: Final = 16
"""At least: of sixteen rows that nobody watches one is looked at for nothing."""
_SIZE_MIN: Final = 1 << 12


class Interest:
    """Of one partition. watched: by account; changes of it are seen here as they are made, and additions are to be said."""

    def __init__(self, watched: Mapping[str, Container[object]]) -> None:
        self._watched = watched
        self._table: npt.NDArray[np.bool_] | None = None
        """None until packed names come: a feed within the process has none."""
        self._held = 0
        self._new: list[str] = []

    def add(self, account: str) -> None:
        """It is watched from now on."""
        if self._table is None:
            return
        self._new.append(account)
        if self._is_full(self._table):
            self._table, self._new = None, []  # it is made again when it is asked, which may be never

    def wanted(self, accounts: Sequence[str]) -> list[tuple[int, str]]:
        """Places and names of those that are watched."""
        watched = self._watched
        if not isinstance(accounts, PackedNames):
            if watched.keys().isdisjoint(accounts):
                return []
            return [(at, account) for at, account in enumerate(accounts) if account in watched]
        table = self._made()
        places = np.flatnonzero(table[_places(accounts.marks(), table)])
        names = accounts.at(places)
        return [(at, name) for at, name in zip(places.tolist(), names, strict=True) if name in watched]

    def _made(self) -> npt.NDArray[np.bool_]:
        """The table with all that is watched."""
        table, new = self._table, self._new
        if table is None:
            new = list(self._watched)
            size = max(_SIZE_MIN, 1 << (2 * len(new) * _BITS_A_NAME - 1).bit_length()) if new else _SIZE_MIN
            table, self._held = np.zeros(size, np.bool_), 0
        if new:
            table[_places(marks_of(new), table)] = True
        self._table, self._held, self._new = table, self._held + len(new), []
        return table

    def _is_full(self, table: npt.NDArray[np.bool_]) -> bool:
        return (self._held + len(self._new)) * _BITS_A_NAME > len(table)


def _places(marks: Marks, table: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The highest bits are the best mixed."""
    return (marks >> np.uint64(65 - len(table).bit_length())).astype(np.int64)
