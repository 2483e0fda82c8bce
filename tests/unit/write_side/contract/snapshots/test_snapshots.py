"""Which snapshot a start begins at, what is refused and how that is told; taking them, and what fails at it."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.unit.write_side.contract.snapshots.growing import USD, Growing
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from write_side.contract.log.log import LogFailed, Record
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.snapshots import taker as taker_module
from write_side.contract.snapshots.snapshots import BlocksLost, Named, Snapshots, from_the_beginning, named
from write_side.contract.snapshots.store import Source
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.snapshots.taker import SnapshotLimits, SnapshotTaker
from write_side.contract.state.replay import Replay
from write_side.contract.state.snapshot import Snapshot, write_snapshot
from write_side.ledger.commands.commands import Transfer
from write_side.ledger.commands.fingerprint import FINGERPRINTS


async def test_a_start_begins_at_the_newest_snapshot_and_folds_what_came_since(tmp_path: Path) -> None:
    growing = Growing(FileStore(tmp_path))
    for _ in range(3):
        growing.grow(5)
        assert await growing.taker().take(0)
    growing.grow(2)
    replay, said = await growing.started()
    assert replay.began_after == growing.position - 2
    assert [(each["event"], each["block"]) for each in said] == [("begins at a snapshot", replay.began_after)]
    assert [each.sequence for each in named(growing.store, 0)] == [growing.position - 2, growing.position - 7]


async def test_a_damaged_snapshot_is_named_and_the_next_older_one_is_used(tmp_path: Path) -> None:
    growing = Growing(FileStore(tmp_path))
    for _ in range(2):
        growing.grow(5)
        await growing.taker().take(0)
    newest, older = named(growing.store, 0)
    data = bytearray((tmp_path / newest.name).read_bytes())
    data[len(data) // 2] ^= 4
    (tmp_path / newest.name).write_bytes(data)
    replay, [said, _] = await growing.started()
    assert replay.began_after == older.sequence
    assert said["event"] == "snapshot not used"
    assert said["name"] == newest.name
    assert "damaged" in str(said["reason"])
    assert "No money is affected" in str(said["reason"])
    (tmp_path / older.name).write_bytes(b"")
    replay, both = await growing.started()
    assert replay.began_after == -1
    assert [each["name"] for each in both] == [newest.name, older.name]


async def test_a_snapshot_of_another_log_is_refused_and_stays(tmp_path: Path) -> None:
    other = Growing(FileStore(tmp_path), at_us=NOON_US + 7)
    other.grow(5)
    await other.taker().take(0)
    growing = Growing(FileStore(tmp_path))
    replay, [ahead] = await growing.started()
    assert replay.began_after == -1
    assert "of another log" in str(ahead["reason"])
    growing.grow(10)
    replay, [differs] = await growing.started()
    assert "of another log" in str(differs["reason"])
    assert await growing.taker(SnapshotLimits(kept=1)).take(0)
    replay, [said] = await growing.started()
    assert (replay.began_after, said["event"]) == (growing.position, "begins at a snapshot")


@pytest.mark.parametrize("blocks_left", [0, 1, 3, 6])
@pytest.mark.parametrize("grows", [False, True])
async def test_a_log_that_lost_blocks_which_a_snapshot_has_is_not_gone_on_with(
    tmp_path: Path, blocks_left: int, grows: bool
) -> None:
    growing = Growing(FileStore(tmp_path))
    growing.grow(5)
    assert await growing.taker().take(0)
    kept = growing.records.blocks[0][:blocks_left]
    del growing.records.blocks[0][:]
    for block in kept:
        growing.records.append(0, block)
    if grows and blocks_left:
        other = DecidingPartition()
        Replay(other.state, FINGERPRINTS).take_all([Record(offset, block) for offset, block in enumerate(kept)])
        for number in range(9):
            other.decide([Transfer(id_at(NOON_US, 70 + number), "@world", "eve", 1, USD)], NOON_US + 50 + number)
            growing.records.append(0, other.blocks[-1])
    for who in (Snapshots(growing.store, growing.log), growing.snapshots):
        with pytest.raises(BlocksLost, match="payments that were answered are missing"):
            await who.newest(0)
        with pytest.raises(BlocksLost):
            await who.require_blocks(0)
    assert not await growing.taker().take(0), "what shows it is not swept away"
    assert len(named(growing.store, 0)) == 1


async def test_a_damaged_snapshot_is_told_once_and_is_not_one_of_those_that_stay(tmp_path: Path) -> None:
    growing = Growing(FileStore(tmp_path))
    for _ in range(2):
        growing.grow(5)
        assert await growing.taker().take(0)
    newest, older = named(growing.store, 0)
    (tmp_path / newest.name).write_bytes(b"")
    with capture_logs() as said:
        for _ in range(3):
            assert await growing.snapshots.newest(0) is not None
    assert len(said) == 1
    growing.grow(5)
    assert await growing.taker(SnapshotLimits(kept=2)).take(0)
    assert named(growing.store, 0) == [Named(0, growing.position, True), older]


async def test_snapshots_beyond_those_kept_stay_until_they_are_old(tmp_path: Path) -> None:
    growing = Growing(FileStore(tmp_path))
    for _ in range(4):
        growing.grow(5)
        assert await growing.taker(SnapshotLimits(kept=1, kept_s=8e-6)).take(0)
    ends = [growing.position - back for back in (0, 5)]
    assert [each.sequence for each in named(growing.store, 0)] == ends


async def test_one_of_another_partition_number_of_partitions_or_position_is_refused_by_what_it_says(
    tmp_path: Path,
) -> None:
    growing = Growing(FileStore(tmp_path))
    growing.grow(5)
    await growing.taker().take(0)
    [only] = named(growing.store, 0)
    data = (tmp_path / only.name).read_bytes()
    (tmp_path / only._replace(sequence=only.sequence - 1).name).write_bytes(data)
    (tmp_path / only._replace(partition=1).name).write_bytes(data)
    with capture_logs() as said:
        wider = Snapshots(growing.store, MemoryLog(MemoryRecords(2)))
        assert await wider.newest(0) is None
        assert await wider.newest(1) is None
    assert ["partitions" in str(each["reason"]) for each in said] == [True, False, False]
    assert "renamed" in str(said[1]["reason"])


async def test_who_decides_takes_no_snapshot_without_fingerprints_and_readers_take_both(tmp_path: Path) -> None:
    growing = Growing(FileStore(tmp_path))
    growing.grow(5)
    await growing.taker().take(0)
    growing.grow(5)
    assert await growing.taker(decides=False).take(0)
    assert (await growing.started())[0].began_after == growing.position - 5
    snapshot = await growing.snapshots.newest(0)
    assert snapshot is not None
    assert snapshot.replay.began_after == growing.position
    assert await growing.snapshots.newest(0, until=growing.position - 6) is None


@pytest.mark.parametrize("is_back", [False, True])
async def test_a_log_that_does_not_answer_says_nothing_about_a_snapshot(tmp_path: Path, is_back: bool) -> None:
    """Nor does one that is back when its end is asked for: it was away, and has lost nothing."""
    growing = Growing(FileStore(tmp_path))
    growing.grow(5)
    await growing.taker().take(0)

    class Away(MemoryLog):
        async def fetch(self, partition: int, offset: int) -> bytes:
            raise LogFailed("away")

        async def end(self, partition: int) -> int:
            if not is_back:
                raise LogFailed("away")
            return await super().end(partition)

    with pytest.raises(LogFailed) as failed:
        await Snapshots(growing.store, Away(growing.records)).newest(0)
    assert not isinstance(failed.value, BlocksLost)


async def test_a_snapshot_that_its_log_does_not_go_on_from_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a program that was wrong writes one: here the cut-off of ids is another than the header's."""
    growing = Growing(FileStore(tmp_path))
    growing.grow(5)
    await growing.taker().take(0)
    newest = Snapshots.newest

    async def wrong(self: Snapshots, *about: object, **more: object) -> Snapshot | None:
        found = await newest(self, *about, **more)  # type: ignore[arg-type]
        assert found is not None
        found.replay.state.digest[0] += 1
        return found

    monkeypatch.setattr(Snapshots, "newest", wrong)
    growing.grow(1)
    replay, [_, said] = await growing.started()
    assert replay.began_after == -1
    assert said["event"] == "snapshot dropped"
    shared = Snapshots(growing.store, growing.log)
    both = await asyncio.gather(growing.started(shared), growing.started(shared))
    assert [replay.began_after for replay, _ in both] == [-1, -1]
    assert shared.used == {}


