"""The coordinator of a transfer across partitions, as tables: its home partition moves it from phase to phase.

    saga  DEBITING -> CREDITING -> RELEASING -> DONE         one step after the other; on a refusal COMPENSATING, in reverse order
    tcc   TRYING -> CAPTURING -> PAYING -> DONE              all steps of a phase at once; on a refusal CANCELLING

The decision is written once, as the phase in the home's log, and never changes: every message that follows can be made again
from the row of the process alone (`outstanding`), so a restart forgets nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.compiled.compiled import njit_borrowing, njit_inlined
from write_side.contract.state.pending_columns import (
    ASKS_BIT,
    CREDIT_BIT,
    CURSOR,
    DEBITS,
    FROM_HOLD_BIT,
    LAST_BIT,
    MASK,
    OPTION,
    STATE,
    STEPS,
    TCC_BIT,
    Action,
    Phase,
    Phases,
)
from write_side.contract.words.codes import numbers_of


class Event(IntEnum):
    """What an answer means in a phase."""

    IGNORE = 0  # not what is waited for: a copy, or late
    COUNT = 1  # the step has done what the phase asks
    REFUSE = 2  # the try was refused


Events: Final = numbers_of(Event.__members__)

_I, _C, _X = Event.IGNORE, Event.COUNT, Event.REFUSE
EVENTS: Final[dict[Phase, tuple[Event, ...]]] = {
    #                   none held rejected done released fenced
    Phase.TRYING: (_I, _C, _X, _I, _I, _X),
    Phase.DEBITING: (_I, _C, _X, _I, _I, _X),
    Phase.CREDITING: (_I, _C, _X, _C, _I, _X),
    Phase.CAPTURING: (_I, _I, _I, _C, _I, _I),
    Phase.PAYING: (_I, _I, _I, _C, _I, _I),
    Phase.RELEASING: (_I, _I, _I, _C, _I, _I),
    Phase.COMPENSATING: (_I, _I, _C, _I, _C, _C),
    Phase.CANCELLING: (_I, _I, _C, _I, _C, _C),
    Phase.DONE: (_I,) * 6,
    Phase.REFUSED: (_I,) * 6,
}
"""By the state in which the participant says its step is."""


class Plan(NamedTuple):
    """A phase: what is asked of its steps, whether one after the other, and which phase follows when all have done it,
    and which when one refuses (itself where none can)."""

    action: Action
    in_order: bool
    then: Phase
    refused: Phase


PLANS: Final[dict[Phase, Plan]] = {
    Phase.TRYING: Plan(Action.TRY, False, Phase.CAPTURING, Phase.CANCELLING),
    Phase.DEBITING: Plan(Action.TRY, True, Phase.CREDITING, Phase.COMPENSATING),
    Phase.CREDITING: Plan(Action.TRY, True, Phase.RELEASING, Phase.COMPENSATING),
    Phase.CAPTURING: Plan(Action.CONFIRM, False, Phase.PAYING, Phase.CAPTURING),
    Phase.PAYING: Plan(Action.CONFIRM, False, Phase.DONE, Phase.PAYING),
    Phase.RELEASING: Plan(Action.CONFIRM, False, Phase.DONE, Phase.RELEASING),
    Phase.COMPENSATING: Plan(Action.CANCEL, True, Phase.REFUSED, Phase.COMPENSATING),
    Phase.CANCELLING: Plan(Action.CANCEL, False, Phase.REFUSED, Phase.CANCELLING),
    Phase.DONE: Plan(Action.CONFIRM, False, Phase.DONE, Phase.DONE),
    Phase.REFUSED: Plan(Action.CANCEL, False, Phase.REFUSED, Phase.REFUSED),
}


def _by_phase(rows: Mapping[Phase, Iterable[int]]) -> npt.NDArray[np.int64]:
    return np.array([[0] * len(tuple(rows[Phase.DONE])), *(list(rows[phase]) for phase in Phase)], np.int64)


EVENT_TABLE: Final = _by_phase(EVENTS)
"""int64[phases, step states] of `Event`."""
PLAN_TABLE: Final = _by_phase(PLANS)
"""int64[phases, 4]: action, in order, then, refused."""
ACTION: Final = 0
IN_ORDER: Final = 1
THEN: Final = 2
ON_REFUSAL: Final = 3


@njit_borrowing
def steps_of_phase(rows, row):  # type: ignore[no-untyped-def]
    """The steps [first, last) that the phase of a process asks, in rising order."""
    phase, debits, steps = rows[row, STATE], rows[row, DEBITS], rows[row, STEPS]
    if phase in (Phases.CAPTURING, Phases.DEBITING):
        return np.int64(0), debits
    if phase == Phases.PAYING:
        return debits, steps
    if phase == Phases.RELEASING:
        return np.int64(0), steps - 1
    return np.int64(0), steps


@njit_borrowing
def is_waited_for(rows, row, step):  # type: ignore[no-untyped-def]
    """Whether the phase of a process still waits for this step (remote or at home)."""
    phase = rows[row, STATE]
    if PLAN_TABLE[phase, IN_ORDER]:
        return step == rows[row, CURSOR]
    first, last = steps_of_phase(rows, row)
    return first <= step < last and (rows[row, MASK] >> step) & 1 == 0


@njit_inlined
def step_option(rows, row, step):  # type: ignore[no-untyped-def]
    """The option bits that a step of a process goes by."""
    option = rows[row, OPTION] & TCC_BIT
    if step >= rows[row, DEBITS]:
        option |= CREDIT_BIT
        if step == rows[row, STEPS] - 1:
            option |= LAST_BIT
    elif step == 0:  # home's own: what a hold holds is all there
        option |= rows[row, OPTION] & FROM_HOLD_BIT
    return option


@njit_inlined
def enter_phase(rows, row, phase):  # type: ignore[no-untyped-def]
    """Go to a phase: nothing of it is done yet. COMPENSATING begins before the cursor, which points to what was refused."""
    rows[row, STATE] = phase
    rows[row, MASK] = 0
    rows[row, OPTION] |= ASKS_BIT
    if phase == Phases.COMPENSATING:
        rows[row, CURSOR] -= 1
