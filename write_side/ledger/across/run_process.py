"""A process run: what the home partition of a transfer across partitions does, by `coordinator.py` and `phase_plan.py`.

Home's own steps are done in the same outcome that reaches them; the others wait for an answer. What is sent is made from the
accepted block (`outstanding.py`), never from here.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from write_side.contract.compiled.compiled import njit_inlined, njit_inner
from write_side.contract.state.pending_columns import (
    ASKS_BIT,
    AVAILABLE,
    BEGUN,
    CODE,
    CURSOR,
    FIRST_LEG,
    FROM_HOLD_BIT,
    MASK,
    OPTION,
    RECORD_END,
    RECORD_END_ACTION,
    RECORD_END_CODE,
    RECORD_PARTITION,
    RECORD_TRY,
    RECORD_TRY_CODE,
    STATE,
    STEPS,
    Actions,
    PendingKinds,
    Phases,
    StepStates,
)
from write_side.contract.state.pending_index import LEGS_END
from write_side.contract.state.pending_rows import drop, find_pending, partition_of_step, record_at, record_step
from write_side.contract.state.phase_plan import (
    ACTION,
    IN_ORDER,
    ON_REFUSAL,
    PLAN_TABLE,
    THEN,
    is_waited_for,
    steps_of_phase,
)
from write_side.contract.words.codes import Codes
from write_side.ledger.across.coordinator import EVENT_TABLE, Events, enter_phase, step_option
from write_side.ledger.across.process import add_process
from write_side.ledger.across.steps import factors_of, run_step
from write_side.ledger.rules.asked import Number, legs_of
from write_side.ledger.rules.book import TAPE, keep_pending
from write_side.ledger.rules.legs import check_legs, legs_fit
from write_side.ledger.rules.numbers import NOT_TOLD, ONE, ZERO
from write_side.ledger.rules.tape_columns import (
    OF,
    SORT,
    STEP_ACTION,
    STEP_AT_US,
    STEP_CODE,
    STEP_NUMBER,
    STEP_PARTITION,
    STEP_ROW,
    STEP_SEQUENCE,
)

_TOLD_OF_A_STEP: Final = (RECORD_TRY, RECORD_END)
_UNWRITTEN: Final = np.int64(1 << 20)
"""On the code of a record that the block has not yet."""


class Answer(NamedTuple):
    """What a partition says of a step (`step_batch.py`). begun: as the participant was told; 0 of one that does not say."""

    partition: Number
    step: Number
    state: Number
    code: Number
    available: Number
    sequence: Number
    at_us: Number
    begun: Number


@njit_inner
def _note_step(table, row, action, answer, code):  # type: ignore[no-untyped-def]
    """Remember what became of a step, to be written into the block with this outcome."""
    record_step(table, row, answer.step, answer.partition, action, code, answer.sequence, answer.at_us)
    column = RECORD_TRY_CODE if action == Actions.TRY else RECORD_END_CODE
    table.legs[record_at(table.rows, row, answer.step), column] |= _UNWRITTEN


@njit_inner
def _write_steps(book, outcome, row, every):  # type: ignore[no-untyped-def]
    """Write the steps noted by this outcome; every step of the transfer by its last one, so that one block tells the whole."""
    table, tape, counts = book.table, book.output.tape, book.counts
    rows, pool = table.rows, table.legs
    for step in range(rows[row, STEPS]):
        record = pool[record_at(rows, row, step)]
        for code, sequence, at_us in _TOLD_OF_A_STEP:
            if record[code] & _UNWRITTEN or (every and record[code] > 0):
                record[code] &= ~_UNWRITTEN
                at = counts[TAPE]
                tape[at, SORT] = STEP_ROW
                tape[at, OF] = outcome
                tape[at, STEP_NUMBER] = step
                tape[at, STEP_PARTITION] = record[RECORD_PARTITION]
                tape[at, STEP_ACTION] = Actions.TRY if code == RECORD_TRY_CODE else record[RECORD_END_ACTION]
                tape[at, STEP_CODE] = record[code] - 1
                tape[at, STEP_SEQUENCE] = record[sequence]
                tape[at, STEP_AT_US] = record[at_us]
                counts[TAPE] = at + 1


@njit_inlined
def _count_step(rows, row, step):  # type: ignore[no-untyped-def]
    """The phase has been done by this step."""
    if PLAN_TABLE[rows[row, STATE], IN_ORDER]:
        rows[row, CURSOR] += -1 if rows[row, STATE] == Phases.COMPENSATING else 1
        rows[row, OPTION] |= ASKS_BIT
    else:
        rows[row, MASK] |= np.int64(1) << step


@njit_inlined
def _refuse(rows, row, answer):  # type: ignore[no-untyped-def]
    """A try was refused: the decision is made. The step itself has nothing to take back."""
    rows[row, CODE] = answer.code
    rows[row, AVAILABLE] = answer.available if answer.available != NOT_TOLD else 0
    enter_phase(rows, row, PLAN_TABLE[rows[row, STATE], ON_REFUSAL])
    if not PLAN_TABLE[rows[row, STATE], IN_ORDER]:
        rows[row, MASK] = np.int64(1) << answer.step


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
    table, times = book.table, book.times
    rows = table.rows
    here = np.int64(book.lookup.partition)
    phase = rows[row, STATE]
    action = PLAN_TABLE[phase, ACTION]
    first, last = steps_of_phase(rows, row)
    moved = False
    for step in range(first, last):
        if rows[row, STATE] != phase:
            break
        if not is_waited_for(rows, row, step) or partition_of_step(rows, table.legs, row, step) != here:
            continue
        legs, option = legs_of(table, row, np.int64(step)), step_option(rows, row, step)
        code, available = run_step(book, outcome, legs, option, action, checked)
        if code != Codes.DONE and action != Actions.TRY:
            continue  # it cannot fail for good: a limit is in the way, and it is tried again
        own = Answer(here, np.int64(step), StepStates.NONE, code, available, times.sequence, times.created_at_us, ZERO)
        _note_step(table, row, action, own, code)
        moved = True
        if code == Codes.DONE:
            _count_step(rows, row, step)
        else:
            _refuse(rows, row, own)
    return moved


@njit_inner
def advance(book, outcome, row, checked):  # type: ignore[no-untyped-def]
    """Go on as far as home can by itself. The phase is then DONE, REFUSED, or one that waits for answers."""
    rows = book.table.rows
    while rows[row, STATE] != Phases.DONE and rows[row, STATE] != Phases.REFUSED:
        if _next_step(rows, row) < 0:
            enter_phase(rows, row, PLAN_TABLE[rows[row, STATE], THEN])
        elif not _do_own_steps(book, outcome, row, checked):
            return


@njit_inner
def begin(book, asked, option, legs):  # type: ignore[no-untyped-def]
    """Begin a transfer across partitions: PENDING and the row of its process, or at once the code of a rule that one of home's
    own legs breaks, and its available; nothing has moved then."""
    table, outcome = book.table, asked.outcome
    row = add_process(book, asked, option, legs)
    first_leg = table.rows[row, FIRST_LEG]
    code, available = _own_code(book, row, option)
    if code != Codes.DONE:
        drop(table, book.digest, row)
        table.counts[LEGS_END] = first_leg
        return code, available, np.int64(-1)
    advance(book, outcome, row, ONE)
    keep_pending(book, outcome, row, book.times.low, ONE)
    _write_steps(book, outcome, row, ZERO)
    return Codes.PENDING, NOT_TOLD, row


@njit_inner
def _own_code(book, row, option):  # type: ignore[no-untyped-def]
    """The code that the rules give for home's own steps of a new process, and its available."""
    table = book.table
    rows = table.rows
    for step in range(rows[row, STEPS]):
        if partition_of_step(rows, table.legs, row, step) != np.int64(book.lookup.partition):
            continue
        legs, own_option = legs_of(table, row, np.int64(step)), step_option(rows, row, step)
        code, available = check_legs(book, legs, (option & FROM_HOLD_BIT) if step == 0 else ZERO)
        if code != Codes.DONE:
            return code, available
        factors = factors_of(book, own_option, Actions.TRY)
        if factors[0] == 0 and factors[1] == 0:
            factors = factors_of(book, own_option, Actions.CONFIRM)
        if not legs_fit(book, legs, factors, factors):
            return Codes.BALANCE_LIMIT, NOT_TOLD
    return Codes.DONE, NOT_TOLD


