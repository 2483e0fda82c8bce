"""A view store in this process's memory: the embedded default. Gone with the process, made again from the log.

Every method runs to its end without awaiting, so on one event loop each is one atomic step.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from itertools import compress, count, repeat
from typing import Final

import numpy as np

from read_side.contract.rows import EMPTY_ROWS, NUMBERS, AccountRow, AccountRows, Int64s, RowsOfFold
from read_side.contract.view import Checkpoint, CheckpointMismatch, Owner, OwnerStale, Reserved, claimed_at

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
        places = self.find(rows.accounts)
        new = np.flatnonzero(places < 0)
        if new.size:
            places[new] = self._append([rows.accounts[i] for i in new.tolist()], [rows.assets[i] for i in new.tolist()])
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

    @property
    def count(self) -> int:
        return len(self.accounts)

    def one(self, account: str) -> AccountRow | None:
        place = self.place.get(account)
        if place is None:
            return None
        return AccountRow(account, self.assets[place], *self.numbers[:, place].tolist())

    def find(self, accounts: Sequence[str]) -> Int64s:
        """The place of each account; -1 for those that are not there."""
        return np.fromiter(map(self.place.get, accounts, repeat(-1)), np.int64, len(accounts))

    def shown(self, places: Int64s, accounts: list[str] | None = None) -> AccountRows:
        at = places.tolist()
        names = [self.accounts[place] for place in at] if accounts is None else accounts
        return AccountRows(names, [self.assets[place] for place in at], *self.numbers[:, places])


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
        self._rows: RowsOfFold | _Table = _Table()

    def clear(self) -> None:
        self.checkpoint = None
        self._become(_Table())

    def write(self, rows: AccountRows, checkpoint: Checkpoint | None) -> None:
        """Write a batch and move on; None: it is being loaded, and readers get nothing of it yet."""
        if not self._is_shown_by_fold(rows, checkpoint):
            self.table().write(rows)
        self.checkpoint = checkpoint

    def _is_shown_by_fold(self, rows: AccountRows, checkpoint: Checkpoint | None) -> bool:
        """Whether a fold has what is to be shown after this step, and shows it now."""
        held, fold = self._rows, rows.fold
        if isinstance(held, _Table):
            if held.count:
                return False
        elif fold is None and not len(rows):
            fold = held
        if fold is None:
            return False
        if checkpoint is not None and fold is held and checkpoint == self.checkpoint:
            return True  # a probe, or a part of more: its rows are shown with the step that moves on
        if checkpoint is not None and not fold.is_at(checkpoint.sequence, checkpoint.block_hash):
            return False
        if fold is not held:
            self._become(fold)
        fold.show(self)
        return True

    def detach(self) -> None:
        """Hold the rows in a table from now on."""
        self.table()

    def table(self) -> _Table:
        if not isinstance(self._rows, _Table):
            self._become(self._copied())
        assert isinstance(self._rows, _Table)
        return self._rows

    def _become(self, rows: RowsOfFold | _Table) -> None:
        if not isinstance(self._rows, _Table):
            self._rows.leave()
        self._rows = rows

    def _copied(self) -> _Table:
        table = _Table()
        for first in range(0, self.count, SCAN_ROWS):
            table.write(self.rows(first, first + SCAN_ROWS))
        return table

    @property
    def count(self) -> int:
        """How many accounts there are."""
        return self._rows.count

    def row(self, account: str) -> AccountRow | None:
        return self._rows.one(account)

    def rows_of(self, accounts: Sequence[str]) -> list[AccountRow | None]:
        if len(accounts) < _MANY_ROWS:
            return [self.row(account) for account in accounts]
        numbers = self._rows.find(accounts)
        there = numbers >= 0
        found = iter(self._rows.shown(numbers[there]).each())
        return [next(found) if is_there else None for is_there in there.tolist()]

    def columns_of(self, accounts: list[str]) -> AccountRows:
        """The rows of those accounts that are there."""
        numbers = self._rows.find(accounts)
        there = numbers >= 0
        return self._rows.shown(numbers[there], accounts if there.all() else list(compress(accounts, there)))

    def rows(self, first: int, last: int) -> AccountRows:
        """Rows in the order in which they came, as far as there are any."""
        return self._rows.shown(np.arange(first, min(last, self.count), dtype=np.int64))

    def __deepcopy__(self, _memo: dict[int, object]) -> _Generation:
        """A copy stands for itself, whatever becomes of the fold."""
        copy = _Generation()
        copy.token, copy.checkpoint, copy.loaded = self.token, self.checkpoint, self.loaded
        copy._rows = self._copied()
        return copy


class MemoryViewStore:
    """`ViewStore` (read_side/contract/view.py) for readers and writers on one event loop."""

    shared = False

    def __init__(self) -> None:
        self._generations: dict[tuple[int, int], _Generation] = {}
        self._live: dict[int, int] = {}
        self._kept: dict[int, int] = {}
        self._reserved = ("", 0, "")
        """By whom, until when, and what was left unfinished."""

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

    async def kept(self, partition: int) -> int | None:
        return self._kept.get(partition)

    async def switch(self, owner: Owner, replaces: int) -> None:
        generation = self._owned(owner)
        live = self._find(owner.partition, None)
        reached = live.checkpoint.sequence if live and live.checkpoint else -1
        is_behind = generation.checkpoint is None or generation.checkpoint.sequence < reached
        if is_behind or self._live.get(owner.partition) != replaces:
            raise CheckpointMismatch(live.checkpoint if live else None)
        self._live[owner.partition], self._kept[owner.partition] = owner.generation, replaces
        generation.token = None

    async def reserve(self, token: str, for_s: float, unfinished: str | None = None) -> Reserved:
        now_us = time.monotonic_ns() // 1000
        held_by, until_us, left = self._reserved
        if held_by != token and until_us > now_us:
            return Reserved(False, until_us, left)
        self._reserved = (token, now_us + int(for_s * 1_000_000), left if unfinished is None else unfinished)
        return Reserved(True, *self._reserved[1:])

    async def read(
        self, partition: int, accounts: Sequence[str], generation: int | None = None
    ) -> tuple[Checkpoint | None, list[AccountRow | None]]:
        found = self._find(partition, generation)
        if found is None or found.checkpoint is None:
            return None, [None] * len(accounts)
        return found.checkpoint, found.rows_of(accounts)

    async def read_columns(
        self, partition: int, accounts: list[str], generation: int
    ) -> tuple[Checkpoint | None, AccountRows]:
        found = self._find(partition, generation)
        if found is None or found.checkpoint is None:
            return None, EMPTY_ROWS
        return found.checkpoint, found.columns_of(accounts)

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
