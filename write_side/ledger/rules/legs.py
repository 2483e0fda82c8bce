"""Legs: the rules that every leg of a transfer is tested by, and how all of them move at once.

A leg is a row as `pending.py` keeps it: account key, asset hash, signed amount, step, partition, conditions. A rule is tested
on every leg before the next rule is looked at (`codes.PRECEDENCE`), so that the order of the legs never shows.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from write_side.contract.compiled.compiled import njit_inlined, njit_inner
from write_side.contract.state.account_rows import FLAGS_AND_ASSET, FLOOR, HELD, POSTED, VERSION, asset_of
from write_side.contract.state.hash_index import INDEX, TAG, find_row, first_slot, following, hash_words
from write_side.contract.state.pending_columns import (
    LEG_AMOUNT,
    LEG_ASSET,
    LEG_IF_AVAILABLE,
    LEG_IF_VERSION,
    LEG_KEY_A,
    LEG_KEY_B,
)
from write_side.contract.state.state import WORLD_KEY
from write_side.contract.words.codes import PRECEDENCE, Codes, Flags, Kind
from write_side.ledger.rules.asked import is_among
from write_side.ledger.rules.book import change
from write_side.ledger.rules.numbers import LIMIT, NO_FLOOR, NOT_TOLD

_WORLD_A: Final = np.int64(WORLD_KEY[0].view(np.int64))
_WORLD_B: Final = np.int64(WORLD_KEY[1].view(np.int64))


def _ranks() -> npt.NDArray[np.int64]:
    ranks = np.full(256, 255, np.int64)
    for rank, code in enumerate(PRECEDENCE[Kind.TRANSFER]):
        ranks[code] = rank
    return ranks


_RANKS: Final = _ranks()


@njit_inlined
def is_world(a, b):  # type: ignore[no-untyped-def]
    """Whether an account key (signed words) is that of `@world`."""
    return a == _WORLD_A and b == _WORLD_B


@njit_inner
def world_of(systems, secret, asset_hash):  # type: ignore[no-untyped-def]
    """The number of the asset's `@world`, or -1: however many assets there are, some words are looked at."""
    world, _, hashes, slots = systems
    size = np.uint64(slots.size)
    slot = first_slot(hash_words(np.uint64(asset_hash), np.uint64(0), secret) & TAG, size)
    while slots[slot] != 0:
        asset = np.int64(slots[slot] & INDEX) - 1
        if hashes[asset] == asset_hash:
            return world[asset]
        slot = following(slot, size)
    return np.int64(-1)


@njit_inlined
def number_of_leg(book, pool, leg):  # type: ignore[no-untyped-def]
    """The account number of a leg here, negative when there is none; `@world` is the one of its asset."""
    a, b = pool[leg, LEG_KEY_A], pool[leg, LEG_KEY_B]
    if is_world(a, b):
        return world_of(book.systems, book.lookup.secret, pool[leg, LEG_ASSET])
    return find_row(book.accounts.rows, book.lookup.slots, book.lookup.secret, np.uint64(a), np.uint64(b))


@njit_inlined
def _spendable(rows, number):  # type: ignore[no-untyped-def]
    return rows[number, POSTED] - rows[number, HELD] - rows[number, FLOOR]


@njit_inner
def _leg_code(rows, hashes, number, leg, authorised):  # type: ignore[no-untyped-def]
    """The code of one leg, its limits apart, and the available that explains it.

    `authorised`: a hold has been made for what it gives, so that flags and available are not asked again.
    """
    if number < 0:
        return Codes.ACCOUNT_UNKNOWN, NOT_TOLD
    if hashes[asset_of(rows, number)] != leg[LEG_ASSET]:
        return Codes.ASSET_MISMATCH, NOT_TOLD
    flags = rows[number, FLAGS_AND_ASSET] & 0xFFFFFFFF
    amount = leg[LEG_AMOUNT]
    if flags & Flags.CLOSED:
        return Codes.ACCOUNT_CLOSED, NOT_TOLD
    if amount < 0 and flags & Flags.DEBIT_FROZEN and not authorised:
        return Codes.DEBIT_FROZEN, NOT_TOLD
    if amount > 0 and flags & Flags.CREDIT_FROZEN:
        return Codes.CREDIT_FROZEN, NOT_TOLD
    if leg[LEG_IF_VERSION] >= 0 and leg[LEG_IF_VERSION] != rows[number, VERSION]:
        return Codes.VERSION_DIFFERS, NOT_TOLD
    if rows[number, FLOOR] != NO_FLOOR:
        if _spendable(rows, number) < leg[LEG_IF_AVAILABLE]:
            return Codes.AVAILABLE_BELOW, _spendable(rows, number)
        if amount < 0 and _spendable(rows, number) < -amount and not authorised:
            return Codes.INSUFFICIENT_AVAILABLE, _spendable(rows, number)
    return Codes.DONE, NOT_TOLD


