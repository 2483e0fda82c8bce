"""Holds: authorise, capture, void, expiry. A hold is a pending row; its legs keep what is left of it."""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.block.columns import NOT_TOLD
from write_side.contract.compiled.compiled import njit_inlined, njit_inner
from write_side.contract.state.pending import add_leg, add_pending, find_pending
from write_side.contract.state.pending_columns import (
    FINAL_BIT,
    FIRST_LEG,
    HOLD_DEADLINE_US,
    LEG_AMOUNT,
    LEG_ASSET,
    LEG_COUNT,
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
    HoldState,
    What,
)
from write_side.contract.words.codes import Code
from write_side.ledger.rules.book import end_pending, keep_pending
from write_side.ledger.rules.legs import ANY_STEP, check_legs, is_world, legs_fit, move_legs

_DONE: Final = np.int64(Code.DONE)
_PENDING: Final = np.int64(Code.PENDING)
_LIMITED: Final = np.int64(Code.BALANCE_LIMIT)
_SPANS: Final = np.int64(Code.HOLD_SPANS_PARTITIONS)
_PASSED: Final = np.int64(Code.DEADLINE_PASSED)
_UNKNOWN: Final = np.int64(Code.HOLD_UNKNOWN)
_BUSY: Final = np.int64(Code.HOLD_BUSY)
_EXCEEDED: Final = np.int64(Code.HOLD_EXCEEDED)
_HOLD: Final = np.int64(What.HOLD)
_OPEN_HOLD: Final = np.int64(HoldState.OPEN)
_BUSY_HOLD: Final = np.int64(HoldState.BUSY)
_NOT_TOLD: Final = np.int64(NOT_TOLD)

_ZERO: Final = np.int64(0)
_ONE: Final = np.int64(1)
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
def any_elsewhere(legs, first, last, lookup):  # type: ignore[no-untyped-def]
    """Whether one of the legs [first, last) is in another partition."""
    for i in range(first, last):  # noqa: SIM110 -- numba knows no any()
        if is_elsewhere(legs[i], lookup):
            return True
    return False


@njit_inner
def transfer_legs(book, outcome, legs, first, last):  # type: ignore[no-untyped-def]
    """Move legs of one partition, all or none: the code and its available."""
    code, available = check_legs(book, legs, first, last, ANY_STEP, _ZERO)
    if code != _DONE:
        return code, available
    if not legs_fit(book, legs, first, last, ANY_STEP, _GIVES, _RECEIVES):
        return _LIMITED, _NOT_TOLD
    move_legs(book, outcome, legs, first, last, ANY_STEP, _GIVES, _RECEIVES)
    return _DONE, _NOT_TOLD


@njit_inner
def hold(book, outcome, id_a, id_b, deadline_us, option, legs, first, last):  # type: ignore[no-untyped-def]
    """Authorise: the code and its available."""
    lookup, table, times = book.lookup, book.table, book.times
    for i in range(first, last):
        if legs[i, LEG_AMOUNT] < 0 and is_elsewhere(legs[i], lookup):
            return _SPANS, _NOT_TOLD
    if 0 < deadline_us <= times.created_at_us:
        return _PASSED, _NOT_TOLD
    # Legs elsewhere are tested when they are paid: step 1 marks them, so that only step 0 is looked at here.
    for i in range(first, last):
        legs[i, LEG_STEP] = 1 if is_elsewhere(legs[i], lookup) else 0
    code, available = check_legs(book, legs, first, last, _ZERO, _ZERO)
    if code != _DONE:
        return code, available
    if not legs_fit(book, legs, first, last, _ZERO, _GIVES, _RECEIVES) or not legs_fit(
        book, legs, first, last, _ZERO, _HOLDS, _NOTHING
    ):
        return _LIMITED, _NOT_TOLD
    move_legs(book, outcome, legs, first, last, _ZERO, _HOLDS, _NOTHING)
    row = add_pending(table, id_a, id_b, _HOLD, times.created_at_us)
    rows = table.rows
    rows[row, STATE] = _OPEN_HOLD
    rows[row, OPTION] = option
    rows[row, HOLD_DEADLINE_US] = deadline_us
    for i in range(first, last):
        leg = add_leg(table, row, legs[i])
        elsewhere = legs[i, LEG_STEP] == 1
        table.legs[leg, LEG_STEP] = 0
        table.legs[leg, LEG_PARTITION] = np.int64(
            np.uint64(legs[i, LEG_KEY_A]) % lookup.partitions if elsewhere else lookup.partition
        )
    keep_pending(book, outcome, row, _ZERO, _ONE)
    return _DONE, _NOT_TOLD


