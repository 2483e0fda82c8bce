"""The rules of the money, as one plain loop over integer columns in command order.

No clock, no I/O, no texts: account ids are their BLAKE3-128 keys, assets are small numbers, time is an argument.
The loop is compiled by numba and is its own specification: run uncompiled it gives the same outcomes. The conditions of a
transfer are tested in the order of `codes.PRECEDENCE`. A plain transfer between two accounts of the partition is decided
here; what has more to it goes to `holds.py`, `across.py` and `orders.py`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.account_rows import (
    ASSET_SHIFT,
    FLAGS_AND_ASSET,
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
from write_side.contract.codes import Code, Flag, Kind
from write_side.contract.compiled import njit, njit_borrowing, njit_inlined, njit_inner
from write_side.contract.digest import mix_id
from write_side.contract.fold import time_of_id
from write_side.contract.hash_index import find_row, prefetch_home
from write_side.contract.ids import (
    AMOUNT,
    FINGERPRINT_A,
    FINGERPRINT_B,
    PARTIES,
    PLACE,
    REFUSED,
    ROW_BITS,
    put_id,
)
from write_side.contract.pending import What, find_pending
from write_side.contract.prefetch import AHEAD
from write_side.contract.state import TRANSIT_KEY, WORLD_KEY
from write_side.ledger.book import (
    ACCOUNTS,
    AVAILABLE,
    CODE,
    IDS,
    OPENED,
    REPEAT_ROW,
    REPEAT_SEQUENCE,
    note_entry,
)
from write_side.ledger.chains import end_chain_row, enter_chain, is_chain_refused, note_before
from write_side.ledger.orders import decide_order, decide_unasked, has_room

ID_AHEAD_US: Final = 5 * 60 * 1_000_000
"""A client's clock may be this far ahead of ours."""
REACHED_IDS_MAX: Final = 1
NO_ROOM: Final = 2
"""Why the loop stopped before its end."""

_OPEN: Final = int(Kind.OPEN)
_TRANSFER: Final = int(Kind.TRANSFER)
_EXPIRE: Final = int(Kind.EXPIRE)
_DONE: Final = int(Code.DONE)
_EXISTS: Final = int(Code.EXISTS)
_REPEATED: Final = int(Code.REPEATED)
_REUSED: Final = int(Code.ID_REUSED)
_EXPIRED: Final = int(Code.ID_EXPIRED)
_FUTURE: Final = int(Code.ID_IN_FUTURE)
_DIFFER: Final = int(Code.PARTITIONS_DIFFER)
_UNKNOWN: Final = int(Code.ACCOUNT_UNKNOWN)
_MISMATCH: Final = int(Code.ASSET_MISMATCH)
_INSUFFICIENT: Final = int(Code.INSUFFICIENT_AVAILABLE)
_LIMITED: Final = int(Code.BALANCE_LIMIT)
_OTHER_TERMS: Final = int(Code.ACCOUNT_EXISTS)
_PENDING: Final = int(Code.PENDING)
_CLOSED: Final = int(Code.ACCOUNT_CLOSED)
_DEBIT_FROZEN: Final = int(Code.DEBIT_FROZEN)
_CREDIT_FROZEN: Final = int(Code.CREDIT_FROZEN)
_BATCH_REFUSED: Final = int(Code.BATCH_REFUSED)
_NOT_RUN: Final = int(Code.NOT_RUN)
_CLOSED_FLAG: Final = int(Flag.CLOSED)
_DEBIT_FLAG: Final = int(Flag.DEBIT_FROZEN)
_CREDIT_FLAG: Final = int(Flag.CREDIT_FROZEN)
_LIMIT: Final = LIMIT
_NO_FLOOR: Final = np.int64(NO_FLOOR)
_WORLD_A, _WORLD_B = WORLD_KEY
_TRANSIT_A, _TRANSIT_B = TRANSIT_KEY
_ANSWERED: Final = np.int64(-1)
_ANSWERED_REFUSED: Final = np.int64(-2)
_FULL: Final = np.int64(-3)
_PROCESS: Final = np.int64(What.PROCESS)
_HOLD: Final = np.int64(What.HOLD)
_NEW_WORLD: Final = -1
_NEW_TRANSIT: Final = -2


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


