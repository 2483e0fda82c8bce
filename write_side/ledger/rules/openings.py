"""Accounts opened, and before them the system accounts of an asset that is new in the partition."""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.compiled.compiled import njit_inlined, njit_inner
from write_side.contract.state.account_rows import FLOOR, ROW_KEY, AccountIndex, NewAccount, add_account
from write_side.contract.state.hash_index import find_row
from write_side.contract.state.state import TRANSIT_KEY, WORLD_KEY
from write_side.contract.words.codes import Codes
from write_side.ledger.rules.book import ACCOUNTS, OPENED
from write_side.ledger.rules.numbers import NO_FLOOR

NO_FLAGS: Final = np.int64(0)
_WORLD_A, _WORLD_B = WORLD_KEY
_TRANSIT_A, _TRANSIT_B = TRANSIT_KEY
_NEW_WORLD: Final = -1
_NEW_TRANSIT: Final = -2


@njit_inlined
def _elsewhere(a, b, partition, partitions):  # type: ignore[no-untyped-def]
    return not (a == _WORLD_A and b == _WORLD_B) and a % partitions != partition


@njit_inner
def standing(rows, lookup, new):  # type: ignore[no-untyped-def]
    """What an opening finds: DONE when the account can be opened. Its asset is -1 for one that may have no number here."""
    if _elsewhere(new.key_a, new.key_b, lookup.partition, lookup.partitions):
        return Codes.PARTITIONS_DIFFER
    number = find_row(rows, lookup.slots, lookup.secret, new.key_a, new.key_b)
    if number < 0:
        return Codes.DONE if new.asset >= 0 else Codes.ASSET_COLLIDES
    same = np.uint64(rows[number, ROW_KEY]) == new.row_key and rows[number, FLOOR] == new.floor
    return Codes.EXISTS if same else Codes.ACCOUNT_EXISTS


@njit_inner
def open_account(book, system_keys, outcome, new):  # type: ignore[no-untyped-def]
    """Open an account, and before it the system accounts of an asset that is new here."""
    systems, asset = book.systems, new.asset
    world_keys, transit_keys = system_keys
    if systems.world[asset] < 0:
        world = NewAccount(_WORLD_A, _WORLD_B, world_keys[asset], asset, NO_FLOOR, NO_FLAGS)
        transit = NewAccount(_TRANSIT_A, _TRANSIT_B, transit_keys[asset], asset, NO_FLOOR, NO_FLAGS)
        systems.world[asset] = _add(book, _NEW_WORLD - 2 * asset, world, True)
        systems.transit[asset] = _add(book, _NEW_TRANSIT - 2 * asset, transit, True)
    _add(book, outcome, new, False)


@njit_inner
def _add(book, opened, new, hidden):  # type: ignore[no-untyped-def]
    """The number of a new account. opened: what the block says of it (`Output.opened`)."""
    lookup, counts = book.lookup, book.counts
    number = counts[ACCOUNTS]
    index = AccountIndex(lookup.slots, lookup.secret)
    add_account(book.accounts, index, number, new, book.times.created_at_us, hidden)
    book.output.opened[counts[OPENED]] = opened
    counts[ACCOUNTS] += 1
    counts[OPENED] += 1
    return number
