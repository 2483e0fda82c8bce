"""What ran before and is not in the memory of ids any more: the rows in which it is told to the rules.

The rules do no I/O: whoever makes a block has its ids looked up before (`deciding/look_back.py`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.compiled.compiled import njit, njit_inner
from write_side.contract.state.ids import AMOUNT, FINGERPRINT_A, FINGERPRINT_B, REFUSED, ROW_BITS, find_id, is_in_row
from write_side.contract.state.ids import PLACE as PLACE_IN_TABLE
from write_side.contract.state.state import State

Uint64s = npt.NDArray[np.uint64]

ID_A: Final = 0
ID_B: Final = 1
PRINT_A: Final = 2
PRINT_B: Final = 3
PLACE: Final = 4
ROW_WIDTH: Final = 5
"""Columns of a row, 40 bytes: id, fingerprint, and block sequence << 16 | row of the outcome that tells what became of it, with
the highest bit where that is a refusal."""
REFUSED_BIT: Final = np.uint64(1 << 63)


class RanBefore(NamedTuple):
    """rows: uint64[m, ROW_WIDTH]; at: int64[n], the row of each command, -1 for none; empty where no command has one."""

    rows: Uint64s
    at: npt.NDArray[np.int64]


NOTHING_BEFORE: Final = RanBefore(np.empty((0, ROW_WIDTH), np.uint64), np.empty(0, np.int64))


@njit_inner
def first_outcome(before, i):  # type: ignore[no-untyped-def]
    """Block sequence and row of the first outcome of command i, which has one, and whether that is a refusal."""
    place = before.rows[before.at[i], PLACE]
    at = place & ~REFUSED_BIT
    return np.int64(at >> np.uint64(ROW_BITS)), np.int64(at & np.uint64((1 << ROW_BITS) - 1)), place != at


@njit_inner
def end_before(before, a, b, place, done):  # type: ignore[no-untyped-def]
    """As `ids.end_id`, of what was looked up before the block: a transfer under way is over, and who repeats it behind that is
    told its last outcome."""
    rows = before.rows
    for k in range(len(rows)):
        if rows[k, ID_A] == a and rows[k, ID_B] == b:
            rows[k, PLACE] = np.uint64(place) if done else np.uint64(place) | REFUSED_BIT


@njit(cache=True, nogil=True)
def _rows_of(ids, settled, words, rows, known):  # type: ignore[no-untyped-def]
    behind = np.int64(0)
    for i in range(len(words)):
        # A block's ids are mostly rows one behind the other, so no index has to be asked where each of them is.
        if behind < settled and is_in_row(ids, behind, words[i, 0], words[i, 1]):
            at = behind
        else:
            at = find_id(ids, words[i, 0], words[i, 1])
        if at < 0:
            continue
        behind = at + 1
        known[i] = True
        row = ids.rows[at]
        rows[i, ID_A], rows[i, ID_B] = words[i, 0], words[i, 1]
        rows[i, PRINT_A], rows[i, PRINT_B] = row[FINGERPRINT_A], row[FINGERPRINT_B]
        rows[i, PLACE] = row[PLACE_IN_TABLE]
        if np.int64(row[AMOUNT]) == REFUSED:
            rows[i, PLACE] |= REFUSED_BIT


def remembered_rows(state: State, words: Uint64s) -> tuple[Uint64s, npt.NDArray[np.bool_]]:
    """Which of these ids, uint64[n, 2], the state remembers, bool[n], and the rows of those, uint64[n, ROW_WIDTH]."""
    rows, known = np.empty((len(words), ROW_WIDTH), np.uint64), np.zeros(len(words), np.bool_)
    _rows_of(state.ids.arrays, state.ids.settled, words, rows, known)
    return rows, known
