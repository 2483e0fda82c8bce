"""The loop over a run of blocks (`fold_run.py`), and what it is given."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.block.columns import (
    ACCOUNTS,
    CONDITIONS,
    DETAILS,
    ENTRIES,
    FLAGS,
    FLAGS_MASK,
    HELD,
    LEGS,
    LINKS,
    OUTCOMES,
    PENDING,
    PENDING_LEGS,
    REPEATS,
    STEPS,
)
from write_side.contract.block.grammar import are_pending_legs, rows_rise, walk
from write_side.contract.block.limits import OUTCOMES_MAX
from write_side.contract.block.run import place_of
from write_side.contract.block.run_bytes import CREATED_AT_US, SEQUENCE
from write_side.contract.compiled.compiled import njit_borrowing
from write_side.contract.state.account_rows import AccountIndex, Accounts, NewAccount, add_account, settle
from write_side.contract.state.fold import fold_entries
from write_side.contract.state.fold_ids import became, fold_ids
from write_side.contract.state.fold_pending import fold_rows, fold_steps
from write_side.contract.state.hash_index import find_row
from write_side.contract.state.ids import (
    IdArrays,
)
from write_side.contract.state.pending import PendingArrays, purge
from write_side.contract.words.atoms import LIMIT, NO_FLOOR
from write_side.contract.words.codes import Code, Kind

Int64s = npt.NDArray[np.int64]

OF_ENTRIES, OF_PENDING, TWICE, DIGEST, OPENED_TWICE = 1, 2, 3, 4, 5
"""Sorts of faults; the first two have numbers of their own (`fold.FAULTS`, `fold_pending.FAULTS`)."""
_OPEN: Final = int(Kind.OPEN)
_DONE: Final = int(Code.DONE)
_MASK: Final = int(FLAGS_MASK)
ACCOUNTS_AT: Final = ACCOUNTS.number
OUTCOMES_AT: Final = OUTCOMES.number
ENTRIES_AT: Final = ENTRIES.number
REPEATS_AT: Final = REPEATS.number
LEGS_AT: Final = LEGS.number
HELD_AT: Final = HELD.number
FLAGS_AT: Final = FLAGS.number
PENDING_AT: Final = PENDING.number
POOL_AT: Final = PENDING_LEGS.number
STEPS_AT: Final = STEPS.number
LINKS_AT: Final = LINKS.number
DETAILS_AT: Final = DETAILS.number
CONDITIONS_AT: Final = CONDITIONS.number
WHAT_AT: Final = place_of(PENDING, "what")
LOW_AT: Final = place_of(PENDING, "low")
LEGS_COUNTED: Final = place_of(PENDING, "legs")


@njit_borrowing
def _are_openings(count, partition, partitions, kind, code, ids, number, key_a, key_b, floor, flags):  # type: ignore[no-untyped-def]
    """Whether a block's accounts are what `fold.open_accounts` asks, but for those that are there already; count: before it."""
    opened = 0
    for i in range(kind.size):
        if kind[i] == _OPEN and code[i] == _DONE:
            if opened == number.size or ids[i, 0] != key_a[opened] or ids[i, 1] != key_b[opened]:
                return False
            opened += 1
    for i in range(number.size):
        if number[i] != count + i or np.int64(key_a[i] % np.uint64(partitions)) != partition or flags[i] & ~_MASK:
            return False
        if floor[i] != NO_FLOOR and not -LIMIT <= floor[i] <= LIMIT:
            return False
    return opened == number.size


class ToOpen(NamedTuple):
    """The accounts of a run as the loop adds them, each an array over all of them."""

    number: Int64s
    floor: Int64s
    flags: Int64s
    key_a: npt.NDArray[np.uint64]
    key_b: npt.NDArray[np.uint64]
    asset: Int64s
    row_key: npt.NDArray[np.uint64]


class RunColumns(NamedTuple):
    """What the loop reads of a `PlainRun`: columns of numbers; ids, those of outcomes unsigned; and `logged`, `pool` and `taken`
    row by row, as `fold_pending` has them."""

    headers: Int64s
    digests: npt.NDArray[np.uint64]
    of: Int64s
    kind: npt.NDArray[np.uint8]
    code: npt.NDArray[np.uint8]
    ids: npt.NDArray[np.uint64]
    outcomes: Int64s
    entries: Int64s
    repeats: Int64s
    legs: Int64s
    held: Int64s
    flags: Int64s
    pending: Int64s
    pending_ids: Int64s
    logged: Int64s
    pending_legs: Int64s
    pool: Int64s
    steps: Int64s
    taken: Int64s
    links: Int64s
    link_ids: Int64s
    details: Int64s
    conditions: Int64s


