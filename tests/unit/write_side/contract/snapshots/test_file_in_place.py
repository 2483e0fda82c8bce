"""Columns that are used where they lie in the file: the same fold, its own changes, one hash for both sides of a process."""

from __future__ import annotations

import asyncio
import errno
import mmap
import os
import random
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.write_side.contract.snapshots.growing import USD, Growing
from tests.unit.write_side.contract.state.test_snapshot import (
    advanced,
    assert_same_fold,
    assert_snapshots_anywhere,
    file_of,
    folded,
)
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, assert_indexed, id_at
from tests.unit.write_side.ledger.decided_outcomes import decide_items
from tests.unit.write_side.ledger.rich_streams import rich_stream
from tests.unit.write_side.ledger.test_decide_rich import modelled
from tests.unit.write_side.ledger.wallet_model import WalletModel
from write_side.contract.snapshots import file_in_place
from write_side.contract.snapshots.file_in_place import memory_of
from write_side.contract.snapshots.read_whole import WHOLE_S, WholeReader
from write_side.contract.snapshots.snapshots import Snapshots, named
from write_side.contract.snapshots.store import LiesHere
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.state import ids, snapshot_bytes
from write_side.contract.state.snapshot import Snapshot, read_snapshot
from write_side.contract.state.snapshot_bytes import Reader, SnapshotDamaged
from write_side.ledger.commands.commands import Transfer
from write_side.ledger.commands.fingerprint import FINGERPRINTS


@pytest.fixture(autouse=True)
def _small_columns_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_bytes, "IN_PLACE_BYTES", 1)


@pytest.mark.parametrize(("start", "length", "room"), [(0, 9, 9), (64, 5_000, 5_000), (4_160, 8_000, 1 << 20)])
def test_memory_begins_with_the_bytes_of_the_file_and_is_ones_own(
    tmp_path: Path, start: int, length: int, room: int
) -> None:
    data, path = random.Random(start).randbytes(20_000), tmp_path / "file"
    path.write_bytes(data)
    with path.open("rb") as file:
        one, other = (memory_of(file.fileno(), start, length, room) for _ in range(2))
    assert one is not None
    assert other is not None
    assert one.shape == (room,)
    assert one[:length].tobytes() == data[start : start + length]
    one[:] = 7
    assert path.read_bytes() == data
    path.unlink()
    assert other[:length].tobytes() == data[start : start + length]
    rows = other[:length]
    del other
    assert rows.tobytes() == data[start : start + length], "as long as somebody has some of it"


def test_what_cannot_be_mapped_is_copied(tmp_path: Path) -> None:
    partition, store = DecidingPartition(), FileStore(tmp_path, in_place=True)
    partition.open_epoch(NOON_US)
    partition.decide([Transfer(id_at(NOON_US, n), "@world", "bob", 1, USD) for n in range(9)], NOON_US + 1)
    store.put("a", [file_of(folded(partition.blocks))])
    with store.open("a") as source:
        unreadable = os.open(tmp_path / "a", os.O_WRONLY)  # as a file system that maps no files
        asked: list[int] = []

        def in_place(start: int, length: int, room: int) -> npt.NDArray[np.uint8] | None:
            asked.append(length)
            return memory_of(unreadable, start, length, room)

        loaded = read_snapshot(Reader(source.readinto, source.size, in_place), FINGERPRINTS)[1]
        os.close(unreadable)
    assert asked
    assert_same_fold(loaded, folded(partition.blocks))


def test_addresses_that_may_be_another_threads_by_now_are_not_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(bytes(5_000))
    mapped, first = file_in_place._mapped, list[int]()

    def failing(address: int | None, length: int, flags: int, descriptor: int, start: int) -> int:
        if address is not None:  # it took away what was there, and then found that it cannot
            raise MemoryError
        first.append(mapped(address, length, flags, descriptor, start))
        return first[-1]

    monkeypatch.setattr(file_in_place, "_mapped", failing)
    with (tmp_path / "file").open("rb") as file, pytest.raises(MemoryError):
        memory_of(file.fileno(), 0, 5_000, 1 << 20)
    left = [line.split("-") for line in Path("/proc/self/maps").read_text().splitlines()]
    page = mmap.PAGESIZE
    for at, is_left in ((0, False), (page, False), (2 * page, True), ((1 << 20) - page, True)):
        lies_in = [each for each in left if int(each[0], 16) <= first[0] + at < int(each[1].split()[0], 16)]
        assert any("file" in each[-1] for each in lies_in) == is_left


