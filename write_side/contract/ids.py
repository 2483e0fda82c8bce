"""The table of remembered transfer ids: who ran once never runs again.

Dense rows in the order of arrival, and an open-addressing index of (32-bit tag, row) words over them: inserting a new id
touches one random cache line and one sequential one. The index grows piece by piece (`hash_index.Growing`), and there are
addresses for all rows from the first growth on: no block stops for it.
`secret` keeps a client from choosing ids that collide: where a row lies differs in each process and is in no digest.

Forgetting has two rules. An id that carries its time is refused once it is below the block header's cut-off, so it may be
forgotten whenever room is needed and can never run again. Nothing tells how old one without a time is: it is forgotten by age
alone, `WINDOW_US` after its block, whatever the table's size is; that follows from the times of blocks and needs no column.
"""

from __future__ import annotations

import secrets
from typing import Final

import numpy as np
import numpy.typing as npt

from write_side.contract.compiled import njit, njit_inlined
from write_side.contract.digest import mix_id
from write_side.contract.hash_index import INDEX, TAG, Growing, find_row, following, grown, hash_words, home, point_to

ID_A: Final = 0
ID_B: Final = 1
FINGERPRINT_A: Final = 2
FINGERPRINT_B: Final = 3
PLACE: Final = 4
TIME_US: Final = 5
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
"""Ids that passed the window are forgotten in steps, because forgetting passes over the whole table. Both are part of the block's
format: every reader forgets what the writer forgot."""

_START_ROWS: Final = 1024
_ROOM_ROWS: Final = 2**24 + 2**18
"""The default of `FANFOLD_IDS_MAX` and the largest blocks on top: 1 GiB of addresses, which cost nothing until they are written.
An array that is outgrown is copied, and the writer stops meanwhile: up to 2.4 s for 16 million rows."""


@njit_inlined
def has_time(id_a, id_b):  # type: ignore[no-untyped-def]
    """Whether an id is a UUIDv7 (RFC 9562, 5.7), the version that carries its time. id_a, id_b: its words, uint64."""
    return ((id_a >> np.uint64(52)) & np.uint64(15)) == 7 and ((id_b >> np.uint64(6)) & np.uint64(3)) == 2


@njit(cache=True, nogil=True)
def put_id(rows, slots, secret, free, row, id_a, id_b, print_a, print_b, place, time_us, amount, parties):  # type: ignore[no-untyped-def]
    """Write row number `row` and its index word at `free` (as told by `find_row`)."""
    point_to(slots, free, row, id_a, id_b, secret)
    rows[row, ID_A] = id_a
    rows[row, ID_B] = id_b
    rows[row, FINGERPRINT_A] = print_a
    rows[row, FINGERPRINT_B] = print_b
    rows[row, PLACE] = np.uint64(place)
    rows[row, TIME_US] = np.uint64(time_us)
    rows[row, AMOUNT] = np.uint64(amount)
    rows[row, PARTIES] = np.uint64(parties)


@njit(cache=True, nogil=True)
def end_id(rows, slots, secret, id_a, id_b, place, done):  # type: ignore[no-untyped-def]
    """A transfer under way is over: its id, where it is remembered, names its last outcome from now on."""
    row = find_row(rows, slots, secret, id_a, id_b)
    if row >= 0:
        rows[row, PLACE] = np.uint64(place)
        became = DONE_BY_LEGS if np.int64(rows[row, AMOUNT]) == PENDING_TRANSFER else DONE_OTHER
        rows[row, AMOUNT] = np.uint64(np.int64(became if done else REFUSED))


@njit(cache=True, nogil=True)
def _index(rows, count, slots, secret):  # type: ignore[no-untyped-def]
    size = np.uint64(slots.size)
    for row in range(count):
        tag = hash_words(rows[row, ID_A], rows[row, ID_B], secret) & TAG
        slot = home(tag, size)
        while slots[slot] != 0:
            slot = following(slot, size)
        slots[slot] = tag | np.uint64(row + 1)


@njit(cache=True, nogil=True)
def _keep_from(rows, count, cut_off_us, timeless_from_us, digest):  # type: ignore[no-untyped-def]
    """Close the rows up; how many are kept, and how many of those have no time."""
    kept = timeless = 0
    for row in range(count):
        has = has_time(rows[row, ID_A], rows[row, ID_B])
        if rows[row, TIME_US] >= np.uint64(cut_off_us if has else timeless_from_us):
            timeless += 0 if has else 1
            if kept != row:
                for column in range(WIDTH):
                    rows[kept, column] = rows[row, column]
            kept += 1
        else:
            a, b = mix_id(rows[row, ID_A], rows[row, ID_B], rows[row, TIME_US])
            digest[0] -= a
            digest[1] -= b
    return kept, timeless


