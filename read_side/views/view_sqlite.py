"""A view store in one SQLite file: durable, written by one process, asked with SQL by any other (`view_sqlite_tables.py`).

One connection, and one thread that has it: calls run in the order in which they were made and never on the event loop. Each
write is one transaction. Journal WAL, `synchronous=NORMAL`: whoever reads the file never holds us up, nor we him; a power cut may
take the last transactions back as a whole, and the projector's compare-and-set then finds a view that was set back.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from read_side.contract.rows import EMPTY_ROWS, NUMBERS, AccountRow, AccountRows
from read_side.contract.view import (
    Checkpoint,
    CheckpointMismatch,
    Owner,
    OwnerStale,
    Reserved,
    Stale,
    ViewUnavailable,
    claimed_at,
)
from read_side.views.view_sqlite_connection import ViewFile
from read_side.views.view_sqlite_tables import create_rows, read_sql, rows_table, scan_sql, show, write_sql

SCAN_ROWS: Final = 10_000
"""Rows of one batch of `scan`: some 10 ms of the thread, so that readers are not kept waiting."""
_ROW: Final = (str, str, *(int,) * len(NUMBERS))
_CHECKPOINT: Final = (int, int, bytes, int, int)
_NOBODY: Final = ""
"""The token of a generation that was switched to and that no projector has claimed yet."""

T = TypeVar("T")


class SqliteViewStore:
    """`ViewStore` (read_side/contract/view.py). Make one with `connect`.

    shared: no. A lock beside the file keeps every other process from writing it, however it is told to.
    """

    shared = False

    def __init__(self, path: Path, *, reading: bool = False) -> None:
        self._file = ViewFile(path, reading=reading)
        self._thread = ThreadPoolExecutor(1, "view-sqlite")
        self._closed = False

    @classmethod
    async def connect(cls, path: Path, *, reading: bool = False) -> SqliteViewStore:
        """Open the file, or make it. reading: only to be read, beside whoever writes it. Raises ViewUnavailable."""
        store = cls(path, reading=reading)
        try:
            await store._run(lambda _: None)
        except BaseException:
            await store.close()
            raise
        return store

    async def claim(self, partition: int, generation: int) -> Owner:
        def claim(db: sqlite3.Connection) -> Owner:
            key = (partition, generation)
            held = db.execute("SELECT token FROM generations WHERE partition = ? AND generation = ?", key).fetchone()
            at = max(time.time_ns() // 1000, claimed_at(str(held[0])) + 1 if held else 0)
            token = f"{at}-{secrets.token_hex(16)}"
            db.execute(
                "INSERT INTO generations (partition, generation, token) VALUES (?, ?, ?) "
                "ON CONFLICT DO UPDATE SET token = excluded.token, loaded = 0",
                (*key, token),
            )
            return Owner(partition, generation, token)

        return await self._run(claim, writing=True)

    async def checkpoint(self, partition: int, generation: int | None = None) -> Checkpoint | None:
        return await self._run(lambda db: _stored(db, partition, generation))

    async def apply(
        self, owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint, loaded: int = 0
    ) -> int:
        def apply(db: sqlite3.Connection) -> int:
            stored, has_loaded = _owned(db, owner)
            if stored != expected or (stored is None and has_loaded != loaded):
                raise CheckpointMismatch(stored)
            if stored is None:
                create_rows(db, owner.partition, owner.generation)
            _write(db, owner, rows)
            if stored != checkpoint:
                _set_checkpoint(db, owner, checkpoint)
            live = _live(db, owner.partition)
            if live is None:
                _make_live(db, owner)
            return owner.generation if live is None else live

        return await self._run(apply, writing=True)

    async def tell_stale(self, partition: int, stale: Stale | None) -> None:
        def tell(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM stale WHERE partition = ?", (partition,))
            if stale is not None:
                db.execute("INSERT INTO stale (partition, since_us, reason) VALUES (?, ?, ?)", (partition, *stale))

        await self._run(tell, writing=True)

    async def clear(self, owner: Owner) -> None:
        def clear(db: sqlite3.Connection) -> None:
            _owned(db, owner)
            _set_checkpoint(db, owner, None)
            table = rows_table(owner.partition, owner.generation)
            if _live(db, owner.partition) == owner.generation:  # `balances` names it
                db.execute(f"DELETE FROM {table}")
            else:
                db.execute(f"DROP TABLE IF EXISTS {table}")

        await self._run(clear, writing=True)

    async def load(self, owner: Owner, rows: AccountRows) -> None:
        def load(db: sqlite3.Connection) -> None:
            stored, _ = _owned(db, owner)
            if stored is not None:
                raise CheckpointMismatch(stored)
            create_rows(db, owner.partition, owner.generation)
            _write(db, owner, rows)
            key = (len(rows), owner.partition, owner.generation)
            db.execute("UPDATE generations SET loaded = loaded + ? WHERE partition = ? AND generation = ?", key)

        await self._run(load, writing=True)

    async def live(self, partition: int) -> int | None:
        return await self._run(lambda db: _live(db, partition))

    async def generations(self, partition: int) -> list[int]:
        def generations(db: sqlite3.Connection) -> list[int]:
            known = db.execute(
                "SELECT generation, sequence FROM generations WHERE partition = ? ORDER BY generation", (partition,)
            ).fetchall()
            return [number for number, at in known if at is not None or _has_rows(db, partition, number)]

        return await self._run(generations)

    async def kept(self, partition: int) -> int | None:
        def kept(db: sqlite3.Connection) -> int | None:
            found = db.execute("SELECT generation FROM kept WHERE partition = ?", (partition,)).fetchone()
            return None if found is None else int(found[0])

        return await self._run(kept)

    async def switch(self, owner: Owner, replaces: int) -> None:
        def switch(db: sqlite3.Connection) -> None:
            stored, _ = _owned(db, owner)
            live = _stored(db, owner.partition, None)
            is_behind = stored is None or (live is not None and stored.sequence < live.sequence)
            if is_behind or _live(db, owner.partition) != replaces:
                raise CheckpointMismatch(live)
            _make_live(db, owner)
            db.execute("INSERT OR REPLACE INTO kept (partition, generation) VALUES (?, ?)", (owner.partition, replaces))
            key = (_NOBODY, owner.partition, owner.generation)
            db.execute("UPDATE generations SET token = ? WHERE partition = ? AND generation = ?", key)

        await self._run(switch, writing=True)

    async def reserve(self, token: str, for_s: float, unfinished: str | None = None) -> Reserved:
        def reserve(db: sqlite3.Connection) -> Reserved:
            now_us = time.time_ns() // 1000
            found = db.execute("SELECT token, until_us, unfinished FROM reserved").fetchone()
            held_by, until_us, left = found or (_NOBODY, 0, "")
            if held_by != token and until_us > now_us:
                return Reserved(False, until_us, left)
            until_us, left = now_us + int(for_s * 1_000_000), left if unfinished is None else unfinished
            db.execute("INSERT OR REPLACE INTO reserved VALUES (1, ?, ?, ?)", (token, until_us, left))
            return Reserved(True, until_us, left)

        return await self._run(reserve, writing=True)

    async def read(
        self, partition: int, accounts: Sequence[str], generation: int | None = None
    ) -> tuple[Checkpoint | None, list[AccountRow | None]]:
        checkpoint, found = await self._run(lambda db: _found(db, partition, accounts, generation))
        return checkpoint, [found.get(account) for account in accounts]

    async def read_columns(
        self, partition: int, accounts: list[str], generation: int
    ) -> tuple[Checkpoint | None, AccountRows]:
        def read(db: sqlite3.Connection) -> tuple[Checkpoint | None, AccountRows]:
            checkpoint, found = _found(db, partition, accounts, generation)
            return checkpoint, _columns([found[account] for account in accounts if account in found])

        return await self._run(read)

    async def scan(self, partition: int, generation: int) -> AsyncIterator[AccountRows]:
        def part(db: sqlite3.Connection, after: str) -> AccountRows:
            if not _has_rows(db, partition, generation):
                return EMPTY_ROWS
            return _columns(
                [_typed(row, _ROW) for row in db.execute(scan_sql(partition, generation), (after, SCAN_ROWS))]
            )

        rows = await self._run(lambda db: part(db, ""))
        while len(rows):
            yield rows
            last = rows.accounts[-1]
            rows = await self._run(lambda db, last=last: part(db, last))  # type: ignore[misc]

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.get_running_loop().run_in_executor(self._thread, self._file.close)
            self._thread.shutdown(wait=False)

    async def _run(self, step: Callable[[sqlite3.Connection], T], writing: bool = False) -> T:
        """One transaction in the thread. Raises ViewUnavailable, and what `step` raises; then nothing was changed."""
        if self._closed:
            raise ViewUnavailable("The view's file was closed. No money is affected.")

        def run() -> T:
            try:
                with self._file.transaction(writing) as db:
                    return step(db)
            except _Damaged as damage:
                raise self._file.damaged(str(damage)) from damage

        return await asyncio.get_running_loop().run_in_executor(self._thread, run)


class _Damaged(Exception):
    """What is stored is of another kind than what we have written: bytes have changed on the disk."""


def _typed(row: tuple[Any, ...], kinds: tuple[type, ...]) -> tuple[Any, ...]:
    if tuple(map(type, row)) != kinds:
        raise _Damaged(f"an unexpected value in {row!r}")
    return row


def _live(db: sqlite3.Connection, partition: int) -> int | None:
    found = db.execute("SELECT generation FROM live WHERE partition = ?", (partition,)).fetchone()
    return None if found is None else int(found[0])


def _make_live(db: sqlite3.Connection, owner: Owner) -> None:
    db.execute("INSERT OR REPLACE INTO live (partition, generation) VALUES (?, ?)", (owner.partition, owner.generation))
    show(db)


def _stored(db: sqlite3.Connection, partition: int, generation: int | None) -> Checkpoint | None:
    number = _live(db, partition) if generation is None else generation
    found = db.execute(
        "SELECT generation, sequence, block_hash, log_offset, at_us FROM generations "
        "WHERE partition = ? AND generation = ? AND sequence IS NOT NULL",
        (partition, number),
    ).fetchone()
    return None if found is None else Checkpoint(*_typed(found, _CHECKPOINT))


def _owned(db: sqlite3.Connection, owner: Owner) -> tuple[Checkpoint | None, int]:
    """The checkpoint of the owner's generation, and how many rows it has loaded. Raises CheckpointMismatch, OwnerStale."""
    key = (owner.partition, owner.generation)
    held = db.execute("SELECT token, loaded FROM generations WHERE partition = ? AND generation = ?", key).fetchone()
    if held is None or held[0] == _NOBODY:
        raise CheckpointMismatch(None)
    token, loaded = held
    stored = _stored(db, *key)
    if token != owner.token:
        raise OwnerStale(stored, claimed_at(str(token)) > claimed_at(owner.token))
    return stored, loaded