class FullDisk(FileStore):
    def put(self, name: str, pieces: Iterable[bytes | memoryview]) -> None:
        def filling() -> Iterator[bytes | memoryview]:
            yield from list(pieces)[:3]
            raise OSError(errno.ENOSPC, "No space left on device")

        super().put(name, filling())


async def test_a_full_disk_is_said_and_tried_again_later(tmp_path: Path) -> None:
    growing = Growing(FileStore(tmp_path))
    growing.grow(5)
    growing.snapshots.store = FullDisk(tmp_path)
    taker = growing.taker(SnapshotLimits(blocks=1))
    with capture_logs() as said:
        assert not await taker.take(0)
    assert "No space left" in str(said[0]["reason"])
    assert "Nothing else is affected" in str(said[0]["reason"])
    assert list(tmp_path.iterdir()) == []
    now_s = asyncio.get_running_loop().time()
    assert not taker._is_due(0, now_s)
    assert taker._is_due(0, now_s + taker_module.AGAIN_S + 1)
    growing.snapshots.store = growing.store
    assert await taker.take(0)
    assert (taker.taken, taker.failures) == (1, 1)


async def test_snapshots_are_due_by_blocks_or_by_time_and_not_for_nothing(tmp_path: Path) -> None:
    growing = Growing(FileStore(tmp_path))
    taker = growing.taker(SnapshotLimits(blocks=1_000, every_s=60.0))
    taker._since_s = {0: 0.0}
    assert not taker._is_due(0, 1.0)
    assert not taker._is_due(0, 61.0), "there is next to nothing to fold"
    growing.grow(taker_module.WORTH_BLOCKS)
    assert not taker._is_due(0, 59.0)
    assert taker._is_due(0, 61.0)
    taker._limits = SnapshotLimits(blocks=100, every_s=60.0)
    assert taker._is_due(0, 1.0)
    await taker.take(0)
    assert not taker._is_due(0, asyncio.get_running_loop().time() + 1e6)


