"""One step of a transfer across partitions: what it does to its legs, and what a participant keeps of it, by the tables of
`participant.py`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.block.columns import NOT_TOLD
from write_side.contract.compiled.compiled import njit_inlined, njit_inner
from write_side.contract.state.pending import add_leg, add_pending, drop, find_pending, raise_low, step_what
from write_side.contract.state.pending_columns import (
    AVAILABLE,
    BEGUN,
    CODE,
    FIRST_LEG,
    FROM_HOLD_BIT,
    LEG_COUNT,
    LEG_PARTITION,
    LEG_STEP,
    OPTION,
    STATE,
    Action,
    StepState,
)
from write_side.contract.words.codes import Code
from write_side.ledger.across.participant import MOVE_TABLE, Manner, Move, manner_of
from write_side.ledger.rules.book import keep_pending
from write_side.ledger.rules.legs import ANY_STEP, check_legs, legs_fit, move_legs

_ZERO: Final = np.int64(0)
_ONE: Final = np.int64(1)
"""Numbers that are no constants to the compiler: it would make every function again for each that it is called with."""
_DONE: Final = np.int64(Code.DONE)
_STALE: Final = np.int64(Code.STALE)
_LIMITED: Final = np.int64(Code.BALANCE_LIMIT)
_NOT_TOLD: Final = np.int64(NOT_TOLD)
_TRY: Final = np.int64(Action.TRY)
_CONFIRM: Final = np.int64(Action.CONFIRM)
_HELD: Final = np.int64(StepState.HELD)
_REJECTED: Final = np.int64(StepState.REJECTED)
_STEP_DONE: Final = np.int64(StepState.DONE)
_RELEASED: Final = np.int64(StepState.RELEASED)
_FENCED: Final = np.int64(StepState.FENCED)
_NONE: Final = np.int64(StepState.NONE)
_REPEAT: Final = np.int64(Move.REPEAT)
_CHECK: Final = np.int64(Move.CHECK)
_MOVE_CONFIRM: Final = np.int64(Move.CONFIRM)
_MOVE_CANCEL: Final = np.int64(Move.CANCEL)
_FENCE: Final = np.int64(Move.FENCE)
_SAGA_LAST_CREDIT: Final = np.int64(Manner.SAGA_LAST_CREDIT)


@njit_inlined
def factors_of(book, option, action):  # type: ignore[no-untyped-def]
    """What an action adds to (posted, held, transit) per unit of amount, for a step with these option bits."""
    factors = book.effects[manner_of(option), action]
    return factors[0], factors[1], factors[2]


@njit_inner
def run_step(book, outcome, legs, first, last, step, option, action, checked):  # type: ignore[no-untyped-def]
    """Do an action to the legs of a step: the code (DONE, or the rule that forbids it) and the available that explains it.

    checked: 1 when the rules have just been tested on these legs, and nothing has moved since.
    """
    factors = factors_of(book, option, action)
    if action == _TRY and not checked:
        code, available = check_legs(book, legs, first, last, step, option & FROM_HOLD_BIT)
        if code != _DONE:
            return code, available
        if factors[0] == 0 and factors[1] == 0:
            # Nothing moves yet, but what is to be paid at the confirmation must fit.
            wanted = factors_of(book, option, _CONFIRM)
            return (_DONE if legs_fit(book, legs, first, last, step, wanted, wanted) else _LIMITED), _NOT_TOLD
    if not checked and not legs_fit(book, legs, first, last, step, factors, factors):
        return _LIMITED, _NOT_TOLD
    move_legs(book, outcome, legs, first, last, step, factors, factors)
    return _DONE, _NOT_TOLD


@njit_inner
def take_step(book, outcome, id_a, id_b, command, legs, first, last):  # type: ignore[no-untyped-def]
    """A participant does one step of a transfer that another partition is home of; the code.

    command: home, step, action, option, begun, low.  legs [first, last): only tries have them.
    """
    home, step, action, option, begun, low = command
    table = book.table
    rows, pool, lows = table.rows, table.legs, table.lows
    if begun < lows[home]:
        return _STALE
    row = find_pending(table, id_a, id_b, step_what(home, step))
    if row >= 0 and rows[row, BEGUN] != begun:
        if begun < rows[row, BEGUN] or rows[row, STATE] == _HELD:
            return _STALE
        # Its id was forgotten, and runs again: what is here is of the transfer before, which is over (home has one open at most).
        drop(table, book.digest, row)
        row = np.int64(-1)
    state = _NONE if row < 0 else rows[row, STATE]
    move = MOVE_TABLE[state, action]
    if move == _REPEAT:
        _keep_step(book, outcome, row, home, low, _ZERO)
        return _STALE
    if move == _CHECK:
        code, available = run_step(book, outcome, legs, first, last, ANY_STEP, option, _TRY, _ZERO)
        held = code == _DONE and manner_of(option) != _SAGA_LAST_CREDIT
        row = _add_step(book, id_a, id_b, home, step, option, begun)
        rows[row, STATE] = _HELD if held else (_STEP_DONE if code == _DONE else _REJECTED)
        rows[row, CODE] = code
        rows[row, AVAILABLE] = available if available != _NOT_TOLD else 0
        if held:
            for i in range(first, last):
                leg = add_leg(table, row, legs[i])
                pool[leg, LEG_STEP] = 0
                pool[leg, LEG_PARTITION] = 0
        _keep_step(book, outcome, row, home, low, _ONE)
        return code
    if move == _FENCE:
        row = _add_step(book, id_a, id_b, home, step, option, begun)
        rows[row, STATE] = _FENCED
        _keep_step(book, outcome, row, home, low, _ZERO)
        return _DONE
    if move in (_MOVE_CONFIRM, _MOVE_CANCEL):
        first_leg, last_leg = rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]
        code, _ = run_step(book, outcome, pool, first_leg, last_leg, ANY_STEP, rows[row, OPTION], action, _ZERO)
        if code == _DONE:
            rows[row, STATE] = _STEP_DONE if move == _MOVE_CONFIRM else _RELEASED
            _keep_step(book, outcome, row, home, low, _ZERO)
        return code
    return _STALE


@njit_inlined
def _keep_step(book, outcome, row, home, low, legs):  # type: ignore[no-untyped-def]
    raise_low(book.table, book.digest, home, low)
    keep_pending(book, outcome, row, low, legs)


@njit_inlined
def _add_step(book, id_a, id_b, home, step, option, begun):  # type: ignore[no-untyped-def]
    table, times = book.table, book.times
    row = add_pending(table, id_a, id_b, step_what(home, step), times.created_at_us)
    table.rows[row, OPTION] = option
    table.rows[row, BEGUN] = begun
    return row
