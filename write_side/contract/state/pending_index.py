"""What finds pending rows without looking at all of them: what time ends next, what began first, whose accounts have open work.

Two skew heaps (Sleator and Tarjan, "Self-adjusting heaps", 1986) run through the rows, with a way back to the parent so that any
row can leave: by deadline, and by the block that began a process, one heap for home's own and one for the steps of each home. And
a table of accounts counts the open legs of each. None of it is in the digest or the log: it follows from the rows.

    nodes  int64[rows, NODE_WIDTH]: left, right and parent in the heap of deadlines and in that of beginnings, and which of them
           the row is in.  Rows are named by their number + 1, 0 is nobody, a parent below 0 is a root's place.
    roots  int64[ROOTS]: of the deadlines, of home's processes, of the reversals of transfers with and without a time in their id,
           by that time, of the steps of each home partition
    work   int64[accounts, WORK_WIDTH]: key (two words) and how many open legs it has; work_slots: where (`hash_index.py`)
"""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.block.limits import PARTITIONS_MAX
from write_side.contract.compiled.compiled import njit_borrowing, njit_inlined, njit_inner
from write_side.contract.state.hash_index import (
    INDEX,
    TAG,
    find_row,
    first_slot,
    following,
    hash_words,
    point_to,
    take_out,
)
from write_side.contract.state.id_parts import has_time
from write_side.contract.state.pending_columns import (
    BEGUN,
    ENDS_BY_US,
    FIRST_LEG,
    HOME_SHIFT,
    ID_A,
    ID_B,
    LEG_COUNT,
    LEG_KEY_A,
    LEG_KEY_B,
    STATE,
    WHAT,
    HoldStates,
    PendingKinds,
    Phases,
    StepStates,
)

BY_DEADLINE: Final = 0
BY_BEGINNING: Final = 3
"""Where the three links of each heap stand in a node: the left one, and behind it"""
_RIGHT: Final = 1
_PARENT: Final = 2
MEMBER: Final = 6
NODE_WIDTH: Final = 7
_IS_DUE: Final = 1
_IS_AGED: Final = 2
_IS_COUNTED: Final = 4
"""Bits of a node's last word."""
DUE_ROOT: Final = 0
PROCESS_ROOT: Final = 1
REVERSAL_ROOT: Final = 2
STEP_ROOT: Final = 4
ROOTS: Final = STEP_ROOT + PARTITIONS_MAX
WORK_KEY_A, WORK_KEY_B, WORK_LEGS, WORK_WIDTH = range(4)
ROW_COUNT, LEGS_END, LOW_ROSE, WORK_COUNT = range(4)
"""What `PendingTable.counts` has: rows, the end of the legs used in the pool, whether a low rose, accounts with open legs."""


@njit_inlined
def _big_endian(word):  # type: ignore[no-untyped-def]
    """A word of an id as a number that compares as its bytes do."""
    value = np.uint64(word)
    turned = np.uint64(0)
    for _ in range(8):
        turned = (turned << np.uint64(8)) | (value & np.uint64(255))
        value >>= np.uint64(8)
    return turned


@njit_inner
def _is_before(rows, by, one, other):  # type: ignore[no-untyped-def]
    """Whether row `one` comes before `other`: by deadline or beginning, and then by id."""
    column = ENDS_BY_US if by == BY_DEADLINE else BEGUN
    if rows[one, column] != rows[other, column]:
        return rows[one, column] < rows[other, column]
    if rows[one, ID_A] != rows[other, ID_A]:
        return _big_endian(rows[one, ID_A]) < _big_endian(rows[other, ID_A])
    return _big_endian(rows[one, ID_B]) < _big_endian(rows[other, ID_B])


@njit_inner
def _merge(rows, nodes, by, one, other):  # type: ignore[no-untyped-def]
    """The heap of two heaps; its parent is the caller's to set. On the way down the children of each node change places."""
    if one == 0 or other == 0:
        return one + other
    if _is_before(rows, by, other - 1, one - 1):
        one, other = other, one
    root = one
    while True:
        under = nodes[one - 1, by + _RIGHT]
        nodes[one - 1, by + _RIGHT] = nodes[one - 1, by]
        if under == 0 or _is_before(rows, by, other - 1, under - 1):
            under, other = other, under
        nodes[one - 1, by] = under
        nodes[under - 1, by + _PARENT] = one
        if other == 0:
            return root
        one = under


