"""Holds: authorise, capture, void, expiry. A hold is a pending row; its legs keep what is left of it."""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.compiled.compiled import njit_inlined, njit_inner
from write_side.contract.state.pending_columns import (
    FINAL_BIT,
    HOLD_DEADLINE_US,
    LEG_AMOUNT,
    LEG_ASSET,
    LEG_IF_AVAILABLE,
    LEG_IF_VERSION,
    LEG_KEY_A,
    LEG_KEY_B,
    LEG_PARTITION,
    LEG_STEP,
    LEG_WIDTH,
    OPTION,
    STATE,
    SUBJECT_A,
    SUBJECT_B,
    HoldStates,
    PendingKinds,
)
from write_side.contract.state.pending_index import LEGS_END
from write_side.contract.state.pending_rows import add_leg, add_pending, find_pending
from write_side.contract.words.codes import Codes
from write_side.ledger.commands.rich_columns import DEADLINE_US, OTHER_A, OTHER_B
from write_side.ledger.rules.asked import ANY_STEP, Legs, legs_of
from write_side.ledger.rules.book import end_pending, keep_pending
from write_side.ledger.rules.legs import check_legs, is_world, legs_fit, move_legs
from write_side.ledger.rules.numbers import NOT_TOLD, ONE, ZERO

_BEHIND_A_PROCESS: Final = 128
"""Rows of the pool that a process made meanwhile may take: 64 legs, `@world` shared out, and 62 records."""
_NOTHING: Final = (np.int64(0), np.int64(0), np.int64(0))
_HOLDS: Final = (np.int64(0), np.int64(1), np.int64(0))
_LETS_GO: Final = (np.int64(0), np.int64(-1), np.int64(0))
_GIVES_HELD: Final = (np.int64(-1), np.int64(-1), np.int64(0))
_GIVES: Final = (np.int64(-1), np.int64(0), np.int64(0))
_RECEIVES: Final = (np.int64(1), np.int64(0), np.int64(0))
"""Factors of (posted, held, transit) for the legs of one partition."""


@njit_inlined
def is_elsewhere(leg, lookup):  # type: ignore[no-untyped-def]
    """Whether a leg's account lives in another partition; `@world` lives in each."""
    return (
        not is_world(leg[LEG_KEY_A], leg[LEG_KEY_B]) and np.uint64(leg[LEG_KEY_A]) % lookup.partitions != lookup.partition
    )  # fmt: skip


@njit_inner
def any_elsewhere(legs, lookup):  # type: ignore[no-untyped-def]
    """Whether one of the legs is in another partition."""
    for i in range(legs.first, legs.last):  # noqa: SIM110 -- numba knows no any()
        if is_elsewhere(legs.pool[i], lookup):
            return True
    return False


@njit_inner
def transfer_legs(book, outcome, legs):  # type: ignore[no-untyped-def]
    """Move legs of one partition, all or none: the code and its available."""
    code, available = check_legs(book, legs, ZERO)
    if code != Codes.DONE:
        return code, available
    if not legs_fit(book, legs, _GIVES, _RECEIVES):
        return Codes.BALANCE_LIMIT, NOT_TOLD
    move_legs(book, outcome, legs, _GIVES, _RECEIVES)
    return Codes.DONE, NOT_TOLD


@njit_inner
def hold(book, asked, option):  # type: ignore[no-untyped-def]
    """Authorise: the code and its available."""
    lookup, table, times, legs = book.lookup, book.table, book.times, asked.legs
    pool, deadline_us = legs.pool, asked.row[DEADLINE_US]
    for i in range(legs.first, legs.last):
        if pool[i, LEG_AMOUNT] < 0 and is_elsewhere(pool[i], lookup):
            return Codes.HOLD_SPANS_PARTITIONS, NOT_TOLD
    if 0 < deadline_us <= times.created_at_us:
        return Codes.DEADLINE_PASSED, NOT_TOLD
    # Legs elsewhere are tested when they are paid: step 1 marks them, so that only step 0 is looked at here.
    for i in range(legs.first, legs.last):
        pool[i, LEG_STEP] = 1 if is_elsewhere(pool[i], lookup) else 0
    here = Legs(pool, legs.first, legs.last, ZERO)
    code, available = check_legs(book, here, ZERO)
    if code != Codes.DONE:
        return code, available
    if not legs_fit(book, here, _GIVES, _RECEIVES) or not legs_fit(book, here, _HOLDS, _NOTHING):
        return Codes.BALANCE_LIMIT, NOT_TOLD
    move_legs(book, asked.outcome, here, _HOLDS, _NOTHING)
    row = add_pending(table, asked.id_a, asked.id_b, PendingKinds.HOLD, times.created_at_us)
    rows = table.rows
    rows[row, STATE] = HoldStates.OPEN
    rows[row, OPTION] = option
    rows[row, HOLD_DEADLINE_US] = deadline_us
    for i in range(legs.first, legs.last):
        leg = add_leg(table, row, pool[i])
        elsewhere = pool[i, LEG_STEP] == 1
        table.legs[leg, LEG_STEP] = 0
        table.legs[leg, LEG_PARTITION] = np.int64(
            np.uint64(pool[i, LEG_KEY_A]) % lookup.partitions if elsewhere else lookup.partition
        )
    keep_pending(book, asked.outcome, row, ZERO, ONE)
    return Codes.DONE, NOT_TOLD