@njit_inner
def take_answer(book, asked, answer):  # type: ignore[no-untyped-def]
    """Home takes a participant's answer: PENDING or how the transfer ended, and the row (to be ended by the caller then).

    A row of -1: nothing waited for this answer. One of state NONE only asks home to go on with its own steps.
    """
    table = book.table
    rows = table.rows
    row = find_pending(table, asked.id_a, asked.id_b, PendingKinds.PROCESS)
    if row < 0 or not _is_waiting(rows, row, answer):
        return Codes.STALE, np.int64(-1)
    asks = rows[row, OPTION] & ASKS_BIT
    rows[row, OPTION] &= ~ASKS_BIT
    if answer.state == StepStates.NONE:
        is_heard = _do_own_steps(book, asked.outcome, row, ZERO)
    else:
        is_heard = _hear(book, asked.outcome, row, answer)
    if not is_heard:
        rows[row, OPTION] |= asks
        return Codes.STALE, np.int64(-1)
    return _go_on(book, asked.outcome, row)


@njit_inlined
def _is_waiting(rows, row, answer):  # type: ignore[no-untyped-def]
    """Whether a process waits for an answer of this step, and the answer is not one to an earlier transfer of the same id, which
    was forgotten and runs again."""
    if answer.step < 0 or answer.step >= rows[row, STEPS] or not is_waited_for(rows, row, answer.step):
        return False
    return answer.begun == 0 or answer.begun == rows[row, BEGUN]


