"""The table of remembered transfer ids: who ran once never runs again.

Rows in the order of arrival, and an open-addressing index of (32-bit tag, row) words over them: inserting a new id touches one
random cache line and one sequential one. The index grows piece by piece (`hash_index.Growing`), and there are addresses for all
rows from the first growth on: no block stops for it.
`secret` keeps a client from choosing ids that collide: where a row lies differs in each process and is in no digest.

Forgetting has two rules. An id that carries its time is refused once it is below the block header's cut-off, so it may be
forgotten whenever room is needed and can never run again. Nothing tells how old one without a time is: it is forgotten by age
alone, `WINDOW_US` after its block, whatever the table's size is; that follows from the times of blocks and needs no column.

An id is forgotten at once when its rule says so: nothing finds it, it counts no more and has left the digest. That costs little,
because each part of the rows (`id_parts.py`) has the sums of what it holds. Its row is swept out later, some with every block.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.compiled.compiled import njit, njit_borrowing, njit_inlined
from write_side.contract.compiled.prefetch import AHEAD
from write_side.contract.state.hash_index import (
    FULL_AT,
    GROW_AT,
    INDEX,
    TAG,
    Growing,
    find_row,
    first_slot,
    following,
    grown,
    hash_words,
    prefetch_first_slot,
    take_out,
)
from write_side.contract.state.id_parts import (
    COUNT,
    FIRST_US,
    ID_A,
    ID_B,
    LANE_A,
    LAST_US,
    OF_TIMELESS,
    PART_ROWS,
    PART_WIDTH,
    TIME_US,
    count_in,
    forget_in_part,
    has_time,
    have_time,
    is_whole,
    median_time_us,
)
from write_side.contract.state.room import empty_rows, with_addresses

FINGERPRINT_A: Final = 2
FINGERPRINT_B: Final = 3
PLACE: Final = 4
AMOUNT: Final = 6
PARTIES: Final = 7
WIDTH: Final = 8
"""One cache line an id. PLACE: block sequence << 16 | row of the outcome that tells what became of it."""

ROW_BITS: Final = 16
REFUSED: Final = 0
DONE_BY_LEGS: Final = -1
DONE_OTHER: Final = -2
PENDING_TRANSFER: Final = -3
PENDING_OTHER: Final = -4
"""In AMOUNT: what a plain done transfer moved, PARTIES being its account numbers (debit << 32 | credit); or one of these:
refused; done, its legs are in the log; done and not reversible; under way, and reversible or not when done."""

WINDOW_US: Final = 7 * 24 * 3600 * 1_000_000
"""What is promised: an id without a time is remembered this long at least."""
CUT_OFF_STEP_US: Final = 3600 * 1_000_000
"""Ids that passed the window are forgotten in steps: forgetting passes over what all parts of the table know. Both are part of
the block's format: every reader forgets what the writer forgot."""

ID_LATE_US: Final = 10 * 1_000_000
"""A request is decided at most this long after its id was made: the table's bound never refuses so young an id, nor forgets it,
and grows instead. Without it a client that makes its ids ahead of time could push the cut-off up to now, and everybody out."""

_START_ROWS: Final = PART_ROWS
SLOTS_AN_ID: Final = 2.5
"""Of a table that is refilled: 40 % full, so that a third more come before it grows. Twice as large up to the next power of two
was a quarter of a large table's memory more, which a start waits for."""
_ROOM_ROWS: Final = 2**24 + 2**22
"""The default of `FANFOLD_IDS_MAX`, and a quarter for forgotten ones whose rows wait: 1.25 GiB of addresses, which cost nothing
until they are written. An array that is outgrown is copied, and the writer stops meanwhile: up to 2.4 s for 16 million rows."""

SWEEP_AT: Final = 16
SWEEP_MIN: Final = 1024
"""Sweeping begins when a 16th of all rows are of forgotten ids, so many at least: it moves all rows behind the first of them."""
SWEPT_A_WORD: Final = 8
"""Rows that each new id sweeps. A sweep ends when a seventh of the rows has come meanwhile: an index that was 55 % full is then
63 % full at most, less what was swept out of it, and can still grow piece by piece before 70 %."""
_WORDS_MIN: Final = 32
"""New ids that a sweep counts for at least, once a block."""


