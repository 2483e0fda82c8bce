"""The book: everything one partition's decision reads and writes, as the tuples of arrays that the compiled rules pass on.

book      accounts, lookup, systems, table, digest, times, output, counts, effects
accounts  rows, changed_at_us, touched (`account_rows.py`)
lookup    slots, secret, partition, partitions (uint64)
systems   world, transit int64[assets], their row keys uint64[assets], hashes of the assets int64[assets]
table     the pending rows (`pending.py`)
times     created_at_us, sequence, refuse_ids_before_us, low (the first block that began a process still open)
output    code uint8[n], available, repeat_sequence, repeat_row int64[n]; entry outcome, account, posted, version int64[e];
          opened int64[...] (command, or a negative for a system account); held int64[e, 2], flags int64[n, 2] (entry, after);
          pending int64[p, 17], pending_legs int64[l, 9], steps int64[s, 7], links int64[k, 3] as in `columns.py`
counts    int64[10]: how many are used of each, by the names below
effects   int64[manners, actions, 3] (`participant.EFFECTS`)
"""

from __future__ import annotations

from typing import Final

from write_side.contract.account_rows import FLAGS_AND_ASSET, HELD, POSTED, VERSION, touch
from write_side.contract.columns import NOT_TOLD
from write_side.contract.compiled import njit
from write_side.contract.pending import (
    FIRST_LEG,
    ID_A,
    ID_B,
    LEG_COUNT,
    LEG_WIDTH,
    LOGGED,
    STATE,
    WHAT,
    drop,
    take_in,
)

ACCOUNTS: Final = 0
IDS: Final = 1
ENTRIES: Final = 2
OPENED: Final = 3
HELD_ROWS: Final = 4
FLAG_ROWS: Final = 5
PENDING_ROWS: Final = 6
PENDING_LEGS: Final = 7
STEP_ROWS: Final = 8
LINKS: Final = 9
COUNTS: Final = 10

PENDING_WIDTH: Final = 6 + len(LOGGED)
"""outcome, id (two words), what, the logged columns with `low` behind `begun`, legs."""
_NOT_TOLD: Final = NOT_TOLD
_BEGUN_AT: Final = LOGGED.index(6)


@njit(inline="always")
def note_entry(rows, output, counts, outcome, number):  # type: ignore[no-untyped-def]
    """An entry of the block: the account as it is now."""
    entry = counts[ENTRIES]
    output[4][entry] = outcome
    output[5][entry] = number
    output[6][entry] = rows[number, POSTED]
    output[7][entry] = rows[number, VERSION]
    counts[ENTRIES] = entry + 1


@njit(cache=True, nogil=True)
def change(book, outcome, number, posted, held):  # type: ignore[no-untyped-def]
    """Add to an account's sums, as its next version, and note the entry. The limits have been checked."""
    accounts, _, _, _, digest, times, output, counts, _ = book
    rows, changed_at_us, touched = accounts
    touch(rows, changed_at_us, touched, digest, number, times[0])
    rows[number, POSTED] += posted
    rows[number, HELD] += held
    rows[number, VERSION] += 1
    if held != 0:
        output[9][counts[HELD_ROWS], 0] = counts[ENTRIES]
        output[9][counts[HELD_ROWS], 1] = rows[number, HELD]
        counts[HELD_ROWS] += 1
    note_entry(rows, output, counts, outcome, number)


@njit(cache=True, nogil=True)
def change_flags(book, outcome, number, flags):  # type: ignore[no-untyped-def]
    """Give an account other flags, as its next version."""
    accounts, _, _, _, _, _, output, counts, _ = book
    rows = accounts[0]
    output[10][counts[FLAG_ROWS], 0] = counts[ENTRIES]
    output[10][counts[FLAG_ROWS], 1] = flags
    counts[FLAG_ROWS] += 1
    change(book, outcome, number, 0, 0)
    rows[number, FLAGS_AND_ASSET] = (rows[number, FLAGS_AND_ASSET] >> 32 << 32) | flags


@njit(cache=True, nogil=True)
def _write_pending(book, outcome, row, low, legs):  # type: ignore[no-untyped-def]
    _, _, _, table, _, _, output, counts, _ = book
    rows, pool = table[0], table[2]
    at = counts[PENDING_ROWS]
    out = output[11]
    out[at, 0] = outcome
    out[at, 1] = rows[row, ID_A]
    out[at, 2] = rows[row, ID_B]
    out[at, 3] = rows[row, WHAT]
    column = 4
    for i in range(len(LOGGED)):
        out[at, column] = rows[row, LOGGED[i]]
        column += 1
        if i == _BEGUN_AT:
            out[at, column] = low
            column += 1
    out[at, column] = rows[row, LEG_COUNT] if legs else 0
    if legs:
        for leg in range(rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]):
            output[12][counts[PENDING_LEGS], 0] = at
            for word in range(LEG_WIDTH):
                output[12][counts[PENDING_LEGS], word + 1] = pool[leg, word]
            counts[PENDING_LEGS] += 1
    counts[PENDING_ROWS] = at + 1


@njit(cache=True, nogil=True)
def keep_pending(book, outcome, row, low, legs):  # type: ignore[no-untyped-def]
    """Write a pending row into the block as it is now, with all its legs when they are new or changed, and into the digest."""
    _, _, _, table, digest, _, _, _, _ = book
    take_in(table, digest, row)
    _write_pending(book, outcome, row, low, legs)


@njit(cache=True, nogil=True)
def end_pending(book, outcome, row, low):  # type: ignore[no-untyped-def]
    """Write into the block that a pending row is over, and drop it."""
    _, _, _, table, digest, _, _, _, _ = book
    table[0][row, STATE] = 0
    _write_pending(book, outcome, row, low, False)
    drop(table, digest, row)


@njit(inline="always")
def link(book, outcome, a, b):  # type: ignore[no-untyped-def]
    """Note the other id that an outcome is about."""
    output, counts = book[6], book[7]
    output[14][counts[LINKS], 0] = outcome
    output[14][counts[LINKS], 1] = a
    output[14][counts[LINKS], 2] = b
    counts[LINKS] += 1
