"""Chains: lines of a batch that hang together. In an atomic one (positive numbers) a refusal refuses all, in one that stops
(negative) it keeps those behind it from being run. Source: the linked events of TigerBeetle, with a mode more.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.compiled.compiled import njit_inlined, njit_inner
from write_side.contract.state.account_rows import POSTED, VERSION, untouch
from write_side.contract.state.ids import AMOUNT, PARTIES, REFUSED, find_id
from write_side.contract.state.pending_columns import LEG_AMOUNT
from write_side.contract.words.codes import Codes
from write_side.ledger.rules.asked import asked_legs
from write_side.ledger.rules.book import AVAILABLE, CODE, ENTRIES, TAPE, note
from write_side.ledger.rules.legs import number_of_leg
from write_side.ledger.rules.numbers import NOT_TOLD, ZERO
from write_side.ledger.rules.plain_transfers import number_of
from write_side.ledger.rules.tape_columns import BEFORE, OF, SORT, VALUE

CHAIN: Final = 0
BEGAN: Final = 1
FIRST_ENTRY: Final = 2
FIRST_TAPED: Final = 3
FAILED: Final = 4
STATE_WIDTH: Final = 5
"""chain_state int64[5]: number of the chain being decided (0: none), its first row, entry and tape row, whether a row was
refused."""

_BEFORE: Final = np.int64(BEFORE)


@njit_inlined
def enter_chain(chain_state, chain, row, counts):  # type: ignore[no-untyped-def]
    """A row is about to be decided: does a new chain begin with it?"""
    if chain != chain_state[CHAIN]:
        chain_state[CHAIN] = chain
        chain_state[BEGAN] = row
        chain_state[FIRST_ENTRY] = counts[ENTRIES]
        chain_state[FIRST_TAPED] = counts[TAPE]
        chain_state[FAILED] = 0


@njit_inlined
def is_chain_refused(chain_state):  # type: ignore[no-untyped-def]
    """Whether an earlier row of the chain being decided was refused."""
    return chain_state[CHAIN] != 0 and chain_state[FAILED] != 0


@njit_inlined
def end_chain_row(book, ids, commands, chain_state, row, refused):  # type: ignore[no-untyped-def]
    """A row is decided: the first refusal in an atomic chain takes back what the rows before it did."""
    if refused and chain_state[CHAIN] != 0 and chain_state[FAILED] == 0:
        chain_state[FAILED] = 1
        if chain_state[CHAIN] > 0:
            _take_back(book, ids, commands, chain_state, row)


@njit_inner
def note_before(book, commands, row):  # type: ignore[no-untyped-def]
    """Note when the accounts of an atomic chain's row were changed last, where this block has not changed them yet."""
    if commands.rich[row] >= 0:
        legs = asked_legs(commands, row)
        for leg in range(legs.first, legs.last):
            _note_before(book, number_of_leg(book, legs.pool, leg))
        return
    asset = commands.asset[row]
    _note_before(book, number_of(book, commands.debit_a[row], commands.debit_b[row], asset))
    _note_before(book, number_of(book, commands.credit_a[row], commands.credit_b[row], asset))


@njit_inner
def _note_before(book, number):  # type: ignore[no-untyped-def]
    changed_at_us = book.accounts.changed_at_us
    if number >= 0 and changed_at_us[number] != book.times.created_at_us:
        note(book, _BEFORE, number, changed_at_us[number], ZERO)


@njit_inner
def _take_back(book, ids, commands, chain_state, end):  # type: ignore[no-untyped-def]
    """Undo the done transfers of a chain, rows up to `end`: nobody has seen them yet, so no entry of them stays."""
    accounts, output, counts = book.accounts, book.output, book.counts
    for row in range(chain_state[BEGAN], end):
        if output.outcomes[row, CODE] != Codes.DONE:
            continue
        _move_back(book, commands, row)
        output.outcomes[row, CODE] = Codes.BATCH_REFUSED
        output.outcomes[row, AVAILABLE] = NOT_TOLD
        id_row = find_id(ids.table, commands.ids[row, 0], commands.ids[row, 1])
        if id_row >= 0:  # else the cut-off has passed it meanwhile
            ids.table.rows[id_row, AMOUNT] = np.uint64(REFUSED)
            ids.table.rows[id_row, PARTIES] = np.uint64(0)
    tape = output.tape
    for at in range(chain_state[FIRST_TAPED], counts[TAPE]):
        if tape[at, SORT] == _BEFORE:
            untouch(accounts.rows, accounts.changed_at_us, accounts.touched, book.digest, tape[at, OF], tape[at, VALUE])
    counts[ENTRIES] = chain_state[FIRST_ENTRY]
    counts[TAPE] = chain_state[FIRST_TAPED]


@njit_inner
def _move_back(book, commands, row):  # type: ignore[no-untyped-def]
    """Give the accounts of a done transfer their sums and versions of before."""
    rows = book.accounts.rows
    if commands.rich[row] >= 0:
        legs = asked_legs(commands, row)
        for leg in range(legs.first, legs.last):
            number = number_of_leg(book, legs.pool, leg)
            rows[number, POSTED] -= legs.pool[leg, LEG_AMOUNT]
            rows[number, VERSION] -= 1
        return
    amount, asset = commands.amount[row], commands.asset[row]
    debit = number_of(book, commands.debit_a[row], commands.debit_b[row], asset)
    credit = number_of(book, commands.credit_a[row], commands.credit_b[row], asset)
    rows[debit, POSTED] += amount
    rows[debit, VERSION] -= 1
    rows[credit, POSTED] -= amount
    rows[credit, VERSION] -= 1
