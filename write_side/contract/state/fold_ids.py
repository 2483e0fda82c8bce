"""The ids of a block's transfers, folded: remembered, ended, forgotten (`ids.py`)."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.block.block import Block
from write_side.contract.block.loop_columns import EntryColumns, OutcomeColumns
from write_side.contract.compiled.compiled import njit, njit_borrowing
from write_side.contract.compiled.prefetch import AHEAD
from write_side.contract.state.hash_index import prefetch_first_slot
from write_side.contract.state.id_parts import has_time
from write_side.contract.state.ids import (
    DONE_BY_LEGS,
    DONE_OTHER,
    PENDING_OTHER,
    PENDING_TRANSFER,
    REFUSED,
    ROW_BITS,
    IdRow,
    end_id,
    find_id,
    timeless_from,
    write_id,
)
from write_side.contract.state.pending_rows import forget_reversals
from write_side.contract.state.state import State
from write_side.contract.words.codes import NOT_REMEMBERED, REMEMBERED_KINDS, Codes, Kinds

Int64s = npt.NDArray[np.int64]

REMEMBERED_TWICE: Final = "a transfer id is remembered twice"
REMEMBERED: Final = np.array([code not in NOT_REMEMBERED for code in range(256)])
"""By code: whether the id of such an outcome is kept."""
KINDS: Final = np.array([kind in REMEMBERED_KINDS for kind in range(256)])
"""By kind: whether it has an id to keep."""


def id_words(ids: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """uint8[n, 16] as uint64[n, 2], little endian; a copy, so that the loops always meet the same kind of array."""
    return np.array(ids, order="C").view("<u8").reshape(-1, 2)


@njit(cache=True, nogil=True)
def time_of_id(id_a, id_b, at_us):  # type: ignore[no-untyped-def]
    """The UTC microseconds in a UUIDv7 (RFC 9562, 5.7), or `at_us` for an id without a time."""
    if has_time(id_a, id_b):
        milliseconds = np.int64(0)
        for i in range(6):
            milliseconds = (milliseconds << 8) | np.int64((id_a >> np.uint64(8 * i)) & np.uint64(255))
        return milliseconds * 1000
    return np.int64(at_us)


@njit(cache=True, nogil=True)
def note_older(ids, cut_off_us, found):  # type: ignore[no-untyped-def]
    """Set `found` for those of these ids, uint64[n, 2], that carry a time below the cut-off."""
    for i in range(len(ids)):
        if time_of_id(ids[i, 0], ids[i, 1], cut_off_us) < cut_off_us:
            found[i] = True


class OutcomeIds(NamedTuple):
    """What the id table keeps of each outcome of a block: its id, uint64[n, 2], its fingerprint, uint64[2, n], zeros for readers,
    amount and parties, int64[n] (`ids.AMOUNT`)."""

    ids: npt.NDArray[np.uint64]
    prints: npt.NDArray[np.uint64]
    amounts: Int64s
    parties: Int64s


class BlockAt(NamedTuple):
    """What a block's header says of when it is: its sequence, its time and the cut-off of ids."""

    sequence: int
    at_us: int
    cut_off_us: int


@njit(cache=True, nogil=True)
def fold_ids(table, used, digest, outcomes, new, block):  # type: ignore[no-untyped-def]
    """Remember the ids of transfers; how many, or -1 when one is there twice, how many of them without a time, and how many rows
    there are now.

    table: see `IdTable.arrays`; used: how many rows there are before; outcomes: `OutcomeColumns`; new: `OutcomeIds`.
    """
    kind, code, ids, at_us = outcomes.kind, outcomes.code, new.ids, block.at_us
    came = timeless = 0
    slots, secret = table.slots, table.secret
    for i in range(kind.size):
        if i + AHEAD < kind.size:
            prefetch_first_slot(slots, ids[i + AHEAD, 0], ids[i + AHEAD, 1], secret)
        a, b = ids[i, 0], ids[i, 1]
        place = (np.int64(block.sequence) << ROW_BITS) | i
        if KINDS[kind[i]] and REMEMBERED[code[i]]:
            time_us = time_of_id(a, b, at_us)
            if time_us < block.cut_off_us:
                continue
            at = find_id(table, a, b)
            if at >= 0:
                return -1, timeless, used
            kept = IdRow(a, b, new.prints[0, i], new.prints[1, i], place, time_us, new.amounts[i], new.parties[i])
            row = write_id(table, digest, at, used, kept)
            used += 1 if row == used else 0
            came += 1
            timeless += 0 if has_time(a, b) else 1
        elif (
            (kind[i] == Kinds.ANSWER or kind[i] == Kinds.TIMEOUT)
            and code[i] != Codes.PENDING
            and code[i] != Codes.STALE
        ):
            end_id(table, a, b, place, code[i] == Codes.DONE)
    return came, timeless, used


