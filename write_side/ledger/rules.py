"""The rules of the money, as one plain loop over integer columns in command order.

No clock, no I/O, no texts: account ids are their BLAKE3-128 keys, assets are small numbers, time is an argument.
The loop is compiled by numba and is its own specification: run uncompiled it gives the same outcomes. The conditions of a
transfer are tested in the order of `codes.PRECEDENCE`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.account_rows import (
    FLOOR,
    HELD,
    POSTED,
    ROW_KEY,
    VERSION,
    add_account,
    asset_of,
    prefetch_account,
    touch,
)
from write_side.contract.atoms import LIMIT, NO_FLOOR
from write_side.contract.codes import Code, Kind
from write_side.contract.compiled import njit
from write_side.contract.digest import mix_id
from write_side.contract.fold import time_of_id
from write_side.contract.hash_index import find_row, prefetch_home
from write_side.contract.ids import FINGERPRINT_A, FINGERPRINT_B, ROW, SEQUENCE, put_id
from write_side.contract.prefetch import AHEAD
from write_side.contract.state import TRANSIT_KEY, WORLD_KEY

ID_AHEAD_US: Final = 5 * 60 * 1_000_000
"""A client's clock may be this far ahead of ours."""

_OPEN: Final = int(Kind.OPEN)
(
    _DONE,
    _EXISTS,
    _REPEATED,
    _REUSED,
    _EXPIRED,
    _FUTURE,
    _DIFFER,
    _UNKNOWN,
    _MISMATCH,
    _INSUFFICIENT,
    _LIMITED,
    _OTHER_TERMS,
) = (int(code) for code in list(Code)[:12])
_LIMIT: Final = LIMIT
_NO_FLOOR: Final = np.int64(NO_FLOOR)
_WORLD_A, _WORLD_B = WORLD_KEY
_TRANSIT_A, _TRANSIT_B = TRANSIT_KEY
_NEW_WORLD: Final = -1
_NEW_TRANSIT: Final = -2


@njit(inline="always")
def _change(rows, changed_at_us, touched, digest, number, delta, at_us):  # type: ignore[no-untyped-def]
    touch(rows, changed_at_us, touched, digest, number, at_us)
    rows[number, POSTED] += delta
    rows[number, VERSION] += 1


@njit(inline="always")
def _number(rows, slots, secret, world, a, b, asset):  # type: ignore[no-untyped-def]
    """The account's number, negative when there is none; `@world` is the one of the asset."""
    if a == _WORLD_A and b == _WORLD_B:
        return world[asset] if asset >= 0 else np.int64(-1)
    return find_row(rows, slots, secret, a, b)


@njit(inline="always")
def _elsewhere(a, b, partition, partitions):  # type: ignore[no-untyped-def]
    return not (a == _WORLD_A and b == _WORLD_B) and a % partitions != partition


@njit(inline="always")
def _transfer_code(rows, debit, credit, asset, amount):  # type: ignore[no-untyped-def]
    """The code of a transfer between two looked-up accounts, and the debited one's available (`NOT_TOLD` if irrelevant)."""
    if debit < 0 or credit < 0:
        return _UNKNOWN, np.int64(_NO_FLOOR)
    if asset_of(rows, debit) != asset or asset_of(rows, credit) != asset:
        return _MISMATCH, np.int64(_NO_FLOOR)
    posted, floor = rows[debit, POSTED], rows[debit, FLOOR]
    if floor != _NO_FLOOR and posted - rows[debit, HELD] - floor < amount:
        return _INSUFFICIENT, posted - rows[debit, HELD] - floor
    if posted - amount < -_LIMIT or rows[credit, POSTED] + amount > _LIMIT:
        return _LIMITED, np.int64(_NO_FLOOR)
    return _DONE, np.int64(_NO_FLOOR)


@njit(inline="always")
def _open(accounts, lookup, systems, opened, counts, command, a, b, floor, asset, row_key, at_us):  # type: ignore[no-untyped-def]
    """Open an account, and before it the system accounts of an asset that is new here; the code."""
    rows, changed_at_us, touched = accounts
    slots, secret, partition, partitions = lookup
    world, transit, world_keys, transit_keys = systems
    if _elsewhere(a, b, partition, partitions):
        return _DIFFER
    number = find_row(rows, slots, secret, a, b)
    if number >= 0:
        same = np.uint64(rows[number, ROW_KEY]) == row_key and rows[number, FLOOR] == floor
        return _EXISTS if same else _OTHER_TERMS
    if world[asset] < 0:
        world[asset] = counts[0]
        transit[asset] = counts[0] + 1
        add_account(
            rows, changed_at_us, touched, slots, secret, counts[0], _WORLD_A, _WORLD_B, asset, world_keys[asset],
            _NO_FLOOR, 0, at_us, True,
        )  # fmt: skip
        add_account(
            rows, changed_at_us, touched, slots, secret, counts[0] + 1, _TRANSIT_A, _TRANSIT_B, asset,
            transit_keys[asset], _NO_FLOOR, 0, at_us, True,
        )  # fmt: skip
        opened[counts[3]] = _NEW_WORLD - 2 * asset
        opened[counts[3] + 1] = _NEW_TRANSIT - 2 * asset
        counts[0] += 2
        counts[3] += 2
    add_account(
        rows, changed_at_us, touched, slots, secret, counts[0], a, b, asset, row_key, floor, 0, at_us, False
    )  # fmt: skip
    opened[counts[3]] = command
    counts[0] += 1
    counts[3] += 1
    return _DONE