@njit_inlined
def _passes_limit(rows, number, posted, held):  # type: ignore[no-untyped-def]
    after, held_after = rows[number, POSTED] + posted, rows[number, HELD] + held
    return after > LIMIT or after < -LIMIT or held_after > LIMIT or held_after < 0


@njit_inner
def check_legs(book, legs, authorised):  # type: ignore[no-untyped-def]
    """The code that the rules give for the legs, limits apart, and its available."""
    code, available = Codes.DONE, NOT_TOLD
    for i in range(legs.first, legs.last):
        if not is_among(legs, i):
            continue
        number = number_of_leg(book, legs.pool, i)
        found, spendable = _leg_code(book.accounts.rows, book.systems.hashes, number, legs.pool[i], authorised)
        if _RANKS[found] < _RANKS[code]:
            code, available = found, spendable
    return code, available


@njit_inner
def legs_fit(book, legs, debit, credit):  # type: ignore[no-untyped-def]
    """Whether no limit is passed when the legs move by these factors of (posted, held, transit).

    debit, credit: factors of |amount|, three integers, for legs that give and receive.  The accounts must be there.
    """
    rows, transit, pool = book.accounts.rows, book.systems.transit, legs.pool
    for i in range(legs.first, legs.last):
        if not is_among(legs, i):
            continue
        factors = debit if pool[i, LEG_AMOUNT] < 0 else credit
        size = abs(pool[i, LEG_AMOUNT])
        number = number_of_leg(book, pool, i)
        if number < 0 or _passes_limit(rows, number, factors[0] * size, factors[1] * size):
            return False
        through = transit[asset_of(rows, number)]
        total = _transit_sum(legs, pool[i, LEG_ASSET], debit, credit)
        if total > LIMIT or total < -LIMIT or _passes_limit(rows, through, total, 0):
            return False
    return True


@njit_inlined
def _transit_sum(legs, asset, debit, credit):  # type: ignore[no-untyped-def]
    """What the transit account of an asset gets, saturated above the limit: the sum of many amounts may pass 64 bits."""
    pool = legs.pool
    total = np.int64(0)
    for i in range(legs.first, legs.last):
        if is_among(legs, i) and pool[i, LEG_ASSET] == asset:
            factors = debit if pool[i, LEG_AMOUNT] < 0 else credit
            total += factors[2] * abs(pool[i, LEG_AMOUNT])
            if abs(total) > LIMIT:
                return LIMIT + np.int64(1)
    return total


@njit_inlined
def _is_first_of_asset(legs, i):  # type: ignore[no-untyped-def]
    for j in range(legs.first, i):  # noqa: SIM110 -- numba knows no any()
        if is_among(legs, j) and legs.pool[j, LEG_ASSET] == legs.pool[i, LEG_ASSET]:
            return False
    return True


@njit_inner
def move_legs(book, outcome, legs, debit, credit):  # type: ignore[no-untyped-def]
    """Move the legs, and the transit account of each of their assets by what it takes or gives. `legs_fit` has said yes."""
    pool = legs.pool
    for i in range(legs.first, legs.last):
        if not is_among(legs, i):
            continue
        factors = debit if pool[i, LEG_AMOUNT] < 0 else credit
        posted, held = factors[0] * abs(pool[i, LEG_AMOUNT]), factors[1] * abs(pool[i, LEG_AMOUNT])
        number = number_of_leg(book, pool, i)
        if factors[0] != 0 or factors[1] != 0:
            change(book, outcome, number, posted, held)
        if _is_first_of_asset(legs, i):
            total = _transit_sum(legs, pool[i, LEG_ASSET], debit, credit)
            if total != 0:
                through = book.systems.transit[asset_of(book.accounts.rows, number)]
                change(book, outcome, through, total, np.int64(0))
