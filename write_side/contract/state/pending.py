"""What is not over: open holds, transfers under way (processes), their steps at a participant, and reversals.

State, never window entries: a row lives until what it stands for is over, whatever its age (DESIGN 5). Dense rows with an
index over (id, what); the legs of a row lie together in a pool. A row that ends is replaced by the last one. Everything is
kept in the state digest; deciding changes rows through the functions here, and folding writes the same rows from the block.
"""

from __future__ import annotations

import secrets
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.block.limits import PARTITIONS_MAX
from write_side.contract.compiled.compiled import njit_borrowing, njit_inlined
from write_side.contract.state.digest import mix_low, mix_words
from write_side.contract.state.hash_index import (
    INDEX,
    TAG,
    Ahead,
    first_slot,
    following,
    hash_words,
    index_rows,
    take_out,
    with_room,
)
from write_side.contract.state.pending_columns import (
    AT_US,
    BEGUN,
    CHANGED_US,
    ENDS_BY_US,
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
    DUE_ROOT,
    LEGS_END,
    LOW_ROSE,
    MEMBER,
    NODE_WIDTH,
    PROCESS_ROOT,
    REVERSAL_ROOT,
    ROOTS,
    ROW_COUNT,
    STEP_ROOT,
    WORK_COUNT,
    WORK_WIDTH,
    count_open,
    forget_pending,
    open_legs,
    processes,
    renumber_pending,
    take_due,
)
from write_side.contract.state.room import larger, with_addresses, with_room_for

Key = tuple[np.uint64, np.uint64]
"""Of an account: `state.name_key`."""

_START_ROWS: Final = 256
_START_LEGS: Final = 1024
_MOVED_AT_ONCE_MAX: Final = 1 << 16
"""Legs in the pool up to which those that live are gathered at once: 4 MiB, a millisecond or two."""
_ROOM_LEGS: Final = 2**23
"""Of each half of a larger pool: 512 MiB of addresses."""
_MOVED_A_LEG: Final = 2
_MOVED_MIN: Final = 64
"""Legs that move to the other half for each that comes, and with every block at least. Half as many new ones have come when all
have moved, so moving begins when five eighths of a half are used at the latest."""
_ROOM_ROWS: Final = 2**21
"""Of what is larger than 4 MiB: addresses for 2 million rows, 470 MiB. More than those are copied into twice as much."""


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


