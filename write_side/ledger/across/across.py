"""Transfers across partitions: what the home partition does, by the tables of `coordinator.py`.

Home's own steps are done in the same outcome that reaches them; the others wait for an answer. What is sent is made from the
accepted block (`outstanding.py`), never from here.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.block.columns import NOT_TOLD
from write_side.contract.compiled.compiled import njit_inlined, njit_inner
from write_side.contract.state.pending import drop, find_pending, partition_of_step, record_step
from write_side.contract.state.pending_columns import (
    ASKS_BIT,
    AVAILABLE,
    BEGUN,
    CODE,
    CURSOR,
    FIRST_LEG,
    FROM_HOLD_BIT,
    LEG_COUNT,
    MASK,
    OPTION,
    RECORD_END_ACTION,
    RECORD_END_CODE,
    RECORD_PARTITION,
    RECORD_TRY_CODE,
    STATE,
    STEPS,
    Action,
    Phase,
    StepState,
    What,
)
from write_side.contract.words.codes import Code
from write_side.ledger.across.coordinator import (
    ACTION,
    EVENT_TABLE,
    IN_ORDER,
    ON_REFUSAL,
    PLAN_TABLE,
    THEN,
    Event,
    enter_phase,
    is_waited_for,
    step_option,
    steps_of_phase,
)
from write_side.ledger.across.process import add_process
from write_side.ledger.across.steps import factors_of, run_step
from write_side.ledger.rules.book import STEP_ROW, TAPE, keep_pending
from write_side.ledger.rules.legs import check_legs, legs_fit

_ZERO: Final = np.int64(0)
_ONE: Final = np.int64(1)
"""Numbers that are no constants to the compiler: it would make every function again for each that it is called with."""
_UNWRITTEN: Final = np.int64(1 << 20)
"""On the code of a record that the block has not yet."""
_DONE: Final = np.int64(Code.DONE)
_PENDING: Final = np.int64(Code.PENDING)
_STALE: Final = np.int64(Code.STALE)
_LIMITED: Final = np.int64(Code.BALANCE_LIMIT)
_TIMED_OUT: Final = np.int64(Code.TIMED_OUT)
_NOT_TOLD: Final = np.int64(NOT_TOLD)
_PROCESS: Final = np.int64(What.PROCESS)
_TRY: Final = np.int64(Action.TRY)
_CONFIRM: Final = np.int64(Action.CONFIRM)
_COMPENSATING: Final = np.int64(Phase.COMPENSATING)
_CANCELLING: Final = np.int64(Phase.CANCELLING)
_ENDED_DONE: Final = np.int64(Phase.DONE)
_ENDED_REFUSED: Final = np.int64(Phase.REFUSED)
_COUNT: Final = np.int64(Event.COUNT)
_REFUSE: Final = np.int64(Event.REFUSE)
_NONE: Final = np.int64(StepState.NONE)
_HELD: Final = np.int64(StepState.HELD)
_REJECTED: Final = np.int64(StepState.REJECTED)


@njit_inner
def _note_step(table, row, step, partition, action, code, sequence, at_us):  # type: ignore[no-untyped-def]
    """Remember what became of a step, to be written into the block with this outcome."""
    rows, pool = table.rows, table.legs
    record_step(table, row, step, partition, action, code, sequence, at_us)
    record = rows[row, FIRST_LEG] + rows[row, LEG_COUNT] + step
    pool[record, RECORD_TRY_CODE if action == _TRY else RECORD_END_CODE] |= _UNWRITTEN


@njit_inner
def _write_steps(book, outcome, row, every):  # type: ignore[no-untyped-def]
    """Write the steps noted by this outcome; every step of the transfer by its last one, so that one block tells the whole."""
    table, tape, counts = book.table, book.output.tape, book.counts
    rows, pool = table.rows, table.legs
    for step in range(rows[row, STEPS]):
        record = pool[rows[row, FIRST_LEG] + rows[row, LEG_COUNT] + step]
        for first in (RECORD_TRY_CODE, RECORD_END_CODE):
            if record[first] & _UNWRITTEN or (every and record[first] > 0):
                record[first] &= ~_UNWRITTEN
                at = counts[TAPE]
                tape[at, 0] = STEP_ROW
                tape[at, 1] = outcome
                tape[at, 2] = step
                tape[at, 3] = record[RECORD_PARTITION]
                tape[at, 4] = _TRY if first == RECORD_TRY_CODE else record[RECORD_END_ACTION]
                tape[at, 5] = record[first] - 1
                tape[at, 6] = record[first + 1]
                tape[at, 7] = record[first + 2]
                counts[TAPE] = at + 1


@njit_inlined
def _count_step(rows, row, step):  # type: ignore[no-untyped-def]
    """The phase has been done by this step."""
    if PLAN_TABLE[rows[row, STATE], IN_ORDER]:
        rows[row, CURSOR] += -1 if rows[row, STATE] == _COMPENSATING else 1
        rows[row, OPTION] |= ASKS_BIT
    else:
        rows[row, MASK] |= np.int64(1) << step


@njit_inlined
def _refuse(rows, row, step, code, available):  # type: ignore[no-untyped-def]
    """A try was refused: the decision is made. The step itself has nothing to take back."""
    rows[row, CODE] = code
    rows[row, AVAILABLE] = available if available != _NOT_TOLD else 0
    enter_phase(rows, row, PLAN_TABLE[rows[row, STATE], ON_REFUSAL])
    if not PLAN_TABLE[rows[row, STATE], IN_ORDER]:
        rows[row, MASK] = np.int64(1) << step


@njit_inner
def _next_step(rows, row):  # type: ignore[no-untyped-def]
    """The first step that the phase waits for; -1 when the phase is over."""
    first, last = steps_of_phase(rows, row)
    if PLAN_TABLE[rows[row, STATE], IN_ORDER]:
        return rows[row, CURSOR] if first <= rows[row, CURSOR] < last else np.int64(-1)
    for step in range(first, last):
        if (rows[row, MASK] >> step) & 1 == 0:
            return np.int64(step)
    return np.int64(-1)


@njit_inner
def _do_own_steps(book, outcome, row, checked):  # type: ignore[no-untyped-def]
    """Do what the phase asks of home's own steps; whether any was done."""
    lookup, table, times = book.lookup, book.table, book.times
    rows, pool = table.rows, table.legs
    here = np.int64(lookup.partition)
    phase = rows[row, STATE]
    first_leg, last_leg = rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]
    first, last = steps_of_phase(rows, row)
    moved = False
    for step in range(first, last):
        if rows[row, STATE] != phase:
            break
        if not is_waited_for(rows, row, step) or partition_of_step(rows, table.legs, row, step) != here:
            continue
        action = PLAN_TABLE[phase, ACTION]
        code, available = run_step(
            book, outcome, pool, first_leg, last_leg, step, step_option(rows, row, step), action, checked
        )  # fmt: skip
        if code != _DONE and action != _TRY:
            continue  # it cannot fail for good: a limit is in the way, and it is tried again
        _note_step(table, row, step, here, action, code, times.sequence, times.created_at_us)
        moved = True
        if code == _DONE:
            _count_step(rows, row, step)
        else:
            _refuse(rows, row, step, code, available)
    return moved


