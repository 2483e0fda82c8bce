"""What fits: the one budget of bytes and rows that whoever makes commands, messages, records or blocks keeps.

A block is one record of the log, and no log takes a larger one than `RECORD_BYTES_MAX`. So whatever a door or a relay lets into a
queue must, once decided, fit into a block beside what time decides; a record that might not is cut before it is queued, because
one that is in the queue would end every writer that takes it. What one command or message can add to a block is bounded by
`ledger/commands/weights.py`, row by row, with the widths below; `tests/unit/write_side/ledger/commands/test_weights.py` holds the
bounds against what is really encoded.

    RECORD_BYTES_MAX  =  FRAME_BYTES  +  DUE_BYTES_MAX  +  COMMANDS_BYTES_MAX

What is kept to is read as `limits.NAME` when it is needed, so that a simulation meets the same limits with a small log.
"""

from __future__ import annotations

from typing import Final

from fanfold.api.grammar import PRINCIPAL_BYTES_MAX
from write_side.contract.words.position import PARTITIONS_MAX as PARTITIONS_MAX

RECORD_BYTES_MAX: Final = 16 * 1024 * 1024
"""One record of any log and of any queue. A Kafka topic is made with it, far below the 100 MB a broker takes as one request."""
FRAME_BYTES: Final = 64 * 1024
"""Of a block beside its rows: header, and heads and codes of 14 sections."""
DUE_BYTES_MAX: Final = 2 * 1024 * 1024
"""What time decides at the beginning of a block (`gathered.py`); what does not fit follows in the next."""
COMMANDS_BYTES_MAX: Final = RECORD_BYTES_MAX - FRAME_BYTES - DUE_BYTES_MAX
"""What the commands and messages of one record, or of all records of a block, may weigh."""
BODY_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of a block that is read. More than is written: blocks of before the budget are read for ever."""

OUTCOMES_MAX: Final = 2**16
"""Rows a block: their numbers then fit two bytes."""
DUE_MAX: Final = 8_192
"""Rows that time decides in one block."""
ROWS_MAX: Final = OUTCOMES_MAX - DUE_MAX
"""Commands and messages that a block, and so a record, can take beside them. A writer's setting is bounded by it."""

# Bytes that one row of a section takes at most, texts apart. Integers are stored in the narrowest type that holds their column
# (`columns.py`), so that numbers of rows take two bytes, codes and counts one, and whatever a client or a clock names eight.
OUTCOME_ROW: Final = 28  # id 16, kind, code, place 8 + 2
ENTRY_ROW: Final = 22  # outcome 2, account 4, posted 8, version 8
HELD_ROW: Final = 12  # entry 4, held 8
FLAGS_ROW: Final = 8
LEG_ROW: Final = 45  # outcome 2, account 4, amount 8, asset 4 + 19, available 8
CONDITION_ROW: Final = 20  # leg 4, version 8, available 8
DETAIL_ROW: Final = 50  # outcome 2, fingerprint 16, deadline 8, option 8, amount 8, two texts 4 + 4
LINK_ROW: Final = 18
PENDING_ROW: Final = 80  # outcome 2, id 16, what 8, five times and sequences of 8, and nine small ones
PENDING_LEG_ROW: Final = 56  # pending 4, key 16, four numbers of 8, step 1, partition 2
STEP_ROW: Final = 23  # outcome 2, three small ones, partition 2, sequence 8, time 8
ASKER_ROW: Final = 6  # outcome 2, text 4
SECTION_ROWS_MAX: Final = RECORD_BYTES_MAX // ENTRY_ROW
"""Of a section, whatever is stored of them: entries and steps are the smallest rows that come by themselves."""
ACCOUNT_BYTES_MAX: Final = 64
"""Of an account's id."""
ASKER_BYTES_MAX: Final = PRINCIPAL_BYTES_MAX
"""Of the name of who asked."""