@njit(cache=True, nogil=True)
def _note_seen(rows, slots, secret, ids, found):  # type: ignore[no-untyped-def]
    """As `find_row` for n ids, where somebody else may be writing: no row behind the end is looked at, and probing ends."""
    size = np.uint64(slots.size)
    for i in range(len(ids)):
        a, b = ids[i, 0], ids[i, 1]
        tag = hash_words(a, b, secret) & TAG
        slot = home(tag, size)
        for _ in range(slots.size):
            word = slots[slot]
            if word == 0:
                break
            row = np.int64(word & INDEX) - 1
            if (word & TAG) == tag and row < len(rows) and rows[row, ID_A] == a and rows[row, ID_B] == b:
                found[i] = True
                break
            slot = following(slot, size)


def timeless_from(held_us: int, at_us: int) -> int:
    """From when ids without a time are remembered in a block of this time, `held_us` being the same of the block before."""
    from_us = at_us - WINDOW_US
    return from_us if from_us - held_us >= CUT_OFF_STEP_US else held_us


class IdTable:
    """rows: uint64[capacity, WIDTH], valid up to `count`; slots: uint64[], below 2^32, 0 = free.

    timeless: how many of them carry no time; timeless_from_us: those of blocks from then on are remembered, all of them.
    """

    def __init__(self) -> None:
        self.rows: npt.NDArray[np.uint64] = np.empty((_START_ROWS, WIDTH), np.uint64)
        self.slots: npt.NDArray[np.uint64] = np.zeros(2 * _START_ROWS, np.uint64)
        self.count = 0
        self.timeless = 0
        self.timeless_from_us = 0
        self.secret = np.uint64(secrets.randbits(64))
        self._growing: Growing | None = None

    def reserve(self, more: int) -> None:
        """Make room for `more` ids, with the index at most 70 % full."""
        needed = self.count + more
        if needed > len(self.rows):
            larger = _room(needed)
            larger[: self.count] = self.rows[: self.count]
            self.rows = larger
        self.slots, self._growing = grown(self.slots, self._growing, self.rows, self.count, more, self.secret)

    def forget_before(self, cut_off_us: int, timeless_from_us: int, digest: npt.NDArray[np.uint64]) -> None:
        """Drop every id whose time is below the cut-off, and those without one of blocks before `timeless_from_us`, and take them
        out of `digest`."""
        kept, timeless = _keep_from(self.rows, self.count, cut_off_us, timeless_from_us, digest)
        self.count, self.timeless, self.timeless_from_us = int(kept), int(timeless), timeless_from_us
        self.slots = np.zeros(self.slots.size, np.uint64)
        _index(self.rows, self.count, self.slots, self.secret)

    def median_time_us(self) -> int | None:
        """Half of the remembered ids that carry a time are older than this; None when there are none."""
        rows = self.rows[: self.count]
        timed = _have_time(rows)
        return int(np.median(rows[timed, TIME_US])) if timed.any() else None

    def note_seen(self, ids: npt.NDArray[np.uint64], found: npt.NDArray[np.bool_]) -> None:
        """Set `found` for those of these ids that are remembered. ids: uint64[n, 2].

        The one question that may be asked while the table is being changed: of an id that is just being written, or whose table
        is just being made anew, the answer may be no.
        """
        slots = self.slots
        _note_seen(self.rows, slots, self.secret, ids, found)

    def find(self, id16: bytes) -> int | None:
        a, b = split_id(id16)
        row = int(find_row(self.rows, self.slots, self.secret, a, b))
        return None if row < 0 else row


def _have_time(ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """`has_time` of n ids, uint64[n, 2]."""
    a, b = ids[:, 0], ids[:, 1]
    timed: npt.NDArray[np.bool_] = ((a >> np.uint64(52)) & np.uint64(15) == 7) & (
        (b >> np.uint64(6)) & np.uint64(3) == 2
    )
    return timed


def _room(needed: int) -> npt.NDArray[np.uint64]:
    """Rows for all ids there will be; for twice those there are where the machine has not so many addresses."""
    rows = max(_ROOM_ROWS, 2 * needed)
    while True:
        try:
            return np.empty((rows, WIDTH), np.uint64)
        except MemoryError:
            if rows <= 2 * needed:
                raise
            rows = max(rows // 2, 2 * needed)


def split_id(id16: bytes) -> tuple[np.uint64, np.uint64]:
    """An id's 16 bytes as the two little-endian words of the table."""
    a, b = np.frombuffer(id16, "<u8")
    return a, b
