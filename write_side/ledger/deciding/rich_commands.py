"""Rich commands decided: which rule each goes by, and what becomes of its id."""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.compiled.compiled import njit_inlined, njit_inner
from write_side.contract.state.account_rows import FLAGS_AND_ASSET, HELD, POSTED
from write_side.contract.state.hash_index import find_row
from write_side.contract.state.id_parts import TIME_US
from write_side.contract.state.ids import (
    AMOUNT,
    DONE_BY_LEGS,
    DONE_OTHER,
    PENDING_OTHER,
    PENDING_TRANSFER,
    REFUSED,
    ROW_BITS,
    end_id,
    find_id,
)
from write_side.contract.state.pending_columns import (
    FINAL_BIT,
    FROM_HOLD_BIT,
    ID_A,
    ID_B,
    KIND_SHIFT,
    OPTION,
    REVERSED_ID_US,
    REVERSING_A,
    REVERSING_B,
    STATE,
    SUBJECT_A,
    SUBJECT_B,
    TCC_BIT,
    PendingKinds,
)
from write_side.contract.state.pending_index import open_legs
from write_side.contract.state.pending_rows import add_pending, find_pending, take_in
from write_side.contract.words.codes import Codes, Flags, Kinds
from write_side.ledger.across.run_process import Answer, begin, take_answer, time_out
from write_side.ledger.across.steps import StepCommand, take_step
from write_side.ledger.commands import rich_columns as rich
from write_side.ledger.rules.book import ENTRIES, TAPE, change_flags, end_pending, keep_pending, note
from write_side.ledger.rules.holds import (
    any_elsewhere,
    capture,
    end_capture,
    expire,
    hold,
    set_aside,
    transfer_legs,
    void,
)
from write_side.ledger.rules.numbers import NOT_TOLD, ZERO
from write_side.ledger.rules.ran_before import end_before
from write_side.ledger.rules.tape_columns import LINK

_LINK: Final = np.int64(LINK)
_KIND_MASK: Final = 255

ENTRIES_MAX: Final = 2_048
TAPE_MAX: Final = 4_096
"""What a rich command can say at most: 62 legs, each touched three times (try, its confirm or cancel, the rest of a hold let go),
and its transit account with it; on the tape a row for each entry, each leg of pending rows twice, and two for each step."""


@njit_inlined
def has_room(output, counts, left):  # type: ignore[no-untyped-def]
    """Whether the output has room for all that a rich command can say, and for `left` plain transfers behind it, with
    what is held of both accounts and, in an atomic chain, when they were changed before."""
    return (
        counts[ENTRIES] + ENTRIES_MAX + 2 * left <= len(output.entries)
        and counts[TAPE] + TAPE_MAX + 4 * left <= len(output.tape)
    )  # fmt: skip


@njit_inlined
def _became(code, reversible):  # type: ignore[no-untyped-def]
    """What the id table keeps of an outcome, in its AMOUNT."""
    if code == Codes.DONE:
        return DONE_BY_LEGS if reversible else DONE_OTHER
    if code == Codes.PENDING:
        return PENDING_TRANSFER if reversible else PENDING_OTHER
    return REFUSED


@njit_inner
def _capture(book, asked, option):  # type: ignore[no-untyped-def]
    """Move what a hold holds: the code (PENDING when it spans partitions) and its available."""
    code, available, held, captured = capture(book, asked, option)
    if code == Codes.PENDING:
        code, available, process = begin(book, asked, option | FROM_HOLD_BIT, captured)
        if code == Codes.PENDING:
            _note_subject(book, asked, process)
            set_aside(book, asked.outcome, held, captured)
    return code, available


@njit_inlined
def _note_subject(book, asked, process):  # type: ignore[no-untyped-def]
    rows = book.table.rows
    rows[process, SUBJECT_A] = asked.row[rich.OTHER_A]
    rows[process, SUBJECT_B] = asked.row[rich.OTHER_B]
    take_in(book.table, book.digest, process)


@njit_inner
def decide_rich(book, ids, asked):  # type: ignore[no-untyped-def]
    """A client's rich command: its code, its available, and what the id table keeps of it (`ids.AMOUNT`)."""
    row, legs, kind = asked.row, asked.legs, asked.kind
    option = row[rich.OPTION] & (TCC_BIT | FINAL_BIT)
    code, available = Codes.DONE, NOT_TOLD
    if kind in (Kinds.CAPTURE, Kinds.VOID, Kinds.REVERSE):
        note(book, _LINK, asked.outcome, row[rich.OTHER_A], row[rich.OTHER_B])
    if kind == Kinds.TRANSFER:
        if not any_elsewhere(legs, book.lookup):
            code, available = transfer_legs(book, asked.outcome, legs)
        elif asked.chain > 0:
            code = Codes.PARTITIONS_DIFFER
        else:
            code, available, _ = begin(book, asked, option, legs)
    elif kind == Kinds.HOLD:
        code, available = hold(book, asked, option)
    elif kind == Kinds.CAPTURE:
        code, available = _capture(book, asked, option)
    elif kind == Kinds.VOID:
        code = void(book, asked)
    elif kind == Kinds.REVERSE:
        code, available = _reverse(book, ids, asked, option)
    else:
        code = np.int64(_change(book, asked))
    return code, available, np.int64(_became(code, kind == Kinds.TRANSFER))


