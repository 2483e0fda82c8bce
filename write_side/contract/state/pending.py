"""What is not over: open holds, transfers under way (processes), their steps at a participant, and reversals.

State, never window entries: a row lives until what it stands for is over, whatever its age (DESIGN 5). Everything is kept in the
state digest. What is done to rows: `pending_rows.py`; here is the room that they and their legs have.
"""

from __future__ import annotations

import secrets
from typing import Final

import numpy as np
import numpy.typing as npt

from write_side.contract.block.limits import PARTITIONS_MAX
from write_side.contract.state.hash_index import (
    Ahead,
    index_rows,
    with_room,
)
from write_side.contract.state.pending_columns import (
    BEGUN,
    ENDS_BY_US,
    FIRST_LEG,
    LEG_COUNT,
    LEG_WIDTH,
    STEPS,
    WIDTH,
)
from write_side.contract.state.pending_index import (
    DUE_ROOT,
    LEGS_END,
    NODE_WIDTH,
    PROCESS_ROOT,
    ROOTS,
    ROW_COUNT,
    WORK_COUNT,
    WORK_WIDTH,
    count_open,
    open_legs,
    processes,
    take_due,
)
from write_side.contract.state.pending_rows import PendingArrays, find_pending, index_pending, move_legs
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
