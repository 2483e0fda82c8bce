"""The messages between partitions that follow from pending rows: a pure function of what the log has accepted.

A process asks the steps that its phase waits for; a participant's step tells its home what became of it. Made from the rows
of an accepted block, or again from the rows of a state: whoever gets a message twice knows it (`participant.py`).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from write_side.contract.block.block import Block
from write_side.contract.compiled.compiled import njit
from write_side.contract.state.fold_pending import LOGGED_NAMES, pending_legs
from write_side.contract.state.pending import partition_of_step
from write_side.contract.state.pending_columns import (
    ASKS_BIT,
    AVAILABLE,
    BEGUN,
    CODE,
    FIRST_LEG,
    HOME_SHIFT,
    ID_A,
    ID_B,
    LEG_AMOUNT,
    LEG_ASSET,
    LEG_COUNT,
    LEG_IF_AVAILABLE,
    LEG_IF_VERSION,
    LEG_KEY_A,
    LEG_STEP,
    LOGGED,
    OPTION,
    STATE,
    STEP_SHIFT,
    STEPS,
    WHAT,
    WIDTH,
    Action,
    StepState,
    What,
)
from write_side.contract.words.codes import Kind
from write_side.ledger.across.coordinator import ACTION, PLAN_TABLE, is_waited_for, step_option
from write_side.ledger.commands.step_batch import StepBatch

Int64s = npt.NDArray[np.int64]

_STEP_ROW: Final = np.int64(What.STEP)
_PROCESS: Final = np.int64(What.PROCESS)
_STEP_KIND: Final = np.int64(Kind.STEP)
_ANSWER_KIND: Final = np.int64(Kind.ANSWER)
_NONE: Final = np.int64(StepState.NONE)
_TRY: Final = np.int64(Action.TRY)
_TARGET, _KIND, _ID_A, _ID_B, _NUMBERS, _FIRST, _LAST = 0, 1, 2, 3, 4, 15, 16
_WIDTH: Final = 17
_NUMBER_NAMES: Final = (
    "home", "step", "action", "option", "state", "code", "available", "sequence", "at_us", "begun", "low",
)  # fmt: skip
"""Columns of a message: target partition, kind, id, the 11 numbers of `StepBatch` from home to low, and its legs."""


def messages_of_block(block: Block) -> dict[int, StepBatch]:
    """What an accepted block asks of other partitions and tells them, by partition."""
    pending = block.pending
    n = len(pending["outcome"])
    if n == 0:
        return {}
    rows = np.zeros((n, WIDTH), np.int64)
    rows[:, ID_A : ID_B + 1] = np.array(pending["id"], order="C").view("<i8").reshape(-1, 2)
    rows[:, WHAT] = pending["what"]
    for column, name in zip(LOGGED, LOGGED_NAMES, strict=True):
        rows[:, column] = pending[name]
    rows[:, LEG_COUNT] = pending["legs"]
    rows[:, FIRST_LEG] = np.cumsum(pending["legs"]) - pending["legs"]
    header = block.header
    return _messages(
        rows, pending_legs(block), pending["low"], header.partition, header.sequence, header.created_at_us, again=False
    )


def messages_again(rows: Int64s, legs: Int64s, partition: int) -> dict[int, StepBatch]:
    """What open processes wait for, asked once more: rows of a state's pending table and its pool of legs.

    A process that waits for a step of its own partition (a limit was in the way) is told to try it again.
    """
    return _messages(rows, legs, np.zeros(len(rows), np.int64), partition, 0, 0, again=True)


def _messages(
    rows: Int64s, legs: Int64s, lows: Int64s, partition: int, sequence: int, at_us: int, *, again: bool
) -> dict[int, StepBatch]:
    table, sent_legs = _make(rows, legs, lows, partition, sequence, at_us, again)
    return {
        int(target): _batch(table[table[:, _TARGET] == target], sent_legs) for target in np.unique(table[:, _TARGET])
    }


def _batch(table: Int64s, legs: Int64s) -> StepBatch:
    sizes = table[:, _LAST] - table[:, _FIRST]
    ends = np.cumsum(sizes)
    of = np.repeat(table[:, _FIRST] - (ends - sizes), sizes) + np.arange(int(ends[-1]))
    numbers = np.ascontiguousarray(table[:, _NUMBERS:_FIRST].T)
    sent = np.ascontiguousarray(legs[of].T)
    return StepBatch(
        kind=table[:, _KIND].astype(np.uint8),
        ids=np.ascontiguousarray(table[:, _ID_A : _ID_B + 1]).view(np.uint8).reshape(-1, 16),
        **dict(zip(_NUMBER_NAMES, numbers, strict=True)),
        first_leg=np.concatenate(([0], ends)),
        key=np.ascontiguousarray(sent[LEG_KEY_A : LEG_KEY_A + 2].T).view(np.uint8).reshape(-1, 16),
        asset=sent[LEG_ASSET],
        amount=sent[LEG_AMOUNT],
        if_version=sent[LEG_IF_VERSION],
        if_available=sent[LEG_IF_AVAILABLE],
    )


@njit(cache=True, nogil=True)
def _make(rows, legs, lows, here, sequence, at_us, again):  # type: ignore[no-untyped-def]
    """int64[messages, _WIDTH], int64[legs, LEG_WIDTH]: the messages of all rows, in their order."""
    wanted = 0
    for row in range(len(rows)):
        wanted += max(np.int64(1), rows[row, STEPS])
    out = np.zeros((wanted, _WIDTH), np.int64)
    out_legs = np.zeros((len(legs), legs.shape[1]), np.int64)
    n = used = 0
    for row in range(len(rows)):
        kind = rows[row, WHAT] & 255
        if rows[row, STATE] == 0:
            continue
        if kind == _STEP_ROW and not again:
            out[n, _TARGET] = (rows[row, WHAT] >> HOME_SHIFT) & 0xFFFF
            out[n, _KIND] = _ANSWER_KIND
            out[n, _ID_A], out[n, _ID_B] = rows[row, ID_A], rows[row, ID_B]
            numbers = out[n, _NUMBERS:]
            numbers[0], numbers[1] = here, rows[row, WHAT] >> STEP_SHIFT
            numbers[4], numbers[5], numbers[6] = rows[row, STATE], rows[row, CODE], rows[row, AVAILABLE]
            numbers[7], numbers[8], numbers[9] = sequence, at_us, rows[row, BEGUN]
            n += 1
        if kind != _PROCESS or not (again or rows[row, OPTION] & ASKS_BIT):
            continue
        action = PLAN_TABLE[rows[row, STATE], ACTION]
        for step in range(rows[row, STEPS]):
            if not is_waited_for(rows, row, step):
                continue
            target = partition_of_step(rows, legs, row, step)
            if target == here and not again:
                continue
            out[n, _TARGET] = target
            out[n, _KIND] = _ANSWER_KIND if target == here else _STEP_KIND
            out[n, _ID_A], out[n, _ID_B] = rows[row, ID_A], rows[row, ID_B]
            numbers = out[n, _NUMBERS:]
            numbers[0], numbers[1], numbers[2] = here, step, action
            numbers[3] = step_option(rows, row, step)
            numbers[4] = _NONE
            numbers[9], numbers[10] = rows[row, BEGUN], lows[row]
            out[n, _FIRST] = used
            if action == _TRY and target != here:
                for leg in range(rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]):
                    if legs[leg, LEG_STEP] == step:
                        out_legs[used] = legs[leg]
                        used += 1
            out[n, _LAST] = used
            n += 1
    return out[:n], out_legs[:used]


assert OPTION in LOGGED
