"""The tape: what only rich commands say, a row each, int64[t, TAPE_WIDTH]; its sorts of rows, and where their values stand.

`deciding/sections.py` makes the sections of a block of it, `contract/block/columns.py` says what a value means.
"""

from __future__ import annotations

from typing import Final

from write_side.contract.state.pending_columns import LOGGED

HELD_AFTER: Final = 1
FLAGS_AFTER: Final = 2
PENDING_ROW: Final = 3
PENDING_LEG: Final = 4
STEP_ROW: Final = 5
LINK: Final = 6
BEFORE: Final = 7
"""Sorts of rows. BEFORE is for nobody but an atomic chain that is taken back (`chains.py`)."""

SORT, OF = range(2)
"""Of every row but a pending leg: its sort, and the outcome that it is of (HELD_AFTER, FLAGS_AFTER: the entry; BEFORE: the
account)."""
VALUE, SECOND_VALUE = range(2, 4)
"""HELD_AFTER: the held sum; FLAGS_AFTER: the flags; BEFORE: when the account was changed last; LINK: the id, two words."""
STEP_NUMBER, STEP_PARTITION, STEP_ACTION, STEP_CODE, STEP_SEQUENCE, STEP_AT_US = range(2, 8)
PENDING_ID_A, PENDING_ID_B, PENDING_WHAT, PENDING_LOGGED = range(2, 6)
"""From PENDING_LOGGED on the columns of `LOGGED`, with `low` behind `begun`."""
PENDING_LEGS: Final = PENDING_LOGGED + len(LOGGED) + 1
"""How many rows behind this one are its legs."""
LEG_WORDS: Final = 1
"""From here on a pending leg as the pool has it."""
TAPE_WIDTH: Final = PENDING_LEGS + 1
"""A pending row is the widest."""
