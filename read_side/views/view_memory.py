"""A view store in this process's memory: the embedded default. Gone with the process, made again from the log.

Every method runs to its end without awaiting, so on one event loop each is one atomic step.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Sequence
from itertools import count, repeat
from typing import Final

import numpy as np

from read_side.contract.rows import EMPTY_ROWS, NUMBERS, AccountRow, AccountRows, Int64s, RowsOfFold
from read_side.contract.view import Checkpoint, CheckpointMismatch, Owner, OwnerStale, claimed_at

_CLAIMS: Final = count(1)
"""The clock of claims: of the process and not of a store, so that one that was emptied or set back goes on with later ones."""
_ROWS_AT_FIRST = 1024
_MANY_ROWS = 16
SCAN_ROWS = 10_000
"""Rows of one batch of `scan`: small enough that the event loop goes on between two."""


class _Table:
    """Rows as columns; a dict finds an account's place."""

    def __init__(self) -> None:
        self.place: dict[str, int] = {}
        self.accounts: list[str] = []
        self.assets: list[str] = []
        self.numbers: Int64s = np.empty((len(NUMBERS), _ROWS_AT_FIRST), np.int64)

    def write(self, rows: AccountRows) -> None:
        """Scatter a batch into the columns: one dict look-up a row, then one numpy assignment a column."""
        if not len(rows):
            return
        places = np.fromiter(map(self.place.get, rows.accounts, repeat(-1)), np.int64, len(rows))
        new = np.flatnonzero(places < 0)
        if new.size:
            places[new] = self._append([rows.accounts[i] for i in new], [rows.assets[i] for i in new])
        for k, name in enumerate(NUMBERS):
            self.numbers[k, places] = getattr(rows, name)

    def _append(self, accounts: list[str], assets: list[str]) -> Int64s:
        first, count = len(self.accounts), len(self.accounts) + len(accounts)
        self.accounts += accounts
        self.assets += assets
        self.place.update(zip(accounts, range(first, count), strict=True))
        if count > self.numbers.shape[1]:
            grown = np.empty((len(NUMBERS), max(count, 2 * self.numbers.shape[1])), np.int64)
            grown[:, :first] = self.numbers[:, :first]
            self.numbers = grown
        return np.arange(first, count, dtype=np.int64)

    def row(self, account: str) -> AccountRow | None:
        place = self.place.get(account)
        if place is None:
            return None
        return AccountRow(account, self.assets[place], *self.numbers[:, place].tolist())

    def rows_of(self, accounts: Sequence[str]) -> list[AccountRow | None]:
        """Many rows: one gather a column instead of one a row."""
        if len(accounts) < _MANY_ROWS:
            return [self.row(account) for account in accounts]
        places = np.fromiter(map(self.place.get, accounts, repeat(-1)), np.int64, len(accounts))
        columns = self.numbers[:, places].tolist()
        return [
            None if place < 0 else AccountRow(account, self.assets[place], *numbers)
            for account, place, *numbers in zip(accounts, places.tolist(), *columns, strict=True)
        ]

    def rows(self, first: int, last: int) -> AccountRows:
        numbers = self.numbers[:, first:last].copy()
        return AccountRows(self.accounts[first:last], self.assets[first:last], *numbers)


class _Generation:
    """The rows of one generation: where the fold that they come from has them, or in a table of their own.

    A fold has all rows of its partition, so one that brings rows and is at the checkpoint that comes with them is shown from
    then on. Rows from anywhere else (a hand in the store, tests) make a table, which stays until the generation is cleared: what
    a fold writes then is written over them, as into any store.
    """

    def __init__(self) -> None:
        self.token: str | None = None
        self.checkpoint: Checkpoint | None = None
        self.loaded = 0
        self._fold: RowsOfFold | None = None
        self._table: _Table | None = None

    def clear(self) -> None:
        self.checkpoint = None
        self._leave()
        self._table = None

    def write(self, rows: AccountRows, checkpoint: Checkpoint | None) -> None:
        """Write a batch and move on; None: it is being loaded, and readers get nothing of it yet."""
        if not self._is_shown_by_fold(rows, checkpoint) and (len(rows) or self._fold is not None):
            self.table().write(rows)
        self.checkpoint = checkpoint

    def _is_shown_by_fold(self, rows: AccountRows, checkpoint: Checkpoint | None) -> bool:
        """Whether a fold has what is to be shown after this step, and shows it now."""
        if self._table is not None or (rows.fold is None and len(rows)):
            return False
        fold = self._fold if rows.fold is None else rows.fold
        if fold is None:
            return False
        if checkpoint is not None and fold is self._fold and checkpoint == self.checkpoint:
            return True  # a probe, or a part of more: its rows are shown with the step that moves on
        if checkpoint is not None and not fold.is_at(checkpoint.sequence, checkpoint.block_hash):
            return False
        if fold is not self._fold:
            self._leave()
            self._fold = fold
        fold.show(self)
        return True

    def detach(self) -> None:
        """Hold the rows in a table from now on."""
        if self._table is None:
            table, fold = _Table(), self._fold
            for first in range(0, 0 if fold is None else fold.count, SCAN_ROWS):
                table.write(self.rows(first, first + SCAN_ROWS))
            self._leave()
            self._table = table

    def table(self) -> _Table:
        self.detach()
        assert self._table is not None
        return self._table

    def _leave(self) -> None:
        if self._fold is not None:
            self._fold.leave()
            self._fold = None

    @property
    def count(self) -> int:
        """How many accounts there are."""
        if self._fold is not None:
            return self._fold.count
        return 0 if self._table is None else len(self._table.accounts)

    def row(self, account: str) -> AccountRow | None:
        if self._fold is not None:
            return self._fold.one(account)
        return None if self._table is None else self._table.row(account)

    def rows_of(self, accounts: Sequence[str]) -> list[AccountRow | None]:
        """Many rows: one gather a column instead of one a row."""
        if self._table is not None:
            return self._table.rows_of(accounts)
        if len(accounts) < _MANY_ROWS or self._fold is None:
            return [self.row(account) for account in accounts]
        numbers = self._fold.find(accounts)
        there = numbers >= 0
        found = iter(self._fold.shown(numbers[there]).each())
        return [next(found) if is_there else None for is_there in there.tolist()]

    def rows(self, first: int, last: int) -> AccountRows:
        """Rows in the order in which they came, as far as there are any."""
        last = min(last, self.count)
        if self._fold is not None:
            return self._fold.shown(np.arange(first, last, dtype=np.int64))
        return EMPTY_ROWS if self._table is None else self._table.rows(first, last)

    def __deepcopy__(self, _memo: dict[int, object]) -> _Generation:
        """A copy stands for itself, whatever becomes of the fold."""
        copy = _Generation()
        copy.token, copy.checkpoint, copy.loaded = self.token, self.checkpoint, self.loaded
        for first in range(0, self.count, SCAN_ROWS):
            copy.table().write(self.rows(first, first + SCAN_ROWS))
        return copy


