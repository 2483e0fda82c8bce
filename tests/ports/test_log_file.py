"""What only the file log promises: recovery, damage, the lock, segments, and readers beside a live writer."""

from __future__ import annotations

import asyncio
import errno
import multiprocessing
import os
import resource
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ports.log_adapters import block, taken
from write_side.contract.block.block import HEADER_BYTES
from write_side.contract.log.log import START, LogDamaged, LogFailed, LogUnsynced, Record
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_file_folder import partition_folder, segment_offsets, segment_path


def segment(data: Path, first: int = 0) -> Path:
    return segment_path(partition_folder(data, 0), first)


async def write(data: Path, *blocks: bytes, segment_bytes: int = 1 << 20) -> list[int]:
    log = await FileLog.open(data, 1, segment_bytes=segment_bytes)
    try:
        return [await log.append(0, each) for each in blocks]
    finally:
        await log.close()


async def contents(log: FileLog, after: int = START) -> list[bytes]:
    return [bytes(record.data) async for run in log.read(0, after) for record in run]


async def until_damage(runs: AsyncIterator[Sequence[Record]]) -> tuple[list[bytes], LogDamaged | None]:
    found: list[bytes] = []
    try:
        async for run in runs:
            found += [bytes(record.data) for record in run]
    except LogDamaged as damage:
        return found, damage
    return found, None


async def reopened(data: Path, *, read_only: bool = False) -> list[bytes]:
    log = await (FileLog.open_read_only(data) if read_only else FileLog.open(data))
    try:
        return await contents(log)
    finally:
        await log.close()


async def test_a_frame_is_a_block_and_an_offset_its_place_in_the_file(tmp_path: Path) -> None:
    offsets = await write(tmp_path, block(0, 3), block(1), block(2, 9))
    assert segment(tmp_path).read_bytes() == block(0, 3) + block(1) + block(2, 9)
    assert offsets == [0, len(block(0, 3)), len(block(0, 3)) + len(block(1))]


async def test_what_is_no_block_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    log = await FileLog.open(tmp_path, 1)
    for bad in (b"", b"x" * 200, block(0)[:-1], block(0) + b"x"):
        with pytest.raises(ValueError):
            await log.append(0, bad)
    await log.append(0, block(0))
    assert await contents(log) == [block(0)]
    await log.close()


# --- torn tails and damage


async def test_a_last_frame_torn_at_any_byte_is_cut_and_kept_aside(tmp_path: Path) -> None:
    good, torn = block(0, 1), block(1, 2)
    await write(tmp_path, good)
    for length in range(1, len(torn)):
        segment(tmp_path).write_bytes(good + torn[:length])
        assert await reopened(tmp_path, read_only=True) == [good]
        assert segment(tmp_path).read_bytes() == good + torn[:length]
        assert await reopened(tmp_path) == [good]
        assert segment(tmp_path).read_bytes() == good
        (aside,) = partition_folder(tmp_path, 0).glob("*.torn")
        assert aside.read_bytes() == torn[:length]


async def test_a_last_frame_with_a_hole_of_zeros_from_any_byte_is_cut(tmp_path: Path) -> None:
    """Some file systems make the length durable before the data."""
    good, torn = block(0, 1), block(1, 2)
    await write(tmp_path, good)
    for begin in range(len(torn.rstrip(b"\0"))):
        segment(tmp_path).write_bytes(good + torn[:begin] + bytes(len(torn) - begin))
        assert await reopened(tmp_path) == [good]


async def test_a_flipped_byte_anywhere_in_the_last_frame_cuts_it(tmp_path: Path) -> None:
    good, last = block(0, 1), block(1, 2)
    await write(tmp_path, good)
    for at in range(len(last)):
        segment(tmp_path).write_bytes(good + last[:at] + bytes([last[at] ^ 0x55]) + last[at + 1 :])
        assert await reopened(tmp_path) == [good]


