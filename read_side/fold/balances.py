"""The projection every view shows: a partition's folded state as account rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from read_side.contract.rows import AccountRows, Int64s
from write_side.contract.block.columns import FLAGS_MASK
from write_side.contract.state.account_rows import ASSET_SHIFT, FLAGS_AND_ASSET, FLOOR, HELD, POSTED, VERSION
from write_side.contract.state.state import State


def rows_of(state: State, numbers: Int64s) -> AccountRows:
    """The rows of some accounts (int64[n], each once) as they are now. System accounts are named `@world:USD/2`."""
    names = state.names.take(numbers)
    for i, name in enumerate(names):
        if name[0] == "@":
            names[i] = state.row_name(int(numbers[i]))
    rows = state.rows[numbers]  # of these accounts only: a mask over a whole column would cost every account, a block
    assets = state.asset_names
    return AccountRows(
        names,
        [assets[asset] for asset in (rows[:, FLAGS_AND_ASSET] >> ASSET_SHIFT).tolist()],
        rows[:, POSTED],
        rows[:, HELD],
        rows[:, FLOOR],
        rows[:, VERSION],
        state.changed_at_us[numbers],
        rows[:, FLAGS_AND_ASSET] & FLAGS_MASK,
    )


def changed_after(state: State, at_us: int) -> Int64s:
    """The accounts changed by blocks later than the one of time `at_us`: the times of a chain rise strictly."""
    return np.flatnonzero(state.changed_at_us[: state.count] > at_us).astype(np.int64, copy=False)


def rows_in_parts(state: State, size: int) -> Iterator[AccountRows]:
    """Every account of the state, `size` rows at a time."""
    for first in range(0, state.count, size):
        yield rows_of(state, np.arange(first, min(first + size, state.count), dtype=np.int64))