@njit_inlined
def _find_hold(book, a, b):  # type: ignore[no-untyped-def]
    """The row of a hold, and the code that says why it cannot be used (DONE when it can). One past its deadline is over."""
    table, times = book.table, book.times
    rows = table.rows
    row = find_pending(table, a, b, PendingKinds.HOLD)
    if row < 0:
        return row, Codes.HOLD_UNKNOWN
    if rows[row, STATE] == HoldStates.BUSY:
        return row, Codes.HOLD_BUSY
    if 0 < rows[row, HOLD_DEADLINE_US] <= times.created_at_us:
        return row, Codes.HOLD_UNKNOWN
    return row, Codes.DONE


@njit_inlined
def _is_same_account(one, other):  # type: ignore[no-untyped-def]
    """Whether two legs are of one account and asset: in a hold, and in what captures it."""
    return (
        one[LEG_KEY_A] == other[LEG_KEY_A] and one[LEG_KEY_B] == other[LEG_KEY_B] and one[LEG_ASSET] == other[LEG_ASSET]
    )


@njit_inlined
def _wanted(left, amount, legs):  # type: ignore[no-untyped-def]
    """What a capture moves of a hold's leg: an amount of both, what its own legs say of the account, or all that is left."""
    if amount > 0:
        return amount if left[LEG_AMOUNT] > 0 else -amount
    if legs.last == legs.first:
        return left[LEG_AMOUNT]
    for i in range(legs.first, legs.last):
        if _is_same_account(legs.pool[i], left):
            return legs.pool[i, LEG_AMOUNT]
    return ZERO


@njit_inlined
def _lay_out(pool, to, left, amount):  # type: ignore[no-untyped-def]
    """So much of a hold's leg as one to be moved. Its conditions were tested when the hold was made."""
    for word in range(LEG_WIDTH):
        pool[to, word] = left[word]
    pool[to, LEG_AMOUNT] = amount
    pool[to, LEG_STEP] = 0
    pool[to, LEG_IF_VERSION] = -1
    pool[to, LEG_IF_AVAILABLE] = NOT_TOLD


@njit_inner
def _captured(table, row, amount, legs):  # type: ignore[no-untyped-def]
    """The legs that a capture moves, laid out in the free end of the pool; none when the hold has not that much left.

    amount, legs: as `commands.Capture` has them.
    """
    pool, held = table.legs, legs_of(table, row, ANY_STEP)
    first = table.counts[LEGS_END] + _BEHIND_A_PROCESS
    nothing = Legs(pool, first, first, ANY_STEP)
    held_legs, said_legs = held.last - held.first, legs.last - legs.first
    if amount > 0 and (held_legs != 2 or said_legs > 0):
        return nothing
    # `decide.py` makes room for each capture of a block; nothing is ever written behind the end of the pool.
    assert first + held_legs <= len(pool)
    last = first
    for i in range(held.first, held.last):
        wanted, left = _wanted(pool[i], amount, legs), pool[i, LEG_AMOUNT]
        if wanted == 0:
            continue
        if (wanted > 0) != (left > 0) or abs(wanted) > abs(left):
            return nothing
        _lay_out(pool, last, pool[i], wanted)
        last += 1
    if said_legs > 0 and last - first != said_legs:  # one of them is not of the hold
        return nothing
    return Legs(pool, first, last, ANY_STEP)


