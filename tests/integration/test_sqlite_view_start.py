"""A projector over a view in SQLite: a start writes what is missing and no more, and a file that goes is made again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from read_side.contract.rows import AccountRows
from read_side.contract.view import Checkpoint, Owner, ViewUnavailable
from read_side.feed.feed_memory import MemoryFeed
from read_side.follow.projector import Projector
from read_side.views.view_sqlite import SqliteViewStore
from tests.unit.read_side.block_maker import BlockMaker, moved, opened
from tests.unit.read_side.manual_timer import ManualTimer
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords

ACCOUNTS = [f"account-{i}" for i in range(500)]
LIMIT_S = 30.0


class CountingStore(SqliteViewStore):
    """Counts the rows that are written."""

    written = 0

    async def load(self, owner: Owner, rows: AccountRows) -> None:
        self.written += len(rows)
        await super().load(owner, rows)

    async def apply(
        self, owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint, loaded: int = 0
    ) -> int:
        self.written += len(rows)
        return await super().apply(owner, expected, rows, checkpoint, loaded)


class Stage:
    """A log that outlives projectors, each over a store of its own on the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = MemoryLog(MemoryRecords(1))
        self.writer = BlockMaker(self.log)
        self.timer = ManualTimer()
        self.view: CountingStore | None = None

    async def start(self) -> tuple[CountingStore, Projector]:
        if self.view is not None:
            await self.view.close()
        self.view = CountingStore(self.path)
        projector = Projector(0, self.log, self.view, MemoryFeed(), self.timer, "boot")
        await projector.start()
        return self.view, projector

    async def is_right(self) -> bool:
        assert self.view is not None
        state = self.writer.state
        with suppress(ViewUnavailable):
            checkpoint, rows = await self.view.read(0, [state.row_name(n) for n in range(state.count)])
            return (
                checkpoint is not None
                and checkpoint.block_hash == state.chained.block_hash
                and [(row.posted, row.version) for row in rows if row is not None]
                == [(int(state.posted[n]), int(state.version[n])) for n in range(state.count)]
            )
        return False


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    stage = Stage(tmp_path / "view.db")
    await stage.writer.epoch()
    await stage.writer.append(*map(opened, ACCOUNTS))
    await stage.writer.append(*(moved("@world", name, 100) for name in ACCOUNTS))
    yield stage
    assert stage.view is not None
    await stage.view.close()


async def test_a_start_over_a_view_at_the_end_of_the_log_writes_no_row_and_a_later_one_what_changed(
    stage: Stage,
) -> None:
    view, _ = await stage.start()
    assert view.written == stage.writer.state.count > len(ACCOUNTS)
    view, _ = await stage.start()
    assert view.written == 0
    assert await stage.is_right()
    await stage.writer.append(moved("@world", ACCOUNTS[7], 5))
    view, _ = await stage.start()
    assert view.written == 2
    assert await stage.is_right()


async def test_a_file_that_is_an_older_copy_is_brought_right(stage: Stage) -> None:
    """As after a power cut, which may take the last transactions back."""
    view, _ = await stage.start()
    await view.close()
    older = stage.path.read_bytes()
    await stage.writer.append(*(moved("@world", name, 5) for name in ACCOUNTS[:50]))
    await stage.start()
    await view.close()
    assert stage.view is not None
    await stage.view.close()
    stage.path.write_bytes(older)
    view, _ = await stage.start()
    assert view.written == 51
    assert await stage.is_right()


@pytest.mark.parametrize("left", [b"", b"no database at all, but somebody's notes. " * 1000])
async def test_a_file_that_is_taken_away_while_it_is_served_is_made_again(stage: Stage, left: bytes) -> None:
    """Also where a person first finds out that the file is broken, as the projector says, and then takes it away."""
    _, projector = await stage.start()
    running = asyncio.ensure_future(projector.run())
    async with asyncio.timeout(LIMIT_S):
        for end in ("", "-wal", "-shm"):
            stage.path.with_name(stage.path.name + end).rename(stage.path.with_name("taken away" + end))
        if left:
            stage.path.write_bytes(left)
            while projector.unavailable is None:
                await stage.timer.tick()
            assert "no SQLite database" in projector.unavailable
            stage.path.unlink()
        while projector.unavailable or not await stage.is_right():
            await stage.timer.tick()
        await stage.writer.append(moved("@world", ACCOUNTS[3], 5))
        while not await stage.is_right():
            await stage.timer.tick()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