@njit_inner
def _hear(book, outcome, row, answer):  # type: ignore[no-untyped-def]
    """Count what a participant has done, or begin to take back what it refuses; False when its answer changes nothing."""
    table = book.table
    rows = table.rows
    if partition_of_step(rows, table.legs, row, answer.step) != answer.partition:
        return False
    phase = rows[row, STATE]
    event, action = EVENT_TABLE[phase, answer.state], PLAN_TABLE[phase, ACTION]
    if phase == Phases.CANCELLING and answer.state in (StepStates.HELD, StepStates.REJECTED):
        _note_late_try(table, row, answer)
    if event == Events.COUNT:
        _note_step(table, row, action, answer, Codes.DONE)
        _count_step(rows, row, answer.step)
        return True
    if event == Events.REFUSE:
        _note_step(table, row, action, answer, answer.code)
        _refuse(rows, row, answer)
        return True
    _write_steps(book, outcome, row, ZERO)
    return False


@njit_inner
def _note_late_try(table, row, answer):  # type: ignore[no-untyped-def]
    """A try that is answered behind the decision decides nothing any more; what became of it is told with the other steps."""
    if table.legs[record_at(table.rows, row, answer.step), RECORD_TRY_CODE] == 0:
        _note_step(table, row, Actions.TRY, answer, answer.code)


@njit_inner
def time_out(book, asked):  # type: ignore[no-untyped-def]
    """The time for the tries is over: cancel. As `take_answer`."""
    table = book.table
    rows = table.rows
    row = find_pending(table, asked.id_a, asked.id_b, PendingKinds.PROCESS)
    rows[row, CODE] = Codes.TIMED_OUT
    enter_phase(rows, row, Phases.CANCELLING)
    return _go_on(book, asked.outcome, row)


@njit_inner
def _go_on(book, outcome, row):  # type: ignore[no-untyped-def]
    rows, times = book.table.rows, book.times
    advance(book, outcome, row, ZERO)
    if rows[row, STATE] == Phases.DONE or rows[row, STATE] == Phases.REFUSED:
        _write_steps(book, outcome, row, ONE)
        return rows[row, CODE], row
    # With its legs where it asks, so that the messages that follow can be made from this block alone. What only counts an answer
    # leaves them out: a transfer of many legs would write them all with each of its steps.
    keep_pending(book, outcome, row, times.low, rows[row, OPTION] & ASKS_BIT)
    _write_steps(book, outcome, row, ZERO)
    return Codes.PENDING, row
