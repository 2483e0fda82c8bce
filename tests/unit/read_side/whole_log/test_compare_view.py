"""The live view is what the log says, row by row at the position that it has, or what differs is named."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from read_side.contract.rows import AccountRow, AccountRows
from read_side.contract.view import Checkpoint, NoView, ViewStore
from read_side.follow.bring_view_right import ViewOwner
from read_side.follow.partition_fold import PartitionFold, fold_log
from read_side.views.view_memory import MemoryViewStore
from read_side.views.view_sqlite import SqliteViewStore
from read_side.whole_log.compare_view import TOLD_MAX, RowDiffers, compare_view
from read_side.whole_log.verify import Derived, verify
from tests.unit.read_side.block_maker import BlockMaker, moved, opened
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords

EMPTY_ROW = ("USD/2", 0, 0, 0, 0, 0)


class BusyView(MemoryViewStore):
    """A store in which something happens before each read of columns: the service goes on meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.during: AsyncIterator[None] | None = None

    async def read_columns(
        self, partition: int, accounts: list[str], generation: int
    ) -> tuple[Checkpoint | None, AccountRows]:
        if self.during is not None:
            await anext(self.during, None)
        return await super().read_columns(partition, accounts, generation)


class Stage:
    """A log, and the view of its partition 0, kept by an owner as a projector keeps it."""

    def __init__(self, view: ViewStore, partitions: int = 1) -> None:
        self.log = MemoryLog(MemoryRecords(partitions))
        self.writer = BlockMaker(self.log)
        self.view = view
        self.fold = PartitionFold(0)
        self.owner = ViewOwner(view, self.fold)

    async def fill(self) -> None:
        await self.writer.append(opened("alice"), opened("bob"))
        await self.writer.append(moved("@world", "alice", 100), moved("alice", "bob", 30))
        await self.follow()

    async def follow(self) -> None:
        """The view is brought to the end of the log."""
        await fold_log(self.log, self.fold)
        await self.owner.bring_right()

    async def spoil(self, *rows: AccountRow) -> None:
        """Somebody writes into the view what no block says."""
        live = await self.view.checkpoint(0)
        assert live is not None
        owner = await self.view.claim(0, live.generation)
        await self.view.apply(owner, live, AccountRows.of(list(rows)), live)


@pytest.fixture
async def stage() -> Stage:
    stage = Stage(BusyView())
    await stage.fill()
    return stage


async def test_a_view_that_is_what_the_log_says_is_told_with_its_rows_and_position(stage: Stage) -> None:
    found = await compare_view(stage.log, stage.view, 0)
    assert (found.problem, found.different, found.rows, found.position) == (None, 0, 4, "0:1")


async def test_a_view_behind_the_log_is_compared_where_it_is(stage: Stage) -> None:
    await stage.writer.append(moved("alice", "bob", 1))
    found = await compare_view(stage.log, stage.view, 0)
    assert (found.problem, found.position) == (None, "0:1")


async def test_a_view_that_moves_on_meanwhile_is_compared_at_equal_versions(stage: Stage) -> None:
    async def meanwhile() -> AsyncIterator[None]:
        for number in range(2):
            await stage.writer.append(opened(f"new-{number}"), moved("alice", "bob", 1))
            await stage.follow()
            yield

    assert isinstance(stage.view, BusyView)
    stage.view.during = meanwhile()
    found = await compare_view(stage.log, stage.view, 0)
    assert (found.problem, found.rows) == (None, 6), "the accounts that were opened meanwhile, too"
    assert found.position == "0:3"


async def test_a_row_that_no_block_says_is_named_with_its_versions_and_the_column(stage: Stage) -> None:
    row = (await stage.view.read(0, ["bob"]))[1][0]
    assert row is not None
    await stage.spoil(row._replace(posted=31))
    found = await compare_view(stage.log, stage.view, 0)
    [told] = found.differences
    assert told == RowDiffers("bob", 1, 1, "posted", "31", "30")
    assert not found.unread
    assert found.problem is not None
    assert "bob at version 1" in found.problem
    assert "fanfold rebuild" in found.problem


async def test_many_differing_accounts_are_counted_and_the_first_are_told(stage: Stage) -> None:
    await stage.spoil(*(AccountRow(f"ghost-{i}", *EMPTY_ROW) for i in range(TOLD_MAX + 5)))
    found = await compare_view(stage.log, stage.view, 0)
    assert (found.different, len(found.differences)) == (TOLD_MAX + 5, TOLD_MAX)
    first = found.differences[0]
    assert (first.view_version, first.log_version) == (0, None), "an account that the log does not have"


async def test_a_view_of_another_log_is_said(stage: Stage) -> None:
    other = Stage(MemoryViewStore())
    await other.fill()
    found = await compare_view(other.log, stage.view, 0)
    assert found.problem is not None
    assert "another log" in found.problem
    assert (found.unread, found.position) == (False, None)


async def test_a_view_ahead_of_the_log_is_said(stage: Stage) -> None:
    shorter = MemoryLog(MemoryRecords(1))
    await shorter.append(0, stage.writer.blocks[0])
    found = await compare_view(shorter, stage.view, 0)
    assert found.problem is not None
    assert "at block 1, and the log ends at 0" in found.problem


async def test_without_a_live_view_nothing_is_known_to_be_wrong(stage: Stage) -> None:
    found = await compare_view(stage.log, MemoryViewStore(), 0)
    assert found.unread
    assert found.problem is not None
    assert "no live view" in found.problem


async def test_a_view_that_is_emptied_meanwhile_is_to_be_compared_again(stage: Stage) -> None:
    async def meanwhile() -> AsyncIterator[None]:
        live = await stage.view.checkpoint(0)
        assert live is not None
        await stage.view.clear(await stage.view.claim(0, live.generation))
        yield

    assert isinstance(stage.view, BusyView)
    stage.view.during = meanwhile()
    found = await compare_view(stage.log, stage.view, 0)
    assert (found.unread, found.differences) == (True, [])


async def test_verify_says_of_each_partition_what_became_of_its_view() -> None:
    stage = Stage(MemoryViewStore(), partitions=2)
    await stage.fill()
    await BlockMaker(stage.log, 1).epoch()
    verdict = await verify(stage.log, against=Derived(view=stage.view))
    assert [found.problem is None for found in verdict.partitions] == [True, False]
    assert verdict.word == "unread"
    told = verdict.document()["by_partition"][0]["view"]
    assert (told["rows"], told["different"], told["position"]) == (stage.fold.state.count, 0, "0:1")


async def test_a_view_in_sqlite_is_compared_beside_whoever_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "view.db"
    writer = await SqliteViewStore.connect(path)
    stage = Stage(writer)
    await stage.fill()
    reader = await SqliteViewStore.connect(path, reading=True)
    try:
        assert (await compare_view(stage.log, reader, 0)).problem is None
        await stage.writer.append(moved("alice", "bob", 1))
        await stage.follow()
        assert (await compare_view(stage.log, reader, 0)).position == "0:2"
    finally:
        await reader.close()
        await writer.close()


async def test_reading_a_view_in_sqlite_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(NoView, match=r"is not there yet.*Start the service"):
        await SqliteViewStore.connect(tmp_path / "view.db", reading=True)
    (tmp_path / "empty.db").touch()
    with pytest.raises(NoView, match="no view in it yet"):
        await SqliteViewStore.connect(tmp_path / "empty.db", reading=True)
    assert [path.name for path in tmp_path.iterdir()] == ["empty.db"]
