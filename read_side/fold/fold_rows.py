"""The rows of a fold as of when a view was moved on last: a view in the same memory need not hold every account once more.

While a run is folded, and until the view is moved on to it, the rows that it changes are shown as they were before. They are
copied aside before the fold touches them, so that whoever reads meanwhile takes a row first and then looks whether it is among
those: what is not there had not been touched when it was taken. A fold that fails in the middle of a block has copied, too.

`note` runs where the fold runs, in a thread; everything else on the loop of the readers, who never wait for the fold's lock.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from read_side.contract.rows import AccountRow, AccountRows, Int64s, ShowsFold
from read_side.fold.balances import columns_of, rows_of, rows_to_show
from write_side.contract.block.columns import FLAGS_MASK
from write_side.contract.state.account_rows import ASSET_SHIFT, FLAGS_AND_ASSET, FLOOR, HELD, POSTED, VERSION, WIDTH
from write_side.contract.state.state import State

_ASSET_BITS: Final = int(ASSET_SHIFT)
_FEW: Final = 4
_KEPT_ROWS: Final = 1 << 14
"""Room for so many copied rows is kept from run to run: fresh memory costs its pages anew."""
_TOLD_APART_AT: Final = 1 << 17
"""A run names an account as often as it changes. From so many on each is kept once, so that memory is bounded by the accounts."""


class _Before(NamedTuple):
    """The first `filled` are rows as they were, int64[..., WIDTH], their accounts and times; of one that is there twice the first
    counts. What is in the arrays stays there until the view is moved on."""

    filled: int
    numbers: Int64s
    rows: Int64s
    at_us: Int64s

    def find(self, numbers: Int64s) -> Int64s:
        """The place of each of these accounts; -1 for those that are not there."""
        held = self.numbers[: self.filled]
        if len(numbers) <= _FEW:
            return np.array([next(iter(np.flatnonzero(held == number)), -1) for number in numbers], np.int64)
        order = np.argsort(held, kind="stable")
        at = np.searchsorted(held, numbers, sorter=order)
        places = order[np.minimum(at, self.filled - 1)]
        return np.where(held[places] == numbers, places, -1)


def _room(rows: int) -> _Before:
    return _Before(0, np.empty(rows, np.int64), np.empty((rows, WIDTH), np.int64), np.empty(rows, np.int64))


class FoldRows:
    """Of one partition's fold. One view at a time shows them; without one nothing is copied aside."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._shown: ShowsFold | None = None
        self._count = 0
        self._before = _room(0)

    def rows_of(self, numbers: Int64s) -> AccountRows:
        """The rows of these accounts as the fold has them now, for a view: of this fold."""
        return rows_of(self._state, numbers, self)

    def in_parts(self, size: int) -> Iterator[AccountRows]:
        """As `rows_of` of every account, `size` at a time; their texts are made where somebody looks at them."""
        for first in range(0, self._state.count, size):
            numbers = np.arange(first, min(first + size, self._state.count), dtype=np.int64)
            yield rows_to_show(self._state, numbers, self)

    def is_at(self, sequence: int, block_hash: bytes) -> bool:
        """Whether this block is the last one folded."""
        return (self._state.chained.sequence, self._state.chained.block_hash) == (sequence, block_hash)

    def show(self, view: ShowsFold) -> None:
        """From now on this view shows the rows as they are now. Another one that showed them takes a copy first."""
        if self._shown is not None and self._shown is not view:
            self._shown.detach()
        self._shown, self._count = view, self._state.count
        kept = self._before if 0 < len(self._before.numbers) <= _KEPT_ROWS else _room(0)
        self._before = kept._replace(filled=0)

    def leave(self) -> None:
        """No view shows the rows any more."""
        self._shown, self._before = None, _room(0)

    def note(self, accounts: Int64s) -> None:
        """Before a fold changes these accounts and no others; each may be named often, and those not there are passed over."""
        if self._shown is None or not len(accounts):
            return
        accounts = accounts[(accounts >= 0) & (accounts < self._count)]
        before = self._before
        if before.filled + len(accounts) > len(before.numbers):
            before = self._grown(before, len(accounts))
        end = before.filled + len(accounts)
        before.numbers[before.filled : end] = accounts
        np.take(self._state.rows, accounts, axis=0, out=before.rows[before.filled : end])
        np.take(self._state.changed_at_us, accounts, out=before.at_us[before.filled : end])
        self._before = before._replace(filled=end)

    def _grown(self, before: _Before, more: int) -> _Before:
        """The same in larger arrays; in new ones, because somebody may be reading these."""
        kept: Int64s = np.arange(before.filled)
        if before.filled > _TOLD_APART_AT:
            kept = np.sort(np.unique(before.numbers[: before.filled], return_index=True)[1])
        larger = _room(max(_KEPT_ROWS, 2 * len(kept), len(kept) + more))
        for old, new in zip(before[1:], larger[1:], strict=True):
            new[: len(kept)] = old[kept]
        return larger._replace(filled=len(kept))

    @property
    def count(self) -> int:
        """How many accounts are shown."""
        return self._count

    def find(self, accounts: Sequence[str]) -> Int64s:
        """The number of each account that is shown; -1 for the others."""
        numbers = self._state.numbers_of(accounts)
        return np.where(numbers < self._count, numbers, -1)

    def shown(self, numbers: Int64s, accounts: list[str] | None = None) -> AccountRows:
        """The rows of these accounts as they are shown. accounts: their row names, by whoever has them."""
        state = self._state
        rows, at_us = state.rows[numbers], state.changed_at_us[numbers]
        before = self._before  # behind the copies: see above
        if before.filled:
            places = before.find(numbers)
            were = places >= 0
            rows[were], at_us[were] = before.rows[places[were]], before.at_us[places[were]]
        return columns_of(state, state.row_names(numbers) if accounts is None else accounts, rows, at_us)

    def one(self, account: str) -> AccountRow | None:
        """The row of one account as it is shown."""
        number, state = int(self._state.numbers_of([account])[0]), self._state
        if not 0 <= number < self._count:
            return None
        row, at_us = state.rows[number], int(state.changed_at_us[number])
        columns, before = row.tolist(), self._before
        if before.filled:
            place = int(before.find(np.array([number]))[0])
            if place >= 0:
                columns, at_us = before.rows[place].tolist(), int(before.at_us[place])
        flags, asset = columns[FLAGS_AND_ASSET] & FLAGS_MASK, state.asset_names[columns[FLAGS_AND_ASSET] >> _ASSET_BITS]
        return AccountRow(
            account, asset, columns[POSTED], columns[HELD], columns[FLOOR], columns[VERSION], at_us, flags
        )
