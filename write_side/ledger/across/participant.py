"""A participant of a transfer across partitions, as tables: what an action does to a step, and to the accounts of its legs.

Source: the try, confirm and cancel of TC/C (Pat Helland, "Life beyond distributed transactions", 2007; Atomikos, "TCC for
transaction management across microservices", 2014) and the compensations of sagas (Garcia-Molina and Salem, "Sagas", 1987).
A cancel that overtakes its try fences it: the try that comes later finds FENCED and never runs.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

from write_side.contract.compiled.compiled import njit_inlined
from write_side.contract.state.pending_columns import CREDIT_BIT, FROM_HOLD_BIT, LAST_BIT, TCC_BIT, StepState


class Move(IntEnum):
    """What a participant does with an action in a state."""

    IGNORE = 0  # home cannot have meant it: a copy that came too late
    REPEAT = 1  # a copy of what was done: say again what came of it
    CHECK = 2  # the first try: HELD (DONE when it is a saga's last credit), or REJECTED with the code of the rule
    CONFIRM = 3  # DONE
    CANCEL = 4  # RELEASED
    FENCE = 5  # FENCED: nothing was tried yet, and nothing ever will be


_N, _H, _R, _D, _L, _F = StepState
MOVES: Final[dict[StepState, tuple[Move, Move, Move]]] = {
    #   state  try           confirm       cancel
    _N: (Move.CHECK, Move.IGNORE, Move.FENCE),
    _H: (Move.REPEAT, Move.CONFIRM, Move.CANCEL),
    _R: (Move.REPEAT, Move.IGNORE, Move.REPEAT),
    _D: (Move.REPEAT, Move.REPEAT, Move.IGNORE),
    _L: (Move.REPEAT, Move.IGNORE, Move.REPEAT),
    _F: (Move.REPEAT, Move.IGNORE, Move.REPEAT),
}


class Manner(IntEnum):
    """Which of the rows of `EFFECTS` a step follows: protocol, side, and whether a hold has been made before."""

    SAGA_DEBIT = 0
    SAGA_CREDIT = 1
    SAGA_LAST_CREDIT = 2
    TCC_DEBIT = 3
    TCC_CREDIT = 4
    SAGA_CAPTURE = 5
    TCC_CAPTURE = 6


_NOTHING: Final = (0, 0, 0)
_EFFECTS: Final[dict[Manner, tuple[tuple[int, int, int], ...]]] = {
    # Per unit of amount, what is added to (posted, held, transit) by:
    #                        try           confirm       cancel
    Manner.SAGA_DEBIT: ((-1, 0, 1), _NOTHING, (1, 0, -1)),
    Manner.SAGA_CREDIT: ((1, 1, -1), (0, -1, 0), (-1, -1, 1)),
    Manner.SAGA_LAST_CREDIT: ((1, 0, -1), _NOTHING, _NOTHING),
    Manner.TCC_DEBIT: ((0, 1, 0), (-1, -1, 1), (0, -1, 0)),
    Manner.TCC_CREDIT: (_NOTHING, (1, 0, -1), _NOTHING),
    Manner.SAGA_CAPTURE: ((-1, -1, 1), _NOTHING, (1, 1, -1)),
    Manner.TCC_CAPTURE: (_NOTHING, (-1, -1, 1), _NOTHING),
}
"""posted + transit is zero in every cell, so no action of anybody makes or loses money; a saga's credit that may have to be taken
back is held as well, so that taking it back cannot fail; nothing is paid by a try of tcc."""


MOVE_TABLE: Final = np.array([MOVES[state] for state in StepState], np.int64)
"""int64[states, actions] of `Move`."""
EFFECTS: Final = np.array([_EFFECTS[manner] for manner in Manner], np.int64)
"""int64[manners, actions, 3]: factors of (posted, held, transit)."""

_SAGA_DEBIT, _SAGA_CREDIT, _LAST_CREDIT, _TCC_DEBIT, _TCC_CREDIT, _SAGA_CAPTURE, _TCC_CAPTURE = (
    np.int64(m) for m in Manner
)


@njit_inlined
def manner_of(option):  # type: ignore[no-untyped-def]
    """The manner of a step with these option bits (`pending.py`)."""
    if option & CREDIT_BIT:
        if option & TCC_BIT:
            return _TCC_CREDIT
        return _LAST_CREDIT if option & LAST_BIT else _SAGA_CREDIT
    if option & FROM_HOLD_BIT:
        return _TCC_CAPTURE if option & TCC_BIT else _SAGA_CAPTURE
    return _TCC_DEBIT if option & TCC_BIT else _SAGA_DEBIT
