"""The stops that account rows and pending rows make while there come to be more of them (`ids.py`)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from write_side.contract.compiled.compiled import njit
from write_side.contract.state.account_rows import AccountIndex, Accounts, NewAccount, add_account
from write_side.contract.state.hash_index import with_room
from write_side.contract.state.pending_columns import LEG_AMOUNT, LEG_KEY_A, LEG_WIDTH, STATE, HoldState, What
from write_side.contract.state.pending_index import note_pending
from write_side.contract.state.pending_rows import add_leg, add_pending, drop, find_pending, take_in
from write_side.contract.state.state import State

_HOLD = np.int64(What.HOLD)
_OPEN = np.int64(HoldState.OPEN)


def milliseconds(do: Callable[[], object]) -> float:
    started = time.perf_counter()
    do()
    return (time.perf_counter() - started) * 1000


def account_stops(count: int, block: int) -> dict[str, float]:
    """max_ms: the longest block of openings; at_once_ms: what one would take that copies rows and index into larger ones."""
    state, chance = State(0), np.random.default_rng(7)
    touched = np.zeros(block + 1, np.int64)

    def opened(keys: Any) -> None:
        state.reserve_accounts(len(keys))
        touched[0] = 0
        accounts = Accounts(state.rows, state.changed_at_us, touched)
        _open(accounts, AccountIndex(state.slots, state.secret), state.count, keys)
        state.count += len(keys)

    stops = []
    for at in range(0, count, block):
        keys = chance.integers(0, 2**64, (min(block, count - at), 2), np.uint64)
        stops.append(milliseconds(lambda keys=keys: opened(keys)))  # type: ignore[misc]
    kept = state.rows[: state.count]
    at_once_ms = milliseconds(lambda: (kept.copy(), with_room(state.slots, state.slots.size)))
    return {
        "max_ms": round(max(stops), 2),
        "p50_ms": round(float(np.median(stops)), 2),
        "at_once_ms": round(at_once_ms, 1),
    }


def hold_stops(count: int, block: int) -> dict[str, float]:
    """max_ms: the longest block of holds while they come to be so many; churned_max_ms: while as many more come and the oldest
    are over; at_once_ms: what a block would take that copies rows, legs and index into larger ones."""
    state, chance = State(0), np.random.default_rng(8)
    # In whole blocks: no hold comes twice, and those that are over are there.
    count = max(block, count // block * block)

    def held(ids: Any, over: Any) -> None:
        state.pending.reserve(len(ids), 2 * len(ids))
        _hold(state.pending.arrays, state.digest, ids, over)

    ids = chance.integers(1, 2**62, (2 * count, 2), np.int64)
    none = ids[:0]
    grown = [milliseconds(lambda at=at: held(ids[at : at + block], none)) for at in range(0, count, block)]  # type: ignore[misc]
    churned = [
        milliseconds(lambda at=at: held(ids[at : at + block], ids[at - count : at - count + block]))  # type: ignore[misc]
        for at in range(count, 2 * count, block)
    ]
    table = state.pending
    arrays = (table.rows[: table.count], table.nodes[: table.count], table.legs[: 2 * table.count])
    at_once_ms = milliseconds(lambda: ([array.copy() for array in arrays], with_room(table.slots, table.slots.size)))
    told = {"max_ms": max(grown), "p50_ms": float(np.median(grown)), "churned_max_ms": max(churned)}
    return {name: round(value, 2) for name, value in told.items()} | {"at_once_ms": round(at_once_ms, 1)}


@njit(cache=True, nogil=True)
def _open(accounts: Any, index: Any, count: int, keys: Any) -> None:
    zero = np.int64(0)
    for i in range(len(keys)):
        new = NewAccount(keys[i, 0], keys[i, 1], zero, zero, zero, zero)
        add_account(accounts, index, count + i, new, zero, False)


@njit(cache=True, nogil=True)
def _hold(table: Any, digest: Any, ids: Any, over: Any) -> None:
    leg = np.zeros(LEG_WIDTH, np.int64)
    for i in range(len(over)):
        row = find_pending(table, over[i, 0], over[i, 1], _HOLD)
        assert row >= 0
        drop(table, digest, row)
    for i in range(len(ids)):
        row = add_pending(table, ids[i, 0], ids[i, 1], _HOLD, np.int64(1))
        table[0][row, STATE] = _OPEN
        for side in range(2):
            leg[LEG_KEY_A], leg[LEG_AMOUNT] = ids[i, side], 2 * side - 1
            add_leg(table, row, leg)
        take_in(table, digest, row)
        note_pending(table, row)
