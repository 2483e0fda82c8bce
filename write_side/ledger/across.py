"""Transfers across partitions: the home partition's process, and the steps of a participant, by the tables of
`coordinator.py` and `participant.py`.

Home's own steps are done in the same outcome that reaches them; the others wait for an answer. What is sent is made from the
accepted block (`outstanding.py`), never from here.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.codes import Code
from write_side.contract.columns import NOT_TOLD
from write_side.contract.compiled import njit_inlined, njit_inner
from write_side.contract.pending import (
    ASKS_BIT,
    AVAILABLE,
    BEGUN,
    CODE,
    CURSOR,
    DEADLINE_US,
    DEBITS,
    FIRST_LEG,
    FROM_HOLD_BIT,
    KIND_SHIFT,
    LEG_AMOUNT,
    LEG_ASSET,
    LEG_COUNT,
    LEG_IF_AVAILABLE,
    LEG_IF_VERSION,
    LEG_KEY_A,
    LEG_KEY_B,
    LEG_PARTITION,
    LEG_STEP,
    MASK,
    OPTION,
    RECORD_END_ACTION,
    RECORD_END_CODE,
    RECORD_PARTITION,
    RECORD_TRY_CODE,
    STATE,
    STEPS,
    TCC_BIT,
    Action,
    Phase,
    StepState,
    What,
    add_leg,
    add_pending,
    add_records,
    drop,
    find_pending,
    raise_low,
    record_step,
    step_what,
)
from write_side.ledger.book import STEP_ROW, TAPE, keep_pending
from write_side.ledger.coordinator import (
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
from write_side.ledger.legs import ANY_STEP, check_legs, is_world, legs_fit, move_legs
from write_side.ledger.participant import MOVE_TABLE, Manner, Move, manner_of

_ZERO: Final = np.int64(0)
_ONE: Final = np.int64(1)
"""Numbers that are no constants to the compiler: it would make every function again for each that it is called with."""
_UNWRITTEN: Final = np.int64(1 << 20)
"""On the code of a record that the block has not yet."""
TRY_LIMIT_US: Final = 10_000_000
"""How long home waits for the tries of a tcc transfer before it cancels."""

_DONE: Final = np.int64(Code.DONE)
_PENDING: Final = np.int64(Code.PENDING)
_STALE: Final = np.int64(Code.STALE)
_LIMITED: Final = np.int64(Code.BALANCE_LIMIT)
_TIMED_OUT: Final = np.int64(Code.TIMED_OUT)
_NOT_TOLD: Final = np.int64(NOT_TOLD)
_PROCESS: Final = np.int64(What.PROCESS)
_TRY, _CONFIRM, _CANCEL = (np.int64(action) for action in Action)
_TRYING: Final = np.int64(Phase.TRYING)
_DEBITING: Final = np.int64(Phase.DEBITING)
_COMPENSATING: Final = np.int64(Phase.COMPENSATING)
_CANCELLING: Final = np.int64(Phase.CANCELLING)
_ENDED_DONE: Final = np.int64(Phase.DONE)
_ENDED_REFUSED: Final = np.int64(Phase.REFUSED)
_COUNT: Final = np.int64(Event.COUNT)
_REFUSE: Final = np.int64(Event.REFUSE)
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
    factors = book[8][manner_of(option), action]
    return factors[0], factors[1], factors[2]


@njit_inner
def run_step(book, outcome, legs, first, last, step, option, action, checked):  # type: ignore[no-untyped-def]
    """Do an action to the legs of a step: the code (DONE, or the rule that forbids it) and the available that explains it.

    checked: 1 when the rules have just been tested on these legs, and nothing has moved since.
    """
    factors = factors_of(book, option, action)
    if action == _TRY and not checked:
        code, available = check_legs(book, legs, first, last, step, _ZERO, option & FROM_HOLD_BIT)
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
def _note_step(table, row, step, partition, action, code, sequence, at_us):  # type: ignore[no-untyped-def]
    """Remember what became of a step, to be written into the block with this outcome."""
    rows, _, pool, _, _, _ = table
    record_step(table, row, step, partition, action, code, sequence, at_us)
    record = rows[row, FIRST_LEG] + rows[row, LEG_COUNT] + step
    pool[record, RECORD_TRY_CODE if action == _TRY else RECORD_END_CODE] |= _UNWRITTEN


@njit_inner
def _write_steps(book, outcome, row, every):  # type: ignore[no-untyped-def]
    """Write the steps noted by this outcome; every step of the transfer by its last one, so that one block tells the whole."""
    table, tape, counts = book[3], book[6][3], book[7]
    rows, pool = table[0], table[2]
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


@njit_inner
def _partition_of_step(table, row, step):  # type: ignore[no-untyped-def]
    rows, pool = table[0], table[2]
    for leg in range(rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]):
        if pool[leg, LEG_STEP] == step:
            return pool[leg, LEG_PARTITION]
    return np.int64(-1)


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
    """The first step at or behind `step` that the phase waits for; -1 when the phase is over."""
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
    _, lookup, _, table, _, times, _, _, _ = book
    rows, pool = table[0], table[2]
    here = np.int64(lookup[2])
    phase = rows[row, STATE]
    first_leg, last_leg = rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]
    first, last = steps_of_phase(rows, row)
    moved = False
    for step in range(first, last):
        if rows[row, STATE] != phase:
            break
        if not is_waited_for(rows, row, step) or _partition_of_step(table, row, step) != here:
            continue
        action = PLAN_TABLE[phase, ACTION]
        code, available = run_step(
            book, outcome, pool, first_leg, last_leg, step, step_option(rows, row, step), action, checked
        )  # fmt: skip
        if code != _DONE and action != _TRY:
            continue  # it cannot fail for good: a limit is in the way, and it is tried again
        _note_step(table, row, step, here, action, code, times[1], times[0])
        moved = True
        if code == _DONE:
            _count_step(rows, row, step)
        else:
            _refuse(rows, row, step, code, available)
    return moved


@njit_inner
def advance(book, outcome, row, checked):  # type: ignore[no-untyped-def]
    """Go on as far as home can by itself. The phase is then DONE, REFUSED, or one that waits for answers."""
    rows = book[3][0]
    while rows[row, STATE] != _ENDED_DONE and rows[row, STATE] != _ENDED_REFUSED:
        if _next_step(rows, row) < 0:
            enter_phase_after(rows, row)
        elif not _do_own_steps(book, outcome, row, checked):
            return


@njit_inlined
def enter_phase_after(rows, row):  # type: ignore[no-untyped-def]
    """The phase is done by all its steps: the next one."""
    rows[row, STATE] = PLAN_TABLE[rows[row, STATE], THEN]
    rows[row, MASK] = 0
    rows[row, OPTION] |= ASKS_BIT


@njit_inner
def add_process(book, id_a, id_b, kind, option, legs, first, last):  # type: ignore[no-untyped-def]
    """The row of a new process with its legs and steps, `@world` shared out so that its legs need no transit; not yet kept.

    legs [first, last): as the command has them, sorted by account. Steps: what gives comes first, home's own before the others.
    """
    _, lookup, _, table, _, times, _, _, _ = book
    rows, pool = table[0], table[2]
    partitions, here = lookup[3], np.int64(lookup[2])
    row = add_pending(table, id_a, id_b, _PROCESS, times[0])
    rows[row, OPTION] = option | ASKS_BIT | (np.int64(kind) << KIND_SHIFT)
    rows[row, BEGUN] = times[1]
    for i in range(first, last):
        if is_world(legs[i, LEG_KEY_A], legs[i, LEG_KEY_B]):
            continue
        partition = np.int64(np.uint64(legs[i, LEG_KEY_A]) % partitions)
        add_leg(
            table, row, legs[i, LEG_KEY_A], legs[i, LEG_KEY_B], legs[i, LEG_ASSET], legs[i, LEG_AMOUNT], 0, partition,
            legs[i, LEG_IF_VERSION], legs[i, LEG_IF_AVAILABLE],
        )  # fmt: skip
    for i in range(first, last):
        if not is_world(legs[i, LEG_KEY_A], legs[i, LEG_KEY_B]):
            continue
        if option & FROM_HOLD_BIT and legs[i, LEG_AMOUNT] < 0:  # what it gives is held here
            add_leg(
                table, row, legs[i, LEG_KEY_A], legs[i, LEG_KEY_B], legs[i, LEG_ASSET], legs[i, LEG_AMOUNT], 0, here,
                legs[i, LEG_IF_VERSION], legs[i, LEG_IF_AVAILABLE],
            )  # fmt: skip
        else:
            _share_world(table, row, legs[i])
    _number_steps(table, row, here)
    add_records(table, row, rows[row, STEPS])
    if option & TCC_BIT:
        rows[row, STATE] = _TRYING
        rows[row, DEADLINE_US] = times[0] + TRY_LIMIT_US
    else:
        rows[row, STATE] = _DEBITING
    first_leg = rows[row, FIRST_LEG]
    return row, first_leg, first_leg + rows[row, LEG_COUNT], pool


@njit_inner
def _share_world(table, row, world):  # type: ignore[no-untyped-def]
    """A leg of `@world` in each partition, of what the other legs of its asset come to there."""
    rows, _, pool, _, _, _ = table
    first, last = rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]
    for i in range(first, last):
        if pool[i, LEG_ASSET] != world[LEG_ASSET] or is_world(pool[i, LEG_KEY_A], pool[i, LEG_KEY_B]):
            continue
        total = np.int64(0)
        is_first = True
        for j in range(first, last):
            if pool[j, LEG_ASSET] == world[LEG_ASSET] and pool[j, LEG_PARTITION] == pool[i, LEG_PARTITION]:
                total += pool[j, LEG_AMOUNT]
                is_first = is_first and j >= i
        if is_first and total != 0:
            add_leg(
                table, row, world[LEG_KEY_A], world[LEG_KEY_B], world[LEG_ASSET], -total, 0, pool[i, LEG_PARTITION],
                world[LEG_IF_VERSION], world[LEG_IF_AVAILABLE],
            )  # fmt: skip


@njit_inner
def _number_steps(table, row, here):  # type: ignore[no-untyped-def]
    rows, _, pool, _, _, _ = table
    first, last = rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]
    step = np.int64(0)
    for sign in (-1, 1):
        partition = here
        while partition >= 0:
            following = np.int64(-1)
            found = False
            for leg in range(first, last):
                if pool[leg, LEG_AMOUNT] * sign < 0:
                    continue
                other = pool[leg, LEG_PARTITION]
                if other == partition:
                    pool[leg, LEG_STEP] = step
                    found = True
                elif (
                    other != here and (partition == here or other > partition) and (following < 0 or other < following)
                ):
                    following = other
            step += 1 if found else 0
            partition = following
        if sign < 0:
            rows[row, DEBITS] = step
    rows[row, STEPS] = step


@njit_inner
def begin(book, outcome, id_a, id_b, kind, option, legs, first, last):  # type: ignore[no-untyped-def]
    """Begin a transfer across partitions: PENDING and the row of its process, or at once the code of a rule that one of home's
    own legs breaks, and its available; nothing has moved then."""
    _, lookup, _, table, digest, times, _, _, _ = book
    row, first_leg, last_leg, pool = add_process(book, id_a, id_b, kind, option, legs, first, last)
    rows = table[0]
    here = np.int64(lookup[2])
    for step in range(rows[row, STEPS]):
        if _partition_of_step(table, row, step) != here:
            continue
        authorised = (option & FROM_HOLD_BIT) if step == 0 else _ZERO
        code, available = check_legs(book, pool, first_leg, last_leg, step, _ZERO, authorised)
        if code == _DONE:
            factors = factors_of(book, step_option(rows, row, step), _TRY)
            if factors[0] == 0 and factors[1] == 0:
                factors = factors_of(book, step_option(rows, row, step), _CONFIRM)
            if not legs_fit(book, pool, first_leg, last_leg, step, factors, factors):
                code = _LIMITED
        if code != _DONE:
            drop(table, digest, row)
            table[3][1] = first_leg
            return code, available, np.int64(-1)
    advance(book, outcome, row, _ONE)
    keep_pending(book, outcome, row, times[3], _ONE)
    _write_steps(book, outcome, row, _ZERO)
    return _PENDING, _NOT_TOLD, row


@njit_inner
def take_answer(book, outcome, id_a, id_b, step, state, code, available, sequence, at_us, partition):  # type: ignore[no-untyped-def]
    """Home takes a participant's answer: PENDING or how the transfer ended, and the row (to be ended by the caller then).

    A row of -1: nothing waited for this answer. An answer of state NONE only asks home to go on with its own steps.
    """
    _, _, _, table, _, _, _, _, _ = book
    rows = table[0]
    row = find_pending(table, id_a, id_b, _PROCESS)
    if row < 0 or step < 0 or step >= rows[row, STEPS] or not is_waited_for(rows, row, step):
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
        if _partition_of_step(table, row, step) != partition or (event != _COUNT and event != _REFUSE):
            rows[row, OPTION] |= asked
            return _STALE, np.int64(-1)
        said = code if event == _REFUSE else _DONE
        _note_step(table, row, step, partition, PLAN_TABLE[phase, ACTION], said, sequence, at_us)
        if event == _COUNT:
            _count_step(rows, row, step)
        else:
            _refuse(rows, row, step, code, available)
    return _go_on(book, outcome, row)


@njit_inner
def time_out(book, outcome, id_a, id_b):  # type: ignore[no-untyped-def]
    """The time for the tries is over: cancel. As `take_answer`."""
    table = book[3]
    rows = table[0]
    row = find_pending(table, id_a, id_b, _PROCESS)
    rows[row, CODE] = _TIMED_OUT
    enter_phase(rows, row, _CANCELLING)
    return _go_on(book, outcome, row)


@njit_inner
def _go_on(book, outcome, row):  # type: ignore[no-untyped-def]
    rows, times = book[3][0], book[5]
    advance(book, outcome, row, _ZERO)
    if rows[row, STATE] == _ENDED_DONE or rows[row, STATE] == _ENDED_REFUSED:
        _write_steps(book, outcome, row, _ONE)
        return rows[row, CODE], row
    # With its legs, so that the messages that follow can be made from this block alone.
    keep_pending(book, outcome, row, times[3], _ONE)
    _write_steps(book, outcome, row, _ZERO)
    return _PENDING, row


@njit_inner
def take_step(book, outcome, id_a, id_b, command, legs, first, last):  # type: ignore[no-untyped-def]
    """A participant does one step of a transfer that another partition is home of; the code.

    command: home, step, action, option, begun, low.  legs [first, last): only tries have them.
    """
    home, step, action, option, begun, low = command
    table = book[3]
    rows, pool, lows = table[0], table[2], table[4]
    if begun < lows[home]:
        return _STALE
    row = find_pending(table, id_a, id_b, step_what(home, step))
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
                add_leg(
                    table, row, legs[i, LEG_KEY_A], legs[i, LEG_KEY_B], legs[i, LEG_ASSET], legs[i, LEG_AMOUNT], 0, 0,
                    legs[i, LEG_IF_VERSION], legs[i, LEG_IF_AVAILABLE],
                )  # fmt: skip
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
    raise_low(book[3], book[4], home, low)
    keep_pending(book, outcome, row, low, legs)


@njit_inlined
def _add_step(book, id_a, id_b, home, step, option, begun):  # type: ignore[no-untyped-def]
    table, times = book[3], book[5]
    row = add_pending(table, id_a, id_b, step_what(home, step), times[0])
    table[0][row, OPTION] = option
    table[0][row, BEGUN] = begun
    return row
