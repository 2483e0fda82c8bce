"""The row of a transfer across partitions at its home: the legs, with `@world` shared out, and the steps that they make."""

from __future__ import annotations

from typing import Final

import numpy as np

from write_side.contract.compiled.compiled import njit_inner
from write_side.contract.state.pending_columns import (
    ASKS_BIT,
    BEGUN,
    DEBITS,
    FIRST_LEG,
    FROM_HOLD_BIT,
    KIND_SHIFT,
    LEG_AMOUNT,
    LEG_ASSET,
    LEG_COUNT,
    LEG_KEY_A,
    LEG_KEY_B,
    LEG_PARTITION,
    LEG_STEP,
    OPTION,
    STATE,
    STEPS,
    TCC_BIT,
    TRIES_END_US,
    PendingKinds,
    Phases,
)
from write_side.contract.state.pending_rows import add_leg, add_pending, add_records
from write_side.ledger.rules.legs import is_world

TRY_LIMIT_US: Final = 10_000_000
"""How long home waits for the tries of a tcc transfer before it cancels."""


@njit_inner
def add_process(book, asked, option, legs):  # type: ignore[no-untyped-def]
    """The row of a new process with its legs and steps, `@world` shared out so that its legs need no transit; not yet kept.

    legs: as the command has them, sorted by account. Steps: what gives comes first, home's own before the others.
    """
    lookup, table, times = book.lookup, book.table, book.times
    rows, pool = table.rows, table.legs
    partitions, here = lookup.partitions, np.int64(lookup.partition)
    row = add_pending(table, asked.id_a, asked.id_b, PendingKinds.PROCESS, times.created_at_us)
    rows[row, OPTION] = option | ASKS_BIT | (asked.kind << KIND_SHIFT)
    rows[row, BEGUN] = times.sequence
    for worlds in (False, True):  # those of `@world` last: they depend on the others
        for i in range(legs.first, legs.last):
            given = legs.pool[i]
            if is_world(given[LEG_KEY_A], given[LEG_KEY_B]) != worlds:
                continue
            if worlds and not (option & FROM_HOLD_BIT and given[LEG_AMOUNT] < 0):
                _share_world(table, row, given)
                continue
            leg = add_leg(table, row, given)
            pool[leg, LEG_STEP] = 0
            # What a hold gives from `@world` is held here.
            pool[leg, LEG_PARTITION] = here if worlds else np.int64(np.uint64(given[LEG_KEY_A]) % partitions)
    _number_steps(table, row, here)
    add_records(table, row, rows[row, STEPS])
    if option & TCC_BIT:
        rows[row, STATE] = Phases.TRYING
        rows[row, TRIES_END_US] = times.created_at_us + TRY_LIMIT_US
    else:
        rows[row, STATE] = Phases.DEBITING
    return row


@njit_inner
def _share_world(table, row, world):  # type: ignore[no-untyped-def]
    """A leg of `@world` in each partition, of what the other legs of its asset come to there."""
    rows, pool = table.rows, table.legs
    first, last = rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]
    for i in range(first, last):
        if pool[i, LEG_ASSET] != world[LEG_ASSET] or is_world(pool[i, LEG_KEY_A], pool[i, LEG_KEY_B]):
            continue
        total = np.int64(0)
        is_first = True
        for j in range(first, last):
            if pool[j, LEG_ASSET] == world[LEG_ASSET] and pool[j, LEG_PARTITION] == pool[i, LEG_PARTITION]:
                total += pool[j, LEG_AMOUNT]
                is_first = is_first and j >= i
        if is_first and total != 0:
            leg = add_leg(table, row, world)
            pool[leg, LEG_AMOUNT] = -total
            pool[leg, LEG_STEP] = 0
            pool[leg, LEG_PARTITION] = pool[i, LEG_PARTITION]


@njit_inner
def _number_steps(table, row, here):  # type: ignore[no-untyped-def]
    rows, pool = table.rows, table.legs
    first, last = rows[row, FIRST_LEG], rows[row, FIRST_LEG] + rows[row, LEG_COUNT]
    step = np.int64(0)
    for sign in (-1, 1):
        partition = here
        while partition >= 0:
            following = np.int64(-1)
            found = False
            for leg in range(first, last):
                if pool[leg, LEG_AMOUNT] * sign < 0:
                    continue
                other = pool[leg, LEG_PARTITION]
                if other == partition:
                    pool[leg, LEG_STEP] = step
                    found = True
                elif (
                    other != here and (partition == here or other > partition) and (following < 0 or other < following)
                ):
                    following = other
            step += 1 if found else 0
            partition = following
        if sign < 0:
            rows[row, DEBITS] = step
    rows[row, STEPS] = step
