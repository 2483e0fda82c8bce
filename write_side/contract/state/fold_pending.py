"""The pending sections of a block folded: rows as they are after the block, whatever rule made them so."""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.block.block import Block
from write_side.contract.block.limits import PARTITIONS_MAX
from write_side.contract.block.loop_columns import PendingColumns
from write_side.contract.compiled.compiled import njit
from write_side.contract.state.pending_columns import (
    BEGUN,
    CHANGED_US,
    FIRST_LEG,
    HOME_SHIFT,
    LEG_ASSET,
    LEG_COUNT,
    LEG_KEY_A,
    LEG_KEY_B,
    LEG_NAMES,
    LEG_WIDTH,
    LOGGED,
    MASK_STEPS_MAX,
    REVERSING_A,
    REVERSING_B,
    STATE,
    STEPS,
    SUBJECT_A,
    SUBJECT_B,
    PendingKinds,
)
from write_side.contract.state.pending_index import note_pending
from write_side.contract.state.pending_rows import (
    add_leg,
    add_pending,
    add_records,
    drop,
    find_pending,
    purge,
    raise_low,
    record_step,
    take_in,
)
from write_side.contract.state.state import State

FAULTS: Final = {
    1: "a pending row ends that is not there",
    2: "a pending row's legs are not as many as they were",
    3: "a step is recorded that its transfer does not have",
    4: "a pending row is of an unknown kind",
}
LOGGED_NAMES: Final = (
    "state", "option", "deadline_us", "begun", "debits", "steps", "cursor", "mask", "code", "available",
)  # fmt: skip
"""The names of `pending_columns.LOGGED` in `columns.PENDING`."""
_LOGGED_STATE, _LOGGED_BEGUN, _LOGGED_STEPS = (LOGGED.index(column) for column in (STATE, BEGUN, STEPS))
_STEP_NAMES: Final = ("step", "partition", "action", "code", "sequence", "at_us")
_STEP, _PARTITION, _ACTION, _CODE, _SEQUENCE, _AT_US = range(len(_STEP_NAMES))
"""What is taken of `columns.STEPS`, in its order there."""


def fold_pending(state: State, block: Block) -> str | None:
    """Bring `state.pending` to what it is after the block; what is wrong with the block, or None."""
    table = state.pending
    if len(block.pending["outcome"]):
        table.reserve(
            len(block.pending["outcome"]), len(block.pending_legs["pending"]) + int(block.pending["steps"].sum())
        )
        outcome_ids = np.ascontiguousarray(block.outcomes["id"]).view("<i8").reshape(-1, 2)
        links = np.zeros((len(outcome_ids), 2), np.int64)
        links[block.links["outcome"]] = np.ascontiguousarray(block.links["id"]).view("<i8").reshape(-1, 2)
        pending = PendingColumns(
            block.pending["outcome"], np.array(block.pending["id"], order="C").view("<i8").reshape(-1, 2),
            block.pending["what"], np.stack([block.pending[name] for name in LOGGED_NAMES], axis=1), block.pending["low"],
            block.pending["legs"], pending_legs(block),
        )  # fmt: skip
        fault = fold_rows(table.arrays, state.digest, block.header.created_at_us, pending, outcome_ids.copy(), links)
        if fault:
            return FAULTS[int(fault)]
    if len(block.steps["outcome"]):
        ids = np.ascontiguousarray(block.outcomes["id"]).view("<i8").reshape(-1, 2)[block.steps["outcome"]]
        columns = [block.steps[name] for name in _STEP_NAMES]
        fault = fold_steps(table.arrays, ids, np.stack(columns, axis=1))
        if fault:
            return FAULTS[int(fault)]
    purge(table.arrays, state.digest)
    return None


def pending_legs(block: Block) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """The legs of the block's pending rows, int64[legs, LEG_WIDTH], as the pool has them."""
    legs = block.pending_legs
    out = np.empty((len(legs["pending"]), LEG_WIDTH), np.int64)
    out[:, LEG_KEY_A : LEG_KEY_B + 1] = np.ascontiguousarray(legs["key"]).view("<i8").reshape(-1, 2)
    for column, name in enumerate(LEG_NAMES, LEG_ASSET):
        out[:, column] = legs[name]
    return out


@njit(cache=True, nogil=True)
def fold_rows(table, digest, at_us, pending, outcome_ids, links):  # type: ignore[no-untyped-def]
    """Apply `PendingColumns` in order; 0 or a fault number.  outcome_ids, links: int64[outcomes, 2] of the block."""
    rows, pool = table.rows, table.legs
    outcomes, ids, whats, logged = pending.outcome, pending.ids, pending.what, pending.logged
    counts, legs = pending.legs, pending.pool
    leg = 0
    for i in range(whats.size):
        a, b, what = ids[i, 0], ids[i, 1], whats[i]
        kind = what & 255
        home = (what >> HOME_SHIFT) & 0xFFFF
        if (
            kind < 1
            or kind > PendingKinds.STEP
            or home >= PARTITIONS_MAX
            or logged[i, _LOGGED_STEPS] < 0
            or logged[i, _LOGGED_STEPS] > MASK_STEPS_MAX
        ):
            return 4
        row = find_pending(table, a, b, what)
        if logged[i, _LOGGED_STATE] == 0:
            if row < 0:
                return 1
            drop(table, digest, row)
            continue
        if kind == PendingKinds.STEP:
            raise_low(table, digest, home, pending.low[i])
            if row >= 0 and logged[i, _LOGGED_BEGUN] != rows[row, BEGUN]:  # an id that was forgotten runs again
                drop(table, digest, row)
                row = -1
        is_new = row < 0
        if is_new:
            row = add_pending(table, a, b, what, at_us)
            for k in range(leg, leg + counts[i]):
                add_leg(table, row, legs[k])
            if kind == PendingKinds.PROCESS:
                add_records(table, row, logged[i, _LOGGED_STEPS])
                rows[row, SUBJECT_A] = links[outcomes[i], 0]
                rows[row, SUBJECT_B] = links[outcomes[i], 1]
            if kind == PendingKinds.REVERSAL:
                rows[row, REVERSING_A] = outcome_ids[outcomes[i], 0]
                rows[row, REVERSING_B] = outcome_ids[outcomes[i], 1]
        elif (counts[i] > 0 and counts[i] != rows[row, LEG_COUNT]) or logged[i, _LOGGED_STEPS] != rows[row, STEPS]:
            return 2
        else:
            for k in range(counts[i]):
                for word in range(LEG_WIDTH):
                    pool[rows[row, FIRST_LEG] + k, word] = legs[leg + k, word]
        leg += counts[i]
        for column in range(len(LOGGED)):
            rows[row, LOGGED[column]] = logged[i, column]
        rows[row, CHANGED_US] = at_us
        take_in(table, digest, row)
        note_pending(table, row)
    return 0


@njit(cache=True, nogil=True)
def fold_steps(table, ids, steps):  # type: ignore[no-untyped-def]
    """Note in every process still open what became of its steps; 0 or a fault number."""
    rows = table.rows
    for i in range(len(steps)):
        row = find_pending(table, ids[i, 0], ids[i, 1], np.int64(PendingKinds.PROCESS))
        if row < 0:
            continue
        step = steps[i]
        if step[_STEP] < 0 or step[_STEP] >= rows[row, STEPS]:
            return 3
        record_step(
            table, row, step[_STEP], step[_PARTITION], step[_ACTION], step[_CODE], step[_SEQUENCE], step[_AT_US]
        )
    return 0
