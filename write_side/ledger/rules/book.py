"""The book: everything one partition's decision reads and writes, as named tuples of arrays that the compiled rules pass on.

Few arrays, because every function takes the book, and what compiling takes grows with what they take.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.block.columns import FLAGS_MASK
from write_side.contract.compiled.compiled import njit_inlined, njit_inner
from write_side.contract.state.account_rows import FLAGS_AND_ASSET, HELD, POSTED, VERSION, Accounts, touch
from write_side.contract.state.pending_columns import (
    BEGUN,
    CHANGED_US,
    FIRST_LEG,
    ID_A,
    ID_B,
    LEG_COUNT,
    LEG_WIDTH,
    LOGGED,
    STATE,
    WHAT,
)
from write_side.contract.state.pending_index import note_pending
from write_side.contract.state.pending_rows import PendingArrays, drop, take_in
from write_side.ledger.rules.tape_columns import (
    FLAGS_AFTER,
    HELD_AFTER,
    LEG_WORDS,
    OF,
    PENDING_ID_A,
    PENDING_ID_B,
    PENDING_LEG,
    PENDING_LEGS,
    PENDING_LOGGED,
    PENDING_ROW,
    PENDING_WHAT,
    SECOND_VALUE,
    SORT,
    VALUE,
)

Int64s = npt.NDArray[np.int64]
Uint64s = npt.NDArray[np.uint64]


class Lookup(NamedTuple):
    """Where an account is found, and which accounts live here. slots: uint64; secret, partition, partitions: uint64."""

    slots: Uint64s
    secret: np.uint64
    partition: np.uint64
    partitions: np.uint64


class Systems(NamedTuple):
    """Numbers of the system accounts by asset, int64[assets]; hashes of the assets, and where they are found
    (`State.asset_slots`, uint64)."""

    world: Int64s
    transit: Int64s
    hashes: Int64s
    slots: Uint64s


class Times(NamedTuple):
    """created_at_us and sequence of the block, the cut-off of ids, and `low`: the first block that began a process still open."""

    created_at_us: int
    sequence: int
    refuse_ids_before_us: int
    low: int


class Output(NamedTuple):
    """What is decided. outcomes int64[n, OUTCOME_WIDTH] and entries int64[e, ENTRY_WIDTH], columns by the names below; opened
    int64[...] (outcome, or a negative for a system account); tape int64[t, TAPE_WIDTH] (`tape_columns.py`)."""

    outcomes: Int64s
    entries: Int64s
    opened: Int64s
    tape: Int64s


class Book(NamedTuple):
    """table: the pending rows; counts int64[COUNTS]: how many are used of each, by the names below; effects
    int64[manners, actions, 3] (`participant.EFFECTS`)."""

    accounts: Accounts
    lookup: Lookup
    systems: Systems
    table: PendingArrays
    digest: Uint64s
    times: Times
    output: Output
    counts: Int64s
    effects: Int64s


ACCOUNTS: Final = 0
IDS: Final = 1
ENTRIES: Final = 2
OPENED: Final = 3
TAPE: Final = 4
TIMELESS: Final = 5
ID_ROWS: Final = 6
COUNTS: Final = 7

CODE: Final = 0
AVAILABLE: Final = 1
REPEAT_SEQUENCE: Final = 2
REPEAT_ROW: Final = 3
OUTCOME_WIDTH: Final = 4

ENTRY_OUTCOME: Final = 0
ENTRY_ACCOUNT: Final = 1
ENTRY_POSTED: Final = 2
ENTRY_VERSION: Final = 3
ENTRY_WIDTH: Final = 4


@njit_inlined
def _note_held(tape, counts, entry, held):  # type: ignore[no-untyped-def]
    at = counts[TAPE]
    tape[at, SORT] = HELD_AFTER
    tape[at, OF] = entry
    tape[at, VALUE] = held
    counts[TAPE] = at + 1


@njit_inlined
def note_entry(rows, output, counts, outcome, number):  # type: ignore[no-untyped-def]
    """An entry of the block: the account as it is now, with its held sum where there is one."""
    entry = counts[ENTRIES]
    if rows[number, HELD] != 0:
        _note_held(output.tape, counts, entry, rows[number, HELD])
    entries = output.entries
    entries[entry, ENTRY_OUTCOME] = outcome
    entries[entry, ENTRY_ACCOUNT] = number
    entries[entry, ENTRY_POSTED] = rows[number, POSTED]
    entries[entry, ENTRY_VERSION] = rows[number, VERSION]
    counts[ENTRIES] = entry + 1


@njit_inner
def note(book, sort, of, value, second_value):  # type: ignore[no-untyped-def]
    """A row of the tape with two values at most."""
    tape, counts = book.output.tape, book.counts
    at = counts[TAPE]
    tape[at, SORT] = sort
    tape[at, OF] = of
    tape[at, VALUE] = value
    tape[at, SECOND_VALUE] = second_value
    counts[TAPE] = at + 1


@njit_inner
def change(book, outcome, number, posted, held):  # type: ignore[no-untyped-def]
    """Add to an account's sums, as its next version, and note the entry. The limits have been checked."""
    accounts, counts, rows = book.accounts, book.counts, book.accounts.rows
    touch(rows, accounts.changed_at_us, accounts.touched, book.digest, number, book.times.created_at_us)
    rows[number, POSTED] += posted
    rows[number, HELD] += held
    rows[number, VERSION] += 1
    if held != 0 and rows[number, HELD] == 0:
        _note_held(book.output.tape, counts, counts[ENTRIES], np.int64(0))
    note_entry(rows, book.output, counts, outcome, number)


