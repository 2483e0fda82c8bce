"""Accounts opened, and before them the system accounts of an asset that is new in the partition."""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.compiled.compiled import njit_inlined, njit_inner
from write_side.contract.state.account_rows import FLOOR, ROW_KEY, add_account
from write_side.contract.state.hash_index import find_row
from write_side.contract.state.state import TRANSIT_KEY, WORLD_KEY
from write_side.contract.words.atoms import NO_FLOOR
from write_side.contract.words.codes import Code
from write_side.ledger.rules.book import ACCOUNTS, OPENED

_DONE: Final = int(Code.DONE)
_EXISTS: Final = int(Code.EXISTS)
_DIFFER: Final = int(Code.PARTITIONS_DIFFER)
_COLLIDES: Final = int(Code.ASSET_COLLIDES)
_OTHER_TERMS: Final = int(Code.ACCOUNT_EXISTS)
_NO_FLOOR: Final = np.int64(NO_FLOOR)
_WORLD_A, _WORLD_B = WORLD_KEY
_TRANSIT_A, _TRANSIT_B = TRANSIT_KEY
_NEW_WORLD: Final = -1
_NEW_TRANSIT: Final = -2


@njit_inlined
def _elsewhere(a, b, partition, partitions):  # type: ignore[no-untyped-def]
    return not (a == _WORLD_A and b == _WORLD_B) and a % partitions != partition


@njit_inner
def standing(rows, lookup, a, b, floor, asset, row_key):  # type: ignore[no-untyped-def]
    """What an opening finds: DONE when the account can be opened. asset: -1 for one that may have no number here."""
    slots, secret, partition, partitions = lookup
    if _elsewhere(a, b, partition, partitions):
        return _DIFFER
    number = find_row(rows, slots, secret, a, b)
    if number < 0:
        return _DONE if asset >= 0 else _COLLIDES
    same = np.uint64(rows[number, ROW_KEY]) == row_key and rows[number, FLOOR] == floor
    return _EXISTS if same else _OTHER_TERMS


@njit_inner
def open_account(accounts, lookup, systems, system_keys, opened, counts, command, a, b, floor, asset, row_key, at_us):  # type: ignore[no-untyped-def]
    """Open an account, and before it the system accounts of an asset that is new here."""
    rows, changed_at_us, touched = accounts.rows, accounts.changed_at_us, accounts.touched
    slots, secret, _, _ = lookup
    world, transit, _, _ = systems
    world_keys, transit_keys = system_keys
    if world[asset] < 0:
        world[asset] = counts[ACCOUNTS]
        transit[asset] = counts[ACCOUNTS] + 1
        add_account(
            rows, changed_at_us, touched, slots, secret, counts[ACCOUNTS], _WORLD_A, _WORLD_B, asset, world_keys[asset],
            _NO_FLOOR, 0, at_us, True,
        )  # fmt: skip
        add_account(
            rows, changed_at_us, touched, slots, secret, counts[ACCOUNTS] + 1, _TRANSIT_A, _TRANSIT_B, asset,
            transit_keys[asset], _NO_FLOOR, 0, at_us, True,
        )  # fmt: skip
        opened[counts[OPENED]] = _NEW_WORLD - 2 * asset
        opened[counts[OPENED] + 1] = _NEW_TRANSIT - 2 * asset
        counts[ACCOUNTS] += 2
        counts[OPENED] += 2
    add_account(
        rows, changed_at_us, touched, slots, secret, counts[ACCOUNTS], a, b, asset, row_key, floor, 0, at_us, False
    )  # fmt: skip
    opened[counts[OPENED]] = command
    counts[ACCOUNTS] += 1
    counts[OPENED] += 1