async def test_takers_run_beside_a_log_that_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taker_module, "LOOK_S", 0.001)
    growing = Growing(FileStore(tmp_path))
    taker = growing.taker(SnapshotLimits(blocks=7, every_s=60.0))
    running = asyncio.create_task(taker.run())
    while taker.taken < 3:
        growing.grow(1)
        await asyncio.sleep(0.001)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(named(growing.store, 0)) <= 2
    assert (await growing.started())[0].began_after > 7


async def test_at_a_stop_the_last_snapshot_is_taken_where_it_is_worth_it(tmp_path: Path) -> None:
    growing = Growing(FileStore(tmp_path))
    growing.grow(5)
    await growing.taker().take_last()
    assert named(growing.store, 0) == []
    growing.grow(taker_module.WORTH_BLOCKS)
    await growing.taker().take_last()
    assert named(growing.store, 0) == [Named(0, growing.position, True)]


async def test_a_stop_does_not_wait_for_a_snapshot_longer_than_it_may(tmp_path: Path) -> None:
    growing = Growing(FileStore(tmp_path))
    growing.grow(taker_module.WORTH_BLOCKS)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()

    class SlowDisk(FileStore):
        def put(self, name: str, pieces: Iterable[bytes | memoryview]) -> None:
            def slowly() -> Iterator[bytes | memoryview]:
                first = next(iter(pieces))
                while True:
                    yield first
                    next(iter(pieces))  # raises once nobody waits any more

            try:
                super().put(name, slowly())
            finally:
                loop.call_soon_threadsafe(ended.set)

    growing.snapshots.store = SlowDisk(tmp_path)
    taker = growing.taker()
    taker._pieces = lambda snapshot: _for_ever(taker)  # type: ignore[method-assign]
    with capture_logs() as said:
        await taker.take_last(0.05)
    assert said[-1]["event"] == "snapshot not finished before the stop"
    await asyncio.wait_for(ended.wait(), 10)
    assert list(tmp_path.iterdir()) == []


def _for_ever(taker: SnapshotTaker) -> Iterator[bytes]:
    while True:
        if taker._abandoned:
            raise taker_module._Abandoned
        yield b"x"


async def test_a_reader_leaves_the_taking_to_a_writer_beside_it(tmp_path: Path) -> None:
    growing = Growing(FileStore(tmp_path))
    growing.grow(10)
    reader = SnapshotTaker(
        Snapshots(growing.store, growing.log), growing.log, {0: lambda: growing.position}, SnapshotLimits(), None
    )
    assert not await reader._is_taken_elsewhere(0)
    await growing.taker().take(0)
    assert await reader._is_taken_elsewhere(0)
    assert not await reader._is_taken_elsewhere(0)


async def test_a_folder_that_cannot_be_read_is_said_and_the_start_goes_on(tmp_path: Path) -> None:
    growing = Growing(FileStore(tmp_path))
    (tmp_path / "file").write_bytes(b"")
    with capture_logs() as said:
        assert await Snapshots(FileStore(tmp_path / "file"), growing.log).newest(0) is None
    assert said[0]["event"] == "snapshots not read"


async def test_one_that_was_replaced_while_it_was_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    growing = Growing(FileStore(tmp_path))
    growing.grow(5)
    await growing.taker().take(0)
    [only] = named(growing.store, 0)
    opened = 0

    class Replaced(FileStore):
        @contextmanager
        def open(self, name: str) -> Iterator[Source]:  # type: ignore[override]
            nonlocal opened
            opened += 1
            if opened == 2:
                other = Growing(FileStore(tmp_path / "other"), at_us=NOON_US + 3)
                other.grow(5)
                theirs = from_the_beginning(0, 1, FINGERPRINTS)
                for folded in theirs.replay.take_run([Record(*each) for each in enumerate(other.partition.blocks)]):
                    theirs.hashes.note(folded)
                FileStore(tmp_path).put(name, write_snapshot(theirs, with_prints=True, written_by="x"))
            with super().open(name) as source:
                yield source

    with capture_logs() as said:
        assert await Snapshots(Replaced(tmp_path), growing.log).newest(0, FINGERPRINTS) is None
    assert "replaced" in str(said[0]["reason"])
    assert only.name == said[0]["name"]
