"""What a start begins before the rest is imported: only in a folder that is its own, and never in the way of the start."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import typer

from deploy import start_ahead
from fanfold.cli.up import up
from tests.unit.write_side.contract.snapshots.growing import Growing
from write_side.contract.log.log import LogFailed
from write_side.contract.log.log_file import FileLog
from write_side.contract.snapshots.read_whole import WholeReader
from write_side.contract.snapshots.snapshots import Snapshots, newest_of_all
from write_side.contract.snapshots.store_file import FileStore
from write_side.ledger.commands.fingerprint import FINGERPRINTS


@pytest.fixture(autouse=True)
def _in_its_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FANFOLD_DATA", str(tmp_path))
    monkeypatch.setattr(start_ahead, "is_all_compiled", lambda: True)


async def test_snapshots_are_read_and_the_log_opens_with_the_lock_that_was_taken(tmp_path: Path) -> None:
    growing = Growing(FileStore(tmp_path / "snapshots"))
    growing.grow(5)
    assert await growing.taker().take(0)
    before_s = sys.getswitchinterval()
    ahead = start_ahead.start_ahead()
    assert ahead is not None
    with pytest.raises(LogFailed, match="in use"):
        await FileLog.open(tmp_path, 1)
    log = await FileLog.open(tmp_path, 1, lock=ahead.lock_for_log())
    [newest] = newest_of_all(ahead.reader.store)
    found = await Snapshots(ahead.reader.store, growing.log, ahead.reader).newest(0, FINGERPRINTS, starts=True)
    assert found is not None
    assert found.replay.began_after == newest.sequence
    for _ in range(2):
        ahead.end()
        assert ahead.reader.taken_ahead(newest.name, None) is None
    assert sys.getswitchinterval() == before_s
    with pytest.raises(LogFailed, match="in use"):
        await FileLog.open(tmp_path, 1)
    await log.close()


async def test_a_start_that_fails_before_its_log_is_open_gives_the_folder_back(tmp_path: Path) -> None:
    ahead = start_ahead.start_ahead()
    assert ahead is not None
    ahead.end()
    log = await FileLog.open(tmp_path, 1)
    await log.close()
    ahead = start_ahead.start_ahead()
    assert ahead is not None
    with pytest.raises(LogFailed):
        await FileLog.open(tmp_path, 2, lock=ahead.lock_for_log())
    ahead.end()
    await (await FileLog.open(tmp_path, 1)).close()


async def test_no_log_is_written_in_a_folder_that_came_into_its_place_with_the_lock_of_the_old_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As when a disk is mounted there, or a link is set to another release, while the rest is imported."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("FANFOLD_DATA", str(folder))
    for name in ("gone", "another"):
        ahead = start_ahead.start_ahead()
        assert ahead is not None
        folder.rename(tmp_path / f"{name}-before")
        if name == "another":
            folder.mkdir()
            (folder / "lock").touch()
        log = await FileLog.open(folder, 1, lock=ahead.lock_for_log())
        with pytest.raises(LogFailed, match="in use"):
            await FileLog.open(folder, 1)
        ahead.end()
        await log.close()


async def test_whatever_fails_ahead_the_folder_stays_with_this_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fails(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(WholeReader, "begin_ahead", fails)
    ahead = start_ahead.start_ahead()
    log = await FileLog.open(tmp_path, 1, lock=None if ahead is None else ahead.lock_for_log())
    await log.close()
    if ahead is not None:
        ahead.end()


async def test_a_start_ends_at_once_where_another_process_has_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before it takes the port, which that process may be about to take."""
    ahead = start_ahead.start_ahead()
    assert ahead is not None
    with pytest.raises(typer.Exit) as ended:
        up()
    assert ended.value.exit_code == 1
    assert "in use by process" in capsys.readouterr().err
    log = await FileLog.open(tmp_path, 1, lock=ahead.lock_for_log())
    await log.close()
    ahead.end()


async def test_a_start_that_fails_before_it_serves_ends_what_it_began(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The process would go on until all snapshots are read, with the folder in hand."""
    monkeypatch.setenv("FANFOLD_PORT", "none")
    before_s = sys.getswitchinterval()
    with pytest.raises(typer.Exit):
        up()
    assert sys.getswitchinterval() == before_s
    await (await FileLog.open(tmp_path, 1)).close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FANFOLD_DATA", "/no/such/folder"),
        ("FANFOLD_SNAPSHOTS", "off"),
        ("FANFOLD_SNAPSHOTS", "file:/elsewhere"),
        ("FANFOLD_LOG", "kafka://127.0.0.1:1"),
        ("FANFOLD_PARTITIONS", "many"),
    ],
)
def test_nothing_is_begun_where_a_start_reads_nothing_in_place_or_fails(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert start_ahead.start_ahead() is None


def test_nothing_is_begun_before_all_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_ahead, "is_all_compiled", lambda: False)
    assert start_ahead.start_ahead() is None
