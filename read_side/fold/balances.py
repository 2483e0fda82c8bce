"""The projection every view shows: a partition's folded state as account rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from read_side.contract.rows import AccountRows, Int64s, RowsOfFold
from read_side.fold.texts_later import TextsLater
from write_side.contract.block.columns import FLAGS_MASK
from write_side.contract.state.account_rows import ASSET_SHIFT, FLAGS_AND_ASSET, FLOOR, HELD, POSTED, VERSION
from write_side.contract.state.state import State


def rows_of(state: State, numbers: Int64s, fold: RowsOfFold | None = None) -> AccountRows:
    """The rows of some accounts (int64[n], each once) as they are now. fold: see `AccountRows`."""
    # Of these accounts only: a mask over a whole column would cost every account, a block.
    return columns_of(state, state.row_names(numbers), state.rows[numbers], state.changed_at_us[numbers], fold)


def rows_to_show(state: State, numbers: Int64s, fold: RowsOfFold) -> AccountRows:
    """As `rows_of`, for a view that may show the fold and then looks at none of their texts. Names and assets of accounts never
    change."""
    rows = state.rows[numbers]
    names = TextsLater(len(rows), lambda: state.row_names(numbers))
    assets = TextsLater(len(rows), lambda: _assets_of(state, rows))
    return _rows(names, assets, rows, state.changed_at_us[numbers], fold)


def columns_of(
    state: State, accounts: list[str], rows: Int64s, at_us: Int64s, fold: RowsOfFold | None = None
) -> AccountRows:
    """Rows of the state's table, int64[n, WIDTH], and their times as account rows. accounts: their row names."""
    return _rows(accounts, _assets_of(state, rows), rows, at_us, fold)


def _assets_of(state: State, rows: Int64s) -> list[str]:
    assets = state.asset_names
    return [assets[asset] for asset in (rows[:, FLAGS_AND_ASSET] >> ASSET_SHIFT).tolist()]


def _rows(
    accounts: Sequence[str], assets: Sequence[str], rows: Int64s, at_us: Int64s, fold: RowsOfFold | None
) -> AccountRows:
    return AccountRows(
        accounts,
        assets,
        rows[:, POSTED],
        rows[:, HELD],
        rows[:, FLOOR],
        rows[:, VERSION],
        at_us,
        rows[:, FLAGS_AND_ASSET] & FLAGS_MASK,
        fold=fold,
    )


def changed_after(state: State, at_us: int) -> Int64s:
    """The accounts changed by blocks later than the one of time `at_us`: the times of a chain rise strictly."""
    return np.flatnonzero(state.changed_at_us[: state.count] > at_us).astype(np.int64, copy=False)
