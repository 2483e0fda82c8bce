"""Rows of the pending table and the index that finds them, in compiled loops: added, found, kept in the digest, dropped.

Deciding changes rows through the functions here, and folding writes the same rows from the block. Dense rows with an index over
(id, what); the legs of a row lie together in a pool. A row that ends is replaced by the last one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.compiled.compiled import njit_borrowing, njit_inlined
from write_side.contract.state.digest import mix_low, mix_words
from write_side.contract.state.hash_index import (
    INDEX,
    TAG,
    first_slot,
    following,
    hash_words,
    take_out,
)
from write_side.contract.state.pending_columns import (
    AT_US,
    BEGUN,
    CHANGED_US,
    FIRST_LEG,
    HOME_SHIFT,
    ID_A,
    ID_B,
    LANE_A,
    LANE_B,
    LEG_COUNT,
    LEG_PARTITION,
    LEG_STEP,
    LEG_WIDTH,
    RECORD_END,
    RECORD_END_ACTION,
    RECORD_PARTITION,
    RECORD_TRY,
    REVERSED_ID_US,
    STEP_SHIFT,
    STEPS,
    WHAT,
    WIDTH,
    Actions,
    PendingKinds,
)
from write_side.contract.state.pending_index import (
    LEGS_END,
    LOW_ROSE,
    MEMBER,
    REVERSAL_ROOT,
    ROW_COUNT,
    STEP_ROOT,
    forget_pending,
    renumber_pending,
)


@njit_borrowing
def step_what(home_partition, step):  # type: ignore[no-untyped-def]
    """The `what` of a participant's row."""
    return np.int64(PendingKinds.STEP) | (np.int64(home_partition) << HOME_SHIFT) | (np.int64(step) << STEP_SHIFT)


@njit_inlined
def _hash(a, b, what, secret):  # type: ignore[no-untyped-def]
    return hash_words(np.uint64(a), np.uint64(b) ^ hash_words(np.uint64(what), secret, secret), secret)


@njit_borrowing
def _find_slot(rows, slots, secret, a, b, what):  # type: ignore[no-untyped-def]
    """The slot whose word points to the row of this key, or -1 - the free slot where it belongs."""
    size = np.uint64(slots.size)
    tag = _hash(a, b, what, secret) & TAG
    slot = first_slot(tag, size)
    while True:
        word = slots[slot]
        if word == 0:
            return -1 - np.int64(slot)
        if (word & TAG) == tag:
            row = np.int64(word & INDEX) - 1
            if rows[row, ID_A] == a and rows[row, ID_B] == b and rows[row, WHAT] == what:
                return np.int64(slot)
        slot = following(slot, size)


@njit_borrowing
def find_pending(table, a, b, what):  # type: ignore[no-untyped-def]
    """The row of (id, what), or -1.  table: see `PendingTable.arrays`; a, b: int64 words of the id."""
    rows, slots, secret = table.rows, table.slots, table.secret
    slot = _find_slot(rows, slots, secret, a, b, what)
    return np.int64(-1) if slot < 0 else np.int64(slots[slot] & INDEX) - 1


@njit_borrowing
def add_pending(table, a, b, what, at_us):  # type: ignore[no-untyped-def]
    """A new row, all zero but its key and time, not yet in the digest (`take_in` does that). It must not be there."""
    rows, slots, counts, secret = table.rows, table.slots, table.counts, table.secret
    row = counts[ROW_COUNT]
    slot = _find_slot(rows, slots, secret, a, b, what)
    slots[-1 - slot] = (_hash(a, b, what, secret) & TAG) | np.uint64(row + 1)
    counts[ROW_COUNT] = row + 1
    for column in range(WIDTH):
        rows[row, column] = 0
    rows[row, ID_A] = a
    rows[row, ID_B] = b
    rows[row, WHAT] = what
    rows[row, AT_US] = at_us
    rows[row, CHANGED_US] = at_us
    rows[row, FIRST_LEG] = counts[LEGS_END]
    table.nodes[row, MEMBER] = 0
    return row


