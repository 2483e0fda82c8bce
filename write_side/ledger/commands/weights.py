"""What commands and messages can add to a block at most, in bytes: the weights that keep it within `contract/block/limits.py`.

A row's weight is a bound over everything that may become of it. What it depends on besides the row (how many legs a hold has that
is captured, or a transfer that is answered) is asked of the pending table where there is one, and else taken at its worst: so
who makes records cuts them by the worst case, and a writer fills its blocks by what it knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from write_side.contract.block.limits import (
    ACCOUNT_BYTES_MAX,
    CONDITION_ROW,
    DETAIL_ROW,
    ENTRY_ROW,
    FLAGS_ROW,
    HELD_ROW,
    LEG_ROW,
    LINK_ROW,
    OUTCOME_ROW,
    PENDING_LEG_ROW,
    PENDING_ROW,
    STEP_ROW,
)
from write_side.contract.compiled.compiled import njit
from write_side.contract.state.pending_columns import (
    KIND_SHIFT,
    LEG_COUNT,
    OPTION,
    STEPS,
    WHAT,
    Action,
    Actions,
    PendingKinds,
    What,
)
from write_side.contract.state.pending_rows import find_pending, step_what
from write_side.contract.words.codes import Kind, Kinds
from write_side.ledger.commands.batch_columns import CommandColumns, StepColumns
from write_side.ledger.commands.commands import LEGS_MAX, OpenAccount, Transfer

if TYPE_CHECKING:
    from write_side.contract.state.pending import PendingTable

Int64s = npt.NDArray[np.int64]

_CHANGE: Final = ENTRY_ROW + HELD_ROW
"""An entry with what is held after it."""
PLAIN_BYTES: Final = OUTCOME_ROW + 2 * (LEG_ROW + _CHANGE + PENDING_LEG_ROW) + PENDING_ROW + STEP_ROW
"""A plain transfer, its two names apart: told again, its leg and transit moved, as a process of two legs with home's own step
done. An opening (three accounts at most, or told again) is lighter."""

_ORDER: Final = OUTCOME_ROW + DETAIL_ROW + LINK_ROW + 3 * PENDING_ROW + 4 * STEP_ROW
"""What a rich command has once: the rows of a process, its hold and its reversal; two steps of home's own, tried and ended."""
_TOLD_LEG: Final = LEG_ROW + ACCOUNT_BYTES_MAX + CONDITION_ROW
_PROCESS_LEG: Final = 2 * PENDING_LEG_ROW + 8 * _CHANGE
"""A leg of a transfer across partitions: `@world` shared out may double it; each moves at most twice in one outcome, and its
transit account with it."""
_HOLD_LEG: Final = PENDING_LEG_ROW + _CHANGE
"""A leg of a hold: kept, and held or let go."""
_LEG_OF_KIND: Final = {
    Kind.TRANSFER: _TOLD_LEG + _PROCESS_LEG,
    Kind.HOLD: _TOLD_LEG + _HOLD_LEG,
    Kind.CAPTURE: _TOLD_LEG + _PROCESS_LEG + _HOLD_LEG,
    Kind.VOID: _CHANGE,
    Kind.REVERSE: _TOLD_LEG + _PROCESS_LEG,
    Kind.CHANGE: _TOLD_LEG + ENTRY_ROW + HELD_ROW + FLAGS_ROW,
}
_CHAINED_LEG: Final = _TOLD_LEG + _CHANGE
"""A leg of a line of an atomic batch: what spans partitions is refused there."""
_LEG_BYTES: Final = np.array(
    [_LEG_OF_KIND.get(Kind(kind), 0) if kind else 0 for kind in range(max(Kind) + 1)], np.int64
)

_ANSWER_LEG: Final = PENDING_LEG_ROW + 4 * _CHANGE
_ANSWER_STEP: Final = 2 * STEP_ROW
_ANSWER: Final = OUTCOME_ROW + 3 * PENDING_ROW
_STEP: Final = OUTCOME_ROW + PENDING_ROW
_STEP_LEG: Final = PENDING_LEG_ROW + 2 * _CHANGE
_PROCESS_LEGS_MAX: Final = 2 * LEGS_MAX
MESSAGE_BYTES_MAX: Final = _ANSWER + _PROCESS_LEGS_MAX * (_ANSWER_LEG + _ANSWER_STEP) + LEGS_MAX * _HOLD_LEG
"""The heaviest message: an answer that ends the capture of a hold with the most legs."""
_STEP_KIND: Final = np.uint8(Kind.STEP)
TEXT_ENDS: Final = 3 * 2 * 4
"""Where the three texts of a row begin and end in their columns."""


def command_weights(batch: CommandColumns, pending: PendingTable | None = None) -> Int64s:
    """Of each command, int64[n].  pending: of the state in which they are decided, if that is known."""
    found = np.full(len(batch), PLAIN_BYTES, np.int64) + _text_bytes(batch.debit, batch.credit, batch.owner)
    details = batch.details
    if details is not None:
        kind, legs = batch.kind[details.row], np.diff(details.first_leg)
        leg_bytes = np.where(batch.chain[details.row] > 0, _CHAINED_LEG, _LEG_BYTES[kind])
        found[details.row] = _ORDER + _text_bytes(details.reference, details.metadata)
        found[details.row] += leg_bytes * np.maximum(legs, _legs_of_holds(kind, details.other, pending))
    if batch.askers is not None:
        found[batch.askers.first] += batch.askers.weights()
    return found


