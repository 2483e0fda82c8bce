"""A log and its archive together are the log, whatever was trimmed; what the archive cannot say is never made up."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.simulation.virtual_time import run
from tests.unit.write_side.contract.snapshots.growing import Growing
from write_side.contract.archive.archived_log import ArchivedLog
from write_side.contract.archive.archived_run import ArchiveDamaged, Piece, RunName, name_of, read, written
from write_side.contract.archive.archiver import Archiver
from write_side.contract.archive.log_archive import ArchiveUnreadable, LogArchive
from write_side.contract.log.log import START, Log, LogFailed, Record, Trimmed
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.snapshots.store_file import FileStore

RECORDS = [bytes([number]) * (number % 7 + 1) for number in range(60)]


async def everything(log: Log, after: int = START) -> list[tuple[int, bytes]]:
    return [(record.offset, bytes(record.data)) async for run in log.read(0, after) for record in run]


class Archived:
    """A log of two partitions in memory, and its archive in a folder; `archive` makes files of so many bytes."""

    def __init__(self, folder: Path, records: Sequence[bytes] = RECORDS) -> None:
        self.records = MemoryRecords(2)
        for record in records:
            self.records.append(0, record)
        self.store = FileStore(folder, synced=False)
        self.folder = folder
        self.log = self.opened()

    def opened(self) -> ArchivedLog:
        return ArchivedLog(MemoryLog(self.records), LogArchive(self.store, 2))

    def archiver(self, sealed_bytes: int = 20) -> Archiver:
        end = len(self.records.blocks[0]) - 1
        return Archiver(self.log.log, self.log.archive, {0: lambda: end, 1: lambda: START}, sealed_bytes)

    @property
    def all(self) -> list[tuple[int, bytes]]:
        return list(enumerate(self.records.blocks[0]))


@given(
    sealed_bytes=st.integers(8, 120),
    trims=st.lists(st.integers(0, 59), max_size=4),
    after=st.integers(START, 59),
    fetched=st.integers(0, 59),
)
def test_whatever_is_trimmed_of_what_is_archived_the_two_are_the_log(
    tmp_path_factory: pytest.TempPathFactory, sealed_bytes: int, trims: list[int], after: int, fetched: int
) -> None:
    folder = tmp_path_factory.mktemp("archive")

    async def story() -> None:
        archived = Archived(folder)
        assert await archived.archiver(sealed_bytes).archive(0)
        last = await archived.log.archive.last(0)
        for trim in trims:
            if last >= 0:
                await archived.log.trim(0, min(trim, last))
        for log in (archived.log, archived.opened()):
            assert await everything(log, after) == archived.all[after + 1 :]
            assert bytes(await log.fetch(0, fetched)) == RECORDS[fetched]
            async with aclosing(log.tail(0, after)) as tail:
                seen: list[Record] = []
                while len(seen) < 59 - after:
                    seen += await anext(tail)
            assert [record.offset for record in seen] == list(range(after + 1, 60))

    with capture_logs():
        asyncio.run(story())


async def test_a_trim_while_it_is_read_and_tailed_leaves_nothing_out(tmp_path: Path) -> None:
    archived = Archived(tmp_path, [bytes(2_000_000)] * 12)
    await archived.archiver(5_000_000).archive(0)
    for reading in (archived.log.read, archived.log.tail):
        seen: list[Record] = []
        async with aclosing(reading(0)) as runs:
            while len(seen) < 12:
                seen += await anext(runs)
                await archived.log.trim(0, await archived.log.archive.last(0))
        assert [record.offset for record in seen] == list(range(12))


async def test_a_file_log_goes_on_backwards_in_its_archive(tmp_path: Path) -> None:
    growing = Growing(FileStore(tmp_path / "snapshots"))
    growing.grow(300)
    inner = await FileLog.open(tmp_path, 1, segment_bytes=4_000)
    log = ArchivedLog(inner, LogArchive(FileStore(tmp_path / "old"), 1))
    offsets = [await log.append(0, block) for block in growing.records.blocks[0]]
    wanted = list(zip(offsets, growing.records.blocks[0], strict=True))
    assert await everything(log) == wanted
    archiver = Archiver(inner, log.archive, {0: lambda: offsets[-1]}, 3_000)
    assert await archiver.archive(0)
    assert await log.trim(0, await log.archive.last(0)) > offsets[200]
    assert await everything(log) == wanted
    assert await everything(log, offsets[7]) == wanted[8:]
    with pytest.raises(Trimmed, match="FANFOLD_LOG_ARCHIVE"):
        await everything(inner)
    growing.log = log  # type: ignore[assignment]
    replay, _ = await growing.started()  # folded from the first block on
    assert replay.began_after == -1
    await log.close()


async def test_files_that_another_process_cut_otherwise_are_passed_by(tmp_path: Path) -> None:
    archived = Archived(tmp_path)
    await archived.archiver(20).archive(0)
    runs = await archived.log.archive.runs(0)
    stray = RunName(0, runs[1].after + 1, runs[1].last + 2)
    await archived.log.archive.put(
        stray, Piece.of([Record(offset, b"other") for offset in range(stray.after + 1, stray.last + 1)])
    )
    longer = RunName(0, START, runs[2].last)
    await archived.log.archive.put(longer, Piece.of([Record(*each) for each in archived.all[: longer.last + 1]]))
    (tmp_path / "p00000-notes.txt").write_text("mine")
    found = await archived.log.archive.runs(0)
    assert found[0] == longer
    assert [run.after for run in found[1:]] == [run.last for run in found[:-1]]
    await archived.log.trim(0, found[-1].last)
    assert await everything(archived.opened()) == archived.all


# -- the bytes of a file ------------------------------------------------------------------------------------------

NAME = RunName(3, 6, 17)
FILE = b"".join(
    written(NAME, 8, Piece.of([Record(7, b"seven"), Record(11, b""), Record(17, memoryview(b"seventeen"))]))
)


def test_a_file_says_what_was_written_and_its_name_is_read_again() -> None:
    assert name_of(NAME.text) == NAME
    assert [(r.offset, bytes(r.data)) for r in read(FILE, NAME, 8).frames] == [
        (7, b"seven"),
        (11, b""),
        (17, b"seventeen"),
    ]
    assert read(FILE, NAME, 8).at(11) == Record(11, memoryview(b""))
    assert read(FILE, NAME, 8).at(12) is None
    assert [record.offset for record in read(FILE, NAME, 8).behind(7)] == [11, 17]


@pytest.mark.parametrize("text", ["", "p00000-1-2.records", NAME.text + ".new", "x" + NAME.text, NAME.text.upper()])
def test_what_is_no_name_is_none(text: str) -> None:
    assert name_of(text) is None


@pytest.mark.parametrize("at", range(0, len(FILE), 3))
def test_any_flipped_byte_is_found(at: int) -> None:
    flipped = FILE[:at] + bytes((FILE[at] ^ 1,)) + FILE[at + 1 :]
    with pytest.raises(ArchiveDamaged):
        read(flipped, NAME, 8)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 40, len(FILE) - 1])
def test_a_file_that_is_cut_is_found(size: int) -> None:
    with pytest.raises(ArchiveDamaged):
        read(FILE[:size], NAME, 8)


@pytest.mark.parametrize(
    ("name", "partitions"), [(NAME._replace(partition=4), 8), (NAME._replace(after=7), 8), (NAME, 4)]
)
def test_a_file_that_was_renamed_or_is_of_another_log_is_refused(name: RunName, partitions: int) -> None:
    with pytest.raises(ArchiveDamaged, match="renamed"):
        read(FILE, name, partitions)


def test_a_file_that_a_newer_version_wrote_is_refused_by_its_format() -> None:
    body = FILE[:8] + (2).to_bytes(4, "little") + FILE[12:-32]
    with pytest.raises(ArchiveDamaged, match="newer version"):
        read(body + blake3(body).digest(), NAME, 8)


# -- an archive that is damaged, away, or another one -------------------------------------------------------------


async def test_a_damaged_file_is_named_and_stops_who_needs_it_and_nobody_else(tmp_path: Path) -> None:
    archived = Archived(tmp_path)
    await archived.archiver().archive(0)
    runs = await archived.log.archive.runs(0)
    await archived.log.trim(0, runs[-1].last)
    path = tmp_path / runs[1].text
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    log = archived.opened()
    with pytest.raises(ArchiveUnreadable, match=runs[1].text):
        await everything(log)
    assert await everything(log, runs[1].last) == archived.all[runs[1].last + 1 :]
    assert bytes(await log.fetch(0, 0)) == RECORDS[0]
    with pytest.raises(ArchiveUnreadable):
        await log.fetch(0, runs[1].last)


async def test_a_file_that_is_missing_is_told_and_nothing_is_left_out(tmp_path: Path) -> None:
    archived = Archived(tmp_path)
    await archived.archiver().archive(0)
    runs = await archived.log.archive.runs(0)
    await archived.log.trim(0, runs[-1].last)
    (tmp_path / runs[1].text).unlink()
    for log in (archived.log, archived.opened()):
        with pytest.raises(ArchiveUnreadable):
            await everything(log)


class Away(FileStore):
    """A store that does not answer while it is told to."""

    away = False

    def names(self, prefix: str) -> list[str]:
        self._answer()
        return super().names(prefix)

    def put(self, name: str, pieces: Iterable[bytes | memoryview]) -> None:
        self._answer()
        super().put(name, pieces)

    def _answer(self) -> None:
        if self.away:
            raise OSError("Name or service not known")


async def test_a_store_that_is_away_is_told_once_and_tried_again(tmp_path: Path) -> None:
    archived = Archived(tmp_path)
    archived.store = store = Away(tmp_path)
    archived.log = archived.opened()
    archiver = archived.archiver()
    store.away = True
    with capture_logs() as said:
        assert not await archiver.archive(0)
        assert not await archiver.archive(0)
    assert [each["event"] for each in said] == ["log not archived"]
    assert "No money is affected" in said[0]["reason"]
    assert (archiver.put, archiver.failures) == (0, 2)
    store.away = False
    assert await archiver.archive(0)
    assert archiver.put > 5
    assert archiver.failing == {}
    store.away = True
    await archived.log.log.trim(0, 30)
    with pytest.raises(ArchiveUnreadable, match="Name or service not known"):
        await everything(archived.opened())


async def test_the_archive_of_another_log_gets_nothing(tmp_path: Path) -> None:
    await Archived(tmp_path).archiver().archive(0)
    before = sorted(path.name for path in tmp_path.iterdir())
    other = Archived(tmp_path, [bytes(record) + b"!" for record in RECORDS])
    archiver = other.archiver()
    assert not await archiver.archive(0)
    assert "another log" in archiver.failing[0]
    shorter = Archived(tmp_path, RECORDS[:20])
    archiver = shorter.archiver()
    assert not await archiver.archive(0)
    assert "lost what it had" in archiver.failing[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == before


async def test_a_trimmed_log_whose_archive_is_another_folder_is_not_archived_anew(tmp_path: Path) -> None:
    archived = Archived(tmp_path / "one")
    await archived.archiver().archive(0)
    await archived.log.trim(0, 30)
    archived.store = FileStore(tmp_path / "two")
    archived.log = archived.opened()
    archiver = archived.archiver()
    assert not await archiver.archive(0)
    with pytest.raises(LogFailed, match="FANFOLD_LOG_ARCHIVE"):
        await everything(archived.log)


# -- archiving goes on by itself ----------------------------------------------------------------------------------


def test_what_is_written_is_archived_whenever_there_is_enough_for_a_file(tmp_path: Path) -> None:
    async def story() -> None:
        archived = Archived(tmp_path, [])
        log = archived.log
        folded = [START]
        archiver = Archiver(log.log, log.archive, {0: lambda: folded[0]}, 2_000)
        running = asyncio.create_task(archiver.run())
        for _ in range(400):
            folded[0] = archived.records.append(0, bytes(50))
            await asyncio.sleep(1)
        await asyncio.sleep(20)
        left = folded[0] - await log.archive.last(0)
        assert 0 <= left < 2 * 2_000 / 50
        puts = archiver.put
        await asyncio.sleep(100)
        assert archiver.put == puts
        again = Archiver(log.log, log.archive, {0: lambda: folded[0]}, 2_000)  # the process ended, another one goes on
        assert await again.archive(0)
        assert again.put == 0
        running.cancel()

    run(story, lambda: 0.0)


def test_a_file_that_somebody_put_aside_is_made_again_though_nothing_is_written(tmp_path: Path) -> None:
    async def story() -> None:
        archived = Archived(tmp_path, RECORDS * 6)
        running = asyncio.create_task(archived.archiver(100).run())
        await asyncio.sleep(20)
        runs = await archived.log.archive.runs(0)
        path = tmp_path / runs[1].text
        whole = path.read_bytes()
        path.unlink()
        await asyncio.sleep(620)
        assert path.read_bytes() == whole
        assert await archived.log.archive.runs(0) == runs
        running.cancel()

    run(story, lambda: 0.0)