@njit_inner
def _put(nodes, roots, by, parent, was, now):  # type: ignore[no-untyped-def]
    """Write `now` where the parent has `was`."""
    if parent < 0:
        roots[-parent - 1] = now
    elif nodes[parent - 1, by] == was:
        nodes[parent - 1, by] = now
    else:
        nodes[parent - 1, by + _RIGHT] = now
    if now != 0:
        nodes[now - 1, by + _PARENT] = parent


@njit_inner
def _insert(rows, nodes, roots, by, root, row):  # type: ignore[no-untyped-def]
    nodes[row, by] = 0
    nodes[row, by + _RIGHT] = 0
    _put(nodes, roots, by, np.int64(-root - 1), roots[root], _merge(rows, nodes, by, roots[root], row + 1))


@njit_inner
def _remove(rows, nodes, roots, by, row):  # type: ignore[no-untyped-def]
    below = _merge(rows, nodes, by, nodes[row, by], nodes[row, by + _RIGHT])
    _put(nodes, roots, by, nodes[row, by + _PARENT], row + 1, below)


@njit_inner
def _rename(nodes, roots, by, row, to):  # type: ignore[no-untyped-def]
    """A row in a heap has another number now, and its node is there."""
    _put(nodes, roots, by, nodes[to, by + _PARENT], row + 1, to + 1)
    for side in (by, by + _RIGHT):
        if nodes[to, side] != 0:
            nodes[nodes[to, side] - 1, by + _PARENT] = to + 1


@njit_inner
def _slot_of(work, slots, secret, a, b):  # type: ignore[no-untyped-def]
    """The slot of an account that is there."""
    size = np.uint64(slots.size)
    tag = hash_words(a, b, secret) & TAG
    slot = first_slot(tag, size)
    while True:
        at = np.int64(slots[slot] & INDEX) - 1
        if (slots[slot] & TAG) == tag and np.uint64(work[at, WORK_KEY_A]) == a and np.uint64(work[at, WORK_KEY_B]) == b:
            return np.int64(slot)
        slot = following(slot, size)


@njit_borrowing
def count_open(counts, work, slots, secret, key_a, key_b, more):  # type: ignore[no-untyped-def]
    """So many open legs more (or fewer) of an account, its key as signed words.

    One without any leaves the table, and the last one takes its place.
    """
    a, b = np.uint64(key_a), np.uint64(key_b)
    at = find_row(work, slots, secret, a, b)
    if at < 0:
        free, at = at, counts[WORK_COUNT]
        point_to(slots, free, at, a, b, secret)
        work[at, WORK_KEY_A] = key_a
        work[at, WORK_KEY_B] = key_b
        work[at, WORK_LEGS] = 0
        counts[WORK_COUNT] = at + 1
    work[at, WORK_LEGS] += more
    if work[at, WORK_LEGS] == 0:
        take_out(slots, _slot_of(work, slots, secret, a, b))
        last = counts[WORK_COUNT] - 1
        counts[WORK_COUNT] = last
        if at != last:
            slot = _slot_of(work, slots, secret, np.uint64(work[last, WORK_KEY_A]), np.uint64(work[last, WORK_KEY_B]))
            slots[slot] = (slots[slot] & TAG) | np.uint64(at + 1)
            for word in range(WORK_WIDTH):
                work[at, word] = work[last, word]


@njit_inner
def _count_legs(table, row, more):  # type: ignore[no-untyped-def]
    first, last = table.rows[row, FIRST_LEG], table.rows[row, FIRST_LEG] + table.rows[row, LEG_COUNT]
    for leg in range(first, last):
        a, b = table.legs[leg, LEG_KEY_A], table.legs[leg, LEG_KEY_B]
        count_open(table.counts, table.work, table.work_slots, table.secret, a, b, more)