def id_rows(first: int, last: int) -> npt.NDArray[np.uint64]:
    """uint64[n, WIDTH]: rows of ids a millisecond apart."""
    rows = np.zeros((last - first, ids.WIDTH), np.uint64)
    for row, number in zip(rows, range(first, last), strict=True):
        row[:2] = ids.split_id(id_at(NOON_US + 1_000 * number, number))
        row[2:] = (number, number, number << ids.ROW_BITS, NOON_US + 1_000 * number, 5, 7)
    return rows


def test_ids_in_place_are_forgotten_swept_and_outgrow_their_room_as_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ids, "_ROOM_ROWS", 0)  # no addresses but for twice as many
    there, path = id_rows(0, 6_000), tmp_path / "file"
    path.write_bytes(bytes(4_160) + there.tobytes() + bytes(64))
    tables = [ids.IdTable(), ids.IdTable()]
    digests, no_cut_off = np.zeros((2, 2), np.uint64), np.zeros(2, np.uint64)
    with path.open("rb") as file:

        def lying(rows: int) -> npt.NDArray[np.uint64] | None:
            octets = memory_of(file.fileno(), 4_160, there.nbytes, rows * 8 * ids.WIDTH)
            return None if octets is None else octets.view(np.uint64).reshape(rows, ids.WIDTH)

        tables[0].room_for(len(there), lying)
        tables[1].room_for(len(there))[:] = there
    rooms = [len(table.rows) for table in tables]
    for table, digest in zip(tables, digests, strict=True):
        table.refill(len(there), no_cut_off, 0, digest)
        for first in range(6_000, 24_000, 500):
            table.forget_before(NOON_US + 300 * first, 0, digest)
            table.reserve(500)
            for row in id_rows(first, first + 500):
                table.put(row)
    in_place, copied = tables
    assert rooms[0] == rooms[1] < len(in_place.rows)
    assert (in_place.used, in_place.count) == (copied.used, copied.count)
    assert in_place.used < 24_000, "some were swept out"
    assert np.array_equal(*digests)
    assert np.array_equal(in_place.remembered(), copied.remembered())
    assert path.read_bytes()[4_160:-64] == there.tobytes()


def decided(chance: random.Random) -> DecidingPartition:
    """A partition behind a stream of everything that there is."""
    _, sent = modelled(rich_stream(chance, segments=6, items=8), WalletModel(0, 1, 1 << 24))
    partition = DecidingPartition()
    for at_us, items in sent:
        decide_items(partition, items, at_us)
    return partition


def loaded_in_place(store: FileStore, name: str, *, is_whole: bool = False) -> Snapshot:
    with store.open(name) as source:
        assert isinstance(source, LiesHere)
        reader = Reader(source.readinto, source.size, source.in_place, is_whole=is_whole)
        return read_snapshot(reader, FINGERPRINTS)[1]


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False), st.data())
def test_a_start_in_place_at_any_position_is_a_fold_from_the_beginning(
    tmp_path_factory: pytest.TempPathFactory, chance: random.Random, data: st.DataObject
) -> None:
    partition, store = decided(chance), FileStore(tmp_path_factory.mktemp("snapshots"), in_place=True)

    def load(octets: bytes) -> Snapshot:
        store.put("a", [octets])
        return loaded_in_place(store, "a", is_whole=chance.random() < 0.5)

    assert_snapshots_anywhere(partition, [data.draw(st.integers(0, len(partition.blocks) - 1))], load)