class HeldState(NamedTuple):
    """The state that the loop changes. partitions: of the log."""

    rows: Int64s
    changed_at_us: Int64s
    touched: Int64s
    slots: npt.NDArray[np.uint64]
    secret: np.uint64
    partition: int
    partitions: int
    digest: npt.NDArray[np.uint64]
    ids: IdArrays
    pending: PendingArrays


class Room(NamedTuple):
    """Memory that each block of a run needs again, and `deltas` of all entries."""

    deltas: Int64s
    sums: Int64s
    amounts: Int64s
    parties: Int64s
    prints: npt.NDArray[np.uint64]
    links: Int64s
    step_ids: Int64s


@njit_borrowing
def _bounds(of, i):  # type: ignore[no-untyped-def]
    """First row and behind the last of block i in each section, by its number."""
    return of[:, i], of[:, i + 1]


@njit_borrowing
def _is_well_formed(tables, run, i):  # type: ignore[no-untyped-def]
    """What `grammar_fault` asks of block i, but for the texts and terms of accounts."""
    at, end = _bounds(run.of, i)
    o, o_end, e, e_end = at[OUTCOMES_AT], end[OUTCOMES_AT], at[ENTRIES_AT], end[ENTRIES_AT]
    g, g_end, r, r_end = at[LEGS_AT], end[LEGS_AT], at[REPEATS_AT], end[REPEATS_AT]
    outcomes, entries = o_end - o, e_end - e
    if outcomes > OUTCOMES_MAX:
        return False
    if walk(
        tables[0], tables[1], run.headers[i, SEQUENCE], run.kind[o:o_end], run.code[o:o_end], run.outcomes[2, o:o_end],
        run.outcomes[3, o:o_end], run.entries[0, e:e_end], run.legs[0, g:g_end], run.repeats[0, r:r_end],
        run.repeats[1, r:r_end], run.repeats[2, r:r_end],
    ):  # fmt: skip
        return False
    for after in run.flags[1, at[FLAGS_AT] : end[FLAGS_AT]]:
        if after & ~_MASK:
            return False
    p, p_end = at[PENDING_AT], end[PENDING_AT]
    return (
        rows_rise(run.held[0, at[HELD_AT] : end[HELD_AT]], entries, 1)
        and rows_rise(run.flags[0, at[FLAGS_AT] : end[FLAGS_AT]], entries, 1)
        and rows_rise(run.pending[0, p:p_end], outcomes, 0)
        and rows_rise(run.steps[0, at[STEPS_AT] : end[STEPS_AT]], outcomes, 0)
        and rows_rise(run.links[0, at[LINKS_AT] : end[LINKS_AT]], outcomes, 1)
        and rows_rise(run.details[0, at[DETAILS_AT] : end[DETAILS_AT]], outcomes, 1)
        and rows_rise(run.conditions[0, at[CONDITIONS_AT] : end[CONDITIONS_AT]], g_end - g, 1)
        and are_pending_legs(run.pending[LEGS_COUNTED, p:p_end], run.pending_legs[0, at[POOL_AT] : end[POOL_AT]])
    )


@njit_borrowing
def _fold_pending(state, run, i, room):  # type: ignore[no-untyped-def]
    """As `fold_pending.fold_pending` of block i; 0 or a number of its faults."""
    at, end = _bounds(run.of, i)
    o, o_end, p, p_end = at[OUTCOMES_AT], end[OUTCOMES_AT], at[PENDING_AT], end[PENDING_AT]
    ids = run.ids[o:o_end].view(np.int64)
    if p_end > p:
        for k in range(o_end - o):
            room.links[k, 0], room.links[k, 1] = 0, 0
        for k in range(at[LINKS_AT], end[LINKS_AT]):
            row = run.links[0, k]
            room.links[row, 0], room.links[row, 1] = run.link_ids[k, 0], run.link_ids[k, 1]
        fault = fold_rows(
            state.pending, state.digest, run.headers[i, CREATED_AT_US], run.pending[0, p:p_end], run.pending_ids[p:p_end],
            run.pending[WHAT_AT, p:p_end], run.logged[p:p_end], run.pending[LOW_AT, p:p_end],
            run.pending[LEGS_COUNTED, p:p_end], run.pool[at[POOL_AT] : end[POOL_AT]], ids, room.links,
        )  # fmt: skip
        if fault:
            return fault
    s, s_end = at[STEPS_AT], end[STEPS_AT]
    if s_end > s:
        for k in range(s, s_end):
            row = run.steps[0, k]
            room.step_ids[k - s, 0], room.step_ids[k - s, 1] = ids[row, 0], ids[row, 1]
        fault = fold_steps(state.pending, room.step_ids, run.taken[s:s_end])
        if fault:
            return fault
    purge(state.pending, state.digest)
    return 0