class IdArrays(NamedTuple):
    """The arrays of an `IdTable`. kept_from_us uint64[2]: from when on ids are remembered, those that carry their time and those
    that do not."""

    rows: npt.NDArray[np.uint64]
    slots: npt.NDArray[np.uint64]
    secret: np.uint64
    kept_from_us: npt.NDArray[np.uint64]
    parts: npt.NDArray[np.uint64]


class IdIndex(NamedTuple):
    """What a table found of its rows (see `IdTable`), for another one with the same rows in their places."""

    slots: npt.NDArray[np.uint64]
    secret: np.uint64
    parts: npt.NDArray[np.uint64]


class IdRow(NamedTuple):
    """A row of the table by its columns: integers of any sort, or what numba has for them."""

    id_a: Any
    id_b: Any
    print_a: Any
    print_b: Any
    place: Any
    time_us: Any
    amount: Any
    parties: Any


@njit_inlined
def find_id(ids, a, b):  # type: ignore[no-untyped-def]
    """The row of an id that is remembered; else below 0, where it belongs: -1 - slot of a free slot, and behind all those the row
    of the same id, forgotten and not swept out yet.  ids: see `IdTable.arrays`."""
    row = find_row(ids.rows, ids.slots, ids.secret, a, b)
    if row >= 0 and ids.rows[row, TIME_US] < ids.kept_from_us[0 if has_time(a, b) else 1]:
        return -1 - np.int64(ids.slots.size) - row
    return row


@njit_inlined
def is_in_row(ids, row, a, b):  # type: ignore[no-untyped-def]
    """Whether a row below `IdTable.settled` is where `find_id` would find this id."""
    rows = ids.rows
    is_same = rows[row, ID_A] == a and rows[row, ID_B] == b
    return is_same and rows[row, TIME_US] >= ids.kept_from_us[0 if has_time(a, b) else 1]


@njit_inlined
def write_id(ids, digest, at, used, new):  # type: ignore[no-untyped-def]
    """Write an `IdRow` at `at`, as told by `find_id`, and take it into the digest: its row. `used`: how many there are before."""
    rows, slots = ids.rows, ids.slots
    if at >= -np.int64(slots.size):
        row = np.int64(used)
        slots[-1 - at] = (hash_words(new.id_a, new.id_b, ids.secret) & TAG) | np.uint64(row + 1)
    else:
        row = -1 - np.int64(slots.size) - at
    rows[row, ID_A] = new.id_a
    rows[row, ID_B] = new.id_b
    rows[row, FINGERPRINT_A] = new.print_a
    rows[row, FINGERPRINT_B] = new.print_b
    rows[row, PLACE] = np.uint64(new.place)
    rows[row, TIME_US] = np.uint64(new.time_us)
    rows[row, AMOUNT] = np.uint64(new.amount)
    rows[row, PARTIES] = np.uint64(new.parties)
    a, b = count_in(ids.parts, rows, row)
    digest[0] += a
    digest[1] += b
    return row


@njit_borrowing
def put_id(ids, digest, at, used, new):  # type: ignore[no-untyped-def]
    """As `write_id`, for callers that are long enough without it."""
    return write_id(ids, digest, at, used, new)


@njit(cache=True, nogil=True)
def put_prints(ids, id_words, prints):  # type: ignore[no-untyped-def]
    """Write the fingerprints, uint64[2, n], of those of n ids, uint64[n, 2], that are remembered."""
    for i in range(len(id_words)):
        row = find_id(ids, id_words[i, 0], id_words[i, 1])
        if row >= 0:
            ids.rows[row, FINGERPRINT_A] = prints[0, i]
            ids.rows[row, FINGERPRINT_B] = prints[1, i]


@njit_borrowing
def end_id(ids, id_a, id_b, place, done):  # type: ignore[no-untyped-def]
    """A transfer under way is over: its id, where it is remembered, names its last outcome from now on."""
    row = find_id(ids, id_a, id_b)
    if row >= 0:
        rows = ids.rows
        rows[row, PLACE] = np.uint64(place)
        became = DONE_BY_LEGS if np.int64(rows[row, AMOUNT]) == PENDING_TRANSFER else DONE_OTHER
        rows[row, AMOUNT] = np.uint64(np.int64(became if done else REFUSED))


