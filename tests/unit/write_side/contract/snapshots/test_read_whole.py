"""What is read before the log is open is what would be read later, and is judged by the log as ever."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.unit.write_side.contract.snapshots.growing import Growing
from tests.unit.write_side.contract.state.test_snapshot import assert_same_fold
from tests.unit.write_side.deciding import NOON_US
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.snapshots.read_whole import WholeReader
from write_side.contract.snapshots.snapshots import BlocksLost, Named, Snapshots, named, newest_of_all
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.state.fold_run import Prints
from write_side.ledger.commands.fingerprint import FINGERPRINTS

SIDES: tuple[Prints | None, ...] = (FINGERPRINTS, None)


class Counted(WholeReader):
    """Counts how often a file was read to its end."""

    def __init__(self, folder: Path) -> None:
        super().__init__(FileStore(folder, in_place=True))
        self.reads = 0

    def _columns(self, name, starts):  # type: ignore[no-untyped-def]
        self.reads += 1
        return super()._columns(name, starts)


async def grown(folder: Path, takes: int = 2) -> Growing:
    growing = Growing(FileStore(folder))
    for _ in range(takes):
        growing.grow(7)
        assert await growing.taker().take(0)
    return growing


def ahead_of(folder: Path) -> Counted:
    reader = Counted(folder)
    reader.begin_ahead([each.name for each in newest_of_all(reader.store)], SIDES)
    return reader


async def test_each_side_is_given_what_was_read_ahead_once(tmp_path: Path) -> None:
    growing, reader = await grown(tmp_path), ahead_of(tmp_path)
    snapshots = Snapshots(reader.store, growing.log, reader)
    sides = [await snapshots.newest(0, prints, starts=True) for prints in SIDES]
    assert reader.reads == 2
    one, other = (side for side in sides if side is not None)
    assert one.replay.state is not other.replay.state
    assert_same_fold(one, other)
    again = await snapshots.newest(0, FINGERPRINTS, starts=True)
    assert reader.reads == 3
    assert again is not None
    assert_same_fold(one, again)


async def test_what_nobody_has_taken_goes_with_the_end_of_the_start(tmp_path: Path) -> None:
    growing, reader = await grown(tmp_path), ahead_of(tmp_path)
    [newest] = newest_of_all(reader.store)
    reader.end_ahead()
    assert all(reader.taken_ahead(newest.name, prints) is None for prints in SIDES)
    assert await Snapshots(reader.store, growing.log, reader).newest(0, FINGERPRINTS, starts=True) is not None


async def test_who_takes_the_next_snapshot_reads_for_itself(tmp_path: Path) -> None:
    growing, reader = await grown(tmp_path), ahead_of(tmp_path)
    assert await Snapshots(reader.store, growing.log, reader).newest(0, FINGERPRINTS) is not None
    assert reader.taken_ahead(newest_of_all(reader.store)[0].name, FINGERPRINTS) is not None


async def test_a_damaged_one_that_was_read_ahead_is_named_and_the_next_older_one_is_used(tmp_path: Path) -> None:
    growing = await grown(tmp_path)
    newest, older = named(growing.store, 0)
    data = bytearray((tmp_path / newest.name).read_bytes())
    data[-40] ^= 1
    (tmp_path / newest.name).write_bytes(data)
    reader = ahead_of(tmp_path)
    snapshots = Snapshots(reader.store, growing.log, reader)
    with capture_logs() as said:
        for prints in SIDES:
            found = await snapshots.newest(0, prints, starts=True)
            assert found is not None
            assert found.replay.began_after == older.sequence
    assert [each["name"] for each in said] == [newest.name]
    assert snapshots.damaged == {newest.name}


async def test_one_that_was_replaced_since_it_was_read_ahead_is_read_again(tmp_path: Path) -> None:
    growing, reader = await grown(tmp_path), ahead_of(tmp_path)
    newest, _ = named(growing.store, 0)
    read = reader.taken_ahead(newest.name, FINGERPRINTS)
    assert read is not None
    other_head = read.head._replace(written_by="another")

    class Stale(Counted):
        def taken_ahead(self, name, prints):  # type: ignore[no-untyped-def]
            return read and read._replace(head=other_head)

    stale = Stale(tmp_path)
    found = await Snapshots(stale.store, growing.log, stale).newest(0, FINGERPRINTS, starts=True)
    assert stale.reads == 1
    assert found is not None
    assert found is not read.snapshot


async def test_what_was_read_ahead_is_still_held_to_the_log(tmp_path: Path) -> None:
    growing, reader = await grown(tmp_path), ahead_of(tmp_path)
    with pytest.raises(BlocksLost):
        await Snapshots(reader.store, MemoryLog(MemoryRecords(1)), reader).newest(0, FINGERPRINTS, starts=True)
    other = Growing(growing.store, at_us=NOON_US + 7)
    other.grow(20)
    reader = ahead_of(tmp_path)
    with capture_logs() as said:
        assert await Snapshots(reader.store, other.log, reader).newest(0, FINGERPRINTS, starts=True) is None
    assert "of another log" in str(said[0]["reason"])


async def test_the_newest_of_each_partition_are_those_that_serve_everybody(tmp_path: Path) -> None:
    growing = await grown(tmp_path)
    newest, _ = named(growing.store, 0)
    for name in (Named(3, 9, True).name, Named(5, 9, True).name, Named(5, 10, False).name, "p00001-stray"):
        (tmp_path / name).write_bytes(b"")
    assert newest_of_all(growing.store) == [newest, Named(3, 9, True)]
    assert newest_of_all(FileStore(tmp_path / "none")) == []


def test_those_that_go_while_they_are_looked_for_stop_no_start(tmp_path: Path) -> None:
    class Going(FileStore):
        def names(self, prefix: str) -> list[str]:
            found = super().names(prefix)
            for name in found:
                self.delete(name)
            return found

    (tmp_path / Named(3, 9, True).name).write_bytes(b"")
    assert newest_of_all(Going(tmp_path)) == [Named(3, 9, True)]
