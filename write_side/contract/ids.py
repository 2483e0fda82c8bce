"""The table of remembered transfer ids: who ran once never runs again.

Dense rows in the order of arrival, and an open-addressing index of (32-bit tag, row) words over them: inserting a new id
touches one random cache line and one sequential one. The index is rebuilt larger before it is 70 % full, so probing always ends.
`secret` keeps a client from choosing ids that collide: where a row lies differs in each process and is in no digest.
"""

from __future__ import annotations

import secrets
from typing import Final

import numpy as np
import numpy.typing as npt

from write_side.contract.compiled import njit
from write_side.contract.digest import mix_id

ID_A: Final = 0
ID_B: Final = 1
FINGERPRINT_A: Final = 2
FINGERPRINT_B: Final = 3
SEQUENCE: Final = 4
ROW: Final = 5
TIME_US: Final = 6
WIDTH: Final = 7

_START_ROWS: Final = 1024
_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
_MIX: Final = np.uint64(0xD6E8FEB86659FD93)
_TAG: Final = np.uint64(0xFFFFFFFF00000000)
_INDEX: Final = np.uint64(0x00000000FFFFFFFF)
_S32: Final = np.uint64(32)
_S29: Final = np.uint64(29)
_ONE: Final = np.uint64(1)


@njit(inline="always")
def _hash(id_a, id_b, secret):  # type: ignore[no-untyped-def]
    """Every bit of the id reaches every bit of the slot, twice through the secret: one round less, and ids that differ in
    their last byte only, or in two bits that cancel out, would pile up in one run of slots, whatever the secret is."""
    h = (id_a ^ secret) * _SPREAD
    h = (h ^ (h >> _S32)) * _MIX
    h = (h ^ (h >> _S29) ^ id_b) * _SPREAD
    h = (h ^ (h >> _S32)) * _MIX
    return h ^ (h >> _S29)


@njit(inline="always")
def _home(tag, size):  # type: ignore[no-untyped-def]
    """The slot where probing begins: the tag as a fraction of the table, so a larger table has the same order."""
    return ((tag >> _S32) * size) >> _S32


@njit(inline="always")
def _next(slot, size):  # type: ignore[no-untyped-def]
    following = slot + _ONE
    return following if following < size else following - size


@njit(cache=True, nogil=True)
def find_id(rows, slots, secret, id_a, id_b):  # type: ignore[no-untyped-def]
    """The row of an id, or -1 - slot of the free slot where it belongs."""
    size = np.uint64(slots.size)
    tag = _hash(id_a, id_b, secret) & _TAG
    slot = _home(tag, size)
    while True:
        word = slots[slot]
        if word == 0:
            return -1 - np.int64(slot)
        if (word & _TAG) == tag:
            row = np.int64(word & _INDEX) - 1
            if rows[row, ID_A] == id_a and rows[row, ID_B] == id_b:
                return row
        slot = _next(slot, size)


@njit(cache=True, nogil=True)
def put_id(rows, slots, secret, free, row, id_a, id_b, print_a, print_b, sequence, place, time_us):  # type: ignore[no-untyped-def]
    """Write row number `row` and its index word at `free` (as told by `find_id`)."""
    slots[-1 - free] = (_hash(id_a, id_b, secret) & _TAG) | np.uint64(row + 1)
    rows[row, ID_A] = id_a
    rows[row, ID_B] = id_b
    rows[row, FINGERPRINT_A] = print_a
    rows[row, FINGERPRINT_B] = print_b
    rows[row, SEQUENCE] = np.uint64(sequence)
    rows[row, ROW] = np.uint64(place)
    rows[row, TIME_US] = np.uint64(time_us)


@njit(cache=True, nogil=True)
def _index(rows, count, slots, secret):  # type: ignore[no-untyped-def]
    size = np.uint64(slots.size)
    for row in range(count):
        tag = _hash(rows[row, ID_A], rows[row, ID_B], secret) & _TAG
        slot = _home(tag, size)
        while slots[slot] != 0:
            slot = _next(slot, size)
        slots[slot] = tag | np.uint64(row + 1)


@njit(cache=True, nogil=True)
def _move(slots, larger):  # type: ignore[no-untyped-def]
    """Words in the order of their slots: both tables are passed over from front to back, and no row is looked at."""
    size = np.uint64(larger.size)
    for word in slots:
        if word != 0:
            slot = _home(word & _TAG, size)
            while larger[slot] != 0:
                slot = _next(slot, size)
            larger[slot] = word


@njit(cache=True, nogil=True)
def _keep_from(rows, count, cut_off_us, digest):  # type: ignore[no-untyped-def]
    kept = 0
    for row in range(count):
        if rows[row, TIME_US] >= np.uint64(cut_off_us):
            if kept != row:
                for column in range(WIDTH):
                    rows[kept, column] = rows[row, column]
            kept += 1
        else:
            a, b = mix_id(rows[row, ID_A], rows[row, ID_B], rows[row, TIME_US])
            digest[0] -= a
            digest[1] -= b
    return kept


class IdTable:
    """rows: uint64[capacity, WIDTH], valid up to `count`; slots: uint64[], below 2^32, 0 = free."""

    def __init__(self) -> None:
        self.rows: npt.NDArray[np.uint64] = np.empty((_START_ROWS, WIDTH), np.uint64)
        self.slots: npt.NDArray[np.uint64] = np.zeros(2 * _START_ROWS, np.uint64)
        self.count = 0
        self.secret = np.uint64(secrets.randbits(64))

    def reserve(self, more: int) -> None:
        """Make room for `more` ids, with the index at most 70 % full."""
        needed = self.count + more
        if needed > len(self.rows):
            # In place where the allocator can (mremap): a copy would touch, and so pay for, every page once more.
            self.rows.resize((max(needed, 2 * len(self.rows)), WIDTH), refcheck=False)
        if needed * 10 > self.slots.size * 7:
            size = self.slots.size
            while needed * 10 > size * 5:
                size *= 2
            larger = np.zeros(size, np.uint64)
            _move(self.slots, larger)
            self.slots = larger

    def forget_before(self, cut_off_us: int, digest: npt.NDArray[np.uint64]) -> None:
        """Drop every id whose time is below the cut-off and take it out of `digest`."""
        self.count = int(_keep_from(self.rows, self.count, cut_off_us, digest))
        self.slots = np.zeros(self.slots.size, np.uint64)
        _index(self.rows, self.count, self.slots, self.secret)

    def median_time_us(self) -> int:
        """Half of the remembered ids are older than this."""
        return int(np.median(self.rows[: self.count, TIME_US]))

    def find(self, id16: bytes) -> int | None:
        a, b = split_id(id16)
        row = int(find_id(self.rows, self.slots, self.secret, a, b))
        return None if row < 0 else row


def split_id(id16: bytes) -> tuple[np.uint64, np.uint64]:
    """An id's 16 bytes as the two little-endian words of the table."""
    a, b = np.frombuffer(id16, "<u8")
    return a, b