@njit_borrowing
def fold_blocks(state, count, used, cut_off_us, cut_off_lanes, tables, opened, run, room, found):  # type: ignore[no-untyped-def]
    """Fold every block; how many rows of ids there are now.

    found: int64[6], written: blocks folded, the kind of a fault and its number, ids that came, how many of them without a time,
    accounts there are now.
    """
    accounts, index, digest = (
        Accounts(state.rows, state.changed_at_us, state.touched), AccountIndex(state.slots, state.secret), state.digest,
    )  # fmt: skip
    for i in range(run.headers.shape[0]):
        found[0] = i
        at, end = _bounds(run.of, i)
        a, a_end, o, o_end = at[ACCOUNTS_AT], end[ACCOUNTS_AT], at[OUTCOMES_AT], end[OUTCOMES_AT]
        e, e_end, h, h_end = at[ENTRIES_AT], end[ENTRIES_AT], at[HELD_AT], end[HELD_AT]
        f, f_end = at[FLAGS_AT], end[FLAGS_AT]
        kind, code, ids = run.kind[o:o_end], run.code[o:o_end], run.ids[o:o_end]
        outcome, account, deltas = run.entries[0, e:e_end], run.entries[1, e:e_end], room.deltas[e:e_end]
        at_us, sequence = run.headers[i, CREATED_AT_US], run.headers[i, SEQUENCE]
        if not _is_well_formed(tables, run, i):
            return used
        if not _are_openings(
            count, state.partition, state.partitions, kind, code, ids, opened.number[a:a_end], opened.key_a[a:a_end],
            opened.key_b[a:a_end], opened.floor[a:a_end], opened.flags[a:a_end],
        ):  # fmt: skip
            return used
        for k in range(a, a_end):
            if find_row(state.rows, state.slots, state.secret, opened.key_a[k], opened.key_b[k]) >= 0:
                found[1] = OPENED_TWICE
                return used
            new = NewAccount(
                opened.key_a[k], opened.key_b[k], opened.row_key[k], opened.asset[k], opened.floor[k], opened.flags[k]
            )
            add_account(accounts, index, opened.number[k], new, at_us, False)
        count += a_end - a
        found[5] = count
        fault = fold_entries(
            state.rows, state.changed_at_us, state.touched, count, digest, outcome, account, run.entries[2, e:e_end],
            run.entries[3, e:e_end], (run.held[0, h:h_end], run.held[1, h:h_end]),
            (run.flags[0, f:f_end], run.flags[1, f:f_end]), at_us, deltas, room.sums,
        )  # fmt: skip
        if fault:
            found[1], found[2] = OF_ENTRIES, fault
            return used
        settle(state.rows, state.touched, digest)
        fault = _fold_pending(state, run, i, room)
        if fault:
            found[1], found[2] = OF_PENDING, fault
            return used
        if o_end > o:
            detailed = run.details[0, at[DETAILS_AT] : end[DETAILS_AT]]
            became(kind, code, outcome, account, deltas, detailed, room.amounts, room.parties)
            came, timeless, used = fold_ids(
                state.ids, used, digest, ids, kind, code, (tables[2], tables[3]), (room.amounts, room.parties), room.prints,
                sequence, at_us, cut_off_us,
            )  # fmt: skip
            if came < 0:
                found[1] = TWICE
                return used
            found[3] += came
            found[4] += timeless
        if digest[0] + cut_off_lanes[0] != run.digests[i, 0] or digest[1] + cut_off_lanes[1] != run.digests[i, 1]:
            found[1] = DIGEST
            return used
    found[0] = run.headers.shape[0]
    return used