def _set_checkpoint(db: sqlite3.Connection, owner: Owner, checkpoint: Checkpoint | None) -> None:
    """Once there is one nothing is loaded any more, and without one nothing was loaded yet: both forget the count."""
    values = (None,) * 4 if checkpoint is None else checkpoint[1:]
    db.execute(
        "UPDATE generations SET sequence = ?, block_hash = ?, log_offset = ?, at_us = ?, loaded = 0 "
        "WHERE partition = ? AND generation = ?",
        (*values, owner.partition, owner.generation),
    )


def _has_rows(db: sqlite3.Connection, partition: int, generation: int) -> bool:
    table = rows_table(partition, generation)
    if db.execute("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)).fetchone() is None:
        return False
    return db.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None


def _write(db: sqlite3.Connection, owner: Owner, rows: AccountRows) -> None:
    """In the order of the table: neighbours lie on one page, which is found and written once for them."""
    if len(rows):
        order = sorted(range(len(rows)), key=rows.accounts.__getitem__)
        texts = ([column[i] for i in order] for column in (rows.accounts, rows.assets))
        numbers = (getattr(rows, name)[order].tolist() for name in NUMBERS)
        db.executemany(write_sql(owner.partition, owner.generation), zip(*texts, *numbers, strict=True))


def _found(
    db: sqlite3.Connection, partition: int, accounts: Sequence[str], generation: int | None
) -> tuple[Checkpoint | None, dict[str, AccountRow]]:
    """The checkpoint, and the rows of those accounts that are there."""
    checkpoint = _stored(db, partition, generation)
    if checkpoint is None or not accounts:
        return checkpoint, {}
    found = db.execute(read_sql(partition, checkpoint.generation), (json.dumps(accounts),))
    return checkpoint, {row[0]: AccountRow(*_typed(row, _ROW)) for row in found}


def _columns(rows: Sequence[tuple[Any, ...]]) -> AccountRows:
    if not rows:
        return EMPTY_ROWS
    accounts, assets, *numbers = zip(*rows, strict=True)
    return AccountRows(list(accounts), list(assets), *(np.array(column, np.int64) for column in numbers))