@njit_borrowing
def note_pending(table, row):  # type: ignore[no-untyped-def]
    """Bring the indexes to what a row, that is not over, is now. Its id, kind, beginning, deadline and legs never change."""
    rows, nodes, roots = table.rows, table.nodes, table.roots
    kind, state = rows[row, WHAT] & 255, rows[row, STATE]
    member = nodes[row, MEMBER]
    is_due = rows[row, ENDS_BY_US] > 0 and (
        (kind == PendingKinds.HOLD and state == HoldStates.OPEN)
        or (kind == PendingKinds.PROCESS and state == Phases.TRYING)
        or kind == PendingKinds.REVERSAL
    )
    if is_due and not member & _IS_DUE:
        root = np.int64(DUE_ROOT)
        if kind == PendingKinds.REVERSAL:
            root = np.int64(
                REVERSAL_ROOT + (0 if has_time(np.uint64(rows[row, ID_A]), np.uint64(rows[row, ID_B])) else 1)
            )
        _insert(rows, nodes, roots, np.int64(BY_DEADLINE), root, row)
        member |= _IS_DUE
    elif member & _IS_DUE and not is_due:
        _remove(rows, nodes, roots, np.int64(BY_DEADLINE), row)
        member &= ~_IS_DUE
    if kind in (PendingKinds.PROCESS, PendingKinds.STEP) and not member & _IS_AGED:
        home_partition = (rows[row, WHAT] >> HOME_SHIFT) & 0xFFFF
        root = np.int64(PROCESS_ROOT) if kind == PendingKinds.PROCESS else STEP_ROOT + home_partition
        _insert(rows, nodes, roots, np.int64(BY_BEGINNING), root, row)
        member |= _IS_AGED
    is_counted = kind == PendingKinds.PROCESS or (kind == PendingKinds.STEP and state == StepStates.HELD)
    if is_counted and not member & _IS_COUNTED:
        _count_legs(table, row, np.int64(1))
        member |= _IS_COUNTED
    elif member & _IS_COUNTED and not is_counted:
        _count_legs(table, row, np.int64(-1))
        member &= ~_IS_COUNTED
    nodes[row, MEMBER] = member


@njit_inner
def forget_pending(table, row):  # type: ignore[no-untyped-def]
    """Take a row that is dropped out of the indexes."""
    rows, nodes, roots = table.rows, table.nodes, table.roots
    member = nodes[row, MEMBER]
    if member & _IS_DUE:
        _remove(rows, nodes, roots, np.int64(BY_DEADLINE), row)
    if member & _IS_AGED:
        _remove(rows, nodes, roots, np.int64(BY_BEGINNING), row)
    if member & _IS_COUNTED:
        _count_legs(table, row, np.int64(-1))
    nodes[row, MEMBER] = 0


@njit_inner
def renumber_pending(table, row, to):  # type: ignore[no-untyped-def]
    """A row has moved to another, empty place."""
    nodes, roots = table.nodes, table.roots
    for word in range(NODE_WIDTH):
        nodes[to, word] = nodes[row, word]
    if nodes[to, MEMBER] & _IS_DUE:
        _rename(nodes, roots, np.int64(BY_DEADLINE), row, to)
    if nodes[to, MEMBER] & _IS_AGED:
        _rename(nodes, roots, np.int64(BY_BEGINNING), row, to)
    nodes[row, MEMBER] = 0


@njit_borrowing
def open_legs(table, key_a, key_b):  # type: ignore[no-untyped-def]
    """How many legs an account (its key, signed words) has in transfers under way and in steps that can still move money."""
    secret, work, work_slots = table.secret, table.work, table.work_slots
    at = find_row(work, work_slots, secret, np.uint64(key_a), np.uint64(key_b))
    return np.int64(0) if at < 0 else work[at, WORK_LEGS]


@njit_borrowing
def take_due(table, until_us, found):  # type: ignore[no-untyped-def]
    """Write the rows whose deadline is not after `until_us` into `found`, int64[...], in (deadline, id) order; how many."""
    rows, nodes, roots = table.rows, table.nodes, table.roots
    n = 0
    while n < found.size and roots[DUE_ROOT] != 0 and rows[roots[DUE_ROOT] - 1, ENDS_BY_US] <= until_us:
        found[n] = roots[DUE_ROOT] - 1
        _remove(rows, nodes, roots, np.int64(BY_DEADLINE), found[n])
        n += 1
    for i in range(n):  # they stay until they are decided
        _insert(rows, nodes, roots, np.int64(BY_DEADLINE), np.int64(DUE_ROOT), found[i])
    return n


@njit_borrowing
def processes(table, found):  # type: ignore[no-untyped-def]
    """Write the rows of all processes into `found`, int64[at least as many]; how many. In no particular order."""
    nodes, roots = table.nodes, table.roots
    n = 0
    if roots[PROCESS_ROOT] != 0:
        found[0] = roots[PROCESS_ROOT] - 1
        n = 1
    at = 0
    while at < n:
        for side in (BY_BEGINNING, BY_BEGINNING + _RIGHT):
            if nodes[found[at], side] != 0:
                found[n] = nodes[found[at], side] - 1
                n += 1
        at += 1
    return n