@njit_inner
def decide_unasked(book, ids, asked):  # type: ignore[no-untyped-def]
    """What no client asked for: a deadline, a step for another partition, an answer to home. Its code and available."""
    row = asked.row
    if asked.kind == Kinds.EXPIRE:
        expire(book, asked)
        return Codes.DONE, NOT_TOLD
    if asked.kind == Kinds.STEP:
        command = StepCommand(
            row[rich.HOME], row[rich.STEP], row[rich.ACTION], row[rich.OPTION], row[rich.BEGUN], row[rich.LOW]
        )
        return np.int64(take_step(book, asked, command)), NOT_TOLD
    if asked.kind == Kinds.ANSWER:
        answer = Answer(
            row[rich.HOME], row[rich.STEP], row[rich.STATE], row[rich.CODE], row[rich.AVAILABLE], row[rich.SEQUENCE],
            row[rich.AT_US], row[rich.BEGUN],
        )  # fmt: skip
        code, process = take_answer(book, asked, answer)
    else:
        code, process = time_out(book, asked)
    if process >= 0 and code != Codes.PENDING:
        _end(book, ids, asked.outcome, process, code)
    return np.int64(code), NOT_TOLD


@njit_inner
def _end(book, ids, outcome, process, code):  # type: ignore[no-untyped-def]
    """A transfer across partitions is over: its hold or reversal, its id, its row."""
    table, times = book.table, book.times
    rows = table.rows
    a, b = rows[process, ID_A], rows[process, ID_B]
    kind = (rows[process, OPTION] >> KIND_SHIFT) & _KIND_MASK
    if kind == Kinds.CAPTURE:
        end_capture(book, outcome, process, code == Codes.DONE)
    elif kind == Kinds.REVERSE and code != Codes.DONE:
        reversal = find_pending(table, rows[process, SUBJECT_A], rows[process, SUBJECT_B], PendingKinds.REVERSAL)
        if reversal >= 0:  # else the original's id is no longer remembered
            end_pending(book, outcome, reversal, ZERO)
    place = (times.sequence << ROW_BITS) | outcome
    end_id(ids.table, np.uint64(a), np.uint64(b), place, code == Codes.DONE)
    end_before(ids.before, np.uint64(a), np.uint64(b), place, code == Codes.DONE)
    end_pending(book, outcome, find_pending(table, a, b, PendingKinds.PROCESS), times.low)


@njit_inner
def _reverse(book, ids, asked, option):  # type: ignore[no-untyped-def]
    """Move the legs of a done transfer the other way round, once: the code and its available."""
    table, legs, other_a, other_b = book.table, asked.legs, asked.row[rich.OTHER_A], asked.row[rich.OTHER_B]
    rows, id_rows = table.rows, ids.table.rows
    original = find_id(ids.table, np.uint64(other_a), np.uint64(other_b))
    if original < 0:
        return Codes.TRANSFER_UNKNOWN, NOT_TOLD
    became = np.int64(id_rows[original, AMOUNT])
    if (became <= 0 and became != DONE_BY_LEGS) or legs.first == legs.last:
        return Codes.NOT_REVERSIBLE, NOT_TOLD
    if find_pending(table, other_a, other_b, PendingKinds.REVERSAL) >= 0:
        return Codes.ALREADY_REVERSED, NOT_TOLD
    if any_elsewhere(legs, book.lookup):
        code, available, process = begin(book, asked, option, legs)
        if code == Codes.PENDING:
            _note_subject(book, asked, process)
    else:
        code, available = transfer_legs(book, asked.outcome, legs)
    if code in (Codes.DONE, Codes.PENDING):
        row = add_pending(table, other_a, other_b, PendingKinds.REVERSAL, book.times.created_at_us)
        rows[row, STATE] = 1
        rows[row, REVERSED_ID_US] = np.int64(id_rows[original, TIME_US])
        rows[row, REVERSING_A] = asked.id_a
        rows[row, REVERSING_B] = asked.id_b
        keep_pending(book, asked.outcome, row, ZERO, ZERO)
    return np.int64(code), available


@njit_inner
def _change(book, asked):  # type: ignore[no-untyped-def]
    """Set and clear flags of an account; the code."""
    lookup, key_a, key_b = book.lookup, asked.key_a, asked.key_b
    option = asked.row[rich.OPTION]
    to_set, to_clear = (option >> rich.SET_SHIFT) & 255, (option >> rich.CLEAR_SHIFT) & 255
    rows = book.accounts.rows
    number = find_row(rows, lookup.slots, lookup.secret, np.uint64(key_a), np.uint64(key_b))
    if number < 0:
        return Codes.ACCOUNT_UNKNOWN
    flags = rows[number, FLAGS_AND_ASSET] & 0xFFFFFFFF
    if flags & Flags.CLOSED and not to_clear & Flags.CLOSED:
        return Codes.ACCOUNT_CLOSED
    # Money that a transfer under way may still bring, or bring back, counts too.
    empty = rows[number, POSTED] == 0 and rows[number, HELD] == 0
    if to_set & Flags.CLOSED and not (empty and open_legs(book.table, key_a, key_b) == 0):
        return Codes.NOT_EMPTY
    change_flags(book, asked.outcome, number, (flags | to_set) & ~to_clear)
    return Codes.DONE