@njit_inlined
def _find_hold(book, a, b):  # type: ignore[no-untyped-def]
    """The row of a hold, and the code that says why it cannot be used (DONE when it can). One past its deadline is over."""
    table, times = book.table, book.times
    rows = table.rows
    row = find_pending(table, a, b, _HOLD)
    if row < 0:
        return row, _UNKNOWN
    if rows[row, STATE] == _BUSY_HOLD:
        return row, _BUSY
    if 0 < rows[row, HOLD_DEADLINE_US] <= times.created_at_us:
        return row, _UNKNOWN
    return row, _DONE


@njit_inner
def _captured(table, row, amount, legs, first, last):  # type: ignore[no-untyped-def]
    """Lay out the legs that a capture moves in the free end of the pool; where, first and last, empty when the hold has not
    that much left.

    amount, legs: as `commands.Capture` has them. Conditions of the hold were tested when it was made.
    """
    rows, pool, counts = table.rows, table.legs, table.counts
    start, count = rows[row, FIRST_LEG], rows[row, LEG_COUNT]
    at = counts[1] + _BEHIND_A_PROCESS
    if amount > 0 and (count != 2 or last > first):
        return at, at
    # `decide.py` makes room for each capture of a block; nothing is ever written behind the end of the pool.
    assert at + count <= len(pool)
    end = at
    for i in range(count):
        left = pool[start + i, LEG_AMOUNT]
        wanted = left
        if amount > 0:
            wanted = amount if left > 0 else -amount
        elif last > first:
            wanted = np.int64(0)
            for leg in range(first, last):
                if (
                    legs[leg, LEG_KEY_A] == pool[start + i, LEG_KEY_A]
                    and legs[leg, LEG_KEY_B] == pool[start + i, LEG_KEY_B]
                    and legs[leg, LEG_ASSET] == pool[start + i, LEG_ASSET]
                ):
                    wanted = legs[leg, LEG_AMOUNT]
        if wanted == 0:
            continue
        if (wanted > 0) != (left > 0) or abs(wanted) > abs(left):
            return at, at
        for word in range(LEG_WIDTH):
            pool[end, word] = pool[start + i, word]
        pool[end, LEG_AMOUNT] = wanted
        pool[end, LEG_STEP] = 0
        pool[end, LEG_IF_VERSION] = -1
        pool[end, LEG_IF_AVAILABLE] = _NOT_TOLD
        end += 1
    if last > first and end - at != last - first:
        return at, at
    return at, end


@njit_inner
def _take_from_hold(table, row, first, last, sign):  # type: ignore[no-untyped-def]
    """Lower (sign -1) or raise again (+1) what is left of a hold by legs of the pool; `@world` may be shared out among them."""
    rows, pool = table.rows, table.legs
    for leg in range(rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]):
        for i in range(first, last):
            if (
                pool[i, LEG_KEY_A] == pool[leg, LEG_KEY_A]
                and pool[i, LEG_KEY_B] == pool[leg, LEG_KEY_B]
                and pool[i, LEG_ASSET] == pool[leg, LEG_ASSET]
            ):
                pool[leg, LEG_AMOUNT] += sign * pool[i, LEG_AMOUNT]


@njit_inner
def _is_used_up(table, row):  # type: ignore[no-untyped-def]
    rows, pool = table.rows, table.legs
    first = rows[row, FIRST_LEG]
    for leg in range(first, first + rows[row, LEG_COUNT]):  # noqa: SIM110 -- numba knows no all()
        if pool[leg, LEG_AMOUNT] != 0:
            return False
    return True


