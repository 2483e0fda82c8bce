"""The loop over a run of blocks (`fold_run.py`), and what it is given."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.block.columns import (
    FLAGS_MASK,
    PENDING,
    Sections,
)
from write_side.contract.block.grammar import are_commands, are_pending_legs, rows_rise, walk
from write_side.contract.block.limits import OUTCOMES_MAX
from write_side.contract.block.loop_columns import EntryColumns, OutcomeColumns, PendingColumns, RepeatColumns
from write_side.contract.block.run import place_of
from write_side.contract.block.run_bytes import CREATED_AT_US, SEQUENCE
from write_side.contract.compiled.compiled import njit_borrowing
from write_side.contract.state.account_rows import AccountIndex, Accounts, add_accounts, settle
from write_side.contract.state.fold import fold_entries
from write_side.contract.state.fold_ids import BlockAt, OutcomeIds, became, fold_ids
from write_side.contract.state.fold_pending import fold_rows, fold_steps
from write_side.contract.state.ids import IdArrays
from write_side.contract.state.pending_rows import PendingArrays, purge
from write_side.contract.words.atoms import LIMIT, NO_FLOOR
from write_side.contract.words.codes import Codes, Kinds

Int64s = npt.NDArray[np.int64]

FOLDED, FAULT, NUMBER, CAME, TIMELESS, COUNT, USED = range(7)
"""What the loop tells: blocks folded, the sort of a fault and its number, ids that came, how many of them without a time, and how
many accounts and rows of ids there are."""
OF_ENTRIES, OF_PENDING, TWICE, DIGEST, OPENED_TWICE = 1, 2, 3, 4, 5
"""Sorts of faults; the first two have numbers of their own (`fold.FAULTS`, `fold_pending.FAULTS`)."""
_MASK: Final = int(FLAGS_MASK)
WHAT_AT: Final = place_of(PENDING, "what")
LOW_AT: Final = place_of(PENDING, "low")
LEGS_COUNTED: Final = place_of(PENDING, "legs")


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
    askers: Int64s


class HeldState(NamedTuple):
    """The state that the loop changes. partitions: of the log; cut_off_us: of ids, with what it adds to the digest."""

    accounts: Accounts
    lookup: AccountIndex
    partition: int
    partitions: int
    digest: npt.NDArray[np.uint64]
    ids: IdArrays
    pending: PendingArrays
    cut_off_us: int
    cut_off_lanes: npt.NDArray[np.uint64]


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
def _is_well_formed(run, i, outcomes, entries):  # type: ignore[no-untyped-def]
    """What `grammar_fault` asks of block i, but for the texts and terms of accounts."""
    at, end = _bounds(run.of, i)
    g, g_end, r, r_end = at[Sections.legs], end[Sections.legs], at[Sections.repeats], end[Sections.repeats]
    p, p_end = at[Sections.pending], end[Sections.pending]
    repeats = RepeatColumns(run.repeats[0, r:r_end], run.repeats[1, r:r_end], run.repeats[2, r:r_end])
    if outcomes.kind.size > OUTCOMES_MAX:
        return False
    if walk(run.headers[i, SEQUENCE], outcomes, entries.outcome, run.legs[0, g:g_end], repeats):
        return False
    for after in entries.flags:
        if after & ~_MASK:
            return False
    return (
        rows_rise(entries.held_entry, entries.account.size, 1)
        and rows_rise(entries.flags_entry, entries.account.size, 1)
        and rows_rise(run.pending[0, p:p_end], outcomes.kind.size, 0)
        and rows_rise(run.steps[0, at[Sections.steps] : end[Sections.steps]], outcomes.kind.size, 0)
        and rows_rise(run.links[0, at[Sections.links] : end[Sections.links]], outcomes.kind.size, 1)
        and rows_rise(run.details[0, at[Sections.details] : end[Sections.details]], outcomes.kind.size, 1)
        and rows_rise(run.conditions[0, at[Sections.conditions] : end[Sections.conditions]], g_end - g, 1)
        and are_commands(run.askers[0, at[Sections.askers] : end[Sections.askers]], outcomes.kind)
        and are_pending_legs(
            run.pending[LEGS_COUNTED, p:p_end],
            run.pending_legs[0, at[Sections.pending_legs] : end[Sections.pending_legs]],
        )
    )


@njit_borrowing
def _are_openings(state, count, outcomes, ids, opened, first, end):  # type: ignore[no-untyped-def]
    """Whether the accounts from `first` until `end` are what `fold.open_accounts` asks of a block, but for those there already.
    count: before it."""
    done = first
    for i in range(outcomes.kind.size):
        if outcomes.kind[i] == Kinds.OPEN and outcomes.code[i] == Codes.DONE:
            if done == end or ids[i, 0] != opened.key_a[done] or ids[i, 1] != opened.key_b[done]:
                return False
            done += 1
    for i in range(first, end):
        home = np.int64(opened.key_a[i] % np.uint64(state.partitions))
        if opened.number[i] != count + i - first or home != state.partition or opened.flags[i] & ~_MASK:
            return False
        if opened.floor[i] != NO_FLOOR and not -LIMIT <= opened.floor[i] <= LIMIT:
            return False
    return done == end


@njit_borrowing
def _fold_pending(state, run, i, room):  # type: ignore[no-untyped-def]
    """As `fold_pending.fold_pending` of block i; 0 or a number of its faults."""
    at, end = _bounds(run.of, i)
    o, o_end, p, p_end = at[Sections.outcomes], end[Sections.outcomes], at[Sections.pending], end[Sections.pending]
    ids = run.ids[o:o_end].view(np.int64)
    if p_end > p:
        for k in range(o_end - o):
            room.links[k, 0], room.links[k, 1] = 0, 0
        for k in range(at[Sections.links], end[Sections.links]):
            row = run.links[0, k]
            room.links[row, 0], room.links[row, 1] = run.link_ids[k, 0], run.link_ids[k, 1]
        pending = PendingColumns(
            run.pending[0, p:p_end], run.pending_ids[p:p_end], run.pending[WHAT_AT, p:p_end], run.logged[p:p_end],
            run.pending[LOW_AT, p:p_end], run.pending[LEGS_COUNTED, p:p_end],
            run.pool[at[Sections.pending_legs] : end[Sections.pending_legs]],
        )  # fmt: skip
        fault = fold_rows(state.pending, state.digest, run.headers[i, CREATED_AT_US], pending, ids, room.links)
        if fault:
            return fault
    s, s_end = at[Sections.steps], end[Sections.steps]
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
def fold_blocks(state, opened, run, room, found):  # type: ignore[no-untyped-def]
    """Fold every block, or those before the first that is not well formed or has a fault.

    found: int64[7], written: FOLDED to USED; what is counted counts on.
    """
    accounts, digest = state.accounts, state.digest
    for i in range(run.headers.shape[0]):
        found[FOLDED] = i
        at, end = _bounds(run.of, i)
        a, a_end = at[Sections.accounts], end[Sections.accounts]
        o, o_end = at[Sections.outcomes], end[Sections.outcomes]
        e, e_end, h, h_end = at[Sections.entries], end[Sections.entries], at[Sections.held], end[Sections.held]
        f, f_end = at[Sections.flags], end[Sections.flags]
        outcomes = OutcomeColumns(
            run.kind[o:o_end], run.code[o:o_end], run.outcomes[2, o:o_end], run.outcomes[3, o:o_end]
        )
        entries = EntryColumns(
            run.entries[0, e:e_end], run.entries[1, e:e_end], run.entries[2, e:e_end], run.entries[3, e:e_end],
            run.held[0, h:h_end], run.held[1, h:h_end], run.flags[0, f:f_end], run.flags[1, f:f_end],
        )  # fmt: skip
        ids, deltas, at_us = run.ids[o:o_end], room.deltas[e:e_end], run.headers[i, CREATED_AT_US]
        if not _is_well_formed(run, i, outcomes, entries):
            return
        if not _are_openings(state, found[COUNT], outcomes, ids, opened, a, a_end):
            return
        if not add_accounts(accounts, state.lookup, opened, a, a_end, at_us):
            found[FAULT] = OPENED_TWICE
            return
        found[COUNT] += a_end - a
        fault = fold_entries(accounts, found[COUNT], digest, entries, at_us, deltas, room.sums)
        if fault:
            found[FAULT], found[NUMBER] = OF_ENTRIES, fault
            return
        settle(accounts.rows, accounts.touched, digest)
        fault = _fold_pending(state, run, i, room)
        if fault:
            found[FAULT], found[NUMBER] = OF_PENDING, fault
            return
        if o_end > o:
            new = OutcomeIds(ids, room.prints, room.amounts, room.parties)
            became(outcomes, entries, deltas, run.details[0, at[Sections.details] : end[Sections.details]], new)
            block = BlockAt(run.headers[i, SEQUENCE], at_us, state.cut_off_us)
            came, timeless, used = fold_ids(state.ids, found[USED], digest, outcomes, new, block)
            if came < 0:
                found[FAULT] = TWICE
                return
            found[CAME] += came
            found[TIMELESS] += timeless
            found[USED] = used
        lane_a, lane_b = state.cut_off_lanes[0], state.cut_off_lanes[1]
        if digest[0] + lane_a != run.digests[i, 0] or digest[1] + lane_b != run.digests[i, 1]:
            found[FAULT] = DIGEST
            return
    found[FOLDED] = run.headers.shape[0]
