"""Rich commands: the columns of what has more to it than two accounts of one partition and an amount.

int64[k, WIDTH], one row each, with their legs in int64[legs, pending.LEG_WIDTH]: a client's command with details, a transfer to
another partition, a message between partitions, and what time asks for.
"""

from __future__ import annotations

from typing import Final

OTHER_A: Final = 0
OTHER_B: Final = 1
OPTION: Final = 2
DEADLINE_US: Final = 3
HOME: Final = 4
STEP: Final = 5
ACTION: Final = 6
STATE: Final = 7
CODE: Final = 8
AVAILABLE: Final = 9
SEQUENCE: Final = 10
AT_US: Final = 11
BEGUN: Final = 12
LOW: Final = 13
FIRST: Final = 14
LAST: Final = 15
WIDTH: Final = 16
"""OTHER: id of the hold or transfer that the command is about, as signed words. OPTION: bits of `details.py` for a client's
command, of `pending.py` for a step. HOME to LOW: of `step_batch.py`. FIRST, LAST: its legs."""

SET_SHIFT: Final = 8
CLEAR_SHIFT: Final = 16
"""Where a client's option keeps the flags to set and to clear, 8 bits each."""
