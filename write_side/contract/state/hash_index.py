"""Open addressing with linear probing, as both tables use it: words of a 32-bit tag and a 32-bit row number + 1, 0 = free.

The first slot of a key is the tag as a fraction of the table (Lemire, "Fast random integer generation in an interval", 2019), so
a larger table holds the words in the same order. A tag that fits saves looking at a row that is another one. Tables become larger
before they are 70 % full, so probing always ends. One that words may leave at any time is moved at once, into memory that was
made ready before (`Ahead`); one that only takes words in meanwhile is moved piece by piece (`Growing`).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from write_side.contract.compiled.compiled import njit, njit_inlined
from write_side.contract.compiled.prefetch import AHEAD, prefetch_row

TAG: Final = np.uint64(0xFFFFFFFF00000000)
INDEX: Final = np.uint64(0x00000000FFFFFFFF)
_KEY_A: Final = 0
_KEY_B: Final = 1
"""Of the rows of every table that is looked up here."""
_S32: Final = np.uint64(32)
_S29: Final = np.uint64(29)
_ONE: Final = np.uint64(1)
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = np.uint64(0xD6E8FEB86659FD93)


@njit_inlined
def hash_words(a, b, secret):  # type: ignore[no-untyped-def]
    """Every bit of the two words reaches every bit of the slot, twice through the secret: one round less, and words that
    differ in their last byte only, or in two bits that cancel out, would pile up in one run of slots, whatever the secret is."""
    h = (a ^ secret) * _SPREAD
    h = (h ^ (h >> _S32)) * _MIX
    h = (h ^ (h >> _S29) ^ b) * _SPREAD
    h = (h ^ (h >> _S32)) * _MIX
    return h ^ (h >> _S29)


@njit_inlined
def first_slot(tag, size):  # type: ignore[no-untyped-def]
    """The slot where probing begins. tag: uint64 with its low half zero; size: uint64 below 2^32."""
    return ((tag >> _S32) * size) >> _S32


@njit_inlined
def following(slot, size):  # type: ignore[no-untyped-def]
    """The next slot to probe."""
    after = slot + _ONE
    return after if after < size else after - size


@njit(cache=True, nogil=True, forceinline=True)
def find_row(rows, slots, secret, a, b):  # type: ignore[no-untyped-def]
    """The row whose first two words are (a, b), or -1 - slot of the free slot where it belongs."""
    size = np.uint64(slots.size)
    tag = hash_words(a, b, secret) & TAG
    slot = first_slot(tag, size)
    while True:
        word = slots[slot]
        if word == 0:
            return -1 - np.int64(slot)
        if (word & TAG) == tag:
            row = np.int64(word & INDEX) - 1
            if np.uint64(rows[row, _KEY_A]) == a and np.uint64(rows[row, _KEY_B]) == b:
                return row
        slot = following(slot, size)


@njit(cache=True, nogil=True)
def find_beside(rows, slots, secret, keys, found):  # type: ignore[no-untyped-def]
    """As `find_row` for n keys, uint64[2, n], where somebody else may be adding rows: -1 for those that are not there, and maybe
    for those that just come. `slots` was looked up before `rows`: what it points to behind their end has come since."""
    size = np.uint64(slots.size)
    for i in range(found.size):
        found[i] = -1
        tag = hash_words(keys[0, i], keys[1, i], secret) & TAG
        slot = first_slot(tag, size)
        for _ in range(slots.size):
            word = slots[slot]
            if word == 0:
                break
            row = np.int64(word & INDEX) - 1
            is_meant = (word & TAG) == tag and row < len(rows)
            if is_meant and np.uint64(rows[row, _KEY_A]) == keys[0, i] and np.uint64(rows[row, _KEY_B]) == keys[1, i]:
                found[i] = row
                break
            slot = following(slot, size)


@njit_inlined
def point_to(slots, free, row, a, b, secret):  # type: ignore[no-untyped-def]
    """Write the word of row number `row` with key (a, b) at `free`, as told by `find_row`."""
    slots[-1 - free] = (hash_words(a, b, secret) & TAG) | np.uint64(row + 1)


@njit_inlined
def prefetch_first_slot(slots, a, b, secret):  # type: ignore[no-untyped-def]
    """Fetch the cache line where the words (a, b) will be looked for first."""
    prefetch_row(slots, first_slot(hash_words(a, b, secret) & TAG, np.uint64(slots.size)))


@njit(cache=True, nogil=True)
def index_rows(rows, slots, secret, hidden):  # type: ignore[no-untyped-def]
    """Write the words of the first rows, as many as `hidden` has, but not of those that it marks. Their keys, the first two words
    of each, differ; the table is empty and has room."""
    size = np.uint64(slots.size)
    for row in range(hidden.size):
        if row + AHEAD < hidden.size:
            prefetch_first_slot(
                slots, np.uint64(rows[row + AHEAD, _KEY_A]), np.uint64(rows[row + AHEAD, _KEY_B]), secret
            )
        if not hidden[row]:
            tag = hash_words(np.uint64(rows[row, _KEY_A]), np.uint64(rows[row, _KEY_B]), secret) & TAG
            slot = first_slot(tag, size)
            while slots[slot] != 0:
                slot = following(slot, size)
            slots[slot] = tag | np.uint64(row + 1)


@njit(cache=True, nogil=True)
def _move(slots, larger):  # type: ignore[no-untyped-def]
    """Words in the order of their slots: both tables are passed over from front to back, and no row is looked at."""
    size = np.uint64(larger.size)
    for word in slots:
        if word != 0:
            slot = first_slot(word & TAG, size)
            while larger[slot] != 0:
                slot = following(slot, size)
            larger[slot] = word


def with_room(slots: npt.NDArray[np.uint64], needed: int) -> npt.NDArray[np.uint64]:
    """The table, or a larger one with the same words when `needed` words would fill more than 70 % of it."""
    if needed * 10 <= slots.size * 7:
        return slots
    size = slots.size
    while needed * 10 > size * 5:
        size *= 2
    larger = np.zeros(size, np.uint64)
    _move(slots, larger)
    return larger


GROW_AT: Final = 0.55
FULL_AT: Final = 0.7
SLOTS_A_WORD: Final = 16
ROWS_A_WORD: Final = 4
"""Growing begins at 55 %. Each new word then takes 16 slots of the table with it, so that is passed over when a 16th of its size
has been added; then four of the rows that came meanwhile, until none is left. That is before 66 %, and a block of 8,192 waits a
millisecond for its part."""
PIECE_MIN: Final = 256
"""Words that a piece is made for at least: a call costs as much."""


@njit(cache=True, nogil=True)
def _move_piece(slots, larger, start, stop, below):  # type: ignore[no-untyped-def]
    """The words of rows `below` in these slots."""
    size = np.uint64(larger.size)
    for i in range(start, stop):
        word = slots[i]
        if word != 0 and np.int64(word & INDEX) <= below:
            slot = first_slot(word & TAG, size)
            while larger[slot] != 0:
                slot = following(slot, size)
            larger[slot] = word


@njit(cache=True, nogil=True)
def _point_to_rows(rows, of, larger, secret, start, stop):  # type: ignore[no-untyped-def]
    """Those of the rows that `of`, the table in use, points to: some are there to be found in another way."""
    size = np.uint64(larger.size)
    for row in range(start, stop):
        if row + AHEAD < stop:
            a, b = np.uint64(rows[row + AHEAD, _KEY_A]), np.uint64(rows[row + AHEAD, _KEY_B])
            prefetch_first_slot(of, a, b, secret)
            prefetch_first_slot(larger, a, b, secret)
        if find_row(rows, of, secret, np.uint64(rows[row, _KEY_A]), np.uint64(rows[row, _KEY_B])) != row:
            continue
        tag = hash_words(np.uint64(rows[row, _KEY_A]), np.uint64(rows[row, _KEY_B]), secret) & TAG
        slot = first_slot(tag, size)
        while larger[slot] != 0:
            slot = following(slot, size)
        larger[slot] = tag | np.uint64(row + 1)


class Ahead:
    """For a table that words may leave at any time: a larger one whose memory is made ready piece by piece.

    Pages come when they are written first, and that takes several times as long as moving the words, which is done at once.
    """

    def __init__(self) -> None:
        self._larger: npt.NDArray[np.uint64] = np.zeros(0, np.uint64)
        self._ready = 0

    def with_room(self, slots: npt.NDArray[np.uint64], needed: int, more: int) -> npt.NDArray[np.uint64]:
        """The table, or a larger one with the same words when `needed` words, `more` of them new, would fill over 70 % of it."""
        if needed <= GROW_AT * slots.size:
            return slots
        if self._larger.size != 2 * slots.size:
            self._larger, self._ready = np.zeros(2 * slots.size, np.uint64), 0
        stop = self._ready + SLOTS_A_WORD * max(more, PIECE_MIN)
        self._larger[self._ready : stop] = 0
        self._ready = stop
        if needed <= FULL_AT * slots.size:
            return slots
        if needed > FULL_AT * self._larger.size:
            return with_room(slots, needed)
        larger, self._larger = self._larger, self._larger[:0]
        _move(slots, larger)
        return larger


class Growing:
    """A larger table on its way, beside the one that is in use and goes on taking words in. Words must not leave meanwhile."""

    def __init__(self, slots: npt.NDArray[np.uint64], count: int) -> None:
        """slots: the table in use, with the words of rows 0 to count."""
        self.of = slots
        self.larger = np.zeros(2 * slots.size, np.uint64)
        self._passed = 0
        self._first = self._rows = count

    def advance(self, rows: npt.NDArray[Any], count: int, secret: np.uint64, words: int) -> bool:
        """Do the part of so many new words; whether the larger table has the words of all `count` rows now."""
        if self._passed < self.of.size:
            stop = min(self.of.size, self._passed + SLOTS_A_WORD * words)
            _move_piece(self.of, self.larger, self._passed, stop, self._first)
            self._passed = stop
            return False
        stop = min(count, self._rows + ROWS_A_WORD * words)
        _point_to_rows(rows, self.of, self.larger, secret, self._rows, stop)
        self._rows = stop
        return stop == count


def grown(
    slots: npt.NDArray[np.uint64],
    growing: Growing | None,
    rows: npt.NDArray[Any],
    count: int,
    more: int,
    secret: np.uint64,
) -> tuple[npt.NDArray[np.uint64], Growing | None]:
    """The table to use for `count` rows and `more` that come now, at most 70 % full, and what is on its way."""
    needed = count + more
    if growing is None and needed > GROW_AT * slots.size:
        growing = Growing(slots, count)
    while growing is not None:
        full = needed > FULL_AT * slots.size  # more at once than pieces are made for: then all of it now
        if growing.advance(rows, count, secret, max(more, PIECE_MIN, slots.size if full else 0)):
            slots, growing = growing.larger, None
            if needed > FULL_AT * slots.size:
                growing = Growing(slots, count)
        elif not full:
            break
    return slots, growing


@njit(cache=True, nogil=True)
def take_out(slots, slot):  # type: ignore[no-untyped-def]
    """Free a slot, moving back the words behind it that probing would no longer reach (Knuth, TAOCP 3, 6.4, algorithm R)."""
    size = np.uint64(slots.size)
    hole = np.uint64(slot)
    at = following(hole, size)
    while slots[at] != 0:
        wanted = first_slot(slots[at] & TAG, size)
        from_first = at - wanted if at >= wanted else at + size - wanted
        from_hole = at - hole if at >= hole else at + size - hole
        if from_first >= from_hole:
            slots[hole] = slots[at]
            hole = at
        at = following(at, size)
    slots[hole] = np.uint64(0)
