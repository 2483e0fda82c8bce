"""A run of plain blocks folded: what `fold.py` does for one, in one compiled pass over all of them.

Every check of `fold` is made for every block, the digest against each header too, so that a fault names its block. A block that
is not well formed ends the run before it: folded by itself, it is told what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fanfold.api.malformed import Malformed
from write_side.contract.block.block import Header
from write_side.contract.block.columns import (
    ACCOUNTS,
    ASKERS,
    CONDITIONS,
    DETAILS,
    ENTRIES,
    FLAGS,
    HELD,
    LEGS,
    LINKS,
    OUTCOMES,
    PENDING,
    PENDING_LEGS,
    REPEATS,
    STEPS,
    Sections,
)
from write_side.contract.block.run import Follows, PlainRun, place_of
from write_side.contract.block.run_bytes import CONSUMED_TO, CREATED_AT_US, SEQUENCE
from write_side.contract.compiled.blake3_lanes import hash_places
from write_side.contract.state import fold_loop
from write_side.contract.state.account_rows import AccountIndex, Accounts, OpenedAccounts
from write_side.contract.state.fold import (
    FAULTS,
    OPENED_TWICE,
    OTHER_DIGEST,
    CheckFailed,
    Fingerprints,
)
from write_side.contract.state.fold_ids import KINDS, REMEMBERED_TWICE
from write_side.contract.state.fold_loop import (
    HeldState,
    Room,
    RunColumns,
    fold_blocks,
)
from write_side.contract.state.fold_pending import FAULTS as PENDING_FAULTS
from write_side.contract.state.fold_pending import LOGGED_NAMES
from write_side.contract.state.ids import (
    CUT_OFF_STEP_US,
    WINDOW_US,
)
from write_side.contract.state.opened_texts import ASSET, NAME, OWNER, Repeated, repeated
from write_side.contract.state.pending_columns import LEG_ASSET, LEG_KEY_A, LEG_KEY_B, LEG_WIDTH, MASK_STEPS_MAX
from write_side.contract.state.state import State, cut_off_lanes, identity_keys
from write_side.contract.state.texts import Joined
from write_side.contract.words.atoms import parse_asset

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
    """How the fingerprints of ids are recomputed from the log: of a block, and of a run of blocks."""

    of_block: Fingerprints
    of_run: RunPrints


def follows(state: State) -> Follows | None:
    """What the next plain block must fit to; None where there is none before it."""
    chained = state.chained
    if chained.sequence < 0 or not chained.partitions:
        return None
    forgets_at_us = state.ids.timeless_from_us + WINDOW_US + CUT_OFF_STEP_US
    return Follows(
        chained.partitions, state.partition, chained.epoch, chained.sequence,
        np.frombuffer(chained.block_hash, np.uint8), chained.consumed_to, chained.created_at_us,
        chained.refuse_ids_before_us, forgets_at_us,
    )  # fmt: skip


def fold_run(state: State, run: PlainRun, prints: RunPrints | None = None) -> PlainRun:
    """Apply blocks that follow each other and the state's last one: those from the first on that are well formed; these.

    Raises CheckFailed; the state is then unusable. prints: see `fold.fold`.
    """
    with state.lock:
        return _fold_all(state, run, prints)


def _fold_all(state: State, run: PlainRun, prints: RunPrints | None) -> PlainRun:
    names, assets, owners = run.rows(ACCOUNTS).texts[NAME], repeated(run, ASSET), repeated(run, OWNER)
    if not all(map(_is_asset, assets.texts)):
        return run.first(0)
    most = np.diff(run.of).max(axis=1)
    state.reserve_accounts(len(names))
    state.ids.reserve(int(np.count_nonzero(KINDS[run.kind])))
    pending = run.rows(PENDING).numbers
    state.pending.reserve(pending.shape[1], run.rows(PENDING_LEGS).numbers.shape[1] + _steps(pending))
    opened = _to_open(state, run, assets, owners)
    room, found = _room(state, run, most), np.array([0, 0, 0, 0, 0, state.count, state.ids.used], np.int64)
    fold_blocks(_held(state, most), opened, _columns(run), room, found)
    folded, fault, number, came, timeless, count, state.ids.used = found.tolist()
    state.ids.count += came
    state.ids.timeless += timeless
    if fault:
        said = {
            fold_loop.OF_ENTRIES: FAULTS.get(number), fold_loop.OF_PENDING: PENDING_FAULTS.get(number),
            fold_loop.TWICE: REMEMBERED_TWICE, fold_loop.DIGEST: OTHER_DIGEST, fold_loop.OPENED_TWICE: OPENED_TWICE,
        }  # fmt: skip
        raise CheckFailed(state.partition, int(run.headers[folded, SEQUENCE]), str(said[fault]))
    run = run if folded == len(run.headers) else run.first(folded)
    if count > state.count:
        state.put_names(state.count, Joined.at(names[: count - state.count], np.frombuffer(run.data, np.uint8)))
        state.owners.extend_by(*owners.until(count - state.count)[:2])
        state.count = count
    if folded and prints is not None:
        prints(state, run, room.deltas)
    if folded:
        state.chained.advance(_last_header(state, run))
    return run


def _held(state: State, most: Int64s) -> HeldState:
    touched = np.zeros(int(most[Sections.entries] + most[Sections.accounts]) + 1, np.int64)
    cut_off_us = state.chained.refuse_ids_before_us
    return HeldState(
        accounts=Accounts(state.rows, state.changed_at_us, touched), lookup=AccountIndex(state.slots, state.secret),
        partition=state.partition, partitions=state.chained.partitions, digest=state.digest, ids=state.ids.arrays,
        pending=state.pending.arrays, cut_off_us=cut_off_us, cut_off_lanes=cut_off_lanes(cut_off_us),
    )  # fmt: skip


def _steps(pending: Int64s) -> int:
    """Records that the processes among these rows may need; the loop refuses rows that say more."""
    return int(np.clip(pending[place_of(PENDING, "steps")], 0, MASK_STEPS_MAX).sum())


def _room(state: State, run: PlainRun, most: Int64s) -> Room:
    outcomes = int(most[Sections.outcomes])
    return Room(
        np.empty(run.rows(ENTRIES).numbers.shape[1], np.int64), np.zeros(max(1, len(state.asset_names)), np.int64),
        np.empty(outcomes, np.int64), np.empty(outcomes, np.int64), np.zeros((2, outcomes), np.uint64),
        np.empty((outcomes, 2), np.int64), np.empty((int(most[Sections.steps]), 2), np.int64),
    )  # fmt: skip


def _columns(run: PlainRun) -> RunColumns:
    outcomes, pending, legs, steps = (run.rows(section) for section in (OUTCOMES, PENDING, PENDING_LEGS, STEPS))
    pool = np.empty((legs.numbers.shape[1], LEG_WIDTH), np.int64)
    pool[:, LEG_KEY_A : LEG_KEY_B + 1] = legs.ids.view(np.int64)
    pool[:, LEG_ASSET:] = legs.numbers[1:].T
    logged = pending.numbers[[place_of(PENDING, name) for name in LOGGED_NAMES]].T
    links = run.rows(LINKS)
    return RunColumns(
        headers=run.headers, digests=run.digests, of=run.of, kind=run.kind, code=run.code, ids=outcomes.ids,
        outcomes=outcomes.numbers, entries=run.rows(ENTRIES).numbers, repeats=run.rows(REPEATS).numbers,
        legs=run.rows(LEGS).numbers, held=run.rows(HELD).numbers, flags=run.rows(FLAGS).numbers,
        pending=pending.numbers, pending_ids=pending.ids.view(np.int64), logged=np.ascontiguousarray(logged),
        pending_legs=legs.numbers, pool=pool, steps=steps.numbers, taken=np.ascontiguousarray(steps.numbers[1:].T),
        links=links.numbers, link_ids=links.ids.view(np.int64), details=run.rows(DETAILS).numbers,
        conditions=run.rows(CONDITIONS).numbers, askers=run.rows(ASKERS).numbers,
    )  # fmt: skip


def _to_open(state: State, run: PlainRun, assets: Repeated, owners: Repeated) -> OpenedAccounts:
    keys = hash_places(run.rows(ACCOUNTS).texts[NAME], run.data)
    numbers = np.array([state.intern_asset(asset) for asset in assets.texts], np.int64)[assets.which]
    row_keys = np.empty(len(numbers), np.uint64)
    identity_keys(keys[0], keys[1], state.asset_hashes[numbers], owners.hashes(), row_keys)
    number, floor, flags = run.rows(ACCOUNTS).numbers
    hidden = np.zeros(len(numbers), np.bool_)
    return OpenedAccounts(number, floor, flags, keys[0], keys[1], numbers, row_keys, hidden)


def _last_header(state: State, run: PlainRun) -> Header:
    chained, last = state.chained, run.headers[-1]
    return Header(
        partitions=chained.partitions, partition=state.partition, forgets=0, epoch=chained.epoch, sequence=int(last[SEQUENCE]),
        previous_hash=chained.block_hash, consumed_to=int(last[CONSUMED_TO]), created_at_us=int(last[CREATED_AT_US]),
        refuse_ids_before_us=chained.refuse_ids_before_us, digest=run.digests[-1].tobytes(), body_bytes=0,
        block_hash=run.hashes[-1].tobytes(),
    )  # fmt: skip