@njit_inner
def _let_go(book, outcome, row):  # type: ignore[no-untyped-def]
    """Let go what is left, and end the hold."""
    table = book.table
    rows, pool = table.rows, table.legs
    first, last = rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]
    for leg in range(first, last):
        # What receives has nothing held, and may live elsewhere.
        pool[leg, LEG_STEP] = 0 if pool[leg, LEG_AMOUNT] < 0 else 1
    move_legs(book, outcome, pool, first, last, _ZERO, _LETS_GO, _NOTHING)
    end_pending(book, outcome, row, _ZERO)


@njit_inner
def _after_capture(book, outcome, row, final):  # type: ignore[no-untyped-def]
    rows = book.table.rows
    if final or _is_used_up(book.table, row):
        _let_go(book, outcome, row)
    else:
        rows[row, STATE] = _OPEN_HOLD
        keep_pending(book, outcome, row, _ZERO, _ONE)


@njit_inner
def capture(book, outcome, hold_a, hold_b, amount, option, legs, first, last):  # type: ignore[no-untyped-def]
    """Move what a hold holds: the code and its available, and what a transfer across partitions is begun of when the code is
    PENDING because legs are elsewhere: the hold's row, and the first and last leg in the pool. Nothing has moved then."""
    lookup, table = book.lookup, book.table
    row, code = _find_hold(book, hold_a, hold_b)
    if code != _DONE:
        return code, _NOT_TOLD, row, _ZERO, _ZERO
    pool = table.legs
    start, end = _captured(table, row, amount, legs, first, last)
    if start == end:
        return _EXCEEDED, _NOT_TOLD, row, start, end
    if any_elsewhere(pool, start, end, lookup):
        return _PENDING, _NOT_TOLD, row, start, end
    code, available = check_legs(book, pool, start, end, ANY_STEP, _ONE)
    if code == _DONE and not legs_fit(book, pool, start, end, ANY_STEP, _GIVES_HELD, _RECEIVES):
        code = _LIMITED
    if code == _DONE:
        move_legs(book, outcome, pool, start, end, ANY_STEP, _GIVES_HELD, _RECEIVES)
        _take_from_hold(table, row, start, end, -_ONE)
        _after_capture(book, outcome, row, option & FINAL_BIT)
    return code, available, row, start, end


@njit_inner
def set_aside(book, outcome, row, start, end):  # type: ignore[no-untyped-def]
    """Legs of the pool that a capture across partitions has begun to move: the hold is busy until `end_capture`."""
    table = book.table
    _take_from_hold(table, row, start, end, -_ONE)
    table.rows[row, STATE] = _BUSY_HOLD
    keep_pending(book, outcome, row, _ZERO, _ONE)


@njit_inner
def end_capture(book, outcome, process, done):  # type: ignore[no-untyped-def]
    """A capture across partitions is over: the hold goes on, ends, or is given back as it was. Row numbers may change."""
    table = book.table
    rows = table.rows
    row = find_pending(table, rows[process, SUBJECT_A], rows[process, SUBJECT_B], _HOLD)
    if not done:
        first = rows[process, FIRST_LEG]
        _take_from_hold(table, row, first, first + rows[process, LEG_COUNT], _ONE)
    _after_capture(book, outcome, row, rows[process, OPTION] & FINAL_BIT if done else _ZERO)


@njit_inner
def void(book, outcome, hold_a, hold_b):  # type: ignore[no-untyped-def]
    """Let a hold go; the code."""
    row, code = _find_hold(book, hold_a, hold_b)
    if code == _DONE:
        _let_go(book, outcome, row)
    return code


@njit_inner
def expire(book, outcome, hold_a, hold_b):  # type: ignore[no-untyped-def]
    """A hold's deadline has come."""
    _let_go(book, outcome, find_pending(book.table, hold_a, hold_b, _HOLD))
