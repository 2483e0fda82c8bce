"""What is sealed, joined, damaged, half written or missing: history tells the same, or says why it tells nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import random
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from read_side.follow.partition_fold import PartitionFold
from read_side.history import folder as folder_module
from read_side.history import history as history_module
from read_side.history.folder import SegmentFolder
from read_side.history.gathering import joined
from read_side.history.history import History
from read_side.history.keeping import keep
from read_side.history.segment import Segment
from read_side.whole_log.compare_history import compare_history
from tests.unit.read_side.history.test_history import assert_tells, some_blocks
from write_side.contract.log.log import START, Record
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.state.block_hashes import BlockHashes
from write_side.contract.state.replay import Replay
from write_side.contract.state.snapshot import Snapshot
from write_side.contract.state.snapshot_bytes import check
from write_side.contract.state.state import State

SMALL = 4 << 10


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (folder_module, history_module):
        monkeypatch.setattr(module, "SEALED_BYTES", SMALL)
    monkeypatch.setattr(history_module, "FRESH_ROWS", 16)


class Life:
    """One life of a process over a log: its fold begins behind some block, as from a snapshot."""

    def __init__(self, log: MemoryLog, blocks: list[bytes], folder: Path, begun: int = -1) -> None:
        self.log = log
        self.history = History(SegmentFolder(folder, FileStore(folder), 0))
        self.replay = Replay(State(0, 1))
        self._blocks = blocks
        self.history.open()
        self._next = 0
        self._fold(begun + 1)
        chained = self.replay.state.chained
        self.history.begin_at(chained.sequence, chained.block_hash, self.replay.last_offset)

    def fold_to(self, count: int) -> None:
        """Fold and note up to so many blocks."""
        for folded in self._fold(count):
            self.history.note(folded)

    def _fold(self, count: int):  # type: ignore[no-untyped-def]
        records = [Record(at, self._blocks[at]) for at in range(self._next, count)]
        self._next = max(self._next, count)
        return [*self.replay.take_run(records)]

    def keep(self) -> None:
        asyncio.run(self._keep())

    async def _keep(self) -> None:
        await self.history.fill(self.log)
        self.history.tidy()

    def assert_whole(self) -> None:
        assert self.history.unavailable is None
        assert_tells(self.history.parts(), self._blocks)


def seal_all(log: MemoryLog, blocks: list[bytes], folder: Path) -> None:
    """A life that has folded all of the log and sealed what is due."""
    life = Life(log, blocks, folder)
    life.fold_to(len(blocks))
    life.keep()


def log_of(blocks: list[bytes]) -> MemoryLog:
    records = MemoryRecords(1)
    for block in blocks:
        records.append(0, block)
    return MemoryLog(records)


def one_log(seed: int) -> tuple[MemoryLog, list[bytes]]:
    blocks = some_blocks(random.Random(seed), segments=10, items=16)
    return log_of(blocks), blocks


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**6))
def test_lives_that_begin_anywhere_go_on_with_what_was_sealed(
    tmp_path_factory: pytest.TempPathFactory, seed: int
) -> None:
    folder, chance = tmp_path_factory.mktemp("history"), random.Random(seed)
    log, blocks = one_log(seed)
    reached = 0
    for _ in range(4):
        life = Life(log, blocks, folder, begun=chance.randint(-1, reached - 1))
        reached = chance.randint(reached, len(blocks))
        while life._next < reached:
            life.fold_to(min(reached, life._next + chance.randint(1, 5)))
            if chance.random() < 0.4:
                life.keep()
    life = Life(log, blocks, folder, begun=chance.randint(-1, reached - 1))
    life.fold_to(len(blocks))
    life.keep()
    life.assert_whole()


def test_a_long_history_is_in_few_files(tmp_path: Path) -> None:
    blocks = some_blocks(random.Random(5), segments=80, items=40)
    life = Life(log_of(blocks), blocks, tmp_path)
    for count in range(1, len(blocks) + 1):
        life.fold_to(count)
        life.keep()
    assert 1 < len(files_of(tmp_path)) < 16
    life.assert_whole()


@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_byte_is_found_and_what_it_was_in_is_made_again(tmp_path: Path, seed: int) -> None:
    log, blocks = one_log(seed)
    seal_all(log, blocks, tmp_path)
    names = files_of(tmp_path)
    assert names
    for name in names:
        data = bytearray((tmp_path / name).read_bytes())
        data[random.Random(seed).randrange(len(data))] ^= 1
        (tmp_path / name).write_bytes(data)
    again = Life(log, blocks, tmp_path, begun=len(blocks) - 1)
    assert again.history.unavailable is not None
    again.keep()
    again.assert_whole()


def test_a_file_that_is_cut_is_made_again(tmp_path: Path) -> None:
    log, blocks = one_log(1)
    seal_all(log, blocks, tmp_path)
    for name in files_of(tmp_path):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    again = Life(log, blocks, tmp_path, begun=len(blocks) - 1)
    again.keep()
    again.assert_whole()


def test_a_file_is_hashed_once_however_often_the_log_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, blocks = one_log(1)
    seal_all(log, blocks, tmp_path)
    looked: list[int] = []

    def noted(data: memoryview) -> None:
        looked.append(len(data))
        check(data)

    monkeypatch.setattr(folder_module, "check", noted)
    again = Life(log, blocks, tmp_path, begun=len(blocks) - 1)
    for _ in range(3):
        again.keep()
    assert len(looked) == len(files_of(tmp_path))
    again.assert_whole()


def test_files_that_were_joined_and_not_deleted_yet_are_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = some_blocks(random.Random(5), segments=40, items=30)
    log = log_of(blocks)
    life = Life(log, blocks, tmp_path)
    with monkeypatch.context() as crash:
        crash.setattr(life.history.folder._store, "delete", lambda name: None)
        for count in range(1, len(blocks) + 1):
            life.fold_to(count)
            life.keep()
    left = files_of(tmp_path)
    again = Life(log, blocks, tmp_path, begun=len(blocks) - 1)
    assert len(files_of(tmp_path)) < len(left)
    again.keep()
    again.assert_whole()


def test_the_history_of_another_log_is_neither_told_nor_touched(tmp_path: Path) -> None:
    log, blocks = one_log(1)
    seal_all(log, blocks, tmp_path)
    kept = files_of(tmp_path)
    other_log, other_blocks = one_log(2)
    other = Life(other_log, other_blocks, tmp_path)
    other.fold_to(len(other_blocks))
    with pytest.raises(Exception, match="of another log"):
        other.keep()
    assert other.history.unavailable is not None
    assert files_of(tmp_path) == kept


def test_what_a_full_disk_does_not_take_is_told_all_the_same_and_sealed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, blocks = one_log(3)
    life = Life(log, blocks, tmp_path)
    life.fold_to(len(blocks))

    def full(name: str, pieces: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(life.history.folder._store, "put", full)
        with pytest.raises(OSError, match="No space"):
            life.keep()
        life.assert_whole()
    life.history.tidy()
    assert files_of(tmp_path)
    life.assert_whole()


def test_a_disk_that_stays_full_costs_no_more_than_a_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, blocks = one_log(3)
    life = Life(log, blocks, tmp_path)
    monkeypatch.setattr(history_module, "TAIL_BYTES_MAX", SMALL)
    life.fold_to(len(blocks) // 2)

    def full(name: str, pieces: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(life.history.folder._store, "put", full)
        with pytest.raises(OSError, match="No space"):
            life.keep()
    assert life.history.unavailable is not None
    assert life.history.parts() == []
    life.fold_to(len(blocks))
    life.keep()
    life.assert_whole()


async def test_a_failing_log_is_asked_again(tmp_path: Path) -> None:
    blocks = some_blocks(random.Random(1))
    log = MemoryLog(MemoryRecords(1))
    life = await asyncio.to_thread(Life, log, blocks, tmp_path, len(blocks) - 1)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            for block in blocks:
                await log.append(0, block)
        if life.history.unavailable is None:
            raise asyncio.CancelledError  # of this history's own task

    await keep([life.history], log, sleep)
    assert slept[0] < slept[1]
    life.assert_whole()


async def test_what_cannot_be_kept_is_told_until_it_can_and_what_is_there_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, blocks = await asyncio.to_thread(one_log, 3)
    life = await asyncio.to_thread(Life, log, blocks, tmp_path)
    life.fold_to(len(blocks))
    put, told = life.history.folder._store.put, []

    def full(name: str, pieces: object) -> None:
        raise OSError(28, "No space left on device")

    async def sleep(seconds: float) -> None:
        told.append((life.history.failing, life.history.unavailable))
        if len(told) == 2:
            monkeypatch.setattr(life.history.folder._store, "put", put)
        if len(told) == 3:
            raise asyncio.CancelledError  # of this history's own task

    monkeypatch.setattr(life.history.folder._store, "put", full)
    await keep([life.history], log, sleep)
    full_disk = ("[Errno 28] No space left on device", None)
    assert told == [full_disk, full_disk, (None, None)]
    life.assert_whole()


async def test_a_mistake_in_one_history_is_told_and_keeps_nothing_from_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, blocks = await asyncio.to_thread(one_log, 3)
    broken, well = [await asyncio.to_thread(Life, log, blocks, tmp_path / name) for name in ("broken", "well")]

    def mistake() -> None:
        raise RuntimeError

    async def sleep(seconds: float) -> None:
        if well.history.unavailable is None and broken.history.failing is not None:
            raise asyncio.CancelledError
        await asyncio.sleep(0)

    monkeypatch.setattr(broken.history, "tidy", mistake)
    await keep([broken.history, well.history], log, sleep)
    assert broken.history.failing is not None
    assert "RuntimeError" in broken.history.failing
    assert well.history.failing is None


async def test_a_history_that_says_what_the_log_says_is_found_good_and_any_other_byte_is_not(tmp_path: Path) -> None:
    log, blocks = await asyncio.to_thread(one_log, 1)
    life = await asyncio.to_thread(Life, log, blocks, tmp_path)
    life.fold_to(len(blocks))
    await life.history.fill(log)
    life.history.tidy()
    folder = SegmentFolder(tmp_path, FileStore(tmp_path), 0)
    assert files_of(tmp_path)
    assert await compare_history(folder, log) is None
    other, _ = await asyncio.to_thread(one_log, 2)
    assert "not in the log" in str(await compare_history(SegmentFolder(tmp_path, FileStore(tmp_path), 0), other))
    chance = random.Random(1)
    [name] = files_of(tmp_path)
    whole = (tmp_path / name).read_bytes()
    for at in [0, len(whole) - 1, *chance.sample(range(len(whole)), 12)]:
        (tmp_path / name).write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        found = await compare_history(SegmentFolder(tmp_path, FileStore(tmp_path), 0), log)
        assert found is not None, at
        assert name in found


async def test_a_sorted_column_that_is_not_what_the_blocks_say_is_found_behind_a_right_hash(tmp_path: Path) -> None:
    log, blocks = await asyncio.to_thread(one_log, 1)
    life = await asyncio.to_thread(Life, log, blocks, tmp_path)
    life.fold_to(len(blocks))
    await life.history.fill(log)
    segment = joined(life.history.parts()[::-1])
    wrong = dataclasses.replace(segment, posted=segment.posted + np.int64(1))
    SegmentFolder(tmp_path, FileStore(tmp_path), 0).seal([wrong])
    found = await compare_history(SegmentFolder(tmp_path, FileStore(tmp_path), 0), log)
    assert "'posted'" in str(found)


def test_what_is_noted_while_the_log_is_read_is_bounded_and_told_in_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = 8 * SMALL
    monkeypatch.setattr(history_module, "TAIL_BYTES_MAX", bound)
    blocks = some_blocks(random.Random(7), segments=40, items=30)
    life = Life(log_of(blocks), blocks, tmp_path, begun=3)
    held = 0
    for count in range(5, len(blocks) + 1):
        life.fold_to(count)
        held = max(held, sum(array.nbytes for part in life.history.parts() for array in part.columns.values()))
    assert held < 4 * bound
    life.keep()
    life.assert_whole()


def test_what_is_forgotten_while_the_log_is_read_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "TAIL_BYTES_MAX", SMALL)
    blocks = some_blocks(random.Random(8), segments=40, items=30)
    life = Life(log_of(blocks), blocks, tmp_path, begun=len(blocks) // 2)
    rested = 0

    async def rest(_seconds: float) -> None:
        nonlocal rested
        rested += 1
        life.fold_to(len(blocks))  # so much comes while the first half is being read that it is not kept

    monkeypatch.setattr(MemoryLog, "read", _one_by_one)
    asyncio.run(life.history.fill(life.log, rest))
    assert rested
    life.assert_whole()


async def _one_by_one(log: MemoryLog, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
    """Runs of one record, as from a log that has far more than one read gives."""
    for at in range(after + 1, await log.end(partition) + 1):
        yield [Record(at, bytes(await log.fetch(partition, at)))]


def test_a_seal_during_which_all_was_forgotten_leaves_no_gap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "TAIL_BYTES_MAX", 4 * SMALL)
    blocks = some_blocks(random.Random(9), segments=40, items=30)
    life = Life(log_of(blocks), blocks, tmp_path)
    life.keep()
    seal, reached = SegmentFolder.seal, 0

    def slow(folder: SegmentFolder, segments: Sequence[Segment]) -> None:
        nonlocal reached
        if reached < len(blocks):
            reached = len(blocks)
            life.fold_to(reached)
        seal(folder, segments)

    monkeypatch.setattr(SegmentFolder, "seal", slow)
    while life._next < len(blocks):
        life.fold_to(life._next + 1)
        life.history.tidy()
    assert life.history.unavailable is not None
    life.keep()
    life.assert_whole()


async def test_a_history_whose_beginning_is_missing_is_not_good(tmp_path: Path) -> None:
    blocks = await asyncio.to_thread(some_blocks, random.Random(5), 40, 30)
    log = log_of(blocks)
    life = await asyncio.to_thread(Life, log, blocks, tmp_path)
    await life.history.fill(log)
    for count in range(1, len(blocks) + 1):
        life.fold_to(count)
        life.history.tidy()
    first, *others = files_of(tmp_path)
    assert others
    (tmp_path / first).unlink()
    found = await compare_history(SegmentFolder(tmp_path, FileStore(tmp_path), 0), log)
    assert "none that has block 0" in str(found)


async def test_a_folder_that_is_a_file_stops_nothing_and_is_told(tmp_path: Path) -> None:
    log, blocks = await asyncio.to_thread(one_log, 1)
    place = tmp_path / "file"
    place.write_text("x")
    life = await asyncio.to_thread(Life, log, blocks, place)
    life.fold_to(len(blocks))
    await life.history.fill(log)
    with pytest.raises(OSError, match="file"):
        life.history.tidy()
    life.assert_whole()


@pytest.mark.parametrize("seed", range(3))
async def test_what_was_passed_over_is_read_from_the_log(tmp_path: Path, seed: int) -> None:
    """A fold that goes on from a snapshot, of which history was told when the partition was empty."""
    log, blocks = await asyncio.to_thread(one_log, seed)
    life = await asyncio.to_thread(Life, log, blocks, tmp_path)
    await life.history.fill(log)
    life._fold(len(blocks) // 2)
    life.fold_to(len(blocks))
    assert life.history.unavailable is not None
    await life.history.fill(log)
    life.history.tidy()
    life.assert_whole()


async def test_a_fold_that_begins_again_at_a_snapshot_tells_history_from_where(tmp_path: Path) -> None:
    log, blocks = await asyncio.to_thread(one_log, 1)
    fold, history = PartitionFold(0), History(SegmentFolder(tmp_path, FileStore(tmp_path), 0))
    history.open()
    fold.tell(history)
    later = PartitionFold(0)
    records = [Record(at, data) for at, data in enumerate(blocks)]
    later.advance(records, until=5)
    fold.begin_at(Snapshot(later.replay, BlockHashes(), 0))
    fold.advance(records[6:])
    await history.fill(log)
    assert_tells(history.parts(), blocks)