def test_both_sides_go_on_from_one_file_each_for_itself_and_leave_it_as_it_is(tmp_path: Path) -> None:
    partition, store = DecidingPartition(), FileStore(tmp_path, in_place=True)
    partition.open_epoch(NOON_US)
    for number in range(200):
        partition.decide([Transfer(id_at(NOON_US, number), "@world", "bob", 1, USD)], NOON_US + number + 1)
    data = file_of(folded(partition.blocks[:100]))
    store.put("a", [data])
    one, other = (loaded_in_place(store, "a", is_whole=is_whole) for is_whole in (False, True))
    store.delete("a")
    store.put("a", [b"another one of this name"])
    advanced(one, partition.blocks[100:], 100)
    assert_same_fold(other, folded(partition.blocks[:100]))
    advanced(other, partition.blocks[100:], 100)
    for each in (one, other):
        assert_same_fold(each, folded(partition.blocks))


def test_every_flipped_bit_of_what_is_not_read_is_found(tmp_path: Path) -> None:
    partition, store = DecidingPartition(), FileStore(tmp_path, in_place=True)
    partition.open_epoch(NOON_US)
    partition.decide([Transfer(id_at(NOON_US, 1), "@world", "bob", 1, USD)], NOON_US + 1)
    data, chance = file_of(folded(partition.blocks)), random.Random(3)
    for at in (chance.randrange(len(data) // 2, len(data)) for _ in range(100)):
        changed = bytearray(data)
        changed[at] ^= 1 << chance.randrange(8)
        store.put("a", [bytes(changed)])
        with pytest.raises(SnapshotDamaged):
            loaded_in_place(store, "a")


def hashed_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes each reader has hashed."""
    found, hash_piece = dict[int, int](), Reader._hash
    kept = []

    def counting(self: Reader, octets: memoryview) -> None:
        if id(self) not in found:
            kept.append(self)
        found[id(self)] = found.get(id(self), 0) + (len(octets) if self._hashes else 0)
        hash_piece(self, octets)
        counts[:] = found.values()

    counts: list[int] = []
    monkeypatch.setattr(Reader, "_hash", counting)
    return counts


async def test_of_two_sides_that_start_one_hashes_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    growing = Growing(FileStore(tmp_path, in_place=True))
    growing.grow(40)
    assert await growing.taker().take(0)
    counts, size = hashed_bytes(monkeypatch), (tmp_path / named(growing.store, 0)[0].name).stat().st_size
    sides = await asyncio.gather(*(growing.snapshots.newest(0, starts=True) for _ in range(2)))
    whole = [count for count in counts if count > size // 2]
    assert len(whole) == 1
    assert_same_fold(*[side for side in sides if side is not None])
    await growing.snapshots.newest(0, starts=True)
    await growing.snapshots.newest(0)
    assert len([count for count in counts if count > size // 2]) == 3, "it is relied on once, and by who starts alone"


async def test_who_starts_again_later_hashes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    growing, now_s = Growing(FileStore(tmp_path)), 100.0
    growing.grow(40)
    assert await growing.taker().take(0)
    reader = WholeReader(FileStore(tmp_path, in_place=True), lambda: now_s)
    counts, size = hashed_bytes(monkeypatch), (tmp_path / named(growing.store, 0)[0].name).stat().st_size
    alone = Snapshots(reader.store, growing.log, reader)
    assert await alone.newest(0, FINGERPRINTS, starts=True) is not None
    now_s += WHOLE_S
    assert await alone.newest(0, FINGERPRINTS, starts=True) is not None
    assert len([count for count in counts if count > size // 2]) == 2


async def test_a_file_that_was_changed_between_two_sides_is_hashed_again_and_refused(tmp_path: Path) -> None:
    growing = Growing(FileStore(tmp_path, in_place=True))
    for _ in range(2):
        growing.grow(10)
        assert await growing.taker().take(0)
    newest, older = named(growing.store, 0)
    first = await growing.snapshots.newest(0, starts=True)
    assert first is not None
    assert first.replay.began_after == newest.sequence
    path = tmp_path / newest.name
    data = np.fromfile(path, np.uint8)
    data[len(data) // 2] ^= 1
    with path.open("r+b") as file:
        file.write(data.tobytes())
    second = await growing.snapshots.newest(0, starts=True)
    assert second is not None
    assert second.replay.began_after == older.sequence


@pytest.mark.parametrize("is_whole", [False, True])
def test_what_the_disk_cannot_read_is_an_error_and_not_the_end_of_the_process(tmp_path: Path, is_whole: bool) -> None:
    partition, store = DecidingPartition(), FileStore(tmp_path, in_place=True)
    partition.open_epoch(NOON_US)
    partition.decide([Transfer(id_at(NOON_US, n), "@world", "bob", 1, USD) for n in range(300)], NOON_US + 1)
    data = file_of(folded(partition.blocks))
    store.put("a", [data])
    with store.open("a") as source:
        assert isinstance(source, LiesHere)
        left = len(data) // 2  # in the middle of the ids

        def read_into(buffer: memoryview) -> int | None:
            nonlocal left
            left -= len(buffer)
            if left < 0:
                raise OSError(errno.EIO, "Input/output error")
            return source.readinto(buffer)

        with pytest.raises(OSError, match="Input/output"):
            read_snapshot(Reader(read_into, source.size, source.in_place, is_whole=is_whole), FINGERPRINTS)


@settings(max_examples=15, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False), st.data())
def test_a_side_with_the_index_of_the_other_is_a_fold_from_the_beginning_and_each_goes_on_for_itself(
    tmp_path_factory: pytest.TempPathFactory, chance: random.Random, data: st.DataObject
) -> None:
    partition, store = decided(chance), FileStore(tmp_path_factory.mktemp("snapshots"), in_place=True)
    at, firsts = data.draw(st.integers(0, len(partition.blocks) - 1)), list[Snapshot]()

    def load(octets: bytes) -> Snapshot:
        store.put("a", [octets])
        reader = WholeReader(store)
        reader.begin_ahead(["a"], (None, FINGERPRINTS))
        wait(reader._ahead.values())  # what is not begun yet is taken back, and read by whoever asks
        first, second = (reader.taken_ahead("a", prints) for prints in (None, FINGERPRINTS))
        assert first is not None
        assert second is not None
        of_first, of_second = (each.snapshot.replay.state.ids for each in (first, second))
        assert of_first.secret == of_second.secret, "it was copied"
        assert not np.shares_memory(of_first.slots, of_second.slots)
        firsts.append(advanced(first.snapshot, partition.blocks[at + 1 :], at + 1))
        return second.snapshot

    assert_snapshots_anywhere(partition, [at], load)
    [first] = firsts
    whole, state = folded(partition.blocks, partition.state.partition).replay.state, first.replay.state
    assert state.digest_bytes() == whole.digest_bytes()
    assert_indexed(state)
    for row in whole.ids.remembered()[:, :2]:
        assert state.find_transfer(row.tobytes()) == whole.find_transfer(row.tobytes()) is not None


def test_a_side_looks_at_all_itself_where_the_other_failed_or_read_another_file(tmp_path: Path) -> None:
    partition, store = DecidingPartition(), FileStore(tmp_path, in_place=True)
    partition.open_epoch(NOON_US)
    partition.decide([Transfer(id_at(NOON_US, 1), "@world", "bob", 1, USD)], NOON_US + 1)
    store.put("a", [file_of(folded(partition.blocks))])
    reader = WholeReader(store)
    of_another = reader._read_ahead("a", None, None, True)._replace(identity=(0,))
    failed, cancelled, other = (Future[Any]() for _ in range(3))
    failed.set_exception(OSError("gone"))
    cancelled.cancel()
    other.set_result(of_another)
    for before in (failed, cancelled, other):
        found = reader._read_ahead("a", FINGERPRINTS, before, False)
        assert found.ids is None
        assert found.read.snapshot.replay.state.ids.secret != of_another.read.snapshot.replay.state.ids.secret
        assert_same_fold(found.read.snapshot, folded(partition.blocks))