async def test_a_flipped_byte_anywhere_before_the_last_frame_stops_and_changes_nothing(tmp_path: Path) -> None:
    first, last = block(0, 2), block(1, 1)
    await write(tmp_path, first)
    for at in range(len(first)):
        damaged = first[:at] + bytes([first[at] ^ 0x55]) + first[at + 1 :] + last
        segment(tmp_path).write_bytes(damaged)
        for read_only in (False, True):
            with pytest.raises(LogFailed, match=r"00000000000000000000\.segment, byte 0"):
                await reopened(tmp_path, read_only=read_only)
        assert segment(tmp_path).read_bytes() == damaged
        assert not list(partition_folder(tmp_path, 0).glob("*.torn"))


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("segment_bytes", [1, 1 << 20])
async def test_what_lies_before_damage_is_read_and_then_the_damage_is_told(
    tmp_path: Path, read_only: bool, segment_bytes: int
) -> None:
    log = await FileLog.open(tmp_path, 2, segment_bytes=segment_bytes)
    offsets = [await log.append(0, block(sequence)) for sequence in range(5)]
    await log.close()
    first = offsets[3] if segment_bytes == 1 else 0
    with segment(tmp_path, first).open("r+b") as file:
        file.seek(offsets[3] - first)
        file.write(b"?")
    log = await (FileLog.open_read_only(tmp_path, poll_ms=1) if read_only else FileLog.open(tmp_path))
    for read in (log.read, log.tail):
        found, damage = await until_damage(read(0, START))
        assert damage is not None
        assert found == [block(sequence) for sequence in range(3)]
    assert bytes(await log.fetch(0, offsets[2])) == block(2)
    if not read_only:
        assert (0 in log.failures) is (segment_bytes != 1)
    await log.close()


async def test_what_lies_before_a_missing_segment_is_read(tmp_path: Path) -> None:
    log = await FileLog.open(tmp_path, 2, segment_bytes=1)
    offsets = [await log.append(0, block(sequence)) for sequence in range(4)]
    await log.close()
    segment(tmp_path, offsets[2]).unlink()
    log = await FileLog.open(tmp_path)
    found, damage = await until_damage(log.read(0))
    assert "without a gap" in str(damage)
    assert found == [block(0), block(1)]
    with pytest.raises(LogDamaged):
        await contents(log, offsets[3])
    await log.close()


async def test_two_damaged_frames_at_the_end_are_not_a_torn_tail(tmp_path: Path) -> None:
    """The second was begun, so the first had been acknowledged."""
    await write(tmp_path, block(0), block(1, 2), block(2, 2))
    whole = bytearray(segment(tmp_path).read_bytes())
    whole[len(block(0)) + HEADER_BYTES] ^= 1
    for cut in (1, len(block(2, 2)) - 1, len(block(2, 2)) - 20):
        segment(tmp_path).write_bytes(whole[:-cut])
        with pytest.raises(LogFailed, match="Nothing was changed"):
            await reopened(tmp_path)


@pytest.mark.parametrize("at", range(4))
async def test_a_damaged_frame_among_good_ones_is_found_at_the_opening(tmp_path: Path, at: int) -> None:
    offsets = await write(tmp_path, *(block(number, 2) for number in range(5)))
    whole = bytearray(segment(tmp_path).read_bytes())
    whole[offsets[at] + HEADER_BYTES + 3] ^= 1
    segment(tmp_path).write_bytes(whole)
    with pytest.raises(LogFailed, match=f"byte {offsets[at]}: a block is damaged, and another one begins behind it"):
        await reopened(tmp_path)
    assert segment(tmp_path).read_bytes() == whole


async def test_a_torn_first_frame_leaves_an_empty_log_that_can_be_used(tmp_path: Path) -> None:
    await write(tmp_path)
    segment(tmp_path).write_bytes(block(0)[:77])
    assert await reopened(tmp_path) == []
    assert await write(tmp_path, block(0)) == [0]


async def test_a_torn_frame_at_the_start_of_a_later_segment_is_cut(tmp_path: Path) -> None:
    offsets = await write(tmp_path, block(0), block(1), segment_bytes=1)
    segment(tmp_path, offsets[1]).write_bytes(block(1)[:60])
    assert await reopened(tmp_path) == [block(0)]
    assert await write(tmp_path, block(2), segment_bytes=1) == [offsets[1]]
    assert await reopened(tmp_path) == [block(0), block(2)]


async def test_a_damaged_frame_before_an_empty_segment_stops(tmp_path: Path) -> None:
    offsets = await write(tmp_path, block(0), block(1), segment_bytes=1)
    segment(tmp_path, offsets[1]).write_bytes(b"")
    assert await reopened(tmp_path) == [block(0)]
    segment(tmp_path).write_bytes(block(0)[:-1] + b"\xff")
    with pytest.raises(LogFailed, match="Nothing was changed"):
        await reopened(tmp_path)


