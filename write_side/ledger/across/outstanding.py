"""The messages between partitions that follow from pending rows: a pure function of what the log has accepted.

A process asks the steps that its phase waits for; a participant's step tells its home what became of it. Made from the rows
of an accepted block, or again from the rows of a state: whoever gets a message twice knows it (`participant.py`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.block.block import Block
from write_side.contract.compiled.compiled import njit, njit_inner
from write_side.contract.state.fold_pending import LOGGED_NAMES, pending_legs
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
    LEG_KEY_B,
    LEG_STEP,
    LEG_WIDTH,
    LOGGED,
    OPTION,
    STATE,
    STEP_SHIFT,
    STEPS,
    WHAT,
    WIDTH,
    Actions,
    PendingKinds,
    StepStates,
)
from write_side.contract.state.pending_rows import partition_of_step
from write_side.contract.state.phase_plan import ACTION, PLAN_TABLE, is_waited_for
from write_side.contract.words.codes import Kinds
from write_side.ledger.across.coordinator import step_option
from write_side.ledger.commands.step_batch import NUMBERS, StepBatch

Int64s = npt.NDArray[np.int64]

_TARGET, _KIND, _ID_A, _ID_B, _HOME, _STEP, _ACTION, _OPTION, _STATE, _CODE, _AVAILABLE = range(11)
_SEQUENCE, _AT_US, _BEGUN, _LOW, _FIRST, _LAST, _WIDTH = range(11, 18)
"""Columns of a message: target partition, kind, id, the numbers of `StepBatch` from home to low, and its legs."""


class _Sender(NamedTuple):
    """The partition that sends, and its block: 0 and 0 for what is asked again."""

    partition: int
    sequence: int
    at_us: int


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
    sender = _Sender(header.partition, header.sequence, header.created_at_us)
    return _messages(rows, pending_legs(block), pending["low"], sender, again=False)


def messages_again(rows: Int64s, legs: Int64s, partition: int) -> dict[int, StepBatch]:
    """What open processes wait for, asked once more: rows of a state's pending table and its pool of legs.

    A process that waits for a step of its own partition (a limit was in the way) is told to try it again.
    """
    return _messages(rows, legs, np.zeros(len(rows), np.int64), _Sender(partition, 0, 0), again=True)


def _messages(rows: Int64s, legs: Int64s, lows: Int64s, sender: _Sender, *, again: bool) -> dict[int, StepBatch]:
    made, sent_legs = _make(rows, legs, lows, sender, again)
    return {int(target): _batch(made[made[:, _TARGET] == target], sent_legs) for target in np.unique(made[:, _TARGET])}


def _batch(made: Int64s, legs: Int64s) -> StepBatch:
    sizes = made[:, _LAST] - made[:, _FIRST]
    ends = np.cumsum(sizes)
    of = np.repeat(made[:, _FIRST] - (ends - sizes), sizes) + np.arange(int(ends[-1]))
    numbers = np.ascontiguousarray(made[:, _HOME : _LOW + 1].T)
    sent = np.ascontiguousarray(legs[of].T)
    return StepBatch(
        kind=made[:, _KIND].astype(np.uint8),
        ids=np.ascontiguousarray(made[:, _ID_A : _ID_B + 1]).view(np.uint8).reshape(-1, 16),
        **dict(zip(NUMBERS, numbers, strict=True)),
        first_leg=np.concatenate(([0], ends)),
        key=np.ascontiguousarray(sent[LEG_KEY_A : LEG_KEY_B + 1].T).view(np.uint8).reshape(-1, 16),
        asset=sent[LEG_ASSET],
        amount=sent[LEG_AMOUNT],
        if_version=sent[LEG_IF_VERSION],
        if_available=sent[LEG_IF_AVAILABLE],
    )


@njit_inner
def _tell_home(message, rows, row, sender):  # type: ignore[no-untyped-def]
    """What became of a step of a transfer that another partition is home of."""
    message[_TARGET] = (rows[row, WHAT] >> HOME_SHIFT) & 0xFFFF
    message[_KIND] = Kinds.ANSWER
    message[_ID_A], message[_ID_B] = rows[row, ID_A], rows[row, ID_B]
    message[_HOME], message[_STEP] = sender.partition, rows[row, WHAT] >> STEP_SHIFT
    message[_STATE], message[_CODE], message[_AVAILABLE] = rows[row, STATE], rows[row, CODE], rows[row, AVAILABLE]
    message[_SEQUENCE], message[_AT_US], message[_BEGUN] = sender.sequence, sender.at_us, rows[row, BEGUN]


@njit_inner
def _ask_step(message, rows, row, step, target, here):  # type: ignore[no-untyped-def]
    """What the phase of a process asks of a step. One of home's own is told by an answer of no state to go on."""
    message[_TARGET] = target
    message[_KIND] = Kinds.ANSWER if target == here else Kinds.STEP
    message[_ID_A], message[_ID_B] = rows[row, ID_A], rows[row, ID_B]
    message[_HOME], message[_STEP] = here, step
    message[_ACTION], message[_OPTION] = PLAN_TABLE[rows[row, STATE], ACTION], step_option(rows, row, step)
    message[_STATE], message[_BEGUN] = StepStates.NONE, rows[row, BEGUN]


@njit_inner
def _copy_legs(sent, used, rows, legs, row, step):  # type: ignore[no-untyped-def]
    """Copy the legs of a step behind the `used` ones that are sent; how many these are then."""
    for leg in range(rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]):
        if legs[leg, LEG_STEP] == step:
            for word in range(LEG_WIDTH):
                sent[used, word] = legs[leg, word]
            used += 1
    return used


@njit(cache=True, nogil=True)
def _make(rows, legs, lows, sender, again):  # type: ignore[no-untyped-def]
    """int64[messages, _WIDTH], int64[legs, LEG_WIDTH]: the messages of all rows, in their order."""
    here, wanted, carried = sender.partition, 0, 0
    for row in range(len(rows)):
        wanted += max(np.int64(1), rows[row, STEPS])
        carried += rows[row, LEG_COUNT]
    made = np.zeros((wanted, _WIDTH), np.int64)
    sent = np.empty((carried, LEG_WIDTH), np.int64)  # of these rows alone: the pool has room for millions
    n = used = 0
    for row in range(len(rows)):
        kind = rows[row, WHAT] & 255
        if rows[row, STATE] == 0:
            continue
        if kind == PendingKinds.STEP and not again:
            _tell_home(made[n], rows, row, sender)
            n += 1
        if kind != PendingKinds.PROCESS or not (again or rows[row, OPTION] & ASKS_BIT):
            continue
        for step in range(rows[row, STEPS]):
            if not is_waited_for(rows, row, step):
                continue
            target = partition_of_step(rows, legs, row, step)
            if target == here and not again:
                continue
            message = made[n]
            _ask_step(message, rows, row, step, target, here)
            message[_LOW], message[_FIRST] = lows[row], used
            if message[_ACTION] == Actions.TRY and target != here:
                used = _copy_legs(sent, used, rows, legs, row, step)
            message[_LAST] = used
            n += 1
    return made[:n], sent[:used]


assert OPTION in LOGGED
