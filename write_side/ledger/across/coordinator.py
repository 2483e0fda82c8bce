"""The coordinator of a transfer across partitions, as a table: what an answer means to its home partition in each phase.

Which phases there are, in which order, and what each asks: `contract/state/phase_plan.py`. The decision is written once, as the
phase in the home's log, and never changes: every message that follows can be made again from the row of the process alone
(`outstanding`), so a restart forgets nothing.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

from write_side.contract.compiled.compiled import njit_inlined
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
    Phase,
    Phases,
    StepState,
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


EVENT_TABLE: Final = np.array([[0] * len(StepState), *(EVENTS[phase] for phase in Phase)], np.int64)
"""int64[phases, step states] of `Event`."""


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
