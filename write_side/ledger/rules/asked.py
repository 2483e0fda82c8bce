"""What is asked, as the compiled rules read it: the columns of all commands of a block, and one rich command of them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.compiled.compiled import njit_inlined
from write_side.contract.state.pending_columns import FIRST_LEG, LEG_COUNT, LEG_STEP
from write_side.contract.words.codes import Kinds
from write_side.ledger.commands.rich_columns import FIRST, LAST

Int64s = npt.NDArray[np.int64]
Uint64s = npt.NDArray[np.uint64]

Number = np.int64 | int

ANY_STEP: Final = np.int64(-1)
"""All legs, whatever their step."""


class Commands(NamedTuple):
    """n rows in the order in which they are decided. ids uint64[n, 2]; debit and credit: the words of account keys, uint64[n];
    asset: this process's number; prints uint64[2, n]; row_key: of openings; chain: see `chains.py`; rich: row in `rich_rows`, -1
    for an opening and a plain transfer inside the partition; rich_rows, legs: see `rich_columns.py`."""

    kind: npt.NDArray[np.uint8]
    ids: Uint64s
    debit_a: Uint64s
    debit_b: Uint64s
    credit_a: Uint64s
    credit_b: Uint64s
    amount: Int64s
    asset: Int64s
    prints: Uint64s
    row_key: Uint64s
    chain: Int64s
    rich: Int64s
    rich_rows: Int64s
    legs: Int64s


class Legs(NamedTuple):
    """The legs [first, last) of a pool, int64[..., LEG_WIDTH]: those of a step, or all of them (`ANY_STEP`)."""

    pool: Int64s
    first: Number
    last: Number
    step: Number


class Asked(NamedTuple):
    """A rich command: its row in the block, its id and the account that it names as signed words, its row of `rich_rows`."""

    outcome: Number
    kind: Number
    id_a: Number
    id_b: Number
    key_a: Number
    key_b: Number
    amount: Number
    chain: Number
    row: Int64s
    legs: Legs


@njit_inlined
def is_plain(commands, i):  # type: ignore[no-untyped-def]
    """Whether a row is a transfer between two accounts of the partition that hangs together with no other."""
    return commands.kind[i] == Kinds.TRANSFER and commands.rich[i] < 0 and commands.chain[i] == 0


@njit_inlined
def asked_legs(commands, i):  # type: ignore[no-untyped-def]
    """The legs of a rich command."""
    rich = commands.rich[i]
    return Legs(commands.legs, commands.rich_rows[rich, FIRST], commands.rich_rows[rich, LAST], ANY_STEP)


@njit_inlined
def asked_of(commands, i):  # type: ignore[no-untyped-def]
    """The rich command in row i."""
    return Asked(
        np.int64(i), np.int64(commands.kind[i]), np.int64(commands.ids[i, 0]), np.int64(commands.ids[i, 1]),
        np.int64(commands.debit_a[i]), np.int64(commands.debit_b[i]), commands.amount[i], commands.chain[i],
        commands.rich_rows[commands.rich[i]], asked_legs(commands, i),
    )  # fmt: skip


@njit_inlined
def legs_of(table, row, step):  # type: ignore[no-untyped-def]
    """The legs of a pending row."""
    first = table.rows[row, FIRST_LEG]
    return Legs(table.legs, first, first + table.rows[row, LEG_COUNT], step)


@njit_inlined
def is_among(legs, i):  # type: ignore[no-untyped-def]
    """Whether a leg of the pool between first and last is of the step."""
    return legs.step == ANY_STEP or legs.pool[i, LEG_STEP] == legs.step