@njit_inner
def _take_from_hold(table, row, moved, sign):  # type: ignore[no-untyped-def]
    """Lower (sign -1) or raise again (+1) what is left of a hold by legs of the pool; `@world` may be shared out among them."""
    pool, held = table.legs, legs_of(table, row, ANY_STEP)
    for leg in range(held.first, held.last):
        for i in range(moved.first, moved.last):
            if _is_same_account(pool[i], pool[leg]):
                pool[leg, LEG_AMOUNT] += sign * pool[i, LEG_AMOUNT]


@njit_inner
def _is_used_up(table, row):  # type: ignore[no-untyped-def]
    held = legs_of(table, row, ANY_STEP)
    for leg in range(held.first, held.last):  # noqa: SIM110 -- numba knows no all()
        if held.pool[leg, LEG_AMOUNT] != 0:
            return False
    return True


@njit_inner
def _let_go(book, outcome, row):  # type: ignore[no-untyped-def]
    """Let go what is left, and end the hold."""
    held = legs_of(book.table, row, ZERO)
    for leg in range(held.first, held.last):
        # What receives has nothing held, and may live elsewhere.
        held.pool[leg, LEG_STEP] = 0 if held.pool[leg, LEG_AMOUNT] < 0 else 1
    move_legs(book, outcome, held, _LETS_GO, _NOTHING)
    end_pending(book, outcome, row, ZERO)


@njit_inner
def _after_capture(book, outcome, row, final):  # type: ignore[no-untyped-def]
    rows = book.table.rows
    if final or _is_used_up(book.table, row):
        _let_go(book, outcome, row)
    else:
        rows[row, STATE] = HoldStates.OPEN
        keep_pending(book, outcome, row, ZERO, ONE)


@njit_inner
def capture(book, asked, option):  # type: ignore[no-untyped-def]
    """Move what a hold holds: the code and its available, and the hold's row and the legs that a transfer across partitions is
    begun of when the code is PENDING, because some are elsewhere. Nothing has moved then."""
    table, outcome = book.table, asked.outcome
    row, code = _find_hold(book, asked.row[OTHER_A], asked.row[OTHER_B])
    if code != Codes.DONE:
        return code, NOT_TOLD, row, asked.legs
    captured = _captured(table, row, asked.amount, asked.legs)
    if captured.first == captured.last:
        return Codes.HOLD_EXCEEDED, NOT_TOLD, row, captured
    if any_elsewhere(captured, book.lookup):
        return Codes.PENDING, NOT_TOLD, row, captured
    code, available = check_legs(book, captured, ONE)
    if code == Codes.DONE and not legs_fit(book, captured, _GIVES_HELD, _RECEIVES):
        code = Codes.BALANCE_LIMIT
    if code == Codes.DONE:
        move_legs(book, outcome, captured, _GIVES_HELD, _RECEIVES)
        _take_from_hold(table, row, captured, -ONE)
        _after_capture(book, outcome, row, option & FINAL_BIT)
    return code, available, row, captured


@njit_inner
def set_aside(book, outcome, row, captured):  # type: ignore[no-untyped-def]
    """Legs of the pool that a capture across partitions has begun to move: the hold is busy until `end_capture`."""
    table = book.table
    _take_from_hold(table, row, captured, -ONE)
    table.rows[row, STATE] = HoldStates.BUSY
    keep_pending(book, outcome, row, ZERO, ONE)


@njit_inner
def end_capture(book, outcome, process, done):  # type: ignore[no-untyped-def]
    """A capture across partitions is over: the hold goes on, ends, or is given back as it was. Row numbers may change."""
    table = book.table
    rows = table.rows
    row = find_pending(table, rows[process, SUBJECT_A], rows[process, SUBJECT_B], PendingKinds.HOLD)
    if not done:
        _take_from_hold(table, row, legs_of(table, process, ANY_STEP), ONE)
    _after_capture(book, outcome, row, rows[process, OPTION] & FINAL_BIT if done else ZERO)


@njit_inner
def void(book, asked):  # type: ignore[no-untyped-def]
    """Let a hold go; the code."""
    row, code = _find_hold(book, asked.row[OTHER_A], asked.row[OTHER_B])
    if code == Codes.DONE:
        _let_go(book, asked.outcome, row)
    return code


@njit_inner
def expire(book, asked):  # type: ignore[no-untyped-def]
    """The deadline of the hold of this id has come."""
    _let_go(book, asked.outcome, find_pending(book.table, asked.id_a, asked.id_b, PendingKinds.HOLD))