@njit_borrowing
def became(outcomes, entries, deltas, detailed, new):  # type: ignore[no-untyped-def]
    """Write amounts and parties of `OutcomeIds`. deltas: of the entries.  detailed: the outcomes that have details, rising."""
    kind, code, outcome, account = outcomes.kind, outcomes.code, entries.outcome, entries.account
    amounts, parties = new.amounts, new.parties
    entry = detail = 0
    for i in range(kind.size):
        while entry < outcome.size and outcome[entry] < i:
            entry += 1
        while detail < detailed.size and detailed[detail] < i:
            detail += 1
        is_transfer = kind[i] == Kinds.TRANSFER
        parties[i] = 0
        if code[i] == Codes.DONE:
            amounts[i] = DONE_BY_LEGS if is_transfer else DONE_OTHER
            if is_transfer and not (detail < detailed.size and detailed[detail] == i):
                amounts[i] = deltas[entry + 1]
                parties[i] = (account[entry] << 32) | account[entry + 1]
        elif code[i] == Codes.PENDING:
            amounts[i] = PENDING_TRANSFER if is_transfer else PENDING_OTHER
        else:
            amounts[i] = REFUSED


def remember(
    state: State, block: Block, fingerprints: npt.NDArray[np.uint64] | None, entries: EntryColumns, deltas: Int64s
) -> str | None:
    """Forget the ids that the block's writer forgot, then keep those of the block's transfers; a fault, or None."""
    outcomes, header = block.outcomes, block.header
    size = len(outcomes["kind"])
    is_raised = header.refuse_ids_before_us > state.chained.refuse_ids_before_us
    # A block that decides nothing, as one that begins an epoch, forgets nothing by its time alone (`decide.py`).
    held_us = state.ids.timeless_from_us
    from_us = timeless_from(held_us, header.created_at_us) if size or is_raised else held_us
    if header.partitions == 0 and is_raised:
        from_us = header.refuse_ids_before_us  # writers of before told no partitions, and forgot all ids by one cut-off
    if header.forgets:
        from_us = max(from_us, state.ids.half_of_timeless_us(header.created_at_us))
    if is_raised or from_us > held_us:
        forget_before(state, header.refuse_ids_before_us, from_us)
    if size == 0:
        return None
    prints = np.zeros((2, size), np.uint64) if fingerprints is None else fingerprints
    columns = OutcomeColumns(outcomes["kind"], outcomes["code"], outcomes["back"], outcomes["row"])
    new = OutcomeIds(id_words(outcomes["id"]), prints, np.empty(size, np.int64), np.empty(size, np.int64))
    became(columns, entries, deltas, block.details["outcome"], new)
    state.ids.reserve(int(np.count_nonzero(KINDS[outcomes["kind"]])))
    at = BlockAt(header.sequence, header.created_at_us, header.refuse_ids_before_us)
    came, timeless, used = fold_ids(state.ids.arrays, state.ids.used, state.digest, columns, new, at)
    if came < 0:
        return REMEMBERED_TWICE
    state.ids.count += int(came)
    state.ids.timeless += int(timeless)
    state.ids.used = int(used)
    return None


def forget_before(state: State, cut_off_us: int, timeless_from_us: int) -> None:
    """Forget the ids below their cut-off, and which of them are reversed."""
    state.ids.forget_before(cut_off_us, timeless_from_us, state.digest)
    forget_reversals(state.pending.arrays, state.digest, cut_off_us, timeless_from_us)