@pytest.mark.parametrize("loss", ["first", "middle", "shorter"])
async def test_a_missing_or_shortened_segment_stops(tmp_path: Path, loss: str) -> None:
    offsets = await write(tmp_path, block(0), block(1), block(2), segment_bytes=1)
    if loss == "shorter":
        os.truncate(segment(tmp_path, offsets[1]), 100)
    else:
        segment(tmp_path, offsets[loss == "middle"]).unlink()
    for read_only in (False, True):
        with pytest.raises(LogFailed, match="without a gap"):
            await reopened(tmp_path, read_only=read_only)


async def test_a_header_that_rots_while_the_log_is_open_is_met_loudly(tmp_path: Path) -> None:
    log = await FileLog.open(tmp_path, 1)
    offsets = [await log.append(0, block(sequence)) for sequence in range(3)]
    with segment(tmp_path).open("r+b") as file:
        file.seek(offsets[1])
        file.write(b"?")
    with pytest.raises(LogFailed, match=f"offset {offsets[1]}"):
        await contents(log)
    with pytest.raises(LogFailed):
        await log.fetch(0, offsets[1])
    await log.close()


# --- durability


async def test_nobody_sees_a_block_before_it_is_synced(tmp_path: Path) -> None:
    may_sync, syncing = threading.Event(), threading.Event()

    def slow_disk(descriptor: int) -> None:
        syncing.set()
        assert may_sync.wait(30)
        os.fdatasync(descriptor)

    log = await FileLog.open(tmp_path, 1, sync=slow_disk)
    async with aclosing(log.tail(0)) as tail:
        waiting = asyncio.ensure_future(anext(tail))
        appending = asyncio.ensure_future(log.append(0, block(0)))
        assert await asyncio.to_thread(syncing.wait, 30)
        assert segment(tmp_path).stat().st_size == len(block(0))
        assert await contents(log) == []
        with pytest.raises(LogFailed):
            await log.fetch(0, 0)
        assert not waiting.done()
        assert not appending.done()
        may_sync.set()
        assert await appending == 0
        assert [bytes(record.data) for record in await waiting] == [block(0)]
    await log.close()


