"""The files of a partition's ids: whole or not used, one behind the other, few."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from write_side.contract.snapshots.store_file import FileStore
from write_side.id_runs.folder import BEGINNING, Mark, RunFolder
from write_side.id_runs.run import run_of
from write_side.ledger.rules.ran_before import ROW_WIDTH


def mark(sequence: int) -> Mark:
    return Mark(sequence, bytes((sequence,)) * 32, 5, 6, False)


def rows(first: int, count: int) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.uint64).repeat(ROW_WIDTH).reshape(-1, ROW_WIDTH)


def opened(folder: Path, partition: int = 0) -> RunFolder:
    found = RunFolder(folder, FileStore(folder), partition)
    found.open()
    return found


def sealed(folder: Path, sizes: Iterable[int], *, joined: bool = False) -> RunFolder:
    """One run a block, so many ids in each."""
    found = opened(folder)
    first = 0
    for number, size in enumerate(sizes):
        before = BEGINNING if number == 0 else mark(number - 1)
        found.seal(before, mark(number), run_of([rows(first, size)], found.secret))
        first += size
        while joined and found.join():
            pass
    return found


def numbers(folder: RunFolder) -> list[int]:
    return sorted(int(row[0]) for each in folder.sealed for row in each.run.rows)


def test_what_was_written_is_found_again(tmp_path: Path) -> None:
    sealed(tmp_path, (3, 0, 5))
    again = opened(tmp_path)
    assert numbers(again) == list(range(8))
    assert again.end == mark(2)
    assert opened(tmp_path, partition=1).sealed == ()


def test_of_many_runs_few_files_are_left_and_nothing_of_them_is_lost(tmp_path: Path) -> None:
    found = sealed(tmp_path, [5] * 100, joined=True)
    assert len(found.sealed) <= 45
    assert numbers(found) == list(range(500)) == numbers(opened(tmp_path))
    assert len(list(tmp_path.iterdir())) == len(found.sealed)
    assert found.end == mark(99)


def test_runs_of_nothing_do_not_pile_up(tmp_path: Path) -> None:
    found = sealed(tmp_path, [1_000, *[0] * 50, 1, *[0] * 50], joined=True)
    assert len(found.sealed) <= 31
    assert opened(tmp_path).end == mark(101)


def test_what_a_crash_left_between_joining_and_deleting_is_deleted(tmp_path: Path) -> None:
    sealed(tmp_path / "before", [4] * 16)
    found = sealed(tmp_path / "after", [4] * 16, joined=True)
    assert len(found.sealed) == 1
    for path in (tmp_path / "before").iterdir():
        shutil.copy(path, tmp_path / "after")
    again = opened(tmp_path / "after")
    assert numbers(again) == list(range(64)) == numbers(found)
    again.sweep()
    assert [path.name for path in (tmp_path / "after").iterdir()] == [found.sealed[0].name]


@pytest.mark.parametrize("at", [0, 70, 600, -40, -1])
def test_a_file_with_one_changed_byte_and_those_behind_it_are_not_used(tmp_path: Path, at: int) -> None:
    sealed(tmp_path, (40, 40, 40))
    path = sorted(tmp_path.iterdir())[1]
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)
    with capture_logs() as said:
        again = opened(tmp_path)
    assert numbers(again) == list(range(40))
    assert again.end == mark(0)
    assert [(each["event"], each["name"]) for each in said] == [("ids not used", path.name)]


@pytest.mark.parametrize("kept", [0, 1, 100, 500])
def test_a_file_that_is_cut_is_not_used(tmp_path: Path, kept: int) -> None:
    sealed(tmp_path, (40,))
    [path] = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:kept])
    with capture_logs():
        assert opened(tmp_path).sealed == ()


def test_files_behind_a_missing_one_are_not_used(tmp_path: Path) -> None:
    sealed(tmp_path, (4, 4, 4))
    sorted(tmp_path.iterdir())[1].unlink()
    assert numbers(opened(tmp_path)) == list(range(4))


def test_a_file_that_follows_another_chain_is_not_used(tmp_path: Path) -> None:
    found = sealed(tmp_path, (4,))
    found.seal(mark(0)._replace(block_hash=bytes(range(32))), mark(1), run_of([rows(4, 4)], found.secret))
    with capture_logs() as said:
        assert numbers(opened(tmp_path)) == list(range(4))
    assert said[0]["reason"] == "it does not follow the file before it"