@njit_inner
def change_flags(book, outcome, number, flags):  # type: ignore[no-untyped-def]
    """Give an account other flags, as its next version."""
    rows, none = book.accounts.rows, np.int64(0)
    note(book, np.int64(FLAGS_AFTER), book.counts[ENTRIES], flags, none)
    change(book, outcome, number, none, none)
    rows[number, FLAGS_AND_ASSET] = (rows[number, FLAGS_AND_ASSET] & ~FLAGS_MASK) | flags


@njit_inner
def keep_pending(book, outcome, row, low, with_legs):  # type: ignore[no-untyped-def]
    """Write a pending row into the block as it is now, into the digest too unless it ends (state 0).

    with_legs: 1 when its legs are new or changed, and are all written again.
    """
    table, digest, times, output, counts = book.table, book.digest, book.times, book.output, book.counts
    rows, pool, tape = table.rows, table.legs, output.tape
    rows[row, CHANGED_US] = times.created_at_us
    if rows[row, STATE] != 0:
        take_in(table, digest, row)
        note_pending(table, row)
    at = counts[TAPE]
    tape[at, SORT] = PENDING_ROW
    tape[at, OF] = outcome
    tape[at, PENDING_ID_A] = rows[row, ID_A]
    tape[at, PENDING_ID_B] = rows[row, ID_B]
    tape[at, PENDING_WHAT] = rows[row, WHAT]
    column = PENDING_LOGGED
    for logged in LOGGED:
        tape[at, column] = rows[row, logged]
        column += 1
        if logged == BEGUN:
            tape[at, column] = low
            column += 1
    legs = rows[row, LEG_COUNT] if with_legs else 0
    tape[at, PENDING_LEGS] = legs
    for leg in range(legs):
        tape[at + 1 + leg, SORT] = PENDING_LEG
        for word in range(LEG_WIDTH):
            tape[at + 1 + leg, LEG_WORDS + word] = pool[rows[row, FIRST_LEG] + leg, word]
    counts[TAPE] = at + 1 + legs


@njit_inner
def end_pending(book, outcome, row, low):  # type: ignore[no-untyped-def]
    """Write into the block that a pending row is over, and drop it."""
    table, digest = book.table, book.digest
    table.rows[row, STATE] = 0
    keep_pending(book, outcome, row, low, np.int64(0))
    drop(table, digest, row)
