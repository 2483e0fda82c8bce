"""Plain transfers between two accounts of the partition: the hot loop.

Conditions are tested in the order of `codes.PRECEDENCE`.
"""

from __future__ import annotations

import numpy as np

from write_side.contract.compiled.compiled import njit, njit_inlined, njit_inner
from write_side.contract.compiled.prefetch import AHEAD
from write_side.contract.state.account_rows import (
    ASSET_SHIFT,
    FLAGS_AND_ASSET,
    FLOOR,
    HELD,
    POSTED,
    VERSION,
    asset_of,
    prefetch_account,
    touch,
)
from write_side.contract.state.hash_index import find_row, prefetch_first_slot
from write_side.contract.state.ids import AMOUNT, PARTIES
from write_side.contract.state.state import WORLD_KEY
from write_side.contract.words.codes import Codes, Flags
from write_side.ledger.rules.asked import is_plain
from write_side.ledger.rules.book import AVAILABLE, CODE, note_entry
from write_side.ledger.rules.idempotency import FULL, take_id
from write_side.ledger.rules.numbers import LIMIT, NO_FLOOR, NOT_TOLD

_WORLD_A, _WORLD_B = WORLD_KEY


@njit_inlined
def _change(book, number, delta):  # type: ignore[no-untyped-def]
    accounts = book.accounts
    touch(accounts.rows, accounts.changed_at_us, accounts.touched, book.digest, number, book.times.created_at_us)
    accounts.rows[number, POSTED] += delta
    accounts.rows[number, VERSION] += 1


@njit_inlined
def number_of(book, a, b, asset):  # type: ignore[no-untyped-def]
    """The account's number, negative when there is none; `@world` is the one of the asset."""
    if a == _WORLD_A and b == _WORLD_B:
        return book.systems.world[asset] if asset >= 0 else np.int64(-1)
    return find_row(book.accounts.rows, book.lookup.slots, book.lookup.secret, a, b)


@njit(cache=True, nogil=True)
def _terms_code(rows, debit, credit, asset):  # type: ignore[no-untyped-def]
    """Why one of two accounts is not simply an unflagged one of the asset (DONE when only flags of no matter here are set)."""
    if asset_of(rows, debit) != asset or asset_of(rows, credit) != asset:
        return Codes.ASSET_MISMATCH
    gives, receives = rows[debit, FLAGS_AND_ASSET], rows[credit, FLAGS_AND_ASSET]
    if (gives | receives) & Flags.CLOSED:
        return Codes.ACCOUNT_CLOSED
    if gives & Flags.DEBIT_FROZEN:
        return Codes.DEBIT_FROZEN
    return Codes.CREDIT_FROZEN if receives & Flags.CREDIT_FROZEN else Codes.DONE


@njit_inlined
def _transfer_code(rows, debit, credit, asset, amount):  # type: ignore[no-untyped-def]
    """The code of a transfer between two looked-up accounts, and the debited one's available (`NOT_TOLD` if irrelevant)."""
    if debit < 0 or credit < 0:
        return Codes.ACCOUNT_UNKNOWN, NOT_TOLD
    unflagged = asset << ASSET_SHIFT
    if rows[debit, FLAGS_AND_ASSET] != unflagged or rows[credit, FLAGS_AND_ASSET] != unflagged:
        code = _terms_code(rows, debit, credit, asset)
        if code != Codes.DONE:
            return code, NOT_TOLD
    posted, floor = rows[debit, POSTED], rows[debit, FLOOR]
    if floor != NO_FLOOR and posted - rows[debit, HELD] - floor < amount:
        return Codes.INSUFFICIENT_AVAILABLE, posted - rows[debit, HELD] - floor
    if posted - amount < -LIMIT or rows[credit, POSTED] + amount > LIMIT:
        return Codes.BALANCE_LIMIT, NOT_TOLD
    return Codes.DONE, NOT_TOLD


@njit_inlined
def move(book, ids, commands, i, id_row):  # type: ignore[no-untyped-def]
    """A plain transfer between two accounts of this partition: its code."""
    rows, output, counts = book.accounts.rows, book.output, book.counts
    amount, asset = commands.amount[i], commands.asset[i]
    debit = number_of(book, commands.debit_a[i], commands.debit_b[i], asset)
    credit = number_of(book, commands.credit_a[i], commands.credit_b[i], asset)
    code, spendable = _transfer_code(rows, debit, credit, asset, amount)
    output.outcomes[i, CODE] = code
    output.outcomes[i, AVAILABLE] = spendable
    if code == Codes.DONE:
        ids.table.rows[id_row, AMOUNT] = np.uint64(amount)
        ids.table.rows[id_row, PARTIES] = np.uint64((debit << 32) | credit)
        _change(book, debit, -amount)
        _change(book, credit, amount)
        note_entry(rows, output, counts, i, debit)
        note_entry(rows, output, counts, i, credit)
    return code


@njit_inlined
def prefetch_ahead(book, ids, commands, i):  # type: ignore[no-untyped-def]
    """Fetch what rows further on will need."""
    rows, slots, secret, table = book.accounts.rows, book.lookup.slots, book.lookup.secret, ids.table
    near, far = i + AHEAD, i + 2 * AHEAD
    if far < len(commands.ids):
        prefetch_first_slot(table.slots, commands.ids[far, 0], commands.ids[far, 1], table.secret)
        prefetch_first_slot(slots, commands.debit_a[far], commands.debit_b[far], secret)
        prefetch_first_slot(slots, commands.credit_a[far], commands.credit_b[far], secret)
        prefetch_account(rows, slots, secret, commands.debit_a[near], commands.debit_b[near])
        prefetch_account(rows, slots, secret, commands.credit_a[near], commands.credit_b[near])


@njit_inner
def plain_run(book, ids, commands, start, raised):  # type: ignore[no-untyped-def]
    """Decide the plain transfers from `start` on, up to the first row that is something else, or wants a higher cut-off.

    A loop of its own: what has more to it needs so many arrays that the processor's registers would be full of them.
    """
    for i in range(start, commands.kind.size):
        if not is_plain(commands, i):
            return i
        prefetch_ahead(book, ids, commands, i)
        id_row = take_id(book, ids, commands, i, raised and i == start, False)
        if id_row == FULL:
            return i
        if id_row >= 0:
            move(book, ids, commands, i, id_row)
    return commands.kind.size
