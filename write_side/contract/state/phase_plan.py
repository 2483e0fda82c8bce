"""What each phase of a transfer across partitions asks of its steps: declared once, for home, which asks, and for readers, who
tell what is waited for.

    saga  DEBITING -> CREDITING -> RELEASING -> DONE         one step after the other; on a refusal COMPENSATING, in reverse order
    tcc   TRYING -> CAPTURING -> PAYING -> DONE              all steps of a phase at once; on a refusal CANCELLING
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final, NamedTuple

import numpy as np

from write_side.contract.compiled.compiled import njit_borrowing, njit_inlined
from write_side.contract.state.pending_columns import CURSOR, DEBITS, MASK, STATE, STEPS, Action, Phase


class Asked(IntEnum):
    """Which steps a phase asks; those that give come first, the last one is the last credit."""

    ALL = 0
    DEBITS = 1
    CREDITS = 2
    BUT_LAST = 3  # the last credit of a saga is spendable at once


class Plan(NamedTuple):
    """A phase: what is asked, of which steps, whether one after the other (the cursor points to it; else all at once, and the
    mask has who has done it), which phase follows when all have done it, and which when one refuses (itself where none can)."""

    action: Action
    asked: Asked
    in_order: bool
    then: Phase
    refused: Phase


PLANS: Final[dict[Phase, Plan]] = {
    Phase.TRYING: Plan(Action.TRY, Asked.ALL, False, Phase.CAPTURING, Phase.CANCELLING),
    Phase.DEBITING: Plan(Action.TRY, Asked.DEBITS, True, Phase.CREDITING, Phase.COMPENSATING),
    Phase.CREDITING: Plan(Action.TRY, Asked.ALL, True, Phase.RELEASING, Phase.COMPENSATING),
    Phase.CAPTURING: Plan(Action.CONFIRM, Asked.DEBITS, False, Phase.PAYING, Phase.CAPTURING),
    Phase.PAYING: Plan(Action.CONFIRM, Asked.CREDITS, False, Phase.DONE, Phase.PAYING),
    Phase.RELEASING: Plan(Action.CONFIRM, Asked.BUT_LAST, False, Phase.DONE, Phase.RELEASING),
    Phase.COMPENSATING: Plan(Action.CANCEL, Asked.ALL, True, Phase.REFUSED, Phase.COMPENSATING),
    Phase.CANCELLING: Plan(Action.CANCEL, Asked.ALL, False, Phase.REFUSED, Phase.CANCELLING),
    Phase.DONE: Plan(Action.CONFIRM, Asked.ALL, False, Phase.DONE, Phase.DONE),
    Phase.REFUSED: Plan(Action.CANCEL, Asked.ALL, False, Phase.REFUSED, Phase.REFUSED),
}
"""CREDITING asks from the cursor on, which is behind the debits then; COMPENSATING from it down."""
OPEN_PHASES: Final = tuple(phase for phase in Phase if phase not in (Phase.DONE, Phase.REFUSED))
"""The phases that a row of the pending table can have."""

ACTION, ASKED, IN_ORDER, THEN, ON_REFUSAL = range(len(Plan._fields))
PLAN_TABLE: Final = np.array([[0] * len(Plan._fields), *(PLANS[phase] for phase in Phase)], np.int64)
"""`PLANS` for compiled loops, int64[phases, columns as above], a phase's row at its number."""
_DEBITS, _CREDITS, _BUT_LAST = (np.int64(asked) for asked in (Asked.DEBITS, Asked.CREDITS, Asked.BUT_LAST))


def steps_asked(asked: Any, debits: Any, steps: Any) -> tuple[Any, Any]:
    """The steps [first, last) of a transfer of so many, `debits` of which give."""
    if asked == _DEBITS:
        return np.int64(0), debits
    if asked == _CREDITS:
        return debits, steps
    if asked == _BUT_LAST:
        return np.int64(0), steps - 1
    return np.int64(0), steps


_steps_asked = njit_inlined(steps_asked)


@njit_borrowing
def steps_of_phase(rows, row):  # type: ignore[no-untyped-def]
    """The steps [first, last) that the phase of a process asks, in rising order."""
    return _steps_asked(PLAN_TABLE[rows[row, STATE], ASKED], rows[row, DEBITS], rows[row, STEPS])


@njit_borrowing
def is_waited_for(rows, row, step):  # type: ignore[no-untyped-def]
    """Whether the phase of a process still waits for this step (remote or at home)."""
    if PLAN_TABLE[rows[row, STATE], IN_ORDER]:
        return step == rows[row, CURSOR]
    first, last = steps_of_phase(rows, row)
    return first <= step < last and (rows[row, MASK] >> step) & 1 == 0


def waited_steps(phase: Phase, debits: int, steps: int, cursor: int, mask: int) -> list[int]:
    """As `is_waited_for`, for readers, who ask it of what a block tells too: the steps that have not yet done what the phase
    asks, as far as they have been asked."""
    if phase not in OPEN_PHASES:
        return []
    first, last = steps_asked(PLANS[phase].asked, debits, steps)
    if PLANS[phase].in_order:
        return [cursor] if first <= cursor < last else []
    return [step for step in range(first, last) if not mask >> step & 1]