def command_weight(batch: CommandColumns, pending: PendingTable | None = None) -> int:
    """Of all of them. Those of plain transfers and openings are not looked at one by one."""
    if batch.details is not None:
        return int(command_weights(batch, pending).sum())
    asked = 0 if batch.askers is None else int(batch.askers.weights().sum())
    return PLAIN_BYTES * len(batch) + int(batch.debit.nbytes + batch.credit.nbytes + batch.owner.nbytes) + asked


def lone_weight(command: OpenAccount | Transfer) -> int:
    """Of one command that is not a row of columns yet: never less than its share of `command_weight` will be."""
    if isinstance(command, OpenAccount):
        return PLAIN_BYTES + TEXT_ENDS + len(command.account) + len(command.owner.encode())
    return PLAIN_BYTES + TEXT_ENDS + len(command.debit) + len(command.credit)


def step_weights(batch: StepColumns, pending: PendingTable | None = None) -> Int64s:
    """Of each message, int64[n]; as `command_weights`."""
    legs = np.diff(batch.first_leg)
    if pending is None:
        asks = batch.kind == Kind.STEP
        heavy = np.where(asks, _STEP + _PROCESS_LEGS_MAX * _STEP_LEG, MESSAGE_BYTES_MAX)
        return np.where(asks & (batch.action == Action.TRY), _STEP + legs * _STEP_LEG, heavy)
    ids = np.ascontiguousarray(batch.ids).view(np.int64).reshape(-1, 2)
    return np.asarray(_weigh_messages(pending.arrays, batch.kind, ids, batch.home, batch.step, batch.action, legs))


def due_weights(rows: Int64s) -> Int64s:
    """Of rows of a pending table that time ends: a hold lets its legs go, a process asks to cancel and takes back its own."""
    leg = np.where(rows[:, WHAT] == What.HOLD, _CHANGE, _ANSWER_LEG)
    found: Int64s = OUTCOME_ROW + PENDING_ROW + leg * rows[:, LEG_COUNT] + _ANSWER_STEP * rows[:, STEPS]
    return found


def _text_bytes(*columns: pa.Array) -> Int64s:
    found: Int64s = np.sum([np.asarray(pc.binary_length(column), np.int64) for column in columns], axis=0)
    return found


def _legs_of_holds(kind: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], pending: PendingTable | None) -> Int64s:
    """How many legs the holds have that captures and voids are about; 0 for other kinds."""
    about = (kind == Kind.CAPTURE) | (kind == Kind.VOID)
    if pending is None:
        return np.where(about, LEGS_MAX, 0)
    found = np.zeros(len(kind), np.int64)
    ids = np.ascontiguousarray(other[about]).view(np.int64).reshape(-1, 2)
    found[about] = _count_legs(pending.arrays, ids)
    return found


@njit(cache=True, nogil=True)
def _count_legs(table, hold_ids):  # type: ignore[no-untyped-def]
    """int64[n]: legs of each of these holds."""
    found = np.zeros(len(hold_ids), np.int64)
    for i in range(len(hold_ids)):
        row = find_pending(table, hold_ids[i, 0], hold_ids[i, 1], PendingKinds.HOLD)
        if row >= 0:
            found[i] = table.rows[row, LEG_COUNT]
    return found


@njit(cache=True, nogil=True)
def _weigh_messages(table, kind, ids, home, step, action, legs):  # type: ignore[no-untyped-def]
    """int64[n]: by the rows that the messages are about. Nothing waits for the answer of a row that is not there."""
    rows = table.rows
    found = np.empty(kind.size, np.int64)
    for i in range(kind.size):
        if kind[i] == _STEP_KIND:
            found[i] = _STEP + legs[i] * _STEP_LEG
            if action[i] != Actions.TRY:
                row = find_pending(table, ids[i, 0], ids[i, 1], step_what(home[i], step[i]))
                found[i] += rows[row, LEG_COUNT] * _STEP_LEG if row >= 0 else 0
            continue
        found[i] = _ANSWER
        row = find_pending(table, ids[i, 0], ids[i, 1], PendingKinds.PROCESS)
        if row >= 0:
            found[i] += rows[row, LEG_COUNT] * _ANSWER_LEG + rows[row, STEPS] * _ANSWER_STEP
            if (rows[row, OPTION] >> KIND_SHIFT) & 255 == Kinds.CAPTURE:
                found[i] += LEGS_MAX * _HOLD_LEG
    return found


def first_fitting(weights: Int64s, bytes_max: int) -> int:
    """How many from the first on weigh at most `bytes_max` together; one at least."""
    return max(1, int(np.searchsorted(np.cumsum(weights), bytes_max, "right")))
