"""A projector that begins at a snapshot keeps every rule of views: what is written, what is repaired, what stops it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from read_side.follow.bring_view_right import Displaced, ViewOfAnotherLog
from read_side.follow.projector import Projector
from read_side.views.view_memory import MemoryViewStore
from read_side.whole_log.rebuild import rebuild
from read_side.whole_log.rebuild_result import Wishes
from read_side.whole_log.verify import verify
from tests.unit.read_side.block_maker import BlockMaker, moved
from tests.unit.read_side.follow.test_projector import LIMIT_S, CountedRows, Stage, reach
from tests.unit.write_side.contract.blocks import encoded
from write_side.contract.block.block import decode
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.snapshots.taker import SnapshotLimits, SnapshotTaker


class SnapshotStage(Stage):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.snapshots = Snapshots(FileStore(folder), self.log)

    @asynccontextmanager
    async def projector(self, boot: str = "boot-1", view: MemoryViewStore | None = None) -> AsyncIterator[Projector]:
        projector = Projector(0, self.log, view or self.view, self.feed, self.timer, boot, self.snapshots)
        await asyncio.wait_for(projector.start(), LIMIT_S)
        running = asyncio.ensure_future(projector.run())
        try:
            yield projector
        finally:
            running.cancel()
            with suppress(asyncio.CancelledError, Displaced, ViewOfAnotherLog):
                await running

    async def take(self) -> int:
        taker = SnapshotTaker(self.snapshots, self.log, {0: lambda: 0}, SnapshotLimits(), None)
        assert await taker.take(0)
        return self.snapshots.used[0]


@pytest.fixture
def stage(tmp_path: Path) -> SnapshotStage:
    return SnapshotStage(tmp_path)


async def test_a_view_is_made_from_a_snapshot_and_what_came_since(stage: SnapshotStage) -> None:
    await stage.open_two()
    taken = await stage.take()
    await stage.writer.append(moved("alice", "bob", 7))
    async with stage.projector() as projector:
        assert projector.fold.replay.began_after == taken
        await stage.expect_right(projector)
        await stage.writer.append(moved("alice", "bob", 1))
        await reach(projector, stage.writer.state.chained.sequence)
        await stage.expect_right(projector)
        assert projector.fold.entries == sum(len(decode(data).entries["account"]) for data in stage.writer.blocks)


async def test_which_history_it_is_is_known_from_a_snapshot_too(stage: SnapshotStage) -> None:
    await stage.open_two()
    stage.writer.life = 2
    await stage.writer.epoch()
    await stage.writer.append(moved("alice", "bob", 7))
    async with stage.projector(view=MemoryViewStore()) as whole:
        known = whole.log_history
    assert known is not None
    await stage.take()
    async with stage.projector("boot-2") as projector:
        assert projector.fold.replay.began_after >= 0
        assert projector.log_history == known


@pytest.mark.parametrize("kept", [65_536, 4])
async def test_a_view_behind_the_snapshot_gets_only_what_changed_since(
    stage: SnapshotStage, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr("write_side.contract.state.block_hashes.HASHES_KEPT", kept)
    stage.view = view = CountedRows()
    await stage.open_two()
    async with stage.projector():
        pass
    for _ in range(12):
        await stage.writer.append(moved("alice", "bob", 1))
    taken = await stage.take()
    view.sizes.clear()
    async with stage.projector("boot-2") as projector:
        assert projector.fold.replay.began_after == taken
        await stage.expect_right(projector)
        assert view.sizes == [2]


async def test_a_view_of_another_log_behind_the_snapshot_is_loaded_whole(stage: SnapshotStage) -> None:
    other = Stage()
    other.writer = BlockMaker(other.log, start_us=7)
    await other.open_two()
    async with other.projector(view=stage.view):
        pass
    await stage.open_two()
    for _ in range(12):
        await stage.writer.append(moved("alice", "bob", 1))
    await stage.take()
    async with stage.projector("boot-2") as projector:
        await stage.expect_right(projector)


async def test_a_view_ahead_of_the_log_stops_the_start_as_without_a_snapshot(stage: SnapshotStage) -> None:
    await stage.open_two()
    await stage.take()
    for _ in range(3):
        await stage.writer.append(moved("alice", "bob", 1))
    async with stage.projector():
        pass
    del stage.records.blocks[0][-2:]
    with pytest.raises(ViewOfAnotherLog):
        async with stage.projector("boot-2"):
            pass


async def test_a_block_that_does_not_follow_stops_the_partition_where_it_is_whatever_was_begun_at(
    stage: SnapshotStage,
) -> None:
    await stage.open_two()
    await stage.take()
    await stage.writer.append(moved("alice", "bob", 7))
    bad = encoded(decode(stage.writer.make([moved("alice", "bob", 1)])), digest=bytes(16))
    stage.records.append(0, bad)
    async with stage.projector() as projector:
        assert projector.stopped is not None
        assert await stage.posted("alice", "bob") == [93, 7]


async def test_a_start_that_failed_goes_on_where_it_was(stage: SnapshotStage) -> None:
    await stage.open_two()
    await stage.take()
    projector = Projector(0, stage.log, stage.view, stage.feed, stage.timer, "boot", stage.snapshots)
    await projector.start()
    began, projector.ready = projector.fold.replay, False
    await stage.writer.append(moved("alice", "bob", 7))
    await projector.start()
    assert projector.fold.replay is began
    await stage.expect_right(projector)


async def test_a_snapshot_of_another_log_is_not_begun_at(stage: SnapshotStage) -> None:
    other = Stage()
    other.writer = BlockMaker(other.log, start_us=7)
    await other.open_two()
    records = MemoryRecords(1)
    for data in other.writer.blocks:
        records.append(0, data)
    taker = SnapshotTaker(
        Snapshots(stage.snapshots.store, MemoryLog(records)), MemoryLog(records), {0: lambda: 0}, SnapshotLimits(), None
    )
    assert await taker.take(0)
    await stage.open_two()
    async with stage.projector() as projector:
        assert projector.fold.replay.began_after == -1
        await stage.expect_right(projector)


async def test_a_rebuild_begins_at_a_snapshot_only_when_it_is_asked_to(stage: SnapshotStage) -> None:
    await stage.open_two()
    await stage.take()
    await stage.writer.append(moved("alice", "bob", 7))
    async with stage.projector() as projector:
        await stage.expect_right(projector)
        for snapshots, entries in ((None, 4), (stage.snapshots, 2)):
            result = await rebuild(stage.log, stage.view, Wishes(from_snapshot=True), snapshots=snapshots)
            assert (result.switched, result.partitions[0].entries) == (True, entries)
            assert result.partitions[0].compared == 4


async def test_a_verdict_says_what_was_not_read(stage: SnapshotStage) -> None:
    await stage.open_two()
    taken = await stage.take()
    await stage.writer.append(moved("alice", "bob", 7))
    whole, part = await verify(stage.log), await verify(stage.log, snapshots=stage.snapshots)
    assert (whole.good, whole.partitions[0].blocks, whole.partitions[0].begun_after) == (True, 4, None)
    assert (part.good, part.partitions[0].blocks, part.partitions[0].begun_after) == (True, 1, f"0:{taken}")
    assert part.document()["digest"] == whole.document()["digest"]