@njit_borrowing
def add_leg(table, row, leg):  # type: ignore[no-untyped-def]
    """Append a copy of a leg, int64[LEG_WIDTH], to the row that was added last; where in the pool it is."""
    rows, legs, counts = table.rows, table.legs, table.counts
    at = counts[LEGS_END]
    for word in range(LEG_WIDTH):
        legs[at, word] = leg[word]
    counts[LEGS_END] = at + 1
    rows[row, LEG_COUNT] += 1
    return at


@njit_borrowing
def partition_of_step(rows, legs, row, step):  # type: ignore[no-untyped-def]
    """The partition in which the legs of a process's step live."""
    for leg in range(rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]):
        if legs[leg, LEG_STEP] == step:
            return legs[leg, LEG_PARTITION]
    return np.int64(-1)


@njit_borrowing
def add_records(table, row, steps):  # type: ignore[no-untyped-def]
    """Room for the records of a process's steps, behind the legs of the row that was added last."""
    rows, legs, counts = table.rows, table.legs, table.counts
    rows[row, STEPS] = steps
    for record in range(counts[LEGS_END], counts[LEGS_END] + steps):
        for column in range(LEG_WIDTH):
            legs[record, column] = 0
    counts[LEGS_END] += steps


@njit_inlined
def record_at(rows, row, step):  # type: ignore[no-untyped-def]
    """Where in the pool the record of a process's step is."""
    return rows[row, FIRST_LEG] + rows[row, LEG_COUNT] + step


@njit_borrowing
def record_step(table, row, step, partition, action, code, sequence, at_us):  # type: ignore[no-untyped-def]
    """Note what became of a step's try, or of its confirm or cancel, and where."""
    rows, legs = table.rows, table.legs
    record = record_at(rows, row, step)
    legs[record, RECORD_PARTITION] = partition
    if action != Actions.TRY:
        legs[record, RECORD_END_ACTION] = action
    code_at, sequence_at, time_at = RECORD_TRY if action == Actions.TRY else RECORD_END
    legs[record, code_at] = code + 1
    legs[record, sequence_at] = sequence
    legs[record, time_at] = at_us


@njit_borrowing
def _lanes(rows, legs, row):  # type: ignore[no-untyped-def]
    a, b = np.uint64(rows[row, ID_A]), np.uint64(rows[row, ID_B])
    for column in range(WHAT, FIRST_LEG):
        if column != BEGUN:  # it depends on where blocks begin
            a, b = mix_words(a, b, rows[row, column])
    for leg in range(rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]):
        for column in range(LEG_WIDTH):
            a, b = mix_words(a, b, legs[leg, column])
    return a, b


@njit_borrowing
def take_in(table, digest, row):  # type: ignore[no-untyped-def]
    """Bring the digest from what the row was to what it is now."""
    rows, legs = table.rows, table.legs
    a, b = _lanes(rows, legs, row)
    digest[0] += a - np.uint64(rows[row, LANE_A])
    digest[1] += b - np.uint64(rows[row, LANE_B])
    rows[row, LANE_A] = np.int64(a)
    rows[row, LANE_B] = np.int64(b)


@njit_borrowing
def index_pending(table, digest):  # type: ignore[no-untyped-def]
    """Point to every row and take it, and the lows, into the digest; whether none is there twice. The table of words is empty."""
    rows, slots, secret, lows = table.rows, table.slots, table.secret, table.lows
    for row in range(table.counts[ROW_COUNT]):
        a, b, what = rows[row, ID_A], rows[row, ID_B], rows[row, WHAT]
        slot = _find_slot(rows, slots, secret, a, b, what)
        if slot >= 0:
            return False
        slots[-1 - slot] = (_hash(a, b, what, secret) & TAG) | np.uint64(row + 1)
        rows[row, LANE_A] = 0
        rows[row, LANE_B] = 0
        take_in(table, digest, row)
    for home_partition in range(lows.size):
        if lows[home_partition] > 0:
            a_low, b_low = mix_low(home_partition, lows[home_partition])
            digest[0] += a_low
            digest[1] += b_low
    return True