@njit_inlined
def _elsewhere(a, b, partition, partitions):  # type: ignore[no-untyped-def]
    return not (a == _WORLD_A and b == _WORLD_B) and a % partitions != partition


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


@njit_inner
def _standing(rows, lookup, a, b, floor, row_key):  # type: ignore[no-untyped-def]
    """What an opening finds: DONE when the account can be opened."""
    slots, secret, partition, partitions = lookup
    if _elsewhere(a, b, partition, partitions):
        return _DIFFER
    number = find_row(rows, slots, secret, a, b)
    if number < 0:
        return _DONE
    same = np.uint64(rows[number, ROW_KEY]) == row_key and rows[number, FLOOR] == floor
    return _EXISTS if same else _OTHER_TERMS


@njit_inner
def _open(accounts, lookup, systems, system_keys, opened, counts, command, a, b, floor, asset, row_key, at_us):  # type: ignore[no-untyped-def]
    """Open an account, and before it the system accounts of an asset that is new here."""
    rows, changed_at_us, touched = accounts
    slots, secret, _, _ = lookup
    world, transit, _ = systems
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


@njit_inner
def _is_open(table, a, b):  # type: ignore[no-untyped-def]
    """Whether an id without a time, which the id table may have forgotten, is that of an open hold or transfer."""
    return find_pending(table, a, b, _PROCESS) >= 0 or find_pending(table, a, b, _HOLD) >= 0


