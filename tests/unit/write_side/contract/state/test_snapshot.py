"""A fold that begins at a snapshot is the fold from the beginning: the same state, the same blocks, every duplicate caught."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.write_side.deciding import NOON_US, DecidingPartition, assert_same_state, id_at, timeless_id
from tests.unit.write_side.ledger.decided_outcomes import decide_items
from tests.unit.write_side.ledger.rich_streams import rich_stream
from tests.unit.write_side.ledger.streams import random_stream
from tests.unit.write_side.ledger.test_decide_rich import modelled
from tests.unit.write_side.ledger.three_partitions import ALICE, BOB, CAROL, USD, ThreePartitions
from tests.unit.write_side.ledger.wallet_model import WalletModel
from write_side.contract.block.block import decode
from write_side.contract.log.log import Record
from write_side.contract.state.block_hashes import HASHES_KEPT, BlockHashes
from write_side.contract.state.ids import WINDOW_US
from write_side.contract.state.repeated_texts import RepeatedTexts
from write_side.contract.state.replay import Replay
from write_side.contract.state.snapshot import Snapshot, read_head, read_snapshot, write_snapshot
from write_side.contract.state.snapshot_bytes import Reader, SnapshotRefused
from write_side.contract.state.state import State
from write_side.contract.state.texts import Texts
from write_side.ledger.commands.commands import Command, Hold, Leg, LegsTransfer, OpenAccount, Protocol, Transfer
from write_side.ledger.commands.fingerprint import FINGERPRINTS

Offset = Callable[[int], int]


def folded(blocks: Sequence[bytes], partition: int = 0) -> Snapshot:
    """Folded from the beginning, as a writer does."""
    snapshot = Snapshot(Replay(State(partition), FINGERPRINTS), BlockHashes(), 0)
    return advanced(snapshot, blocks, 0)


def advanced(snapshot: Snapshot, blocks: Sequence[bytes], first: int) -> Snapshot:
    records = [Record(10 * at, data) for at, data in enumerate(blocks, first)]
    for each in snapshot.replay.take_run(records):
        snapshot.hashes.note(each)
    return snapshot


def file_of(snapshot: Snapshot, *, with_prints: bool = True) -> bytes:
    return b"".join(write_snapshot(snapshot, with_prints=with_prints, written_by="test"))


def reader_of(data: bytes) -> Reader:
    return Reader(io.BytesIO(data).readinto, len(data))


def loaded(data: bytes) -> Snapshot:
    return read_snapshot(reader_of(data), FINGERPRINTS)[1]


def assert_same_fold(one: Snapshot, other: Snapshot) -> None:
    assert_same_state(one.replay.state, other.replay.state)
    for name in ("last_offset", "passed", "skipped"):
        assert getattr(one.replay, name) == getattr(other.replay, name)
    blocks = one.replay.state.chained.sequence + 1
    assert len(one.replay.offsets) == len(other.replay.offsets) == blocks
    for sequence in range(blocks):
        assert one.replay.offsets.nearest(sequence) == other.replay.offsets.nearest(sequence)
        assert one.hashes.find(sequence) == other.hashes.find(sequence) is not None
    assert one.hashes.find(blocks) is other.hashes.find(blocks) is None


def assert_snapshots_anywhere(
    partition: DecidingPartition, positions: Sequence[int], load: Callable[[bytes], Snapshot] = loaded
) -> None:
    blocks, number = partition.blocks, partition.state.partition
    whole = folded(blocks, number)
    for at in positions:
        begun = folded(blocks[: at + 1], number)
        data = file_of(begun)
        snapshot = load(data)
        assert snapshot.replay.began_after == at
        assert_same_fold(snapshot, begun)
        assert file_of(snapshot) == data
        advanced(snapshot, blocks[at + 1 :], at + 1)
        assert_same_fold(snapshot, whole)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False), st.data())
def test_a_start_from_a_snapshot_at_any_position_is_a_fold_from_the_beginning(
    chance: random.Random, data: st.DataObject
) -> None:
    _, sent = modelled(rich_stream(chance, segments=6, items=8), WalletModel(0, 1, 1 << 24))
    partition = DecidingPartition()
    for at_us, items in sent:
        decide_items(partition, items, at_us)
    assert_snapshots_anywhere(partition, [data.draw(st.integers(0, len(partition.blocks) - 1))])


@pytest.mark.parametrize("seed", range(3))
def test_forgotten_ids_stay_forgotten_and_remembered_ones_remembered(seed: int) -> None:
    partition = DecidingPartition(ids_max=1_024)
    for segment in random_stream(seed, segments=24, commands=150):
        partition.decide(segment.commands, segment.at_us)
    assert partition.state.chained.refuse_ids_before_us > 0
    assert_snapshots_anywhere(partition, [0, 5, 11, 17, 23])


@pytest.mark.parametrize("protocol", Protocol)
def test_transfers_across_partitions_go_on_from_a_snapshot(protocol: Protocol) -> None:
    three = ThreePartitions()
    for number in range(5):
        legs = (Leg(ALICE, -20, USD), Leg(BOB, 15, USD), Leg(CAROL, 5, USD))
        three.decide(0, [_across(number, legs, protocol)])
        if number % 2:
            three.carry(2)
    positions = [len(partition.blocks) - 1 for partition in three.partitions]
    open_before = [partition.state.pending.count for partition in three.partitions]
    assert open_before[0]
    snapshots = [file_of(folded(partition.blocks, p)) for p, partition in enumerate(three.partitions)]
    for partition, data in zip(three.partitions, snapshots, strict=True):
        partition.state = loaded(data).replay.state
    three.carry()
    three.ask_again()
    three.carry()
    three.check()
    assert three.transit() == 0
    for partition, at in zip(three.partitions, positions, strict=True):
        assert_snapshots_anywhere(partition, [at, len(partition.blocks) - 1])


def _across(number: int, legs: tuple[Leg, ...], protocol: Protocol) -> Command:
    return LegsTransfer(id_at(NOON_US, number), legs, protocol=protocol)


def _life(accounts: int = 40) -> DecidingPartition:
    partition = DecidingPartition()
    partition.open_epoch(NOON_US)
    names = [f"account-{number}" for number in range(accounts)]
    partition.decide([OpenAccount(name, USD, 0, f"owner {n % 7} é") for n, name in enumerate(names)], NOON_US + 1)
    for number, name in enumerate(names):
        commands: list[Command] = [
            Transfer(id_at(NOON_US, number), "@world", name, 100, USD),
            Transfer(timeless_id(number), "@world", name, 1, USD),
            Hold(id_at(NOON_US, 1_000 + number), (Leg(name, -9, USD), Leg(names[0], 9, USD)), NOON_US + 10**9 + number)
            if number
            else Transfer(id_at(NOON_US, 999), name, "@world", 10**9, USD),
        ]
        partition.decide(commands, NOON_US + 2 + number)
    return partition


def test_who_decides_on_from_a_snapshot_makes_the_same_blocks_and_catches_every_duplicate() -> None:
    partition = _life()
    other = DecidingPartition()
    other.state, other.next_offset = loaded(file_of(folded(partition.blocks))).replay.state, partition.next_offset
    again: list[Command] = [Transfer(id_at(NOON_US, n), "@world", f"account-{n}", 100, USD) for n in range(40)]
    changed: list[Command] = [Transfer(id_at(NOON_US, n), "@world", f"account-{n}", 101, USD) for n in range(40)]
    timeless: list[Command] = [Transfer(timeless_id(n), "@world", f"account-{n}", 1, USD) for n in range(40)]
    at_us = NOON_US + 1_000
    for commands in (again, changed, timeless, [Transfer(id_at(NOON_US, 5_000), "account-1", "account-2", 5, USD)]):
        at_us += 1
        block, same = partition.decide(commands, at_us), other.decide(commands, at_us)
        assert partition.blocks[-1] == other.blocks[-1]
        if commands is again or commands is timeless:
            assert len(block.entries["account"]) == len(same.entries["account"]) == 0
    at_us = NOON_US + 2 * 10**9 + WINDOW_US  # every hold has ended, and the ids are forgotten
    for n in range(3):
        partition.decide([Transfer(id_at(at_us, n), "@world", "account-1", 1, USD)], at_us + n)
        other.decide([Transfer(id_at(at_us, n), "@world", "account-1", 1, USD)], at_us + n)
        assert partition.blocks[-1] == other.blocks[-1]
    assert_same_state(partition.state, other.state)


def test_a_snapshot_says_what_it_is_before_it_is_read() -> None:
    partition = _life()
    head = read_head(reader_of(file_of(folded(partition.blocks), with_prints=False)))
    header = decode(partition.blocks[-1]).header
    assert (head.partition, head.partitions, head.sequence) == (0, 1, header.sequence)
    assert (head.block_hash, head.block_offset) == (header.block_hash.hex(), 10 * header.sequence)
    assert (head.with_prints, head.written_by) == (False, "test")


def test_every_flipped_bit_and_every_cut_is_refused() -> None:
    data, chance = file_of(folded(_life(8).blocks)), random.Random(1)
    places = [*range(60), *(chance.randrange(len(data)) for _ in range(300)), *range(len(data) - 40, len(data))]
    for at in places:
        changed = bytearray(data)
        changed[at] ^= 1 << chance.randrange(8)
        with pytest.raises(SnapshotRefused):
            loaded(bytes(changed))
    for end in (0, 1, 15, 16, 200, len(data) // 2, len(data) - 1):
        with pytest.raises(SnapshotRefused, match="damaged"):
            loaded(data[:end])
    with pytest.raises(SnapshotRefused, match="damaged"):
        loaded(data + b"\0")


def test_a_newer_format_is_refused_by_its_number() -> None:
    data = bytearray(file_of(folded(_life(2).blocks)))
    data[8] += 1
    with pytest.raises(SnapshotRefused, match="format version 2, and this version of fanfold reads 1"):
        loaded(bytes(data))


@pytest.mark.parametrize("what", ["posted", "name", "owner", "id time", "leg", "low"])
def test_rows_that_do_not_sum_to_the_digest_are_refused_under_a_right_hash(what: str) -> None:
    """Only a program that is wrong, or damaged memory, makes these."""
    snapshot = folded(_life(8).blocks)
    state = snapshot.replay.state
    match what:
        case "posted":
            state.rows[3, 3] += 1
        case "name":
            names = list(state.names)
            state.names = Texts()
            state.names.extend([*names[:3], names[4], names[3], *names[5:]])
        case "owner":
            owners = list(state.owners)
            state.owners = RepeatedTexts()
            state.owners.extend([*owners[:3], "somebody else", *owners[4:]])
        case "id time":
            state.ids.rows[2, 5] += np.uint64(1)
        case "leg":
            state.pending.legs_of(0)[0, 3] += 1
        case "low":
            state.pending.lows[0] = 1
    with pytest.raises(SnapshotRefused):
        loaded(file_of(snapshot))


def test_of_many_blocks_the_hashes_of_the_last_are_known() -> None:
    blocks = HASHES_KEPT + 100
    known = np.arange(HASHES_KEPT * 32, dtype=np.uint64).astype(np.uint8).reshape(HASHES_KEPT, 32)
    again = BlockHashes.of(blocks, known, bytes(32))
    assert np.array_equal(again.column(), known)
    assert again.find(99) is None
    assert again.find(100) == known[0].tobytes()
    assert again.find(blocks - 1) == known[-1].tobytes()
    assert again.find(blocks) is None
    with pytest.raises(ValueError, match="another number"):
        BlockHashes.of(blocks, known[1:], bytes(32))
