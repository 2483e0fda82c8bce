"""The suite of the snapshot store port: what `write_side/contract/snapshots/store.py` promises, on every adapter."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from write_side.contract.snapshots.store import SnapshotStore
from write_side.contract.snapshots.store_file import ASIDE, FileStore

Open = Callable[[Path], SnapshotStore]

ADAPTERS: list[Open] = [lambda folder: FileStore(folder / "made" / "when needed")]


@pytest.fixture(params=ADAPTERS, ids=["file"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SnapshotStore:
    adapter: Open = request.param
    return adapter(tmp_path)


def content(store: SnapshotStore, name: str) -> bytes:
    with store.open(name) as source:
        data = bytearray(source.size + 10)
        filled = 0
        while more := source.readinto(memoryview(data)[filled:]):
            filled += more
        return bytes(data[:filled])


def test_what_was_put_is_there_whole(store: SnapshotStore) -> None:
    assert store.names("") == []
    store.put("p1-2", [b"one ", memoryview(b"two "), b"", b"three"])
    assert content(store, "p1-2") == b"one two three"
    assert store.names("p1") == ["p1-2"]


def test_names_begin_as_asked_and_the_greatest_comes_first(store: SnapshotStore) -> None:
    for name in ("p1-2", "p2-9", "p1-10", "p1-1"):
        store.put(name, [b"x"])
    assert store.names("p1-") == ["p1-2", "p1-10", "p1-1"]


def test_a_name_put_again_is_replaced_and_who_reads_goes_on_reading(store: SnapshotStore) -> None:
    store.put("a", [b"first"])
    with store.open("a") as source:
        store.put("a", [b"second"])
        data = bytearray(5)
        assert source.readinto(memoryview(data)) == 5
        assert data == b"first"
    assert content(store, "a") == b"second"


def test_what_was_deleted_is_gone_and_deleting_again_does_nothing(store: SnapshotStore) -> None:
    store.put("a", [b"x"])
    store.delete("a")
    store.delete("a")
    assert store.names("") == []
    with pytest.raises(FileNotFoundError), store.open("a"):
        pass


def test_a_put_that_fails_leaves_what_was_there(store: SnapshotStore) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"half"
        raise OSError(errno.ENOSPC, "No space left on device")

    store.put("a", [b"whole"])
    for name in ("a", "b"):
        with pytest.raises(OSError, match="No space"):
            store.put(name, pieces())
    assert store.names("") == ["a"]
    assert content(store, "a") == b"whole"


def _killed_in_the_middle(folder: Path, kill_at: int) -> None:
    def pieces() -> Iterator[bytes]:
        for number in range(8):
            if number == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield bytes(1 << 20)

    FileStore(folder).put("a", pieces())


@pytest.mark.parametrize("kill_at", [0, 3, 7])
def test_what_a_killed_process_left_is_never_told_and_swept_with_the_next_put(tmp_path: Path, kill_at: int) -> None:
    store = FileStore(tmp_path)
    store.put("a", [b"before"])
    killed = multiprocessing.get_context("spawn").Process(target=_killed_in_the_middle, args=(tmp_path, kill_at))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL
    assert [path for path in tmp_path.iterdir() if path.name.endswith(ASIDE)]
    assert store.names("") == ["a"]
    assert content(store, "a") == b"before"
    store.put("b", [b"after"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_what_another_process_is_writing_is_not_swept(tmp_path: Path) -> None:
    one, other = FileStore(tmp_path), FileStore(tmp_path)

    def pieces() -> Iterator[bytes]:
        yield b"be"
        other.put("b", [b"beside"])
        yield b"gun"

    one.put("a", pieces())
    assert content(one, "a") == b"begun"
    assert content(one, "b") == b"beside"