@njit(cache=True, nogil=True)
def _find_id(ids, a, b):  # type: ignore[no-untyped-def]
    return find_id(ids, a, b)


@njit_inlined
def _rows_of(part, swept, used):  # type: ignore[no-untyped-def]
    """The rows of a part, first and behind the last."""
    first, last = part * PART_ROWS, min((part + 1) * PART_ROWS, used)
    if swept[1] < swept[0] and first < swept[0]:
        last = min(last, swept[1])  # what lies between these two has moved
    return first, last


@njit(cache=True, nogil=True)
def _times_in(rows, kept_from_us, swept, used, parts, kind, times):  # type: ignore[no-untyped-def]
    """Write the times of the remembered ids of one kind (0: with a time) of these parts into `times`."""
    n = 0
    for part in parts:
        first, last = _rows_of(part, swept, used)
        for row in range(first, last):
            of_kind = has_time(rows[row, ID_A], rows[row, ID_B]) == (kind == 0)
            if of_kind and rows[row, TIME_US] >= kept_from_us[kind]:
                times[n] = rows[row, TIME_US]
                n += 1


@njit(cache=True, nogil=True)
def _forget(ids, swept, used, before_us, digest, forgotten):  # type: ignore[no-untyped-def]
    """Take out of parts and digest what was remembered before and is not any more: `before_us` and the held cut-offs, int64[2].

    forgotten: int64[2], how many with and without a time.
    """
    for part in range((used + PART_ROWS - 1) // PART_ROWS):
        first, last = _rows_of(part, swept, used)
        for kind in range(2):
            forgotten[kind] += forget_in_part(ids, part, first, last, kind, before_us[kind], digest)


@njit_inlined
def _slot_of(slots, secret, a, b, row):  # type: ignore[no-untyped-def]
    """The slot of the word that points to this row."""
    size = np.uint64(slots.size)
    slot = first_slot(hash_words(a, b, secret) & TAG, size)
    while np.int64(slots[slot] & INDEX) - 1 != row:
        slot = following(slot, size)
    return slot


@njit(cache=True, nogil=True)
def _sweep(ids, swept, used, rows_max):  # type: ignore[no-untyped-def]
    """Go on with a sweep, by whole parts, for about so many rows: those that are remembered move up behind each other.

    swept: int64[2], the row to go on with and where it goes to; rows between the two have moved.
    """
    rows, slots, secret, kept_from_us, parts = ids
    stop = min(used, swept[0] + rows_max)
    while swept[0] < stop:
        part, last = swept[0] // PART_ROWS, min(used, (swept[0] // PART_ROWS + 1) * PART_ROWS)
        if swept[0] == swept[1] and is_whole(parts, part, last - swept[0]):
            swept[0] = swept[1] = last
            continue
        parts[part, :] = 0
        for row in range(swept[0], last):
            if row + AHEAD < last:
                a, b = rows[row + AHEAD, ID_A], rows[row + AHEAD, ID_B]
                prefetch_first_slot(slots, a, b, secret)
            a, b = rows[row, ID_A], rows[row, ID_B]
            slot = _slot_of(slots, secret, a, b, row)
            if rows[row, TIME_US] < kept_from_us[0 if has_time(a, b) else 1]:
                take_out(slots, slot)
                continue
            to = swept[1]
            if to != row:
                for column in range(WIDTH):
                    rows[to, column] = rows[row, column]
                slots[slot] = (slots[slot] & TAG) | np.uint64(to + 1)
            count_in(parts, rows, to)
            swept[1] = to + 1
        swept[0] = last


@njit(cache=True, nogil=True)
def _note_seen(table, ids, found):  # type: ignore[no-untyped-def]
    """As `find_id` for n ids, where somebody else may be writing: no row behind the end is looked at, and probing ends."""
    rows, slots, secret, kept_from_us, _ = table
    size = np.uint64(slots.size)
    for i in range(len(ids)):
        a, b = ids[i, 0], ids[i, 1]
        tag = hash_words(a, b, secret) & TAG
        slot = first_slot(tag, size)
        for _ in range(slots.size):
            word = slots[slot]
            if word == 0:
                break
            row = np.int64(word & INDEX) - 1
            if (word & TAG) == tag and row < len(rows) and rows[row, ID_A] == a and rows[row, ID_B] == b:
                if rows[row, TIME_US] >= kept_from_us[0 if has_time(a, b) else 1]:
                    found[i] = True
                break
            slot = following(slot, size)


@njit(cache=True, nogil=True)
def _index_ids(ids, count, digest):  # type: ignore[no-untyped-def]
    """Point to the first rows, count them in their parts and take them into the digest. No id is there twice."""
    rows, slots, secret, _, parts = ids
    size = np.uint64(slots.size)
    for row in range(count):
        if row + AHEAD < count:
            prefetch_first_slot(slots, rows[row + AHEAD, ID_A], rows[row + AHEAD, ID_B], secret)
        tag = hash_words(rows[row, ID_A], rows[row, ID_B], secret) & TAG
        slot = first_slot(tag, size)
        while slots[slot] != 0:
            slot = following(slot, size)
        slots[slot] = tag | np.uint64(row + 1)
        a, b = count_in(parts, rows, row)
        digest[0] += a
        digest[1] += b


def timeless_from(held_us: int, at_us: int) -> int:
    """From when ids without a time are remembered in a block of this time, `held_us` being the same of the block before."""
    from_us = at_us - WINDOW_US
    return from_us if from_us - held_us >= CUT_OFF_STEP_US else held_us


def latest_cut_off_us(at_us: int) -> int:
    """Nothing younger is forgotten for want of room by a block of this time. Whole seconds: where one block ends and the next
    begins, some microseconds on, must not show in the cut-off."""
    return (at_us - ID_LATE_US) // 1_000_000 * 1_000_000


class IdTable:
    """rows: uint64[capacity, WIDTH], valid up to `used`; slots: uint64[], below 2^32, 0 = free; parts: see `id_parts.py`.

    count: how many ids are remembered; timeless: how many of them carry no time. The other rows are forgotten ids' and wait to be
    swept out. timeless_from_us: those without a time of blocks from then on are remembered, all of them.
    """

    def __init__(self) -> None:
        self.rows: npt.NDArray[np.uint64] = np.empty((_START_ROWS, WIDTH), np.uint64)
        self.parts: npt.NDArray[np.uint64] = np.zeros((1, PART_WIDTH), np.uint64)
        self.slots: npt.NDArray[np.uint64] = np.zeros(2 * _START_ROWS, np.uint64)
        self.used = 0
        self.count = 0
        self.timeless = 0
        self.timeless_from_us = 0
        self.secret = np.uint64(secrets.randbits(64))
        self._kept_from_us: npt.NDArray[np.uint64] = np.zeros(2, np.uint64)
        self._growing: Growing | None = None
        self._swept: npt.NDArray[np.int64] | None = None

    @property
    def arrays(self) -> IdArrays:
        """What the compiled functions take as `ids`; to be asked again after `reserve`."""
        return IdArrays(self.rows, self.slots, self.secret, self._kept_from_us, self.parts)

    @property
    def settled(self) -> int:
        """Rows below are one an id. None is sure to be while a sweep is under way: what has moved is in its old place, too."""
        return self.used if self._swept is None else 0

    def reserve(self, more: int) -> None:
        """Make room for `more` ids, with the index at most 70 % full, and do their part of what is under way: once a block."""
        needed = self.used + more
        if needed > len(self.rows):
            larger = with_addresses(2 * needed, _ROOM_ROWS, _empty)
            larger[: self.used] = self.rows[: self.used]
            parts = np.zeros((-(-len(larger) // PART_ROWS), PART_WIDTH), np.uint64)
            parts[: len(self.parts)] = self.parts
            self.rows, self.parts = larger, parts
        # Words must not leave an index that is growing, so one of the two comes after the other.
        may_sweep = self._growing is None and needed <= GROW_AT * self.slots.size
        if may_sweep and self._swept is None and self.used - self.count >= max(SWEEP_MIN, self.used // SWEEP_AT):
            self._swept = np.zeros(2, np.int64)
        if self._swept is not None:
            is_full = needed > FULL_AT * self.slots.size
            self._sweep(self.used if is_full else SWEPT_A_WORD * max(more, _WORDS_MIN))
        if self._swept is None:
            self.slots, self._growing = grown(self.slots, self._growing, self.rows, self.used, more, self.secret)

    def _sweep(self, rows_max: int) -> None:
        assert self._swept is not None
        _sweep(self.arrays, self._swept, self.used, rows_max)
        if int(self._swept[0]) == self.used:
            self.used, self._swept = int(self._swept[1]), None

    def sweep(self) -> None:
        """Sweep out all that is forgotten, now."""
        if self._growing is not None:
            return
        self._swept = self._sweeping
        self._sweep(self.used)

    def forget_before(self, cut_off_us: int, timeless_from_us: int, digest: npt.NDArray[np.uint64]) -> None:
        """Forget every id whose time is below the cut-off, and those without one of blocks before `timeless_from_us`, and take
        them out of `digest`."""
        before_us, forgotten = self._kept_from_us.copy(), np.zeros(2, np.int64)
        self._kept_from_us[:] = np.maximum(before_us, np.array([cut_off_us, timeless_from_us], np.uint64))
        _forget(self.arrays, self._sweeping, self.used, before_us, digest, forgotten)
        self.count -= int(forgotten.sum())
        self.timeless -= int(forgotten[1])
        self.timeless_from_us = timeless_from_us

    def copy_rule(self, other: IdTable, at_us: int) -> None:
        """Remember from when on the other does in a block of this time, and count as many without a time as it has then, though
        they are not here: whether there is room for one more."""
        from_us = timeless_from(other.timeless_from_us, at_us)
        self._kept_from_us[:] = np.maximum(other._kept_from_us, np.uint64(from_us))
        self.timeless, self.timeless_from_us = other._timeless_since(from_us), other.timeless_from_us

    def _timeless_since(self, from_us: int) -> int:
        columns = (OF_TIMELESS + FIRST_US, OF_TIMELESS + LAST_US, OF_TIMELESS + COUNT)
        first_us, last_us, counts = (self.parts[:, column] for column in columns)
        total = int(counts[first_us >= from_us].sum())
        for part in np.flatnonzero((counts > 0) & (first_us < from_us) & (last_us >= from_us)):
            rows = self._remembered_in(int(part))
            total += int(np.count_nonzero(~have_time(rows) & (rows[:, TIME_US] >= from_us)))
        return total

    def put(self, columns: npt.NDArray[np.uint64]) -> None:
        """Take in a row of another table, uint64[WIDTH], for a copy: its digest is nobody's. `reserve` has made room."""
        at = _find_id(self.arrays, columns[ID_A], columns[ID_B])
        put_id(self.arrays, np.zeros(2, np.uint64), np.int64(at), np.int64(self.used), IdRow(*columns))
        self.used += 1
        self.count += 1

    def median_time_us(self) -> int | None:
        """Half of the remembered ids that carry a time are older than this; None when there are none."""
        return self._median_us(0)

    def keeps_its_days(self, at_us: int) -> bool:
        """Whether at this time ids without one are remembered for all of their days. Not where some were forgotten sooner, by a
        writer that has another place to look for them."""
        return self.timeless_from_us <= max(0, at_us - WINDOW_US)

    def half_of_timeless_us(self, at_us: int) -> int:
        """From when ids without a time are remembered once a block of this time has forgotten the older half of them."""
        median_us = self._median_us(1)
        if median_us is None:
            return self.timeless_from_us
        return max(self.timeless_from_us, min(median_us, latest_cut_off_us(at_us)))

    def _median_us(self, kind: int) -> int | None:
        def times_in(parts: npt.NDArray[np.intp]) -> npt.NDArray[np.uint64]:
            times = np.empty(int(self.parts[parts, kind * OF_TIMELESS + COUNT].sum()), np.uint64)
            _times_in(self.rows, self._kept_from_us, self._sweeping, self.used, parts, kind, times)
            return times

        return median_time_us(self.parts, kind, times_in)

    @property
    def _sweeping(self) -> npt.NDArray[np.int64]:
        return np.zeros(2, np.int64) if self._swept is None else self._swept

    def _remembered_in(self, part: int) -> npt.NDArray[np.uint64]:
        """The rows of a part that are remembered."""
        first, last = part * PART_ROWS, min((part + 1) * PART_ROWS, self.used)
        at, to = self._sweeping.tolist()
        if to < at and first < at:
            last = min(last, to)
        rows = self.rows[first : max(first, last)]
        kept: npt.NDArray[np.uint64] = rows[rows[:, TIME_US] >= np.where(have_time(rows), *self._kept_from_us)]
        return kept

    @property
    def kept_from_us(self) -> npt.NDArray[np.uint64]:
        """See `IdArrays`."""
        return self._kept_from_us

    def kept(self) -> Iterator[npt.NDArray[np.uint64]]:
        """The rows of all remembered ids as they came, in parts, some of them views."""
        if self.used == self.count:
            yield self.rows[: self.used]
            return
        for part in range(-(-self.used // PART_ROWS)):
            yield self._remembered_in(part)

    def room_for(
        self, count: int, lying: Callable[[int], npt.NDArray[np.uint64] | None] = lambda _: None
    ) -> npt.NDArray[np.uint64]:
        """In a table that was never used: where so many rows are to be written, before `refill`. lying: gives an array of so many
        rows that begins with them; None where there is none."""

        def rows_of(room: int) -> npt.NDArray[np.uint64]:
            rows = lying(room)
            return _empty(room) if rows is None else rows

        self.rows = with_addresses(max(2 * count, _START_ROWS), _ROOM_ROWS if count > _START_ROWS else 0, rows_of)
        self.parts = np.zeros((-(-len(self.rows) // PART_ROWS), PART_WIDTH), np.uint64)
        if count * SLOTS_AN_ID > self.slots.size:
            self.slots = np.zeros(round(count * SLOTS_AN_ID), np.uint64)
        return self.rows[:count]

    def refill(
        self,
        count: int,
        kept_from_us: npt.NDArray[np.uint64],
        timeless_from_us: int,
        digest: npt.NDArray[np.uint64],
        index: IdIndex | None = None,
    ) -> None:
        """Remember the rows that were written at `room_for`, and take them into the digest. index: of another table with these
        rows, which is this one's from now on."""
        self._kept_from_us[:] = kept_from_us
        if index is None:
            _index_ids(self.arrays, np.int64(count), digest)
        else:
            self.slots, self.secret = index.slots, index.secret
            self.parts[: len(index.parts)] = index.parts
            for lanes in (LANE_A, OF_TIMELESS + LANE_A):
                digest += index.parts[:, lanes : lanes + 2].sum(axis=0, dtype=np.uint64)
        self.used = self.count = count
        self.timeless, self.timeless_from_us = int(self.parts[:, OF_TIMELESS + COUNT].sum()), timeless_from_us

    def index_copied(self) -> IdIndex:
        """Of a table that was just refilled."""
        return IdIndex(self.slots.copy(), self.secret, self.parts[: -(-self.used // PART_ROWS)].copy())

    def remembered(self) -> npt.NDArray[np.uint64]:
        """The rows of all remembered ids, uint64[count, WIDTH], a copy, by the place of their outcomes."""
        parts = [self._remembered_in(part) for part in range(-(-self.used // PART_ROWS))]
        rows = np.concatenate(parts) if parts else np.empty((0, WIDTH), np.uint64)
        return rows[np.lexsort((rows[:, ID_B], rows[:, ID_A], rows[:, PLACE]))]

    def note_seen(self, ids: npt.NDArray[np.uint64], found: npt.NDArray[np.bool_]) -> None:
        """Set `found` for those of these ids that are remembered. ids: uint64[n, 2].

        The one question that may be asked while the table is being changed: of an id that is just being written, or whose word is
        just being moved, the answer may be no.
        """
        _note_seen(self.arrays, ids, found)

    def find(self, id16: bytes) -> int | None:
        a, b = split_id(id16)
        row = int(_find_id(self.arrays, a, b))
        return None if row < 0 else row


def _empty(rows: int) -> npt.NDArray[np.uint64]:
    return empty_rows(rows, (WIDTH,), np.uint64)


def split_id(id16: bytes) -> tuple[np.uint64, np.uint64]:
    """An id's 16 bytes as the two little-endian words of the table."""
    a, b = np.frombuffer(id16, "<u8")
    return a, b