class MemoryViewStore:
    """`ViewStore` (read_side/contract/view.py) for readers and writers on one event loop."""

    shared = False

    def __init__(self) -> None:
        self._generations: dict[tuple[int, int], _Generation] = {}
        self._live: dict[int, int] = {}

    async def claim(self, partition: int, generation: int) -> Owner:
        token = f"{next(_CLAIMS)}-{secrets.token_hex(16)}"
        claimed = self._generations.setdefault((partition, generation), _Generation())
        claimed.token, claimed.loaded = token, 0
        return Owner(partition, generation, token)

    async def checkpoint(self, partition: int, generation: int | None = None) -> Checkpoint | None:
        found = self._find(partition, generation)
        return found.checkpoint if found else None

    async def apply(
        self, owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint, loaded: int = 0
    ) -> int:
        generation = self._owned(owner)
        if generation.checkpoint != expected or (expected is None and generation.loaded != loaded):
            raise CheckpointMismatch(generation.checkpoint)
        generation.write(rows, checkpoint)
        return self._live.setdefault(owner.partition, owner.generation)

    async def clear(self, owner: Owner) -> None:
        generation = self._owned(owner)
        generation.clear()
        generation.loaded = 0

    async def load(self, owner: Owner, rows: AccountRows) -> None:
        generation = self._owned(owner)
        if generation.checkpoint is not None:
            raise CheckpointMismatch(generation.checkpoint)
        generation.write(rows, None)
        generation.loaded += len(rows)

    async def live(self, partition: int) -> int | None:
        return self._live.get(partition)

    async def generations(self, partition: int) -> list[int]:
        return sorted(
            number
            for (owner_partition, number), generation in self._generations.items()
            if owner_partition == partition and (generation.checkpoint is not None or generation.count)
        )

    async def switch(self, owner: Owner) -> None:
        generation = self._owned(owner)
        live = self._find(owner.partition, None)
        reached = live.checkpoint.sequence if live and live.checkpoint else -1
        if generation.checkpoint is None or generation.checkpoint.sequence < reached:
            raise CheckpointMismatch(live.checkpoint if live else None)
        self._live[owner.partition] = owner.generation

    async def read(
        self, partition: int, accounts: Sequence[str], generation: int | None = None
    ) -> tuple[Checkpoint | None, list[AccountRow | None]]:
        found = self._find(partition, generation)
        if found is None or found.checkpoint is None:
            return None, [None] * len(accounts)
        return found.checkpoint, found.rows_of(accounts)

    async def scan(self, partition: int, generation: int) -> AsyncIterator[AccountRows]:
        found = self._find(partition, generation)
        if found is not None:
            for first in range(0, found.count, SCAN_ROWS):
                yield found.rows(first, min(first + SCAN_ROWS, found.count))

    async def close(self) -> None:
        """Nothing to release; the rows go with the object."""

    def _find(self, partition: int, generation: int | None) -> _Generation | None:
        number = self._live.get(partition) if generation is None else generation
        return None if number is None else self._generations.get((partition, number))

    def _owned(self, owner: Owner) -> _Generation:
        generation = self._generations.get((owner.partition, owner.generation))
        if generation is None or generation.token is None:
            raise CheckpointMismatch(None)
        if generation.token != owner.token:
            raise OwnerStale(generation.checkpoint, claimed_at(generation.token) > claimed_at(owner.token))
        return generation