@njit(inline="always")
def _note_entry(rows, output, counts, outcome, number):  # type: ignore[no-untyped-def]
    _, _, _, _, entry_outcome, entry_account, entry_posted, entry_version, _ = output
    entry = counts[2]
    entry_outcome[entry] = outcome
    entry_account[entry] = number
    entry_posted[entry] = rows[number, POSTED]
    entry_version[entry] = rows[number, VERSION]
    counts[2] = entry + 1


@njit(cache=True, nogil=True)
def decide_loop(start, raised, commands, accounts, lookup, systems, ids, digest, times, output, counts):  # type: ignore[no-untyped-def]
    """Decide commands from `start` on; returns the index reached: all, or where the id table asks for a higher cut-off.

    commands: kind uint8[n], id uint64[n, 2], debit_a, debit_b, credit_a, credit_b uint64[n], amount int64[n], asset int64[n],
    fingerprint uint64[2, n], row_key uint64[n] (openings).  accounts: rows, changed_at_us, touched.
    lookup: slots, secret, partition, partitions (uint64).
    systems: world, transit int64[assets], their row keys uint64[assets].  ids: rows, slots, secret, ids_max.
    times: created_at_us, sequence, refuse_ids_before_us.  output: code uint8[n], available int64[n], repeat_sequence,
    repeat_row int64[n], entry outcome, account, posted, version int64[2n], opened int64[...] (command, or a negative for system).
    counts: accounts, ids, entries, opened (int64[4], changed).  `raised`: the cut-off was just raised for `start`.
    """
    kind, id_pairs, debit_a, debit_b, credit_a, credit_b, amounts, assets, prints, row_keys = commands
    slots, secret, partition, partitions = lookup
    world = systems[0]
    id_rows, id_slots, id_secret, ids_max = ids
    at_us, sequence, refuse_before_us = times
    codes, available, repeat_sequence, repeat_row, _, _, _, _, opened = output
    rows, changed_at_us, touched = accounts
    step = max(np.int64(1), ids_max // 16)
    for i in range(start, kind.size):
        if i + 2 * AHEAD < kind.size:
            ahead = i + 2 * AHEAD
            prefetch_home(id_slots, id_pairs[ahead, 0], id_pairs[ahead, 1], id_secret)
            prefetch_home(slots, debit_a[ahead], debit_b[ahead], secret)
            prefetch_home(slots, credit_a[ahead], credit_b[ahead], secret)
            prefetch_account(rows, slots, secret, debit_a[i + AHEAD], debit_b[i + AHEAD])
            prefetch_account(rows, slots, secret, credit_a[i + AHEAD], credit_b[i + AHEAD])
        asset = assets[i]
        amount = amounts[i]
        if kind[i] == _OPEN:
            codes[i] = _open(
                accounts, lookup, systems, opened, counts, i, debit_a[i], debit_b[i], amount, asset, row_keys[i], at_us
            )
            continue

        id_a, id_b = id_pairs[i, 0], id_pairs[i, 1]
        free = find_row(id_rows, id_slots, id_secret, id_a, id_b)
        if free >= 0:
            if id_rows[free, FINGERPRINT_A] == prints[0, i] and id_rows[free, FINGERPRINT_B] == prints[1, i]:
                codes[i] = _REPEATED
                repeat_sequence[i] = np.int64(id_rows[free, SEQUENCE])
                repeat_row[i] = np.int64(id_rows[free, ROW])
            else:
                codes[i] = _REUSED
            continue
        id_time_us = time_of_id(id_a, id_b, at_us)
        if id_time_us < refuse_before_us:
            codes[i] = _EXPIRED
            continue
        if id_time_us > at_us + ID_AHEAD_US:
            codes[i] = _FUTURE
            continue
        if counts[1] >= ids_max and (counts[1] - ids_max) % step == 0 and not (raised and i == start):
            return i
        put_id(
            id_rows,
            id_slots,
            id_secret,
            free,
            counts[1],
            id_a,
            id_b,
            prints[0, i],
            prints[1, i],
            sequence,
            i,
            id_time_us,
        )
        x, y = mix_id(id_a, id_b, id_time_us)
        digest[0] += x
        digest[1] += y
        counts[1] += 1

        if _elsewhere(debit_a[i], debit_b[i], partition, partitions) or _elsewhere(
            credit_a[i], credit_b[i], partition, partitions
        ):
            codes[i] = _DIFFER
            continue
        debit = _number(rows, slots, secret, world, debit_a[i], debit_b[i], asset)
        credit = _number(rows, slots, secret, world, credit_a[i], credit_b[i], asset)
        code, spendable = _transfer_code(rows, debit, credit, asset, amount)
        codes[i] = code
        available[i] = spendable
        if code != _DONE:
            continue
        _change(rows, changed_at_us, touched, digest, debit, -amount, at_us)
        _change(rows, changed_at_us, touched, digest, credit, amount, at_us)
        _note_entry(rows, output, counts, i, debit)
        _note_entry(rows, output, counts, i, credit)
    return kind.size
