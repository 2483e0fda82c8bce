"""A run of plain blocks folded: what `fold.py` does for one, in one compiled pass over all of them.

Every check of `fold` is made for every block, the digest against each header too, so that a fault names its block. A block that
is not well formed ends the run before it: folded by itself, it is told what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fanfold.api.malformed import Malformed
from write_side.contract.block.block import Header
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
from write_side.contract.block.grammar import CARRIED, UNASKED, walk
from write_side.contract.block.limits import OUTCOMES_MAX
from write_side.contract.block.run import CONSUMED_TO, CREATED_AT_US, SEQUENCE, Follows, PlainRun, place_of
from write_side.contract.compiled.compiled import njit_borrowing
from write_side.contract.state.account_rows import AccountIndex, Accounts, NewAccount, add_account, settle
from write_side.contract.state.fold import (
    FAULTS,
    OPENED_TWICE,
    OTHER_DIGEST,
    CheckFailed,
    Fingerprints,
    fold_entries,
    row_keys_of,
)
from write_side.contract.state.fold_ids import KINDS, REMEMBERED, REMEMBERED_TWICE, fold_ids
from write_side.contract.state.fold_pending import FAULTS as PENDING_FAULTS
from write_side.contract.state.fold_pending import LOGGED_NAMES, fold_rows, fold_steps
from write_side.contract.state.hash_index import find_row
from write_side.contract.state.ids import (
    CUT_OFF_STEP_US,
    DONE_BY_LEGS,
    DONE_OTHER,
    PENDING_OTHER,
    PENDING_TRANSFER,
    REFUSED,
    WINDOW_US,
    IdArrays,
)
from write_side.contract.state.pending import PendingArrays, purge
from write_side.contract.state.pending_columns import LEG_KEY_A, LEG_WIDTH, MASK_STEPS_MAX
from write_side.contract.state.state import State, cut_off_lanes, string_keys
from write_side.contract.words.atoms import LIMIT, NO_FLOOR, parse_asset
from write_side.contract.words.codes import Code, Kind

Int64s = npt.NDArray[np.int64]

RunPrints = Callable[[State, PlainRun, Int64s], None]
"""(state after the run, run, delta of each entry): writes the fingerprints of its ids."""


@lru_cache(1024)
def _is_asset(text: str) -> bool:
    try:
        parse_asset(text)
    except Malformed:
        return False
    return True


class Prints(NamedTuple):
    """How the fingerprints of ids are recomputed from the log: of a block, and of a run of plain ones without legs."""

    of_block: Fingerprints
    of_run: RunPrints


_FOLD, _TWICE, _DIGEST, _OPENED_TWICE, _OF_PENDING = 1, 2, 3, 4, 5
_OPEN: Final = int(Kind.OPEN)
_TRANSFER: Final = int(Kind.TRANSFER)
_DONE: Final = int(Code.DONE)
_PENDING: Final = int(Code.PENDING)
_MASK: Final = int(FLAGS_MASK)


def follows(state: State) -> Follows | None:
    """What the next plain block must fit to; None where there is none before it."""
    chained = state.chained
    if chained.sequence < 0 or not chained.partitions:
        return None
    forgets_at_us = state.ids.timeless_from_us + WINDOW_US + CUT_OFF_STEP_US
    return Follows(
        chained.partitions, state.partition, chained.epoch, chained.sequence, chained.block_hash, chained.consumed_to,
        chained.created_at_us, chained.refuse_ids_before_us, forgets_at_us,
    )  # fmt: skip


@njit_borrowing
def _rows_rise(rows, size):  # type: ignore[no-untyped-def]
    last = np.int64(-1)
    for row in rows:
        if row <= last or row >= size:
            return False
        last = row
    return True


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


@njit_borrowing
def _never_fall(rows, size):  # type: ignore[no-untyped-def]
    last = np.int64(0)
    for row in rows:
        if row < last or row >= size:
            return False
        last = row
    return True


@njit_borrowing
def _are_pending_legs(counts, pending):  # type: ignore[no-untyped-def]
    leg = 0
    for row in range(counts.size):
        for _ in range(counts[row]):
            if leg >= pending.size or pending[leg] != row:
                return False
            leg += 1
    return leg == pending.size


@njit_borrowing
def _became(kind, code, outcome, account, deltas, detailed, amounts, parties):  # type: ignore[no-untyped-def]
    """What the id table keeps of each outcome of a block, as `fold_ids.remember`."""
    entry = detail = 0
    for i in range(kind.size):
        while entry < outcome.size and outcome[entry] < i:
            entry += 1
        while detail < detailed.size and detailed[detail] < i:
            detail += 1
        is_transfer = kind[i] == _TRANSFER
        parties[i] = 0
        if code[i] == _DONE:
            amounts[i] = DONE_BY_LEGS if is_transfer else DONE_OTHER
            if is_transfer and not (detail < detailed.size and detailed[detail] == i):
                amounts[i] = deltas[entry + 1]
                parties[i] = (account[entry] << 32) | account[entry + 1]
        elif code[i] == _PENDING:
            amounts[i] = PENDING_TRANSFER if is_transfer else PENDING_OTHER
        else:
            amounts[i] = REFUSED


class _Opened(NamedTuple):
    """The accounts of a run as the loop adds them, each an array over all of them."""

    number: Int64s
    floor: Int64s
    flags: Int64s
    key_a: npt.NDArray[np.uint64]
    key_b: npt.NDArray[np.uint64]
    asset: Int64s
    row_key: npt.NDArray[np.uint64]


class _Run(NamedTuple):
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


class _Held(NamedTuple):
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


class _Room(NamedTuple):
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
        _rows_rise(run.held[0, at[HELD_AT] : end[HELD_AT]], entries)
        and _rows_rise(run.flags[0, at[FLAGS_AT] : end[FLAGS_AT]], entries)
        and _never_fall(run.pending[0, p:p_end], outcomes)
        and _never_fall(run.steps[0, at[STEPS_AT] : end[STEPS_AT]], outcomes)
        and _rows_rise(run.links[0, at[LINKS_AT] : end[LINKS_AT]], outcomes)
        and _rows_rise(run.details[0, at[DETAILS_AT] : end[DETAILS_AT]], outcomes)
        and _rows_rise(run.conditions[0, at[CONDITIONS_AT] : end[CONDITIONS_AT]], g_end - g)
        and _are_pending_legs(run.pending[LEGS_COUNTED, p:p_end], run.pending_legs[0, at[POOL_AT] : end[POOL_AT]])
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
def _fold_run(state, count, used, cut_off_us, cut_off_lanes, tables, opened, run, room, found):  # type: ignore[no-untyped-def]
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
                found[1] = _OPENED_TWICE
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
            found[1], found[2] = _FOLD, fault
            return used
        settle(state.rows, state.touched, digest)
        fault = _fold_pending(state, run, i, room)
        if fault:
            found[1], found[2] = _OF_PENDING, fault
            return used
        if o_end > o:
            detailed = run.details[0, at[DETAILS_AT] : end[DETAILS_AT]]
            _became(kind, code, outcome, account, deltas, detailed, room.amounts, room.parties)
            came, timeless, used = fold_ids(
                state.ids, used, digest, ids, kind, code, (tables[2], tables[3]), (room.amounts, room.parties), room.prints,
                sequence, at_us, cut_off_us,
            )  # fmt: skip
            if came < 0:
                found[1] = _TWICE
                return used
            found[3] += came
            found[4] += timeless
        if digest[0] + cut_off_lanes[0] != run.digests[i, 0] or digest[1] + cut_off_lanes[1] != run.digests[i, 1]:
            found[1] = _DIGEST
            return used
    found[0] = run.headers.shape[0]
    return used


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


def fold_run(state: State, run: PlainRun, prints: RunPrints | None = None) -> PlainRun:
    """Apply blocks that follow each other and the state's last one: those from the first on that are well formed; these.

    Raises CheckFailed; the state is then unusable. prints: see `fold.fold`.
    """
    with state.lock:
        return _fold_all(state, run, prints)


def _fold_all(state: State, run: PlainRun, prints: RunPrints | None) -> PlainRun:
    names, assets, owners = (run.texts(ACCOUNTS, column) for column in range(3))
    if not all(map(_is_asset, set(assets))):
        return run.first(0)
    most = np.diff(run.of).max(axis=1)
    state.reserve_accounts(len(names))
    state.ids.reserve(len(run.kind))
    pending = run.rows(PENDING).numbers
    state.pending.reserve(pending.shape[1], run.rows(PENDING_LEGS).numbers.shape[1] + _steps(pending))
    opened = _to_open(state, run, names, assets, owners)
    cut_off_us, found = state.chained.refuse_ids_before_us, np.array([0, 0, 0, 0, 0, state.count], np.int64)
    room = _room(state, run, most)
    used = _fold_run(
        _Held(
            state.rows, state.changed_at_us, np.zeros(int(most[ENTRIES_AT] + most[ACCOUNTS_AT]) + 1, np.int64), state.slots,
            state.secret, state.partition, state.chained.partitions, state.digest, state.ids.arrays, state.pending.arrays,
        ),
        state.count, state.ids.used, cut_off_us, cut_off_lanes(cut_off_us), (CARRIED, UNASKED, KINDS, REMEMBERED), opened,
        _columns(run), room, found,
    )  # fmt: skip
    folded, fault, number, came, timeless, count = found.tolist()
    state.ids.used = int(used)
    state.ids.count += came
    state.ids.timeless += timeless
    if fault:
        said = {
            _FOLD: FAULTS.get(number), _TWICE: REMEMBERED_TWICE, _DIGEST: OTHER_DIGEST, _OPENED_TWICE: OPENED_TWICE,
            _OF_PENDING: PENDING_FAULTS.get(number),
        }  # fmt: skip
        raise CheckFailed(state.partition, int(run.headers[folded, SEQUENCE]), str(said[fault]))
    run = run if folded == len(run.headers) else run.first(folded)
    state.names += names[: count - state.count]
    state.assets += assets[: count - state.count]
    state.owners += owners[: count - state.count]
    state.count = count
    if folded and prints is not None:
        prints(state, run, room.deltas)
    if folded:
        state.chained.advance(_last_header(state, run))
    return run


def _steps(pending: Int64s) -> int:
    """Records that the processes among these rows may need; the loop refuses rows that say more."""
    return int(np.clip(pending[place_of(PENDING, "steps")], 0, MASK_STEPS_MAX).sum())


def _room(state: State, run: PlainRun, most: Int64s) -> _Room:
    outcomes = int(most[OUTCOMES_AT])
    return _Room(
        np.empty(run.rows(ENTRIES).numbers.shape[1], np.int64), np.zeros(max(1, len(state.asset_names)), np.int64),
        np.empty(outcomes, np.int64), np.empty(outcomes, np.int64), np.zeros((2, outcomes), np.uint64),
        np.empty((outcomes, 2), np.int64), np.empty((int(most[STEPS_AT]), 2), np.int64),
    )  # fmt: skip


def _columns(run: PlainRun) -> _Run:
    outcomes, pending, legs, steps = (run.rows(section) for section in (OUTCOMES, PENDING, PENDING_LEGS, STEPS))
    pool = np.empty((legs.numbers.shape[1], LEG_WIDTH), np.int64)
    pool[:, LEG_KEY_A : LEG_KEY_A + 2] = legs.ids.view(np.int64)
    pool[:, LEG_KEY_A + 2 :] = legs.numbers[1:].T
    logged = pending.numbers[[place_of(PENDING, name) for name in LOGGED_NAMES]].T
    return _Run(
        run.headers, run.digests, run.of, run.kind, run.code, outcomes.ids, outcomes.numbers,
        run.rows(ENTRIES).numbers, run.rows(REPEATS).numbers, run.rows(LEGS).numbers, run.rows(HELD).numbers,
        run.rows(FLAGS).numbers,
        pending.numbers, pending.ids.view(np.int64), np.ascontiguousarray(logged), legs.numbers, pool,
        steps.numbers, np.ascontiguousarray(steps.numbers[1:].T), run.rows(LINKS).numbers, run.rows(LINKS).ids.view(np.int64),
        run.rows(DETAILS).numbers, run.rows(CONDITIONS).numbers,
    )  # fmt: skip


def _to_open(state: State, run: PlainRun, names: list[str], assets: list[str], owners: list[str]) -> _Opened:
    keys = string_keys(names)
    interned = {asset: state.intern_asset(asset) for asset in dict.fromkeys(assets)}
    numbers = np.array([interned[asset] for asset in assets], np.int64)
    row_keys = row_keys_of(keys, state.asset_hashes[numbers], owners)
    number, floor, flags = run.rows(ACCOUNTS).numbers
    return _Opened(number, floor, flags, keys[0], keys[1], numbers, row_keys)


def _last_header(state: State, run: PlainRun) -> Header:
    chained, last = state.chained, run.headers[-1]
    return Header(
        chained.partitions, state.partition, chained.epoch, int(last[SEQUENCE]), chained.block_hash, int(last[CONSUMED_TO]),
        int(last[CREATED_AT_US]), chained.refuse_ids_before_us, run.digests[-1].tobytes(), 0, run.hashes[-1].tobytes(),
    )  # fmt: skip