async def test_the_last_frame_is_written_and_synced_again_before_anything_is_answered(tmp_path: Path) -> None:
    await write(tmp_path, block(0), block(1, 5))
    before = segment(tmp_path).stat().st_mtime_ns
    os.utime(segment(tmp_path), ns=(0, 0))
    synced: list[int] = []
    log = await FileLog.open(tmp_path, sync=lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    assert segment(tmp_path).stat().st_mtime_ns >= before  # written
    assert synced == [segment(tmp_path).stat().st_ino]
    assert await contents(log) == [block(0), block(1, 5)]
    await log.close()


async def test_a_disk_that_cannot_sync_the_last_frame_again_keeps_the_log_shut(tmp_path: Path) -> None:
    await write(tmp_path, block(0))

    def broken(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    log = await FileLog.open(tmp_path, sync=broken)
    with pytest.raises(LogFailed, match="Input/output error"):
        await contents(log)
    with pytest.raises(LogFailed, match="Input/output error"):
        await log.append(0, block(1))
    with pytest.raises(LogFailed, match="Input/output error"):
        await log.resume(0)
    await log.close()
    assert await reopened(tmp_path) == [block(0)]


@contextmanager
def largest_file(limit_bytes: int) -> Iterator[None]:
    """The kernel refuses to write a file beyond this, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [0, 1, 150])
async def test_after_a_write_that_failed_half_way_nothing_is_taken_until_opened_again(
    tmp_path: Path, room: int
) -> None:
    log = await FileLog.open(tmp_path, 1)
    await log.append(0, block(0))
    with largest_file(len(block(0)) + room), pytest.raises(LogFailed, match="File too large"):
        await log.append(0, block(1, 5))
    with pytest.raises(LogFailed, match="nothing more is taken"):
        await log.append(0, block(2))
    assert 0 in log.failures
    assert await contents(log) == [block(0)]
    await log.close()
    assert await reopened(tmp_path) == [block(0)]


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    """As clients do that open connections without an end."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.open(os.devnull, os.O_RDONLY)
    os.close(spare)  # the lowest free one: none is given from here on
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_file_that_cannot_be_opened_for_want_of_descriptors_is_the_logs_failure_and_no_fault_of_ours(
    tmp_path: Path,
) -> None:
    log = await FileLog.open(tmp_path, 1)
    await log.append(0, block(0))
    with no_descriptor_left(), pytest.raises(LogFailed, match="Too many open files"):
        await contents(log)
    assert await contents(log) == [block(0)]
    await log.close()


async def test_a_segment_that_cannot_be_begun_for_want_of_descriptors_may_be_tried_again(tmp_path: Path) -> None:
    log = await FileLog.open(tmp_path, 1, segment_bytes=1)
    await log.append(0, block(0))
    with no_descriptor_left(), pytest.raises(LogFailed, match="Too many open files") as failed:
        await log.append(0, block(1))
    assert not isinstance(failed.value, LogUnsynced)
    await log.resume(0)
    await log.append(0, block(1))
    assert await contents(log) == [block(0), block(1)]
    await log.close()


async def test_an_append_whose_caller_went_away_is_finished_and_the_next_goes_behind_it(tmp_path: Path) -> None:
    log = await FileLog.open(tmp_path, 1)
    appending = asyncio.ensure_future(log.append(0, block(0)))
    await asyncio.sleep(0)
    appending.cancel()
    await log.append(0, block(1))
    assert await contents(log) == [block(0), block(1)]
    await log.close()


# --- a partition whose files cannot be opened


@contextmanager
def away(path: Path, *, behind: str) -> Iterator[None]:
    """A file that cannot be opened, or a folder that cannot be read, for root too: something else lies in its place."""
    aside = path.with_name("aside")
    path.rename(aside)
    match behind:
        case "a folder":
            path.mkdir()
        case "a file":
            path.touch()
    try:
        yield
    finally:
        if path.exists():
            path.rmdir() if path.is_dir() else path.unlink()
        aside.rename(path)


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("what", ["the segment is a folder", "the folder is a file", "the folder is not there"])
async def test_what_keeps_one_partition_shut_is_its_own_and_passes(tmp_path: Path, what: str, read_only: bool) -> None:
    log = await FileLog.open(tmp_path, 3)
    for partition in range(3):
        await log.append(partition, block(0, partition=partition))
    await log.close()
    folder = partition_folder(tmp_path, 1)
    is_segment = what == "the segment is a folder"
    behind = {"the segment is a folder": "a folder", "the folder is a file": "a file", "the folder is not there": ""}
    with away(segment_path(folder, 0) if is_segment else folder, behind=behind[what]):
        log = await (FileLog.open_read_only(tmp_path) if read_only else FileLog.open(tmp_path))
        assert list(await log.troubles()) == [1]
        for refused in (log.read(1), log.tail(1)):
            with pytest.raises(LogFailed, match=r"p00001 cannot be used: .*nothing is lost") as failed:
                await anext(refused)
            assert not isinstance(failed.value, LogDamaged)
        for asked in (log.end(1), log.fetch(1, 0)):
            with pytest.raises(LogFailed, match="cannot be used"):
                await asked
        if not read_only:
            for asked_to_write in (log.append(1, block(1, partition=1)), log.resume(1)):
                with pytest.raises(LogFailed, match="cannot be used"):
                    await asked_to_write
        for partition in (0, 2):
            assert [bytes(r.data) async for run in log.read(partition) for r in run] == [block(0, partition=partition)]
            if not read_only:
                await log.append(partition, block(1, partition=partition))
    if not read_only:
        await log.resume(1)
        await log.append(1, block(1, partition=1))
    assert bytes((await anext(log.read(1)))[0].data) == block(0, partition=1)
    assert await log.troubles() == {}
    await log.close()


async def test_a_disk_that_is_full_at_the_start_keeps_the_partition_shut_until_it_has_room(tmp_path: Path) -> None:
    await write(tmp_path, block(0))
    with segment(tmp_path).open("ab") as torn:
        torn.write(block(1)[:40])
    aside = partition_folder(tmp_path, 0) / f"{len(block(0)):020d}.torn.new"
    aside.symlink_to("/dev/full")
    log = await FileLog.open(tmp_path)
    assert "No space left on device" in str(log.failures[0])
    assert not aside.is_symlink(), "half of a file would take what room is left"
    aside.symlink_to("/dev/full")
    with pytest.raises(
        LogFailed, match=r"No space left on device\. .* Free space\. A service that runs tries it again"
    ):
        await log.resume(0)
    await log.resume(0)
    await log.append(0, block(1))
    assert await contents(log) == [block(0), block(1)]
    await log.close()


async def test_readers_go_on_with_what_is_good_while_the_disk_is_too_full_to_take_the_partition_up_again(
    tmp_path: Path,
) -> None:
    log = await FileLog.open(tmp_path, 1)
    await log.append(0, block(0))
    with largest_file(len(block(0)) + 40), pytest.raises(LogFailed):
        await log.append(0, block(1, 5))
    (partition_folder(tmp_path, 0) / f"{len(block(0)):020d}.torn.new").symlink_to("/dev/full")
    with pytest.raises(LogFailed, match="No space left"):
        await log.resume(0)
    assert await contents(log) == [block(0)]
    with pytest.raises(LogFailed, match="No space left"):
        await log.append(0, block(1))
    await log.close()


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("name", ["copy of 0.segment", "0.segment", "\u0660" * 20 + ".segment"])
async def test_a_file_that_is_no_segment_is_named_and_left_alone(
    tmp_path: Path, name: str, read_only: bool, caplog: pytest.LogCaptureFixture
) -> None:
    await write(tmp_path, block(0))
    stray = partition_folder(tmp_path, 0) / name
    stray.write_bytes(block(7))
    assert await reopened(tmp_path, read_only=read_only) == [block(0)]
    assert stray.read_bytes() == block(7)
    assert name in caplog.text


async def test_who_holds_the_folder_need_not_fit_on_the_disk(tmp_path: Path) -> None:
    await write(tmp_path, block(0))
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").symlink_to("/dev/full")
    assert await reopened(tmp_path) == [block(0)]


# --- the folder


def _hold_log(data: Path, ready: Connection) -> None:
    async def hold() -> None:
        log = await FileLog.open(data, 1)
        await log.append(0, block(0))
        ready.send(os.getpid())
        ready.recv()
        await log.append(0, block(1))
        ready.send(None)
        ready.recv()

    asyncio.run(hold())


@contextmanager
def other_writer(data: Path) -> Iterator[tuple[int, Connection]]:
    """Another process with the log open and one block written; send to it for one more. Killed in the end."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_hold_log, args=(data, there))
    process.start()
    try:
        assert here.poll(60)
        yield here.recv(), here
    finally:
        process.kill()
        process.join()
        process.close()


async def test_a_second_process_is_told_who_has_the_folder_and_a_killed_one_locks_nobody_out(tmp_path: Path) -> None:
    with other_writer(tmp_path) as (pid, _):
        with pytest.raises(LogFailed) as refused:
            await FileLog.open(tmp_path, 1)
        assert str(pid) in str(refused.value)
        assert str(tmp_path) in str(refused.value)
    assert await reopened(tmp_path) == [block(0)]


def _append_for_ever(data: Path, acknowledged: Connection) -> None:
    async def go_on() -> None:
        log = await FileLog.open(data, 1, segment_bytes=20_000)
        sequence = len(await contents(log))
        while True:
            offset = await log.append(0, block(sequence, sequence % 50))
            acknowledged.send((offset, sequence))
            sequence += 1

    asyncio.run(go_on())


async def test_a_writer_killed_again_and_again_loses_nothing_it_acknowledged(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    acknowledged: list[tuple[int, int]] = []
    for _ in range(6):
        here, there = context.Pipe()
        process = context.Process(target=_append_for_ever, args=(tmp_path, there))
        process.start()
        there.close()
        for _ in range(20):
            assert here.poll(60)
            acknowledged.append(here.recv())
        process.kill()
        process.join()
        process.close()
        while True:  # what it had said before it was killed
            try:
                acknowledged.append(here.recv())
            except (EOFError, OSError):
                break
        here.close()
    log = await FileLog.open(tmp_path)
    found = [(record.offset, bytes(record.data)) async for run in log.read(0) for record in run]
    assert {(offset, block(sequence, sequence % 50)) for offset, sequence in acknowledged} <= set(found)
    assert [data for _, data in found] == [block(sequence, sequence % 50) for sequence in range(len(found))]
    await log.close()


async def test_a_second_log_in_the_same_process_is_refused_too(tmp_path: Path) -> None:
    log = await FileLog.open(tmp_path, 1)
    with pytest.raises(LogFailed, match=str(os.getpid())):
        await FileLog.open(tmp_path, 1)
    await log.close()
    await (await FileLog.open(tmp_path, 1)).close()


async def test_the_partition_count_is_kept_and_another_one_is_refused(tmp_path: Path) -> None:
    await (await FileLog.open(tmp_path, 3)).close()
    log = await FileLog.open(tmp_path)
    assert log.partitions == 3
    await log.close()
    with pytest.raises(LogFailed, match="FANFOLD_PARTITIONS=3"):
        await FileLog.open(tmp_path, 4)
    await (await FileLog.open(tmp_path, 3)).close()


async def test_blocks_without_their_partition_count_are_refused(tmp_path: Path) -> None:
    await write(tmp_path, block(0))
    (tmp_path / "log" / "meta.json").unlink()
    with pytest.raises(LogFailed, match=r"meta\.json"):
        await FileLog.open(tmp_path, 1)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 3, "partitions": 1}', '{"format": 1, "partitions": "x"}'])
async def test_a_partition_count_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    await write(tmp_path, block(0))
    (tmp_path / "log" / "meta.json").write_text(text)
    with pytest.raises(LogFailed, match=r"meta\.json"):
        await FileLog.open(tmp_path, 1)


async def test_a_creation_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    partition_folder(tmp_path, 0).mkdir(parents=True)
    segment(tmp_path).touch()
    await write(tmp_path, block(0))
    assert await reopened(tmp_path) == [block(0)]


# --- segments


async def test_no_frame_crosses_a_segment_and_every_segment_keeps_to_its_size(tmp_path: Path) -> None:
    blocks = [block(sequence, rows=sequence % 7) for sequence in range(40)]
    offsets = await write(tmp_path, *blocks, segment_bytes=1000)
    firsts = segment_offsets(partition_folder(tmp_path, 0))
    assert len(firsts) > 5
    assert set(firsts) <= set(offsets)
    assert all(segment(tmp_path, first).stat().st_size <= 1000 for first in firsts)
    assert await reopened(tmp_path) == blocks


async def test_a_block_larger_than_a_segment_has_one_of_its_own(tmp_path: Path) -> None:
    blocks = [block(0), block(1, 500), block(2)]
    offsets = await write(tmp_path, *blocks, segment_bytes=1000)
    assert segment_offsets(partition_folder(tmp_path, 0)) == offsets
    assert await reopened(tmp_path) == blocks


async def test_the_size_of_new_segments_may_change_between_two_starts(tmp_path: Path) -> None:
    blocks = [block(sequence) for sequence in range(9)]
    for place, segment_bytes in ((0, 1), (3, 1 << 20), (6, 400)):
        await write(tmp_path, *blocks[place : place + 3], segment_bytes=segment_bytes)
    assert await reopened(tmp_path) == blocks


@settings(max_examples=25)
@given(
    rows=st.lists(st.integers(0, 40), min_size=1, max_size=25),
    segment_bytes=st.integers(1, 3000),
    stops=st.sets(st.integers(0, 25)),
    after=st.integers(-1, 24),
)
async def test_any_blocks_in_any_segments_over_any_restarts_read_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[int], segment_bytes: int, stops: set[int], after: int
) -> None:
    data = tmp_path_factory.mktemp("log")
    blocks = [block(sequence, count) for sequence, count in enumerate(rows)]
    offsets: list[int] = []
    log = await FileLog.open(data, 1, segment_bytes=segment_bytes)
    follower = await FileLog.open_read_only(data, poll_ms=1)
    for sequence, each in enumerate(blocks):
        if sequence in stops:
            await log.close()
            log = await FileLog.open(data, segment_bytes=segment_bytes)
        offsets.append(await log.append(0, each))
    behind = min(after, len(offsets) - 1)
    for reader in (log, follower):
        found = [record async for run in reader.read(0, offsets[behind] if behind >= 0 else START) for record in run]
        assert [(record.offset, bytes(record.data)) for record in found] == list(zip(offsets, blocks, strict=True))[
            behind + 1 :
        ]
        await reader.close()


# --- readers beside a live writer


async def test_a_read_only_log_takes_no_lock_writes_nothing_and_appends_nothing(tmp_path: Path) -> None:
    await write(tmp_path, block(0))
    reader = await FileLog.open_read_only(tmp_path)
    writer = await FileLog.open(tmp_path)
    with pytest.raises(LogFailed, match="reading only"):
        await reader.append(0, block(1))
    await writer.append(0, block(1))
    assert await contents(reader) == [block(0), block(1)]
    await reader.close()
    await writer.close()


async def test_a_read_only_log_needs_a_log(tmp_path: Path) -> None:
    with pytest.raises(LogFailed, match="no log"):
        await FileLog.open_read_only(tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_a_read_only_tail_follows_another_process_through_new_segments(tmp_path: Path) -> None:
    with other_writer(tmp_path) as (_, process):
        reader = await FileLog.open_read_only(tmp_path, poll_ms=1)
        async with aclosing(reader.tail(0)) as tail:
            assert [bytes(record.data) for record in await taken(tail, 1)] == [block(0)]
            process.send(None)
            assert [bytes(record.data) for record in await taken(tail, 1)] == [block(1)]
        await reader.close()


async def test_a_read_only_tail_crosses_segments(tmp_path: Path) -> None:
    writer = await FileLog.open(tmp_path, 1, segment_bytes=400)
    reader = await FileLog.open_read_only(tmp_path, poll_ms=1)
    async with aclosing(reader.tail(0)) as tail:
        for sequence in range(20):
            offset = await writer.append(0, block(sequence, sequence % 5))
            (record,) = await taken(tail, 1)
            assert (record.offset, bytes(record.data)) == (offset, block(sequence, sequence % 5))
    await reader.close()
    await writer.close()


async def test_a_read_only_reader_that_finds_no_descriptor_at_a_new_segment_goes_on_later(tmp_path: Path) -> None:
    log = await FileLog.open(tmp_path, 1, segment_bytes=1)
    await log.append(0, block(0))
    reader = await FileLog.open_read_only(tmp_path)
    await log.append(0, block(1))
    with no_descriptor_left(), pytest.raises(LogFailed, match="Too many open files"):
        await contents(reader)
    assert await contents(reader) == [block(0), block(1)]
    await reader.close()
    await log.close()


async def test_a_read_only_reader_waits_for_the_rest_of_a_frame(tmp_path: Path) -> None:
    await write(tmp_path, block(0))
    reader = await FileLog.open_read_only(tmp_path, poll_ms=1)
    late = block(1, 2)
    for length in (1, HEADER_BYTES - 1, HEADER_BYTES, len(late) - 1):
        segment(tmp_path).write_bytes(block(0) + late[:length])
        assert await contents(reader) == [block(0)]
    segment(tmp_path).write_bytes(block(0) + late)
    assert await contents(reader) == [block(0), late]
    await reader.close()


async def test_a_read_only_reader_sees_what_a_restarted_writer_put_where_a_torn_frame_was(tmp_path: Path) -> None:
    await write(tmp_path, block(0))
    torn = block(1, 3)[:-1] + bytes([block(1, 3)[-1] ^ 1])
    segment(tmp_path).write_bytes(block(0) + torn)
    reader = await FileLog.open_read_only(tmp_path, poll_ms=1)
    assert await contents(reader) == [block(0)]
    await write(tmp_path, block(2, 3))
    assert segment(tmp_path).stat().st_size == len(block(0)) + len(torn)
    assert await contents(reader) == [block(0), block(2, 3)]
    await reader.close()


async def test_a_read_only_reader_syncs_before_it_yields(tmp_path: Path) -> None:
    """The writer here never syncs; a reader that cannot must not yield."""
    writer = await FileLog.open(tmp_path, 1, sync=lambda descriptor: None)
    synced: list[str] = []
    reader = await FileLog.open_read_only(tmp_path, sync=lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    synced.clear()
    await writer.append(0, block(0))
    assert await contents(reader) == [block(0)]
    assert synced == [str(segment(tmp_path))]
    await reader.close()
    await writer.close()


async def test_a_segment_that_ends_badly_before_the_next_stops_a_read_only_reader(tmp_path: Path) -> None:
    await write(tmp_path, block(0))
    reader = await FileLog.open_read_only(tmp_path, poll_ms=1)
    segment(tmp_path).write_bytes(block(0) + block(1)[:50])
    segment(tmp_path, len(block(0)) + 50).write_bytes(block(2))
    with pytest.raises(LogFailed, match="ends in a damaged block"):
        await contents(reader)
    await reader.close()


async def test_reading_copies_no_frame(tmp_path: Path) -> None:
    await write(tmp_path, *(block(sequence, 100) for sequence in range(20)))
    log = await FileLog.open(tmp_path)
    run: list[Record] = [record async for run in log.read(0) for record in run]
    buffers = {id(record.data.obj) for record in run if isinstance(record.data, memoryview)}
    assert len(run) == 20
    assert len(buffers) == 1
    await log.close()