@njit_inlined
def _take_id(i, named, ids, table, digest, counts, outcomes, times, raised, not_run):  # type: ignore[no-untyped-def]
    """Remember the id of row i as this block's: its row in the id table. Negative when there is nothing to decide:
    _ANSWERED (the code is told), or _FULL (a higher cut-off is wanted first). not_run: a chain that stopped runs nothing new."""
    id_pairs, prints = named
    id_rows, id_slots, id_secret, ids_max = ids
    at_us, sequence, refuse_before_us, _ = times
    id_a, id_b = id_pairs[i, 0], id_pairs[i, 1]
    free = find_row(id_rows, id_slots, id_secret, id_a, id_b)
    if free >= 0:
        if id_rows[free, FINGERPRINT_A] == prints[0, i] and id_rows[free, FINGERPRINT_B] == prints[1, i]:
            outcomes[i, CODE] = _REPEATED
            outcomes[i, REPEAT_SEQUENCE] = np.int64(id_rows[free, PLACE] >> np.uint64(ROW_BITS))
            outcomes[i, REPEAT_ROW] = np.int64(id_rows[free, PLACE] & np.uint64((1 << ROW_BITS) - 1))
            # A repeated line counts in its chain as what it was the first time.
            return _ANSWERED if np.int64(id_rows[free, AMOUNT]) != REFUSED else _ANSWERED_REFUSED
        outcomes[i, CODE] = _REUSED
        return _ANSWERED_REFUSED
    id_time_us = time_of_id(id_a, id_b, at_us)
    if id_time_us < refuse_before_us or id_time_us > at_us + ID_AHEAD_US:
        outcomes[i, CODE] = _EXPIRED if id_time_us < refuse_before_us else _FUTURE
        return _ANSWERED_REFUSED
    if id_time_us == at_us and table[3][0] > 0 and _is_open(table, np.int64(id_a), np.int64(id_b)):
        outcomes[i, CODE] = _EXPIRED
        return _ANSWERED_REFUSED
    if not_run:
        outcomes[i, CODE] = _NOT_RUN
        return _ANSWERED_REFUSED
    step = max(np.int64(1), ids_max // 16)
    id_row = counts[IDS]
    if id_row >= ids_max and (id_row - ids_max) % step == 0 and not raised:
        return _FULL
    put_id(
        id_rows, id_slots, id_secret, free, id_row, id_a, id_b, prints[0, i], prints[1, i], (sequence << ROW_BITS) | i,
        id_time_us, REFUSED, 0,
    )  # fmt: skip
    x, y = mix_id(id_a, id_b, id_time_us)
    digest[0] += x
    digest[1] += y
    counts[IDS] = id_row + 1
    return id_row


@njit_inlined
def _move(i, id_row, sides, accounts, found, ids, digest, output, counts, at_us):  # type: ignore[no-untyped-def]
    """A plain transfer between two accounts of this partition: its code."""
    debit_a, debit_b, credit_a, credit_b, amounts, assets = sides
    slots, secret, world = found
    rows, changed_at_us, touched = accounts
    amount, asset = amounts[i], assets[i]
    debit = _number(rows, slots, secret, world, debit_a[i], debit_b[i], asset)
    credit = _number(rows, slots, secret, world, credit_a[i], credit_b[i], asset)
    code, spendable = _transfer_code(rows, debit, credit, asset, amount)
    output[0][i, CODE] = code
    output[0][i, AVAILABLE] = spendable
    if code == _DONE:
        ids[0][id_row, AMOUNT] = np.uint64(amount)
        ids[0][id_row, PARTIES] = np.uint64((debit << 32) | credit)
        _change(rows, changed_at_us, touched, digest, debit, -amount, at_us)
        _change(rows, changed_at_us, touched, digest, credit, amount, at_us)
        note_entry(rows, output, counts, i, debit)
        note_entry(rows, output, counts, i, credit)
    return code


@njit_inlined
def _prefetch(i, named, sides, ids, accounts, found):  # type: ignore[no-untyped-def]
    """Fetch what rows further on will need."""
    id_pairs, _ = named
    debit_a, debit_b, credit_a, credit_b, _, _ = sides
    slots, secret, _ = found
    ahead = i + 2 * AHEAD
    if ahead < len(id_pairs):
        prefetch_home(ids[1], id_pairs[ahead, 0], id_pairs[ahead, 1], ids[2])
        prefetch_home(slots, debit_a[ahead], debit_b[ahead], secret)
        prefetch_home(slots, credit_a[ahead], credit_b[ahead], secret)
        prefetch_account(accounts[0], slots, secret, debit_a[i + AHEAD], debit_b[i + AHEAD])
        prefetch_account(accounts[0], slots, secret, credit_a[i + AHEAD], credit_b[i + AHEAD])


@njit_inner
def _plain_run(  # type: ignore[no-untyped-def]
    start, raised, kind, chain, order, named, sides, accounts, found, ids, table, digest, times, output, counts
):
    """Decide the plain transfers from `start` on, up to the first row that is something else, or wants a higher cut-off.

    A loop of its own: what has more to it needs so many arrays that the processor's registers would be full of them.
    """
    for i in range(start, kind.size):
        if kind[i] != _TRANSFER or order[i] >= 0 or chain[i] != 0:
            return i
        _prefetch(i, named, sides, ids, accounts, found)
        id_row = _take_id(i, named, ids, table, digest, counts, output[0], times, raised and i == start, False)
        if id_row == _FULL:
            return i
        if id_row >= 0:
            _move(i, id_row, sides, accounts, found, ids, digest, output, counts, times[0])
    return kind.size


@njit_borrowing
def decide_loop(start, raised, commands, system_keys, orders, book, ids, chain_state):  # type: ignore[no-untyped-def]
    """Decide commands from `start` on; returns the index reached and why it stopped there: at the end 0, else
    REACHED_IDS_MAX (a higher cut-off is wanted) or NO_ROOM (larger output is).

    commands: kind uint8[n], id uint64[n, 2], debit_a, debit_b, credit_a, credit_b uint64[n], amount int64[n], asset int64[n]
    (this process's number), fingerprint uint64[2, n], row_key uint64[n] (openings), chain int64[n],
    order int64[n] (row in `orders`; -1 for an opening and a plain transfer inside the partition).
    orders: see `order_columns.py`.  book: see `book.py`.  system_keys: row keys of `@world` and `@transit`, uint64[assets].
    ids: rows, slots, secret, ids_max.  chain_state: see `chains.py`.  `raised`: the cut-off was just raised for `start`.
    """
    kind, id_pairs, debit_a, debit_b, credit_a, credit_b, amounts, assets, prints, row_keys, chain, order = commands
    accounts, lookup, systems, table, digest, times, output, counts, _ = book
    outcomes = output[0]
    named, sides = (id_pairs, prints), (debit_a, debit_b, credit_a, credit_b, amounts, assets)
    found = (lookup[0], lookup[1], systems[0])
    i = np.int64(start)
    while i < kind.size:
        if kind[i] == _TRANSFER and order[i] < 0 and chain[i] == 0:
            raised_here = raised and i == start
            first = i
            i = np.int64(
                _plain_run(
                    i,
                    raised_here,
                    kind,
                    chain,
                    order,
                    named,
                    sides,
                    accounts,
                    found,
                    ids,
                    table,
                    digest,
                    times,
                    output,
                    counts,
                )
            )
            if i < kind.size and kind[i] == _TRANSFER and order[i] < 0 and chain[i] == 0:
                return i, REACHED_IDS_MAX
            assert i > first
            continue
        if (order[i] >= 0 or chain[i] > 0) and not has_room(output, counts, kind.size - i):
            return i, NO_ROOM
        if kind[i] >= _EXPIRE:
            outcomes[i, CODE], outcomes[i, AVAILABLE] = decide_unasked(
                book, ids, i, kind[i], np.int64(id_pairs[i, 0]), np.int64(id_pairs[i, 1]), orders, order[i]
            )
            i += 1
            continue
        _prefetch(i, named, sides, ids, accounts, found)
        enter_chain(chain_state, chain[i], i, counts)
        chain_refused = is_chain_refused(chain_state)
        if kind[i] == _OPEN:
            outcomes[i, CODE] = _standing(accounts[0], lookup, debit_a[i], debit_b[i], amounts[i], row_keys[i])
            if outcomes[i, CODE] == _DONE and chain_refused:
                outcomes[i, CODE] = _NOT_RUN
            elif outcomes[i, CODE] == _DONE:
                _open(
                    accounts, lookup, systems, system_keys, output[2], counts, i, debit_a[i], debit_b[i], amounts[i],
                    assets[i], row_keys[i], times[0],
                )  # fmt: skip
            refused = outcomes[i, CODE] != _DONE and outcomes[i, CODE] != _EXISTS
        else:
            stopped = chain_refused and chain[i] < 0
            id_row = _take_id(i, named, ids, table, digest, counts, outcomes, times, raised and i == start, stopped)
            if id_row == _FULL:
                return i, REACHED_IDS_MAX
            refused = id_row == _ANSWERED_REFUSED
            if id_row >= 0 and chain[i] > 0 and not chain_refused:
                note_before(book, commands, orders, i)
            if id_row >= 0:
                if chain_refused:
                    outcomes[i, CODE] = _BATCH_REFUSED
                elif order[i] >= 0:
                    outcomes[i, CODE], outcomes[i, AVAILABLE], became = decide_order(
                        book, ids, i, kind[i], np.int64(id_pairs[i, 0]), np.int64(id_pairs[i, 1]), np.int64(debit_a[i]),
                        np.int64(debit_b[i]), amounts[i], chain[i], orders, order[i],
                    )  # fmt: skip
                    ids[0][id_row, AMOUNT] = np.uint64(became)
                else:
                    _move(i, id_row, sides, accounts, found, ids, digest, output, counts, times[0])
                refused = outcomes[i, CODE] != _DONE and outcomes[i, CODE] != _PENDING
        end_chain_row(book, ids, commands, orders, chain_state, i, refused)
        i += 1
    return i, 0
