"""Plain transfers between two accounts of the partition: the hot loop.

Conditions are tested in the order of `codes.PRECEDENCE`.
"""

from __future__ import annotations

from typing import Final

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
from write_side.contract.state.hash_index import find_row, prefetch_home
from write_side.contract.state.ids import AMOUNT, PARTIES
from write_side.contract.state.state import WORLD_KEY
from write_side.contract.words.atoms import LIMIT, NO_FLOOR
from write_side.contract.words.codes import Code, Flag, Kind
from write_side.ledger.rules.book import AVAILABLE, CODE, note_entry
from write_side.ledger.rules.idempotency import FULL, take_id

_TRANSFER: Final = int(Kind.TRANSFER)
_DONE: Final = int(Code.DONE)
_UNKNOWN: Final = int(Code.ACCOUNT_UNKNOWN)
_MISMATCH: Final = int(Code.ASSET_MISMATCH)
_INSUFFICIENT: Final = int(Code.INSUFFICIENT_AVAILABLE)
_LIMITED: Final = int(Code.BALANCE_LIMIT)
_CLOSED: Final = int(Code.ACCOUNT_CLOSED)
_DEBIT_FROZEN: Final = int(Code.DEBIT_FROZEN)
_CREDIT_FROZEN: Final = int(Code.CREDIT_FROZEN)
_CLOSED_FLAG: Final = int(Flag.CLOSED)
_DEBIT_FLAG: Final = int(Flag.DEBIT_FROZEN)
_CREDIT_FLAG: Final = int(Flag.CREDIT_FROZEN)
_LIMIT: Final = LIMIT
_NO_FLOOR: Final = np.int64(NO_FLOOR)
_WORLD_A, _WORLD_B = WORLD_KEY


@njit_inlined
def _change(rows, changed_at_us, touched, digest, number, delta, at_us):  # type: ignore[no-untyped-def]
    touch(rows, changed_at_us, touched, digest, number, at_us)
    rows[number, POSTED] += delta
    rows[number, VERSION] += 1


@njit_inlined
def _number(rows, slots, secret, world, a, b, asset):  # type: ignore[no-untyped-def]
    """The account's number, negative when there is none; `@world` is the one of the asset."""
    if a == _WORLD_A and b == _WORLD_B:
        return world[asset] if asset >= 0 else np.int64(-1)
    return find_row(rows, slots, secret, a, b)


@njit(cache=True, nogil=True)
def _terms_code(rows, debit, credit, asset):  # type: ignore[no-untyped-def]
    """Why one of two accounts is not simply an unflagged one of the asset (DONE when only flags of no matter here are set)."""
    if asset_of(rows, debit) != asset or asset_of(rows, credit) != asset:
        return _MISMATCH
    gives, receives = rows[debit, FLAGS_AND_ASSET], rows[credit, FLAGS_AND_ASSET]
    if (gives | receives) & _CLOSED_FLAG:
        return _CLOSED
    if gives & _DEBIT_FLAG:
        return _DEBIT_FROZEN
    return _CREDIT_FROZEN if receives & _CREDIT_FLAG else _DONE


@njit_inlined
def _transfer_code(rows, debit, credit, asset, amount):  # type: ignore[no-untyped-def]
    """The code of a transfer between two looked-up accounts, and the debited one's available (`NOT_TOLD` if irrelevant)."""
    if debit < 0 or credit < 0:
        return _UNKNOWN, np.int64(_NO_FLOOR)
    unflagged = asset << ASSET_SHIFT
    if rows[debit, FLAGS_AND_ASSET] != unflagged or rows[credit, FLAGS_AND_ASSET] != unflagged:
        code = _terms_code(rows, debit, credit, asset)
        if code != _DONE:
            return code, np.int64(_NO_FLOOR)
    posted, floor = rows[debit, POSTED], rows[debit, FLOOR]
    if floor != _NO_FLOOR and posted - rows[debit, HELD] - floor < amount:
        return _INSUFFICIENT, posted - rows[debit, HELD] - floor
    if posted - amount < -_LIMIT or rows[credit, POSTED] + amount > _LIMIT:
        return _LIMITED, np.int64(_NO_FLOOR)
    return _DONE, np.int64(_NO_FLOOR)


@njit_inlined
def move(i, id_row, sides, accounts, found, ids, digest, output, counts, at_us):  # type: ignore[no-untyped-def]
    """A plain transfer between two accounts of this partition: its code."""
    debit_a, debit_b, credit_a, credit_b, amounts, assets = sides
    slots, secret, world = found
    rows, changed_at_us, touched = accounts.rows, accounts.changed_at_us, accounts.touched
    amount, asset = amounts[i], assets[i]
    debit = _number(rows, slots, secret, world, debit_a[i], debit_b[i], asset)
    credit = _number(rows, slots, secret, world, credit_a[i], credit_b[i], asset)
    code, spendable = _transfer_code(rows, debit, credit, asset, amount)
    output.outcomes[i, CODE] = code
    output.outcomes[i, AVAILABLE] = spendable
    if code == _DONE:
        ids[0][0][id_row, AMOUNT] = np.uint64(amount)
        ids[0][0][id_row, PARTIES] = np.uint64((debit << 32) | credit)
        _change(rows, changed_at_us, touched, digest, debit, -amount, at_us)
        _change(rows, changed_at_us, touched, digest, credit, amount, at_us)
        note_entry(rows, output, counts, i, debit)
        note_entry(rows, output, counts, i, credit)
    return code


@njit_inlined
def prefetch_ahead(i, named, sides, ids, accounts, found):  # type: ignore[no-untyped-def]
    """Fetch what rows further on will need."""
    id_pairs, _ = named
    debit_a, debit_b, credit_a, credit_b, _, _ = sides
    slots, secret, _ = found
    ahead = i + 2 * AHEAD
    if ahead < len(id_pairs):
        prefetch_home(ids[0][1], id_pairs[ahead, 0], id_pairs[ahead, 1], ids[0][2])
        prefetch_home(slots, debit_a[ahead], debit_b[ahead], secret)
        prefetch_home(slots, credit_a[ahead], credit_b[ahead], secret)
        prefetch_account(accounts.rows, slots, secret, debit_a[i + AHEAD], debit_b[i + AHEAD])
        prefetch_account(accounts.rows, slots, secret, credit_a[i + AHEAD], credit_b[i + AHEAD])


@njit_inner
def plain_run(  # type: ignore[no-untyped-def]
    start, raised, kind, chain, rich, named, sides, accounts, found, ids, table, digest, times, output, counts
):
    """Decide the plain transfers from `start` on, up to the first row that is something else, or wants a higher cut-off.

    A loop of its own: what has more to it needs so many arrays that the processor's registers would be full of them.
    """
    for i in range(start, kind.size):
        if kind[i] != _TRANSFER or rich[i] >= 0 or chain[i] != 0:
            return i
        prefetch_ahead(i, named, sides, ids, accounts, found)
        id_row = take_id(i, named, ids, table, digest, counts, output.outcomes, times, raised and i == start, False)
        if id_row == FULL:
            return i
        if id_row >= 0:
            move(i, id_row, sides, accounts, found, ids, digest, output, counts, times.created_at_us)
    return kind.size
