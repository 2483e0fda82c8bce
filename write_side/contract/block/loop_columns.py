"""Sections of a block as the compiled loops take them: columns by name, an array each, of the types that they always have."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]


class OutcomeColumns(NamedTuple):
    """kind, code: uint8[outcomes]; back, row: int64, the place of the command."""

    kind: npt.NDArray[np.uint8]
    code: npt.NDArray[np.uint8]
    back: Int64s
    row: Int64s


class EntryColumns(NamedTuple):
    """int64[entries] each; held and flags after those entries that tell them, `held_entry` and `flags_entry` rising."""

    outcome: Int64s
    account: Int64s
    posted: Int64s
    version: Int64s
    held_entry: Int64s
    held: Int64s
    flags_entry: Int64s
    flags: Int64s


class RepeatColumns(NamedTuple):
    """int64[repeats] each: a repeated command, and the place of the first."""

    outcome: Int64s
    sequence: Int64s
    row: Int64s


class PendingColumns(NamedTuple):
    """A block's pending rows, int64[n]; ids int64[n, 2]; logged int64[n, columns of `pending_columns.LOGGED`]; legs: how many of
    the legs in `pool`, int64[..., LEG_WIDTH], each row has."""

    outcome: Int64s
    ids: Int64s
    what: Int64s
    logged: Int64s
    low: Int64s
    legs: Int64s
    pool: Int64s