@njit_borrowing
def drop(table, digest, row):  # type: ignore[no-untyped-def]
    """Remove a row; the last one takes its number. Its legs are left to `PendingTable.reserve`."""
    rows, slots, counts, secret = table.rows, table.slots, table.counts, table.secret
    digest[0] -= np.uint64(rows[row, LANE_A])
    digest[1] -= np.uint64(rows[row, LANE_B])
    forget_pending(table, row)
    take_out(slots, _find_slot(rows, slots, secret, rows[row, ID_A], rows[row, ID_B], rows[row, WHAT]))
    last = counts[ROW_COUNT] - 1
    counts[ROW_COUNT] = last
    if row != last:
        slot = _find_slot(rows, slots, secret, rows[last, ID_A], rows[last, ID_B], rows[last, WHAT])
        slots[slot] = (slots[slot] & TAG) | np.uint64(row + 1)
        for column in range(WIDTH):
            rows[row, column] = rows[last, column]
        renumber_pending(table, last, row)


@njit_borrowing
def raise_low(table, digest, home_partition, low):  # type: ignore[no-untyped-def]
    """Note that home has no open process begun before its block `low`; `purge` at the end of the block drops their steps."""
    counts, lows = table.counts, table.lows
    if low > lows[home_partition]:
        a, b = mix_low(home_partition, lows[home_partition])
        c, d = mix_low(home_partition, low)
        if lows[home_partition] > 0:
            digest[0] -= a
            digest[1] -= b
        digest[0] += c
        digest[1] += d
        lows[home_partition] = low
        counts[LOW_ROSE] = 1


@njit_borrowing
def purge(table, digest):  # type: ignore[no-untyped-def]
    """Drop the steps of processes that are over: once a block, when a home partition's low has risen in it."""
    rows, counts, lows, roots = table.rows, table.counts, table.lows, table.roots
    if counts[LOW_ROSE] == 0:
        return
    counts[LOW_ROSE] = 0
    for home_partition in range(lows.size):
        root = STEP_ROOT + home_partition
        while roots[root] != 0 and rows[roots[root] - 1, BEGUN] < lows[home_partition]:
            drop(table, digest, roots[root] - 1)


@njit_borrowing
def forget_reversals(table, digest, cut_off_us, timeless_from_us):  # type: ignore[no-untyped-def]
    """Drop the reversals of transfers whose ids are no longer remembered (`ids.py`): they cannot be asked for again."""
    rows, roots = table.rows, table.roots
    for root, from_us in ((REVERSAL_ROOT, cut_off_us), (REVERSAL_ROOT + 1, timeless_from_us)):
        while roots[root] != 0 and rows[roots[root] - 1, REVERSED_ID_US] < from_us:
            drop(table, digest, roots[root] - 1)


@njit_borrowing
def move_legs(table, row, first, half, end, moved_max):  # type: ignore[no-untyped-def]
    """Move the legs of rows below `row` that are not in the half [first, first + half) there, about so many and not beyond `end`;
    the row reached.

    From the last row to the first: one that takes the place of a dropped one comes from behind, and has moved.
    """
    rows, legs, counts = table.rows, table.legs, table.counts
    moved = 0
    while row > 0 and moved < moved_max:
        at, to = rows[row - 1, FIRST_LEG], counts[LEGS_END]
        if at < first or at >= first + half:
            # A process has a record for each step behind its legs.
            size = rows[row - 1, LEG_COUNT] + rows[row - 1, STEPS]
            if to + size > end:
                return row
            for leg in range(size):
                for word in range(LEG_WIDTH):
                    legs[to + leg, word] = legs[at + leg, word]
            rows[row - 1, FIRST_LEG] = to
            counts[LEGS_END] = to + size
            moved += size
        row -= 1
    return row


class PendingArrays(NamedTuple):
    """The arrays of a `PendingTable`, by the names that it has."""

    rows: npt.NDArray[np.int64]
    slots: npt.NDArray[np.uint64]
    legs: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    lows: npt.NDArray[np.int64]
    secret: np.uint64
    nodes: npt.NDArray[np.int64]
    roots: npt.NDArray[np.int64]
    work: npt.NDArray[np.int64]
    work_slots: npt.NDArray[np.uint64]