@njit_inner
def advance(book, outcome, row, checked):  # type: ignore[no-untyped-def]
    """Go on as far as home can by itself. The phase is then DONE, REFUSED, or one that waits for answers."""
    rows = book.table.rows
    while rows[row, STATE] != _ENDED_DONE and rows[row, STATE] != _ENDED_REFUSED:
        if _next_step(rows, row) < 0:
            enter_phase(rows, row, PLAN_TABLE[rows[row, STATE], THEN])
        elif not _do_own_steps(book, outcome, row, checked):
            return


@njit_inner
def begin(book, outcome, id_a, id_b, kind, option, legs, first, last):  # type: ignore[no-untyped-def]
    """Begin a transfer across partitions: PENDING and the row of its process, or at once the code of a rule that one of home's
    own legs breaks, and its available; nothing has moved then."""
    lookup, table, digest, times = book.lookup, book.table, book.digest, book.times
    row = add_process(book, id_a, id_b, kind, option, legs, first, last)
    rows, pool = table.rows, table.legs
    first_leg, last_leg = rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]
    here = np.int64(lookup.partition)
    for step in range(rows[row, STEPS]):
        if partition_of_step(rows, table.legs, row, step) != here:
            continue
        authorised = (option & FROM_HOLD_BIT) if step == 0 else _ZERO
        code, available = check_legs(book, pool, first_leg, last_leg, step, authorised)
        if code == _DONE:
            factors = factors_of(book, step_option(rows, row, step), _TRY)
            if factors[0] == 0 and factors[1] == 0:
                factors = factors_of(book, step_option(rows, row, step), _CONFIRM)
            if not legs_fit(book, pool, first_leg, last_leg, step, factors, factors):
                code = _LIMITED
        if code != _DONE:
            drop(table, digest, row)
            table.counts[1] = first_leg
            return code, available, np.int64(-1)
    advance(book, outcome, row, _ONE)
    keep_pending(book, outcome, row, times.low, _ONE)
    _write_steps(book, outcome, row, _ZERO)
    return _PENDING, _NOT_TOLD, row


