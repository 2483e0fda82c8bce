"""What rows of the pending table and their legs are made of: states, bits, and where each number stands.

The states are numbers in blocks, and never change their meaning.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from write_side.contract.words.codes import numbers_of


class What(IntEnum):
    """What a row stands for, in the low 8 bits of its `what`; a step has its home in the next 16 and its number behind."""

    HOLD = 1
    PROCESS = 2
    REVERSAL = 3
    STEP = 4


class Phase(IntEnum):
    """The state of a process: where a transfer across partitions stands."""

    TRYING = 1
    DEBITING = 2
    CREDITING = 3
    CAPTURING = 4
    PAYING = 5
    RELEASING = 6
    COMPENSATING = 7
    CANCELLING = 8
    DONE = 9
    REFUSED = 10


class StepState(IntEnum):
    """The state of a step at its participant; NONE is no row."""

    NONE = 0
    HELD = 1
    REJECTED = 2
    DONE = 3
    RELEASED = 4
    FENCED = 5


class Action(IntEnum):
    """What the home partition asks of a participant."""

    TRY = 0
    CONFIRM = 1
    CANCEL = 2


class HoldState(IntEnum):
    OPEN = 1
    BUSY = 2  # a capture of it is on its way across partitions


PendingKinds: Final = numbers_of(What.__members__)
Phases: Final = numbers_of(Phase.__members__)
StepStates: Final = numbers_of(StepState.__members__)
Actions: Final = numbers_of(Action.__members__)
HoldStates: Final = numbers_of(HoldState.__members__)
"""The same for compiled loops."""

TCC_BIT: Final = 1
FINAL_BIT: Final = 2
FROM_HOLD_BIT: Final = 4
CREDIT_BIT: Final = 8
LAST_BIT: Final = 16
ASKS_BIT: Final = 32
KIND_SHIFT: Final = 8
"""Bits of `option`; a process keeps the kind of its command in bits 8 to 15. ASKS: the block that has the row so is the one that
sends what its phase asks; later rows of the same phase only count answers."""

HOME_SHIFT: Final = 8
STEP_SHIFT: Final = 24
MASK_STEPS_MAX: Final = 62

ID_A: Final = 0
ID_B: Final = 1
WHAT: Final = 2
STATE: Final = 3
OPTION: Final = 4
ENDS_BY_US: Final = 5
BEGUN: Final = 6
DEBITS: Final = 7
STEPS: Final = 8
CURSOR: Final = 9
MASK: Final = 10
CODE: Final = 11
AVAILABLE: Final = 12
_OTHER_A: Final = 13
_OTHER_B: Final = 14
FIRST_LEG: Final = 15
LEG_COUNT: Final = 16
AT_US: Final = 17
CHANGED_US: Final = 18
LANE_A: Final = 19
LANE_B: Final = 20
WIDTH: Final = 21
LOGGED: Final = (STATE, OPTION, ENDS_BY_US, BEGUN, DEBITS, STEPS, CURSOR, MASK, CODE, AVAILABLE)
"""The columns of `columns.PENDING` from `state` on, `low` and `legs` apart, in their order there."""

HOLD_DEADLINE_US: Final = ENDS_BY_US  # hold: when it expires, 0 for never
TRIES_END_US: Final = ENDS_BY_US  # process: when home cancels what is still being tried, 0 for a saga
REVERSED_ID_US: Final = ENDS_BY_US  # reversal: the time of the reversed transfer's id, with which it is forgotten
SUBJECT_A: Final = _OTHER_A  # process: id of the hold that it captures, or of the transfer that it reverses
SUBJECT_B: Final = _OTHER_B
REVERSING_A: Final = _OTHER_A  # reversal: id of the command that reverses; the row's own is the reversed transfer's
REVERSING_B: Final = _OTHER_B
"""What one column means in each kind of row; a kind that is not named has 0 there. BEGUN, CODE and AVAILABLE (why a try was
refused) are of processes and steps, DEBITS to MASK of processes. The index by time knows only ENDS_BY_US (`pending_index.py`)."""

LEG_KEY_A: Final = 0
LEG_KEY_B: Final = 1
LEG_ASSET: Final = 2
LEG_AMOUNT: Final = 3
LEG_STEP: Final = 4
LEG_PARTITION: Final = 5
LEG_IF_VERSION: Final = 6
LEG_IF_AVAILABLE: Final = 7
LEG_WIDTH: Final = 8
LEG_NAMES: Final = ("asset", "amount", "step", "partition", "if_version", "if_available")
"""How a block names the columns from `LEG_ASSET` on."""

RECORD_TRY_CODE: Final = 0
RECORD_TRY_SEQUENCE: Final = 1
RECORD_TRY_AT_US: Final = 2
RECORD_END_ACTION: Final = 3
RECORD_END_CODE: Final = 4
RECORD_END_SEQUENCE: Final = 5
RECORD_END_AT_US: Final = 6
RECORD_PARTITION: Final = 7
"""A step as its home remembers it, in the pool behind the legs: codes are kept + 1, 0 for not yet; no part of the digest."""
RECORD_TRY: Final = (RECORD_TRY_CODE, RECORD_TRY_SEQUENCE, RECORD_TRY_AT_US)
RECORD_END: Final = (RECORD_END_CODE, RECORD_END_SEQUENCE, RECORD_END_AT_US)
"""What is told of a step's try, and of its confirm or cancel."""