class PendingTable:
    """rows int64[capacity, WIDTH] valid up to `count`; legs int64[capacity, LEG_WIDTH]; lows int64[partitions].

    Ids are kept as signed words. counts int64[4], nodes, roots, work, work_slots: see `pending_index.py`.
    """

    def __init__(self) -> None:
        self.rows: npt.NDArray[np.int64] = np.zeros((_START_ROWS, WIDTH), np.int64)
        self.legs: npt.NDArray[np.int64] = np.zeros((_START_LEGS, LEG_WIDTH), np.int64)
        self.slots: npt.NDArray[np.uint64] = np.zeros(2 * _START_ROWS, np.uint64)
        self.lows: npt.NDArray[np.int64] = np.zeros(PARTITIONS_MAX, np.int64)
        self.counts: npt.NDArray[np.int64] = np.zeros(4, np.int64)
        self.nodes: npt.NDArray[np.int64] = np.zeros((_START_ROWS, NODE_WIDTH), np.int64)
        self.roots: npt.NDArray[np.int64] = np.zeros(ROOTS, np.int64)
        self.work: npt.NDArray[np.int64] = np.zeros((_START_ROWS, WORK_WIDTH), np.int64)
        self.work_slots: npt.NDArray[np.uint64] = np.zeros(2 * _START_ROWS, np.uint64)
        self.secret = np.uint64(secrets.randbits(64))
        self._slots_ahead, self._work_ahead = Ahead(), Ahead()
        self._half = 0
        self._first = 0
        self._gather_at = 0
        self._to_move = 0

    @property
    def count(self) -> int:
        return int(self.counts[ROW_COUNT])

    @property
    def arrays(self) -> PendingArrays:
        """What the compiled functions take as `table`; to be asked again after `reserve`."""
        return PendingArrays(
            self.rows, self.slots, self.legs, self.counts, self.lows, self.secret,
            self.nodes, self.roots, self.work, self.work_slots,
        )  # fmt: skip

    def copy(self) -> PendingTable:
        """The same rows, of their own."""
        other = PendingTable()
        other.slots, other.work_slots, other.roots = self.slots.copy(), self.work_slots.copy(), self.roots.copy()
        other.lows, other.counts, other.secret = self.lows.copy(), self.counts.copy(), self.secret
        # The rest has addresses for more than there is.
        other.rows, other.nodes = self.rows[: self.count].copy(), self.nodes[: self.count].copy()
        other.work = self.work[: self.counts[WORK_COUNT]].copy()
        other.legs = self.legs
        other._gather_legs(0)
        return other

    def pool_places(self) -> npt.NDArray[np.int64]:
        """Where in `legs` the legs and records of all rows are, row by row."""
        rows = self.rows[: self.count]
        sizes = rows[:, LEG_COUNT] + rows[:, STEPS]  # a process has a record for each step behind its legs
        ends = np.cumsum(sizes)
        places: npt.NDArray[np.int64] = np.repeat(rows[:, FIRST_LEG] - (ends - sizes), sizes) + np.arange(sizes.sum())
        return places

    def refill(
        self,
        rows: npt.NDArray[np.int64],
        pool: npt.NDArray[np.int64],
        nodes: npt.NDArray[np.int64],
        roots: npt.NDArray[np.int64],
        work: npt.NDArray[np.int64],
        lows: npt.NDArray[np.int64],
        digest: npt.NDArray[np.uint64],
    ) -> bool:
        """In a table that was never used: the rows of another one and what finds them, its `pool` in the order of `pool_places`,
        and take them into the digest. False when they do not fit together."""
        sizes = rows[:, LEG_COUNT] + rows[:, STEPS]
        if np.any(rows[:, LEG_COUNT] < 0) or np.any(rows[:, STEPS] < 0) or int(sizes.sum()) != len(pool):
            return False
        count, accounts = len(rows), len(work)
        self.rows = with_room_for(max(count, _START_ROWS), _ROOM_ROWS, lambda n: np.zeros((n, WIDTH), np.int64))
        self.nodes = with_room_for(max(count, _START_ROWS), _ROOM_ROWS, lambda n: np.zeros((n, NODE_WIDTH), np.int64))
        self.work = with_room_for(max(accounts, _START_ROWS), _ROOM_ROWS, lambda n: np.zeros((n, WORK_WIDTH), np.int64))
        self.rows[:count], self.nodes[:count], self.work[:accounts] = rows, nodes, work
        self.rows[:count, FIRST_LEG] = np.cumsum(sizes) - sizes
        self.roots[: len(roots)], self.lows[: len(lows)] = roots, lows
        self.counts[ROW_COUNT], self.counts[WORK_COUNT] = count, accounts
        self.legs = pool
        self._gather_legs(0)
        self.slots, self.work_slots = with_room(self.slots, count), with_room(self.work_slots, accounts)
        index_rows(self.work, self.work_slots, self.secret, np.zeros(accounts, np.bool_))
        return bool(index_pending(self.arrays, digest))

    def reserve(self, more: int, more_legs: int) -> None:
        """Make room for rows and legs; legs of rows that are gone are given back when the pool is full."""
        needed = self.count + more
        if needed > len(self.rows):
            self.rows = larger(self.rows, self.count, needed, _ROOM_ROWS)
        if needed > len(self.nodes):
            self.nodes = larger(self.nodes, self.count, needed, _ROOM_ROWS)
        self.slots = self._slots_ahead.with_room(self.slots, needed, more)
        accounts = int(self.counts[WORK_COUNT]) + more_legs
        if accounts > len(self.work):
            self.work = larger(self.work, int(self.counts[WORK_COUNT]), accounts, _ROOM_ROWS)
        self.work_slots = self._work_ahead.with_room(self.work_slots, accounts, more_legs)
        self._make_room_for_legs(more_legs)

    def find(self, id16: bytes, what: int) -> int | None:
        """The row of (id, what)."""
        a, b = np.frombuffer(id16, "<i8")
        row = int(find_pending(self.arrays, a, b, np.int64(what)))
        return None if row < 0 else row

    def legs_of(self, row: int) -> npt.NDArray[np.int64]:
        """int64[legs, LEG_WIDTH] of a row, a view."""
        first = int(self.rows[row, FIRST_LEG])
        return self.legs[first : first + int(self.rows[row, LEG_COUNT])]

    def open_legs(self, key: Key) -> int:
        """How many legs an account has in transfers under way and in steps that can still move money."""
        a, b = (word.view(np.int64) for word in key)
        return int(open_legs(self.arrays, a, b))

    def count_open(self, key: Key, legs: int) -> None:
        """Count so many open legs more of an account, for a copy that has not the rows themselves."""
        self.reserve(0, 1)
        a, b = (word.view(np.int64) for word in key)
        if legs:
            count_open(self.counts, self.work, self.work_slots, self.secret, a, b, np.int64(legs))

    def first_due_us(self) -> int | None:
        """The earliest deadline of an open hold or of a process that tries; None when there is none."""
        row = int(self.roots[DUE_ROOT]) - 1
        return None if row < 0 else int(self.rows[row, ENDS_BY_US])

    def due(self, until_us: int, rows_max: int) -> npt.NDArray[np.int64]:
        """The first rows, in (deadline, id) order, whose deadline is not after this: at most `rows_max`."""
        found = np.empty(min(rows_max, self.count), np.int64)
        return found[: take_due(self.arrays, np.int64(until_us), found)]

    def processes(self) -> npt.NDArray[np.int64]:
        """The rows of all processes."""
        found = np.empty(self.count, np.int64)
        return found[: processes(self.arrays, found)]

    def first_begun(self) -> int | None:
        """The block that began the process that has been open for longest; None when none is open."""
        row = int(self.roots[PROCESS_ROOT]) - 1
        return None if row < 0 else int(self.rows[row, BEGUN])

    def _make_room_for_legs(self, more: int) -> None:
        """A small pool is gathered at once when it is full. A larger one has two halves: what lives moves to the other one, some
        with every block, while new legs go there already; then the half that it left is free."""
        if self._half == 0:
            if int(self.counts[LEGS_END]) + more > len(self.legs):
                self._gather_legs(more)
            return
        if self._to_move == 0 and int(self.counts[LEGS_END]) - self._first >= self._gather_at:
            self._first = self._half - self._first
            self._to_move, self.counts[LEGS_END] = self.count, self._first
        end = self._first + self._half - more
        if self._to_move:
            at, moved_max = min(self._to_move, self.count), _MOVED_A_LEG * more + _MOVED_MIN
            self._to_move = int(move_legs(self.arrays, np.int64(at), self._first, self._half, end, moved_max))
            if self._to_move == 0:
                used = int(self.counts[LEGS_END]) - self._first
                self._gather_at = min(2 * used + _MOVED_AT_ONCE_MAX, self._half * 5 // 8)
        if int(self.counts[LEGS_END]) > end:
            self._gather_legs(more)

    def _gather_legs(self, more: int) -> None:
        at, rows = self.pool_places(), self.rows[: self.count]
        used, sizes = len(at), rows[:, LEG_COUNT] + rows[:, STEPS]
        size = max(2 * (used + more), _START_LEGS)
        is_large = size > _MOVED_AT_ONCE_MAX
        legs = with_addresses(8 * size, 2 * _ROOM_LEGS, _legs) if is_large else _legs(size)
        self._half, self._gather_at = (len(legs) // 2, size) if is_large else (0, 0)
        self._first = self._to_move = 0
        legs[:used] = self.legs[at]
        rows[:, FIRST_LEG] = np.cumsum(sizes) - sizes
        self.legs = legs
        self.counts[LEGS_END] = used


def _legs(count: int) -> npt.NDArray[np.int64]:
    return np.empty((count, LEG_WIDTH), np.int64)
