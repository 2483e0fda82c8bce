"""One step of a transfer across partitions: what it does to its legs, and what a participant keeps of it, by the tables of
`participant.py`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from write_side.contract.compiled.compiled import njit_inlined, njit_inner
from write_side.contract.state.pending_columns import (
    AVAILABLE,
    BEGUN,
    CODE,
    FROM_HOLD_BIT,
    LEG_PARTITION,
    LEG_STEP,
    OPTION,
    STATE,
    Action,
    StepState,
)
from write_side.contract.state.pending_rows import add_leg, add_pending, drop, find_pending, raise_low, step_what
from write_side.contract.words.codes import Codes
from write_side.ledger.across.participant import MOVE_TABLE, Manner, Move, manner_of
from write_side.ledger.rules.asked import ANY_STEP, legs_of
from write_side.ledger.rules.book import keep_pending
from write_side.ledger.rules.legs import check_legs, legs_fit, move_legs
from write_side.ledger.rules.numbers import NOT_TOLD, ONE, ZERO

_TRY, _CONFIRM, _ = (np.int64(action) for action in Action)
_NONE, _HELD, _REJECTED, _STEP_DONE, _RELEASED, _FENCED = (np.int64(state) for state in StepState)
_, _REPEAT, _CHECK, _MOVE_CONFIRM, _MOVE_CANCEL, _FENCE = (np.int64(move) for move in Move)
_SAGA_LAST_CREDIT: Final = np.int64(Manner.SAGA_LAST_CREDIT)


@njit_inlined
def factors_of(book, option, action):  # type: ignore[no-untyped-def]
    """What an action adds to (posted, held, transit) per unit of amount, for a step with these option bits."""
    factors = book.effects[manner_of(option), action]
    return factors[0], factors[1], factors[2]


@njit_inner
def run_step(book, outcome, legs, option, action, checked):  # type: ignore[no-untyped-def]
    """Do an action to the legs of a step: the code (DONE, or the rule that forbids it) and the available that explains it.

    checked: 1 when the rules have just been tested on these legs, and nothing has moved since.
    """
    factors = factors_of(book, option, action)
    if action == _TRY and not checked:
        code, available = check_legs(book, legs, option & FROM_HOLD_BIT)
        if code != Codes.DONE:
            return code, available
        if factors[0] == 0 and factors[1] == 0:
            # Nothing moves yet, but what is to be paid at the confirmation must fit.
            wanted = factors_of(book, option, _CONFIRM)
            return (Codes.DONE if legs_fit(book, legs, wanted, wanted) else Codes.BALANCE_LIMIT), NOT_TOLD
    if not checked and not legs_fit(book, legs, factors, factors):
        return Codes.BALANCE_LIMIT, NOT_TOLD
    move_legs(book, outcome, legs, factors, factors)
    return Codes.DONE, NOT_TOLD


class StepCommand(NamedTuple):
    """What a home asks of a step here (`step_batch.py`)."""

    home: int
    step: int
    action: int
    option: int
    begun: int
    low: int


@njit_inner
def take_step(book, asked, command):  # type: ignore[no-untyped-def]
    """A participant does one step of a transfer that another partition is home of; the code. Only tries have legs."""
    table, outcome, legs = book.table, asked.outcome, asked.legs
    rows, begun = table.rows, command.begun
    if begun < table.lows[command.home]:
        return Codes.STALE
    row = find_pending(table, asked.id_a, asked.id_b, step_what(command.home, command.step))
    if row >= 0 and rows[row, BEGUN] != begun:
        if begun < rows[row, BEGUN] or rows[row, STATE] == _HELD:
            return Codes.STALE
        # Its id was forgotten, and runs again: what is here is of the transfer before, which is over (home has one open at most).
        drop(table, book.digest, row)
        row = np.int64(-1)
    move = MOVE_TABLE[_NONE if row < 0 else rows[row, STATE], command.action]
    if move == _REPEAT:
        _keep_step(book, outcome, row, command, ZERO)
        return Codes.STALE
    if move == _CHECK:
        code, available = run_step(book, outcome, legs, command.option, _TRY, ZERO)
        held = code == Codes.DONE and manner_of(command.option) != _SAGA_LAST_CREDIT
        row = _add_step(book, asked, command)
        rows[row, STATE] = _HELD if held else (_STEP_DONE if code == Codes.DONE else _REJECTED)
        rows[row, CODE] = code
        rows[row, AVAILABLE] = available if available != NOT_TOLD else 0
        if held:
            for i in range(legs.first, legs.last):
                leg = add_leg(table, row, legs.pool[i])
                table.legs[leg, LEG_STEP] = 0
                table.legs[leg, LEG_PARTITION] = 0
        _keep_step(book, outcome, row, command, ONE)
        return code
    if move == _FENCE:
        row = _add_step(book, asked, command)
        rows[row, STATE] = _FENCED
        _keep_step(book, outcome, row, command, ZERO)
        return Codes.DONE
    if move in (_MOVE_CONFIRM, _MOVE_CANCEL):
        code, _ = run_step(book, outcome, legs_of(table, row, ANY_STEP), rows[row, OPTION], command.action, ZERO)
        if code == Codes.DONE:
            rows[row, STATE] = _STEP_DONE if move == _MOVE_CONFIRM else _RELEASED
            _keep_step(book, outcome, row, command, ZERO)
        return code
    return Codes.STALE


@njit_inlined
def _keep_step(book, outcome, row, command, legs):  # type: ignore[no-untyped-def]
    raise_low(book.table, book.digest, command.home, command.low)
    keep_pending(book, outcome, row, command.low, legs)


@njit_inlined
def _add_step(book, asked, command):  # type: ignore[no-untyped-def]
    table, what = book.table, step_what(command.home, command.step)
    row = add_pending(table, asked.id_a, asked.id_b, what, book.times.created_at_us)
    table.rows[row, OPTION] = command.option
    table.rows[row, BEGUN] = command.begun
    return row
