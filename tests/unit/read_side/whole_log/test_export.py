"""Exported files have every event once, by day, whatever ended the last export; and SQL finds in them what the fold has."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from read_side.whole_log import event_runs, export_folder
from read_side.whole_log.export import EVERYTHING, PartitionExported, Span, export
from read_side.whole_log.export_folder import CannotExport, ExportFolder
from tests.unit.read_side.block_maker import START_US
from tests.unit.read_side.whole_log.test_publish import Wallet
from write_side.contract.log.log_memory import MemoryLog

DAY_US = 86_400_000_000
NOON_US = START_US // DAY_US * DAY_US + DAY_US // 2
"""2025-10-09T12:00:00Z"""


class Folder:
    def __init__(self, wallet: Wallet, folder: Path) -> None:
        self.wallet, self.folder = wallet, folder

    async def export(self, span: Span = EVERYTHING) -> list[PartitionExported]:
        return await export(MemoryLog(self.wallet.records), ExportFolder(self.folder), None, span)

    def names(self) -> list[str]:
        return sorted(path.relative_to(self.folder).as_posix() for path in self.folder.rglob("*.parquet"))

    def ask(self, question: str) -> list[tuple[Any, ...]]:
        with duckdb.connect() as connection:
            events = f"read_parquet('{self.folder}/*/*.parquet', hive_partitioning = true)"
            found: list[tuple[Any, ...]] = connection.execute(question.replace("EVENTS", events)).fetchall()
            return found

    def assert_whole(self) -> None:
        """Every event once, in its day, with its own figures."""
        found = self.ask(
            "select concat_ws(':', partition, sequence, row, leg), account, version, amount, posted, held, transfer, kind, "
            "strftime(time, '%Y-%m-%d'), day::varchar from EVENTS order by partition, sequence, row, leg"
        )
        expected = [event for p in range(len(self.wallet.makers)) for event in self.wallet.expected(p)]
        assert [row[0] for row in found] == [event["id"] for event in expected]
        for row, event in zip(found, expected, strict=True):
            data = event["data"]
            assert row[1:3] == (data["account"], data["version"])
            assert row[3:6] == tuple(int(data.get(name, 0)) for name in ("amount", "posted", "held"))
            assert row[6:8] == (data.get("transfer"), data.get("kind", "open"))
            assert row[8] == row[9] == event["time"][:10]


@pytest.fixture
async def wallet() -> Wallet:
    wallet = Wallet(2)
    for maker in wallet.makers:
        maker.now_us = NOON_US
    await wallet.open()
    return wallet


@pytest.fixture
def folder(wallet: Wallet, tmp_path: Path) -> Folder:
    return Folder(wallet, tmp_path / "made" / "export")


def next_day(wallet: Wallet) -> None:
    for maker in wallet.makers:
        maker.now_us += DAY_US


async def test_a_day_is_a_folder_and_a_file_says_which_blocks_it_has(wallet: Wallet, folder: Folder) -> None:
    await wallet.move(0, blocks=3)
    next_day(wallet)
    await wallet.move(0, blocks=2)
    found = await folder.export()
    assert folder.names() == [
        "day=2025-10-09/part-0-0-4.parquet",
        "day=2025-10-09/part-1-0-1.parquet",
        "day=2025-10-10/part-0-5-6.parquet",
    ]
    assert [(each.files, each.events, each.position, each.problem) for each in found] == [
        (2, 32, "0:6", None),
        (1, 2, "1:1", None),
    ]
    folder.assert_whole()


async def test_a_second_export_writes_only_what_is_new(wallet: Wallet, folder: Folder) -> None:
    await wallet.move(0, blocks=3)
    await folder.export()
    kept = {name: (folder.folder / name).stat() for name in folder.names()}
    assert [(each.files, each.position) for each in await folder.export()] == [(0, "0:4"), (0, "1:1")]
    await wallet.move(0)
    next_day(wallet)
    await wallet.move(0)
    await folder.export()
    assert folder.names()[1:] == [
        "day=2025-10-09/part-0-5-5.parquet",
        "day=2025-10-09/part-1-0-1.parquet",
        "day=2025-10-10/part-0-6-6.parquet",
    ]
    for name, before in kept.items():
        after = (folder.folder / name).stat()
        assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    folder.assert_whole()


@pytest.mark.parametrize("seed", range(15))
async def test_exports_that_end_anywhere_and_files_that_are_lost_leave_every_event_once(
    seed: int, wallet: Wallet, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(event_runs, "ENTRIES_AT_ONCE", chance.randint(1, 40))
    monkeypatch.setattr(export_folder, "ROWS_AT_ONCE", chance.randint(1, 50))
    for _ in range(8):
        await wallet.move(chance.randint(0, 1), blocks=chance.randint(0, 4), transfers=chance.randint(1, 5))
        if chance.random() < 0.4:
            next_day(wallet)
        span = EVERYTHING
        if chance.random() < 0.4:
            since = NOON_US + chance.randint(0, 3 * DAY_US)
            span = Span(since, since + chance.randint(0, 2 * DAY_US), {0: chance.randint(0, 5)})
        await folder.export(span)
        if folder.names() and chance.random() < 0.4:
            (folder.folder / chance.choice(folder.names())).unlink()
    await folder.export()
    folder.assert_whole()
    assert [each.files for each in await folder.export()] == [0, 0]


async def test_only_blocks_of_the_times_asked_for_are_exported(wallet: Wallet, folder: Folder) -> None:
    for _ in range(3):
        next_day(wallet)
        await wallet.move(0)
    await folder.export(Span(NOON_US + DAY_US, NOON_US + 2 * DAY_US))
    assert folder.names() == ["day=2025-10-10/part-0-2-2.parquet"]
    await folder.export(Span(first={0: 3, 1: 2}))
    assert folder.names() == [f"day=2025-10-{10 + n}/part-0-{2 + n}-{2 + n}.parquet" for n in range(3)]


async def test_sql_finds_the_sums_of_the_fold(wallet: Wallet, folder: Folder) -> None:
    chance = random.Random(5)
    for _ in range(20):
        await wallet.move(chance.randint(0, 1), transfers=chance.randint(1, 9))
    await folder.export()
    expected = []
    for partition, maker in enumerate(wallet.makers):
        state = maker.state
        opened = [number for number in range(state.count) if int(state.version[number]) > 0]
        expected += [(partition, state.row_name(n), int(state.posted[n])) for n in opened]
    sums = folder.ask("select partition, account, sum(amount)::bigint from EVENTS group by all having max(version) > 0")
    last = folder.ask("select partition, account, arg_max(posted, version) from EVENTS where version > 0 group by all")
    assert sorted(sums) == sorted(last) == sorted(expected)
    assert folder.ask("select sum(amount)::bigint from EVENTS") == [(0,)]


async def test_an_empty_log_makes_no_files(tmp_path: Path) -> None:
    folder = Folder(Wallet(), tmp_path)
    assert [(each.files, each.position, each.problem) for each in await folder.export()] == [(0, None, None)]
    assert folder.names() == []


async def test_a_folder_that_is_a_file_or_in_one_is_refused(wallet: Wallet, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file", "file/inside"):
        with pytest.raises(CannotExport, match="is no folder"):
            await Folder(wallet, tmp_path / place).export()


async def test_a_folder_of_another_log_is_refused_and_left_as_it_is(
    wallet: Wallet, folder: Folder, tmp_path: Path
) -> None:
    await wallet.move(0, blocks=2)
    await folder.export()
    names = folder.names()
    other = Wallet(2)
    await other.open()
    for blocks in (0, 4):  # one that ends before, and one that goes on behind
        await other.move(0, blocks=blocks)
        with pytest.raises(CannotExport, match="of another log"):
            await Folder(other, folder.folder).export()
    assert folder.names() == names


async def test_a_log_of_other_partitions_writes_nothing_into_the_folder(wallet: Wallet, folder: Folder) -> None:
    await wallet.move(0, blocks=2)
    await folder.export()
    names = folder.names()
    other = Wallet(3)
    await other.open()
    with pytest.raises(CannotExport, match="of another log"):
        await Folder(other, folder.folder).export()
    assert folder.names() == names


async def test_two_exports_into_a_folder_refuse_each_other(wallet: Wallet, folder: Folder) -> None:
    with ExportFolder(folder.folder).held(), pytest.raises(CannotExport, match="another export"):
        await folder.export()
    await folder.export()
    folder.assert_whole()


async def test_files_that_have_a_block_twice_are_told(wallet: Wallet, folder: Folder) -> None:
    await folder.export()
    day = folder.folder / "day=2025-10-09"
    (day / "part-0-1-7.parquet").write_bytes((day / "part-0-0-1.parquet").read_bytes())
    twice, other = await folder.export()
    assert "both have block 1" in str(twice.problem)
    assert other.problem is None


async def test_a_file_that_is_cut_is_named(wallet: Wallet, folder: Folder) -> None:
    await folder.export()
    path = folder.folder / "day=2025-10-09" / "part-0-0-1.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    cut, other = await folder.export()
    assert f"{path} cannot be read" in str(cut.problem)
    assert other.problem is None
    path.unlink()
    await folder.export()
    folder.assert_whole()


@pytest.mark.parametrize("at", ["write", "sync"])
async def test_a_full_disk_is_told_leaves_whole_files_only_and_the_next_export_goes_on(
    at: str, wallet: Wallet, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wallet.move(0)
    next_day(wallet)
    await wallet.move(0)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        if at == "write":
            patched.setattr(pq.ParquetWriter, "write_table", full)
        else:
            patched.setattr(os, "fsync", full)
        found = await folder.export()
    assert all("No space left on device" in str(each.problem) and each.unread for each in found)
    assert [(each.files, each.events, each.position) for each in found] == [(0, 0, None)] * 2
    assert folder.names() == []
    await folder.export()
    folder.assert_whole()


async def test_damage_in_a_partition_keeps_nothing_from_the_others_nor_what_lies_before_it(
    wallet: Wallet, folder: Folder
) -> None:
    for partition in range(2):
        await wallet.move(partition, blocks=4)
    blocks = wallet.records.blocks[0]
    blocks[4] = blocks[4][:-1] + bytes([blocks[4][-1] ^ 1])
    damaged, whole = await folder.export()
    assert damaged.problem is not None
    assert whole.problem is None
    assert folder.names() == ["day=2025-10-09/part-0-0-3.parquet", "day=2025-10-09/part-1-0-5.parquet"]