@njit_inner
def take_answer(book, outcome, id_a, id_b, step, state, code, available, sequence, at_us, partition, begun):  # type: ignore[no-untyped-def]
    """Home takes a participant's answer: PENDING or how the transfer ended, and the row (to be ended by the caller then).

    A row of -1: nothing waited for this answer, or it is one to an earlier transfer of the same id, which was forgotten and
    runs again. An answer of state NONE only asks home to go on with its own steps. begun: as the participant was told; 0 of
    one that does not say.
    """
    table = book.table
    rows = table.rows
    row = find_pending(table, id_a, id_b, _PROCESS)
    if row < 0 or step < 0 or step >= rows[row, STEPS] or not is_waited_for(rows, row, step):
        return _STALE, np.int64(-1)
    if begun != 0 and begun != rows[row, BEGUN]:
        return _STALE, np.int64(-1)
    phase = rows[row, STATE]
    asked = rows[row, OPTION] & ASKS_BIT
    rows[row, OPTION] &= ~ASKS_BIT
    if state == _NONE:
        if not _do_own_steps(book, outcome, row, _ZERO):
            rows[row, OPTION] |= asked
            return _STALE, np.int64(-1)
    else:
        event = EVENT_TABLE[phase, state]
        if partition_of_step(rows, table.legs, row, step) != partition:
            rows[row, OPTION] |= asked
            return _STALE, np.int64(-1)
        _note_late_try(table, row, step, state, code, sequence, at_us, partition)
        if event != _COUNT and event != _REFUSE:
            rows[row, OPTION] |= asked
            _write_steps(book, outcome, row, _ZERO)
            return _STALE, np.int64(-1)
        said = code if event == _REFUSE else _DONE
        _note_step(table, row, step, partition, PLAN_TABLE[phase, ACTION], said, sequence, at_us)
        if event == _COUNT:
            _count_step(rows, row, step)
        else:
            _refuse(rows, row, step, code, available)
    return _go_on(book, outcome, row)


@njit_inner
def _note_late_try(table, row, step, state, code, sequence, at_us, partition):  # type: ignore[no-untyped-def]
    """A try that is answered behind the decision decides nothing any more; what became of it is told with the other steps."""
    rows, pool = table.rows, table.legs
    record = rows[row, FIRST_LEG] + rows[row, LEG_COUNT] + step
    if rows[row, STATE] == _CANCELLING and state in (_HELD, _REJECTED) and pool[record, RECORD_TRY_CODE] == 0:
        _note_step(table, row, step, partition, _TRY, code, sequence, at_us)


@njit_inner
def time_out(book, outcome, id_a, id_b):  # type: ignore[no-untyped-def]
    """The time for the tries is over: cancel. As `take_answer`."""
    table = book.table
    rows = table.rows
    row = find_pending(table, id_a, id_b, _PROCESS)
    rows[row, CODE] = _TIMED_OUT
    enter_phase(rows, row, _CANCELLING)
    return _go_on(book, outcome, row)


@njit_inner
def _go_on(book, outcome, row):  # type: ignore[no-untyped-def]
    rows, times = book.table.rows, book.times
    advance(book, outcome, row, _ZERO)
    if rows[row, STATE] == _ENDED_DONE or rows[row, STATE] == _ENDED_REFUSED:
        _write_steps(book, outcome, row, _ONE)
        return rows[row, CODE], row
    # With its legs where it asks, so that the messages that follow can be made from this block alone. What only counts an answer
    # leaves them out: a transfer of many legs would write them all with each of its steps.
    keep_pending(book, outcome, row, times.low, rows[row, OPTION] & ASKS_BIT)
    _write_steps(book, outcome, row, _ZERO)
    return _PENDING, row
