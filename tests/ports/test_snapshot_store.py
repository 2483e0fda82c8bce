"""The suite of the snapshot store port: what `write_side/contract/snapshots/store.py` promises, on every adapter."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from write_side.contract.snapshots import store_remote
from write_side.contract.snapshots.store import SnapshotStore, Source
from write_side.contract.snapshots.store_file import ASIDE, FileStore
from write_side.contract.snapshots.waiting import Waiting
from write_side.wiring import snapshot_store

BUSY_S = 30.0


@pytest.fixture
def store(address: str) -> SnapshotStore:
    """Waited for longer than in life (`test_snapshot_store_away.py`): a machine that runs tests may be busy."""
    made = snapshot_store(address)
    if isinstance(made, store_remote.RemoteStore):
        connect = made._connect
        made._connect = lambda _: connect(BUSY_S)
        made.waiting = Waiting(made.place, 2 * BUSY_S)
    return made


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


def test_a_name_put_again_is_replaced_and_who_reads_gets_the_old_one_or_an_error(store: SnapshotStore) -> None:
    store.put("a", [b"first"])
    with store.open("a") as source:
        store.put("a", [b"other"])
        assert _read_or_told(source) in (b"first", b"replaced")
    assert content(store, "a") == b"other"


def _read_or_told(source: Source) -> bytes:
    data = bytearray(5)
    try:
        filled = source.readinto(memoryview(data))
    except OSError as told:
        return b"replaced" if "replaced" in str(told) else str(told).encode()
    return bytes(data[:filled])


def test_what_is_larger_than_a_part_is_one_file(store: SnapshotStore) -> None:
    octets = os.urandom(23 << 20)
    pieces = [memoryview(octets)[at : at + (1 << 22)] for at in range(0, len(octets), 1 << 22)]
    store.put("a", pieces)
    assert content(store, "a") == octets


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


def _killed_in_the_middle(address: str, kill_at: int) -> None:
    def pieces() -> Iterator[bytes]:
        for number in range(8):
            if number == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield bytes(4 << 20)

    snapshot_store(address).put("a", pieces())


def _ended(target: Callable[[str, int], None], address: str, kill_at: int) -> None:
    killed = multiprocessing.get_context("spawn").Process(target=target, args=(address, kill_at))
    killed.start()
    killed.join()
    assert killed.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("kill_at", [0, 3, 7])
def test_what_a_killed_process_left_is_never_told_and_swept_with_a_later_put(
    address: str, kill_at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = snapshot_store(address)
    store.put("a", [b"before"])
    _ended(_killed_in_the_middle, address, kill_at)
    assert store.names("") == ["a"]
    assert content(store, "a") == b"before"
    monkeypatch.setattr(store_remote, "SWEPT_S", -60.0)
    store.put("b", [b"after"])
    assert store.names("") == ["b", "a"]
    assert left_aside(store) == []


def left_aside(store: SnapshotStore) -> list[str]:
    """What a look at the place finds that is not told."""
    if isinstance(store, FileStore):
        found = os.listdir(store.place)
    else:
        assert isinstance(store, store_remote.RemoteStore)
        found = [info.base_name for info in store._files()]
    return [name for name in found if name.endswith(ASIDE)]


def test_a_killed_process_leaves_its_file_aside(tmp_path: Path) -> None:
    """Or the test above tries nothing."""
    _ended(_killed_in_the_middle, f"file:{tmp_path}", 3)
    assert len(left_aside(FileStore(tmp_path))) == 1


def test_what_another_process_is_writing_is_not_swept(address: str) -> None:
    one, other = snapshot_store(address), snapshot_store(address)

    def pieces() -> Iterator[bytes]:
        yield b"be"
        other.put("b", [b"beside"])
        yield b"gun"

    one.put("a", pieces())
    assert content(one, "a") == b"begun"
    assert content(one, "b") == b"beside"


def test_two_processes_in_one_folder_never_mix_what_they_write(address: str) -> None:
    """The same names, too: each is as one of them has written it, at every moment. No two puts are of the same bytes, as no two
    snapshots are: S3 knows a file by the hash of what is in it."""
    puts = [own * 10 + number for own in (1, 2) for number in range(6)]
    whole = {each: bytes([each]) * 7 * (1_000_000 // each) for each in puts}
    done = threading.Event()
    raised: list[BaseException] = []

    def write(own: int) -> None:
        try:
            store = snapshot_store(address)
            for number in range(6):
                data = whole[own * 10 + number]
                store.put("same", [data[: len(data) // 7]] * 7)
                store.put(f"own-{own}", [bytes([own])])
                store.delete(f"own-{3 - own}" if number % 2 else f"own-{own}")
        except BaseException as failure:
            raised.append(failure)

    def read() -> None:
        store = snapshot_store(address)
        while not done.is_set():
            try:
                data = content(store, "same")
            except OSError:  # not there yet, or replaced while it was being read
                continue
            assert data == whole[data[0]]

    writers = [threading.Thread(target=write, args=(own,)) for own in (1, 2)]
    for writer in writers:
        writer.start()
    reader = threading.Thread(target=read)
    reader.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert raised == []
    store = snapshot_store(address)
    assert left_aside(store) == []
    data = content(store, "same")
    assert data == whole[data[0]]
