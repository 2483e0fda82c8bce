"""What the log port promises of `trim`, on every adapter."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from tests.ports.log_adapters import FileLogs, KafkaLogs, Logs, MemoryLogs, block, taken
from tests.servers import unique_name
from write_side.contract.log import log_file_folder
from write_side.contract.log.log import START, Log, LogDamaged, LogFailed, Record, Trimmed
from write_side.contract.log.log_file import FileLog


@pytest.fixture(params=["memory", "file", pytest.param("kafka", marks=pytest.mark.kafka)])
async def logs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Logs]:
    made: Logs
    match request.param:
        case "memory":
            made = MemoryLogs()
        case "kafka":
            made = KafkaLogs(request.getfixturevalue("kafka_bootstrap"), unique_name("log"))
        case _:
            made = FileLogs(tmp_path, segment_bytes=1000)
    yield made
    await made.close()


async def _filled(logs: Logs, count: int = 40) -> tuple[Log, list[int]]:
    log = await logs.open()
    return log, [await log.append(0, block(sequence, rows=sequence % 5)) for sequence in range(count)]


async def _everything(log: Log, after: int = START) -> list[Record]:
    return [record async for run in log.read(0, after) for record in run]


async def test_a_log_that_was_not_trimmed_begins_at_0(logs: Logs) -> None:
    log, offsets = await _filled(logs, 2)
    assert await log.begin(0) == offsets[0] == 0
    assert await log.begin(1) == 0


async def test_what_is_trimmed_is_gone_and_the_rest_is_read_as_ever(logs: Logs) -> None:
    log, offsets = await _filled(logs)
    begin = await log.trim(0, offsets[25])
    assert 0 < begin <= offsets[25]
    assert begin in offsets
    assert await log.begin(0) == begin
    first = offsets.index(begin)
    for after in (START, offsets[0], *([offsets[first - 2]] if first > 1 else [])):
        with pytest.raises(Trimmed) as told:
            await _everything(log, after)
        assert told.value.begin == begin
    with pytest.raises(Trimmed):
        await log.fetch(0, offsets[first - 1])
    assert bytes(await log.fetch(0, begin)) == block(first, rows=first % 5)
    assert [record.offset for record in await _everything(log, begin)] == offsets[first + 1 :]
    assert await log.begin(1) == 0


async def test_a_trimmed_log_stays_so_when_it_is_opened_again_and_takes_blocks(logs: Logs) -> None:
    log, offsets = await _filled(logs)
    begin = await log.trim(0, offsets[25])
    await log.close()
    again = await logs.open()
    assert await again.begin(0) == begin
    offset = await again.append(0, block(40))
    assert [record.offset for record in await _everything(again, begin)][-1] == offset


async def test_trimming_twice_or_further_back_forgets_nothing_more(logs: Logs) -> None:
    log, offsets = await _filled(logs)
    begin = await log.trim(0, offsets[25])
    assert await log.trim(0, offsets[25]) == begin
    assert await log.trim(0, offsets[3]) == begin


async def test_the_last_record_is_never_trimmed(logs: Logs) -> None:
    log, offsets = await _filled(logs)
    begin = await log.trim(0, offsets[-1])
    assert begin <= offsets[-1]
    assert bytes(await log.fetch(0, offsets[-1])) == block(39, rows=39 % 5)


async def test_a_tail_that_follows_is_not_disturbed(logs: Logs) -> None:
    log, offsets = await _filled(logs)
    async with aclosing(log.tail(0, offsets[30])) as tail:
        assert len(await taken(tail, 9)) == 9
        await log.trim(0, offsets[29])
        offset = await log.append(0, block(77))
        assert [record.offset for record in await taken(tail, 1)] == [offset]


async def test_a_closed_log_is_not_trimmed(logs: Logs) -> None:
    log, offsets = await _filled(logs)
    await log.close()
    with pytest.raises(LogFailed):
        await log.trim(0, offsets[10])


# -- the file log: a process that only reads, and a crash in the middle -------------------------------------------


async def test_a_reader_beside_the_writer_is_told_what_was_trimmed_however_far_behind_it_is(tmp_path: Path) -> None:
    logs = FileLogs(tmp_path, segment_bytes=1000)
    log, offsets = await _filled(logs)
    beside = await FileLog.open_read_only(tmp_path, poll_ms=1)
    behind = await FileLog.open_read_only(tmp_path, poll_ms=1)
    for sequence in range(40, 80):
        offsets.append(await log.append(0, block(sequence, rows=sequence % 5)))
    assert len(await _everything(beside)) == 80
    begin = await log.trim(0, offsets[70])
    assert begin > offsets[40]
    for each in (beside, behind):  # one knows the segments that are gone, the other not even those that are left
        assert await each.begin(0) == begin
        with pytest.raises(Trimmed):
            await _everything(each)
        assert [record.offset for record in await _everything(each, begin)] == offsets[offsets.index(begin) + 1 :]
    async with aclosing(behind.tail(0, begin)) as tail:
        await taken(tail, 79 - offsets.index(begin))
        await log.append(0, block(99))
        assert [bytes(record.data) for record in await taken(tail, 1)] == [block(99)]
    await beside.close()
    await behind.close()
    await logs.close()


async def test_a_reader_in_the_middle_of_a_trimmed_segment_ends_with_trimmed_and_not_with_damage(
    tmp_path: Path,
) -> None:
    logs = FileLogs(tmp_path, segment_bytes=6_000_000)
    log = await logs.open()
    offsets = [await log.append(0, block(sequence, rows=60_000)) for sequence in range(30)]
    seen: list[Record] = []

    async def read_beside_a_trim() -> None:
        async with aclosing(log.read(0)) as reading:
            async for run in reading:
                if not seen:
                    await log.trim(0, offsets[25])
                seen.extend(run)

    with pytest.raises(Trimmed) as told:
        await read_beside_a_trim()
    assert [record.offset for record in seen] == offsets[: len(seen)]
    assert told.value.begin > seen[-1].offset
    await logs.close()


async def test_no_append_waits_for_the_files_that_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = FileLogs(tmp_path, segment_bytes=1000)
    log, offsets = await _filled(logs)
    removing, may_go_on = threading.Event(), threading.Event()
    unlink = Path.unlink

    def slow(self: Path, missing_ok: bool = False) -> None:
        removing.set()
        assert may_go_on.wait(10)
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", slow)
    trimming = asyncio.create_task(log.trim(0, offsets[25]))
    assert await asyncio.to_thread(removing.wait, 10)
    async with asyncio.timeout(5):
        offset = await log.append(0, block(40))
        begin = await log.begin(0)
    assert begin > 0
    may_go_on.set()
    assert await trimming == begin
    assert [record.offset for record in await _everything(log, begin)][-1] == offset
    await logs.close()


@pytest.mark.parametrize("left", ["all of them", "one of them"])
async def test_segments_that_a_crash_left_are_removed_by_the_next_writer(tmp_path: Path, left: str) -> None:
    logs = FileLogs(tmp_path, segment_bytes=1000)
    log, offsets = await _filled(logs)
    folder = tmp_path / "log" / "p00000"
    before = {path.name: path.read_bytes() for path in folder.glob("*.segment")}
    begin = await log.trim(0, offsets[25])
    await log.close()
    gone = sorted(set(before) - {path.name for path in folder.glob("*.segment")})
    assert gone
    for name in gone if left == "all of them" else gone[1:2]:
        (folder / name).write_bytes(before[name])
    reader = await FileLog.open_read_only(tmp_path)
    assert await reader.begin(0) == begin
    assert (folder / gone[1]).exists()
    await reader.close()
    again = await logs.open()
    assert min(path.name for path in folder.glob("*.segment")) == f"{begin:020d}.segment"
    assert len(await _everything(again, begin)) == 39 - offsets.index(begin)
    await logs.close()


@pytest.mark.parametrize("damage", ["the first segment", "the record of the trim", "its bytes"])
async def test_a_segment_that_is_missing_is_never_taken_for_trimmed(tmp_path: Path, damage: str) -> None:
    logs = FileLogs(tmp_path, segment_bytes=1000)
    log, offsets = await _filled(logs)
    begin = await log.trim(0, offsets[25])
    await log.close()
    folder = tmp_path / "log" / "p00000"
    match damage:
        case "the first segment":
            (folder / f"{begin:020d}.segment").unlink()
        case "the record of the trim":
            (folder / "begin.json").unlink()
        case _:
            (folder / "begin.json").write_bytes(b'{"begin": "0"}')
    again = await logs.open()
    assert 0 in await again.troubles()
    with pytest.raises(LogFailed):
        await again.append(0, block(41))
    await again.append(1, block(0, partition=1))
    await logs.close()


async def test_readers_and_a_writer_beside_many_trims_see_every_record_that_is_there(tmp_path: Path) -> None:
    logs = FileLogs(tmp_path, segment_bytes=2000)
    log, offsets = await _filled(logs, 10)
    beside = await FileLog.open_read_only(tmp_path, poll_ms=1)
    steps: list[tuple[int, int]] = []  # a block can be read before its writer hears of it

    async def read_on() -> None:
        after = offsets[0]
        while after < offsets[-1] or len(offsets) < 400:
            try:
                async for run in beside.read(0, after):
                    for record in run:
                        steps.append((after, record.offset))
                        after = record.offset
            except Trimmed as trimmed:
                after = trimmed.begin
            await asyncio.sleep(0)

    async def write_and_trim() -> None:
        for sequence in range(10, 400):
            offsets.append(await log.append(0, block(sequence, rows=sequence % 5)))
            if sequence % 7 == 0:
                await log.trim(0, offsets[-3])

    await asyncio.gather(read_on(), write_and_trim())
    assert all(offsets.index(offset) == offsets.index(after) + 1 for after, offset in steps)
    await beside.close()
    await logs.close()


@pytest.mark.parametrize("opened", ["to write", "to read"])
async def test_a_partition_that_does_not_say_where_it_begins_is_damaged_for_whoever_asks(
    tmp_path: Path, opened: str
) -> None:
    logs = FileLogs(tmp_path, segment_bytes=1000)
    log, offsets = await _filled(logs)
    await log.trim(0, offsets[25])
    await log.close()
    (tmp_path / "log" / "p00000" / "begin.json").write_bytes(b"")
    again = await (FileLog.open(tmp_path) if opened == "to write" else FileLog.open_read_only(tmp_path, poll_ms=1))
    for after in (START, offsets[30]):
        with pytest.raises(LogDamaged, match="does not say where"):
            await _everything(again, after)
        with pytest.raises(LogDamaged, match="does not say where"):
            await asyncio.wait_for(anext(again.tail(0, after)), 5)
    with pytest.raises(LogFailed):
        await again.trim(0, offsets[30])
    await again.close()


async def test_a_damaged_partition_keeps_all_that_is_left_of_it(tmp_path: Path) -> None:
    logs = FileLogs(tmp_path, segment_bytes=1000)
    log, offsets = await _filled(logs)
    await log.close()
    folder = tmp_path / "log" / "p00000"
    before = sorted(folder.glob("*.segment"))
    before.pop(5).unlink()
    again = await logs.open()
    with pytest.raises(LogDamaged):
        await again.trim(0, offsets[10])
    assert sorted(folder.glob("*.segment")) == before
    await logs.close()


async def test_a_trimmed_segment_that_cannot_be_removed_stops_nobody_and_goes_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = FileLogs(tmp_path, segment_bytes=1000)
    log, offsets = await _filled(logs)
    folder = tmp_path / "log" / "p00000"

    def refused(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "Operation not permitted", str(self))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        with pytest.raises(LogFailed, match="not permitted"):
            await log.trim(0, offsets[25])
        begin = await log.begin(0)
        assert 0 < begin <= offsets[25]
        await log.close()
        log = await logs.open()
        assert await log.troubles() == {}
        offset = await log.append(0, block(40))
        assert [record.offset for record in await _everything(log, begin)][-1] == offset
    assert (folder / f"{0:020d}.segment").exists()
    assert await log.trim(0, begin) == begin
    assert min(path.name for path in folder.glob("*.segment")) == f"{begin:020d}.segment"
    await logs.close()


# -- the file log: a disk without room, and two at once -----------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def _fill(disk: Path) -> None:
    """Not a byte is left."""
    with (disk / "filler").open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)


@pytest.mark.parametrize("by", ["the process that writes", "another one, after it"])
async def test_a_full_disk_is_made_room_on_by_a_trim(small_disk: Path, by: str) -> None:
    logs = FileLogs(small_disk, segment_bytes=2_000)
    log, offsets = await _filled(logs, 60)
    _fill(small_disk)
    with pytest.raises(LogFailed):  # in the middle of a block: a part of it is there
        await log.append(0, block(60, rows=3_000))
    full = shutil.disk_usage(small_disk).free
    if by == "another one, after it":
        await log.close()
        begin = await FileLog.forget(small_disk, 0, offsets[50])
    else:
        begin = await log.trim(0, offsets[50])
    assert 0 < begin <= offsets[50]
    assert shutil.disk_usage(small_disk).free > full
    await logs.close()
    again = await logs.open()
    assert await again.troubles() == {}
    assert await again.begin(0) == begin
    offset = await again.append(0, block(60))
    assert [record.offset for record in await _everything(again, begin)][-1] == offset
    await logs.close()


@pytest.mark.parametrize("failure", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
async def test_only_for_want_of_room_the_room_that_was_taken_before_is_used(
    tmp_path: Path, failure: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = FileLogs(tmp_path, segment_bytes=1000)
    log, offsets = await _filled(logs)

    def refused(path: Path, data: bytes) -> None:
        raise OSError(failure, os.strerror(failure), str(path))

    with monkeypatch.context() as patch:
        patch.setattr(log_file_folder, "write_durably", refused)
        for at in (25, 35):  # the second time nothing could be taken since
            if failure == errno.EIO or at == 35:
                with pytest.raises(LogFailed):
                    await log.trim(0, offsets[at])
            else:
                assert 0 < await log.trim(0, offsets[at]) <= offsets[at]
    begin = await log.begin(0)
    assert (begin > 0) == (failure != errno.EIO)
    assert 0 < await log.trim(0, offsets[35]) <= offsets[35]
    await logs.close()


async def test_a_trim_waits_for_another_one_and_a_start_too_and_is_told_who_else_has_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = FileLogs(tmp_path, segment_bytes=1000)
    log, offsets = await _filled(logs)
    with pytest.raises(LogFailed, match=f"taken by process {os.getpid()} meanwhile.*Nothing was trimmed") as told:
        await FileLog.forget(tmp_path, 0, offsets[20])
    assert "folder of its own" not in str(told.value)
    await log.close()

    held = log_file_folder.lock_folder(tmp_path, trims=True)
    waiting = [asyncio.create_task(FileLog.forget(tmp_path, 0, offsets[20])), asyncio.create_task(logs.open())]
    done, _ = await asyncio.wait(waiting, timeout=0.2)
    assert not done
    os.close(held)
    begin, again = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)
    assert isinstance(again, FileLog)
    assert isinstance(begin, int | LogFailed)  # whoever was first; who came behind a start is told so
    await again.close()

    held = log_file_folder.lock_folder(tmp_path, trims=True)
    monkeypatch.setattr(log_file_folder, "TRIM_WAIT_S", 0.0)
    for refused in (FileLog.forget(tmp_path, 0, offsets[20]), logs.open()):
        with pytest.raises(LogFailed, match=f"is being trimmed by process {os.getpid()}"):
            await refused
    os.close(held)


async def test_a_folder_whose_lock_file_tells_of_a_trim_that_is_over_is_free(tmp_path: Path) -> None:
    logs = FileLogs(tmp_path)
    await logs.open()
    await logs.close()
    os.close(log_file_folder.lock_folder(tmp_path, trims=True))
    await logs.open()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    await logs.close()
