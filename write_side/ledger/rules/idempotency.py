"""The id of a command: whether it ran before, and that from now on it has."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from write_side.contract.compiled.compiled import njit_inlined, njit_inner
from write_side.contract.state.fold_ids import time_of_id
from write_side.contract.state.id_parts import has_time
from write_side.contract.state.ids import (
    AMOUNT,
    FINGERPRINT_A,
    FINGERPRINT_B,
    PLACE,
    REFUSED,
    ROW_BITS,
    IdArrays,
    IdRow,
    find_id,
    put_id,
)
from write_side.contract.state.pending_columns import PendingKinds
from write_side.contract.state.pending_index import ROW_COUNT
from write_side.contract.state.pending_rows import find_pending
from write_side.contract.words.codes import Codes
from write_side.ledger.rules.book import CODE, ID_ROWS, IDS, REPEAT_ROW, REPEAT_SEQUENCE, TIMELESS
from write_side.ledger.rules.ran_before import PRINT_A, PRINT_B, RanBefore, first_outcome

ID_AHEAD_US: Final = 5 * 60 * 1_000_000
"""A client's clock may be this far ahead of ours."""

ANSWERED: Final = np.int64(-1)
ANSWERED_REFUSED: Final = np.int64(-2)
FULL: Final = np.int64(-3)
"""Why there is nothing to decide: the code is told (that of something done, or a refusal), or a higher cut-off is wanted."""


@njit_inner
def _is_open(table, a, b):  # type: ignore[no-untyped-def]
    """Whether an id without a time, which the id table may have forgotten, is that of an open hold or transfer."""
    return find_pending(table, a, b, PendingKinds.PROCESS) >= 0 or find_pending(table, a, b, PendingKinds.HOLD) >= 0


@njit_inner
def _tell_again(outcomes, before, prints, i):  # type: ignore[no-untyped-def]
    """As of an id in the table, of one that was forgotten: it ran, and that never changes."""
    row = before.rows[before.at[i]]
    if row[PRINT_A] != prints[0, i] or row[PRINT_B] != prints[1, i]:
        outcomes[i, CODE] = Codes.ID_REUSED
        return ANSWERED_REFUSED
    outcomes[i, CODE] = Codes.REPEATED
    outcomes[i, REPEAT_SEQUENCE], outcomes[i, REPEAT_ROW], refused = first_outcome(before, i)
    return ANSWERED_REFUSED if refused else ANSWERED


class Ids(NamedTuple):
    """The table of remembered ids, how many it should hold, how many of them without a time, and what ran before and is not
    there."""

    table: IdArrays
    ids_max: int
    timeless_max: int
    before: RanBefore


@njit_inlined
def take_id(book, ids, commands, i, raised, not_run):  # type: ignore[no-untyped-def]
    """Remember the id of row i as this block's: its row in the id table, or one of the negative numbers above.

    not_run: a chain that stopped runs nothing new.  raised: the cut-off was just raised for this row.
    """
    counts, outcomes, prints, id_rows = book.counts, book.output.outcomes, commands.prints, ids.table.rows
    at_us, refuse_before_us = book.times.created_at_us, book.times.refuse_ids_before_us
    id_a, id_b = commands.ids[i, 0], commands.ids[i, 1]
    at = find_id(ids.table, id_a, id_b)
    if at >= 0:
        if id_rows[at, FINGERPRINT_A] == prints[0, i] and id_rows[at, FINGERPRINT_B] == prints[1, i]:
            outcomes[i, CODE] = Codes.REPEATED
            outcomes[i, REPEAT_SEQUENCE] = np.int64(id_rows[at, PLACE] >> np.uint64(ROW_BITS))
            outcomes[i, REPEAT_ROW] = np.int64(id_rows[at, PLACE] & np.uint64((1 << ROW_BITS) - 1))
            # A repeated line counts in its chain as what it was the first time.
            return ANSWERED if np.int64(id_rows[at, AMOUNT]) != REFUSED else ANSWERED_REFUSED
        outcomes[i, CODE] = Codes.ID_REUSED
        return ANSWERED_REFUSED
    if ids.before.at.size > 0 and ids.before.at[i] >= 0:
        return _tell_again(outcomes, ids.before, prints, i)
    id_time_us = time_of_id(id_a, id_b, at_us)
    if id_time_us < refuse_before_us or id_time_us > at_us + ID_AHEAD_US:
        outcomes[i, CODE] = Codes.ID_EXPIRED if id_time_us < refuse_before_us else Codes.ID_IN_FUTURE
        return ANSWERED_REFUSED
    if (
        id_time_us == at_us
        and book.table.counts[ROW_COUNT] > 0
        and _is_open(book.table, np.int64(id_a), np.int64(id_b))
    ):
        outcomes[i, CODE] = Codes.ID_EXPIRED
        return ANSWERED_REFUSED
    if not_run:
        outcomes[i, CODE] = Codes.NOT_RUN
        return ANSWERED_REFUSED
    is_timeless = 0 if has_time(id_a, id_b) else 1
    if is_timeless and counts[TIMELESS] >= ids.timeless_max:
        # To forget an older one before its window would let it run twice.
        outcomes[i, CODE] = Codes.ID_MEMORY_FULL
        return ANSWERED_REFUSED
    step = max(np.int64(1), ids.ids_max // 16)
    count, used = counts[IDS], counts[ID_ROWS]
    if count >= ids.ids_max and (count - ids.ids_max) % step == 0 and not raised:
        return FULL
    place = (book.times.sequence << ROW_BITS) | i
    new = IdRow(id_a, id_b, prints[0, i], prints[1, i], place, id_time_us, REFUSED, 0)
    id_row = put_id(ids.table, book.digest, at, used, new)
    counts[IDS] = count + 1
    counts[ID_ROWS] += 1 if id_row == used else 0
    counts[TIMELESS] += is_timeless
    return id_row
