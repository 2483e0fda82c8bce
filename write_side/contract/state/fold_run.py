"""A run of plain blocks folded: what `fold.py` does for one, in one compiled pass over all of them.

Every check of `fold` is made for every block, the digest against each header too, so that a fault names its block. A block that
is not well formed ends the run before it: folded by itself, it is told what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fanfold.api.malformed import Malformed
from write_side.contract.block.block import Header
from write_side.contract.block.columns import ACCOUNTS, ENTRIES, FLAGS, FLAGS_MASK, HELD, LEGS, OUTCOMES, REPEATS
from write_side.contract.block.grammar import CARRIED, UNASKED, walk
from write_side.contract.block.limits import OUTCOMES_MAX
from write_side.contract.block.run import CONSUMED_TO, CREATED_AT_US, SEQUENCE, Follows, Opened, PlainRun
from write_side.contract.compiled.compiled import njit
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
from write_side.contract.state.hash_index import find_row
from write_side.contract.state.ids import (
    CUT_OFF_STEP_US,
    DONE_BY_LEGS,
    DONE_OTHER,
    PENDING_OTHER,
    PENDING_TRANSFER,
    REFUSED,
    WINDOW_US,
)
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


_FOLD, _TWICE, _DIGEST, _OPENED_TWICE = 1, 2, 3, 4
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


@njit(cache=True, nogil=True)
def _rows_rise(rows, size):  # type: ignore[no-untyped-def]
    last = np.int64(-1)
    for row in rows:
        if row <= last or row >= size:
            return False
        last = row
    return True


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _is_well_formed(carried, unasked, sequence, outcomes, entry, leg, repeats, held, flags):  # type: ignore[no-untyped-def]
    """What `grammar_fault` asks of a plain block, accounts apart; each argument but the first three: its columns."""
    kind, code, back, row = outcomes
    if kind.size > OUTCOMES_MAX:
        return False
    repeat, repeat_sequence, repeat_row = repeats
    if walk(carried, unasked, sequence, kind, code, back, row, entry, leg, repeat, repeat_sequence, repeat_row):
        return False
    held_entry, _ = held
    flags_entry, flags_after = flags
    for after in flags_after:
        if after & ~_MASK:
            return False
    return _rows_rise(held_entry, entry.size) and _rows_rise(flags_entry, entry.size)


@njit(cache=True, nogil=True)
def _became(kind, code, outcome, account, deltas, amounts, parties):  # type: ignore[no-untyped-def]
    """What the id table keeps of each outcome of a block without details, as `fold_ids.remember`."""
    entry = 0
    for i in range(kind.size):
        while entry < outcome.size and outcome[entry] < i:
            entry += 1
        is_transfer = kind[i] == _TRANSFER
        parties[i] = 0
        if code[i] == _DONE:
            amounts[i] = DONE_BY_LEGS if is_transfer else DONE_OTHER
            if is_transfer:
                amounts[i] = deltas[entry + 1]
                parties[i] = (account[entry] << 32) | account[entry + 1]
        elif code[i] == _PENDING:
            amounts[i] = PENDING_TRANSFER if is_transfer else PENDING_OTHER
        else:
            amounts[i] = REFUSED


@njit(cache=True, nogil=True)
def _fold_run(  # type: ignore[no-untyped-def]
    accounts,
    ids,
    used,
    digest,
    cut_off_lanes,
    refuse_ids_before_us,
    tables,
    opened,
    run,
    deltas,
    sums,
    amounts,
    parties,
    prints,
    found,
):
    """Fold every block; how many rows of ids there are now.

    found: int64[6], written: blocks folded, the kind of a fault and its number, ids that came, how many of them without a time,
    accounts there are now.
    """
    rows, changed_at_us, touched, count, slots, secret, partition, partitions = accounts
    number, floor, flags_of, key_a, key_b, asset, row_key = opened
    carried, unasked, kinds, remembered = tables
    headers, digests, of, run_ids, kinds_of, codes_of, outcomes, entries, repeats, legs, held, flags = run
    for i in range(headers.shape[0]):
        found[0] = i
        a, a_end = of[ACCOUNTS_AT, i], of[ACCOUNTS_AT, i + 1]
        o, o_end = of[OUTCOMES_AT, i], of[OUTCOMES_AT, i + 1]
        e, e_end = of[ENTRIES_AT, i], of[ENTRIES_AT, i + 1]
        r, r_end = of[REPEATS_AT, i], of[REPEATS_AT, i + 1]
        g, g_end = of[LEGS_AT, i], of[LEGS_AT, i + 1]
        h, h_end = of[HELD_AT, i], of[HELD_AT, i + 1]
        f, f_end = of[FLAGS_AT, i], of[FLAGS_AT, i + 1]
        kind, code = kinds_of[o:o_end], codes_of[o:o_end]
        outcome, account = entries[0, e:e_end], entries[1, e:e_end]
        at_us, sequence = headers[i, CREATED_AT_US], headers[i, SEQUENCE]
        holds, flagged = (held[0, h:h_end], held[1, h:h_end]), (flags[0, f:f_end], flags[1, f:f_end])
        if not _is_well_formed(
            carried, unasked, sequence, (kind, code, outcomes[0, o:o_end], outcomes[1, o:o_end]), outcome, legs[0, g:g_end],
            (repeats[0, r:r_end], repeats[1, r:r_end], repeats[2, r:r_end]), holds, flagged,
        ):  # fmt: skip
            return used
        if not _are_openings(
            count, partition, partitions, kind, code, run_ids[o:o_end], number[a:a_end], key_a[a:a_end], key_b[a:a_end],
            floor[a:a_end], flags_of[a:a_end],
        ):  # fmt: skip
            return used
        for k in range(a, a_end):
            if find_row(rows, slots, secret, key_a[k], key_b[k]) >= 0:
                found[1] = _OPENED_TWICE
                return used
            new = NewAccount(key_a[k], key_b[k], row_key[k], asset[k], floor[k], flags_of[k])
            add_account(
                Accounts(rows, changed_at_us, touched), AccountIndex(slots, secret), number[k], new, at_us, False
            )
        count += a_end - a
        found[5] = count
        fault = fold_entries(
            rows, changed_at_us, touched, count, digest, outcome, account, entries[2, e:e_end], entries[3, e:e_end],
            holds, flagged, at_us, deltas[e:e_end], sums,
        )  # fmt: skip
        if fault:
            found[1], found[2] = _FOLD, fault
            return used
        settle(rows, touched, digest)
        if o_end > o:
            _became(kind, code, outcome, account, deltas[e:e_end], amounts, parties)
            came, timeless, used = fold_ids(
                ids, used, digest, run_ids[o:o_end], kind, code, (kinds, remembered), (amounts, parties), prints, sequence, at_us,
                refuse_ids_before_us,
            )  # fmt: skip
            if came < 0:
                found[1] = _TWICE
                return used
            found[3] += came
            found[4] += timeless
        if digest[0] + cut_off_lanes[0] != digests[i, 0] or digest[1] + cut_off_lanes[1] != digests[i, 1]:
            found[1] = _DIGEST
            return used
    found[0] = headers.shape[0]
    return used


ACCOUNTS_AT: Final = ACCOUNTS.number
OUTCOMES_AT: Final = OUTCOMES.number
ENTRIES_AT: Final = ENTRIES.number
REPEATS_AT: Final = REPEATS.number
LEGS_AT: Final = LEGS.number
HELD_AT: Final = HELD.number
FLAGS_AT: Final = FLAGS.number


def fold_run(state: State, run: PlainRun, prints: RunPrints | None = None) -> PlainRun:
    """Apply blocks that follow each other and the state's last one: those from the first on that are well formed; these.

    Raises CheckFailed; the state is then unusable. prints: see `fold.fold`.
    """
    with state.lock:
        return _fold_all(state, run, prints)


def _fold_all(state: State, run: PlainRun, prints: RunPrints | None) -> PlainRun:
    entries, outcomes, cut_off_us = run.entries.shape[1], len(run.kind), state.chained.refuse_ids_before_us
    most = int(np.diff(run.of[OUTCOMES.number]).max())
    if not all(map(_is_asset, set(run.opened.assets))):
        return run.first(0)
    state.ids.reserve(outcomes)
    deltas = np.empty(entries, np.int64)
    touched = np.zeros(int(np.diff(run.of[ENTRIES.number] + run.of[ACCOUNTS.number]).max()) + 1, np.int64)
    found = np.array([0, 0, 0, 0, 0, state.count], np.int64)
    state.reserve_accounts(len(run.opened.number))
    opened = _to_open(state, run.opened)
    used = _fold_run(
        (
            state.rows, state.changed_at_us, touched, state.count, state.slots, state.secret, np.int64(state.partition),
            np.int64(state.chained.partitions),
        ),
        state.ids.arrays, state.ids.used, state.digest, cut_off_lanes(cut_off_us), cut_off_us,
        (CARRIED, UNASKED, KINDS, REMEMBERED), opened,
        (
            run.headers, run.digests, run.of, run.ids, run.kind, run.code, run.outcomes, run.entries, run.repeats, run.legs,
            run.held, run.flags,
        ),
        deltas, np.zeros(max(1, len(state.asset_names)), np.int64), np.empty(most, np.int64), np.empty(most, np.int64),
        np.zeros((2, most), np.uint64), found,
    )  # fmt: skip
    folded, fault, number, came, timeless, count = found.tolist()
    state.ids.used = int(used)
    state.ids.count += came
    state.ids.timeless += timeless
    if fault:
        said = {_FOLD: FAULTS.get(number), _TWICE: REMEMBERED_TWICE, _DIGEST: OTHER_DIGEST, _OPENED_TWICE: OPENED_TWICE}
        raise CheckFailed(state.partition, int(run.headers[folded, SEQUENCE]), str(said[fault]))
    run = run if folded == len(run.headers) else run.first(folded)
    state.names += run.opened.names
    state.assets += run.opened.assets
    state.owners += run.opened.owners
    state.count = count
    if folded and prints is not None:
        prints(state, run, deltas)
    if folded:
        state.chained.advance(_last_header(state, run))
    return run


def _to_open(state: State, opened: Opened) -> tuple[npt.NDArray[Any], ...]:
    """The accounts of a run as the loop adds them: number, floor, flags, key words, asset and row key."""
    keys = string_keys(opened.names)
    numbers = {asset: state.intern_asset(asset) for asset in dict.fromkeys(opened.assets)}
    assets = np.array([numbers[asset] for asset in opened.assets], np.int64)
    row_keys = row_keys_of(keys, state.asset_hashes[assets], opened.owners)
    return opened.number, opened.floor, opened.flags, keys[0], keys[1], assets, row_keys


def _last_header(state: State, run: PlainRun) -> Header:
    chained, last = state.chained, run.headers[-1]
    return Header(
        chained.partitions, state.partition, chained.epoch, int(last[SEQUENCE]), chained.block_hash, int(last[CONSUMED_TO]),
        int(last[CREATED_AT_US]), chained.refuse_ids_before_us, run.digests[-1].tobytes(), 0, run.hashes[-1].tobytes(),
    )  # fmt: skip
