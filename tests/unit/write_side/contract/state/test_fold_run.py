"""A run of blocks folded together is folded as each by itself: the same state, the same refusals, naming the same block."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.write_side.contract.blocks import encoded, sealed, with_body
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, assert_same_state, id_at, timeless_id
from write_side.contract.block.block import HEADER_BYTES, decode
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Record
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.ids import FINGERPRINT_A, FINGERPRINT_B, WINDOW_US
from write_side.contract.state.replay import FoldedBlocks, Replay
from write_side.contract.state.state import State
from write_side.ledger.commands.askers import Askers
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Capture, Command, Hold, Leg, OpenAccount, Transfer
from write_side.ledger.commands.fingerprint import FINGERPRINTS

USD = "USD/2"
NAMED = (2, 6)
"""Parts of the life whose askers are told."""


def _moved(number: int, debit: str, credit: str, amount: int) -> Transfer:
    return Transfer(id_at(NOON_US, number), debit, credit, amount, USD)


def _life() -> DecidingPartition:
    """Blocks of one to three commands: transfers, repeats, refusals, holds, one opened account, a second epoch."""
    partition = DecidingPartition(0, 1)
    partition.open_epoch(NOON_US)
    partition.decide([OpenAccount("ann", USD, 0, ""), OpenAccount("bob", USD, 0, "")], NOON_US + 1)
    parts: list[list[Command]] = [
        [_moved(1, "@world", "ann", 1_000)],
        [_moved(2, "ann", "bob", 10)],
        [_moved(3, "ann", "bob", 20), _moved(2, "ann", "bob", 10), _moved(4, "bob", "ann", 5)],
        [_moved(5, "ann", "bob", 10**9)],
        [Transfer(timeless_id(6), "bob", "ann", 1, USD)],
        [_moved(7, "ann", "nobody", 1)],
        [Hold(id_at(NOON_US, 8), (Leg("ann", -50, USD), Leg("bob", 50, USD)))],
        [_moved(9, "ann", "bob", 300)],
        [Capture(id_at(NOON_US, 10), id_at(NOON_US, 8), 20)],
        [_moved(11, "bob", "ann", 7)],
        [OpenAccount("cat", USD, 0, "")],
        [_moved(12, "bob", "cat", 70_000), _moved(13, "bob", "cat", 7)],
    ]
    for at, commands in enumerate(parts):
        names = ("eve", "key:shop", "key:shop") if at in NAMED else ("",) * 3
        batch = replace(CommandBatch.of(commands), askers=Askers.each(names[: len(commands)]))
        partition.decide_batch(batch, NOON_US + 2 + at)
    partition.open_epoch(NOON_US + 100)
    for number in range(14, 20):
        partition.decide([_moved(number, "ann", "cat", number)], NOON_US + 200 + number)
    return partition


LIFE = _life()
RECORDS = [Record(100 * at, data) for at, data in enumerate(LIFE.blocks)]


def _by_runs(records: Sequence[Record], sizes: Sequence[int], replay: Replay) -> Replay:
    at = 0
    for size in (*sizes, len(records)):
        for _ in replay.take_run(records[at : at + size]):
            pass
        at += size
    return replay


def _one_by_one(records: Sequence[Record], replay: Replay) -> Replay:
    for record in records:
        replay.take(record)
    return replay


def _verdict(records: Sequence[Record], *, run: bool) -> Replay | str:
    replay = Replay(State(0), FINGERPRINTS)
    try:
        return _by_runs(records, (), replay) if run else _one_by_one(records, replay)
    except (ChainBroken, CheckFailed) as broken:
        return str(broken)


@pytest.mark.parametrize("prints", [FINGERPRINTS, None])
@settings(max_examples=60)
@given(sizes=st.lists(st.integers(0, 9), max_size=9))
def test_however_a_log_is_cut_into_runs_its_state_is_the_same(prints: object, sizes: list[int]) -> None:
    made = FINGERPRINTS if prints else None
    runs, singles = _by_runs(RECORDS, sizes, Replay(State(0), made)), _one_by_one(RECORDS, Replay(State(0), made))
    assert_same_state(runs.state, singles.state)
    assert (runs.last_offset, runs.passed, runs.skipped) == (singles.last_offset, singles.passed, singles.skipped)
    assert [runs.offsets.nearest(at) for at in range(len(RECORDS))] == [(at, 100 * at) for at in range(len(RECORDS))]


def test_plain_blocks_are_taken_together_and_the_others_by_themselves() -> None:
    taken = list(Replay(State(0)).take_run(RECORDS))
    sizes = [len(each.records) if isinstance(each, FoldedBlocks) else 0 for each in taken]
    # Epoch, openings with system accounts; all up to the next epoch, and what is behind it.
    assert sizes == [0, 0, 12, 0, 6]
    for_writers = list(Replay(State(0), FINGERPRINTS).take_run(RECORDS))
    assert len(for_writers) == len(taken)


def test_a_run_ends_at_the_block_and_at_the_entries_that_are_asked_for() -> None:
    for until in range(len(RECORDS)):
        replay = Replay(State(0))
        assert replay.passed == 0
        for _ in replay.take_run(RECORDS, until=until):
            pass
        assert replay.state.chained.sequence == until
        assert replay.passed == until + 1
    entries_of = [len(decode(data).entries["account"]) + len(decode(data).accounts["number"]) for data in LIFE.blocks]
    for most in range(1, 20):
        replay = Replay(State(0))
        list(replay.take_run(RECORDS, entries_max=most))
        assert sum(entries_of[: replay.passed]) >= most > sum(entries_of[: replay.passed - 1])


def test_records_of_writers_that_lost_are_passed_over_wherever_they_lie() -> None:
    chance = random.Random(3)
    for _ in range(40):
        records = list(RECORDS)
        for _ in range(3):
            at = chance.randrange(1, len(records) + 1)
            late = records[chance.randrange(at)].data
            other = encoded(decode(late), previous_hash=bytes(range(32)))
            records.insert(at, Record(0, chance.choice((late, other))))
        records = [Record(at, record.data) for at, record in enumerate(records)]
        runs, singles = _verdict(records, run=True), _verdict(records, run=False)
        assert isinstance(runs, Replay)
        assert isinstance(singles, Replay)
        assert_same_state(runs.state, singles.state)
        assert (runs.skipped, runs.last_offset) == (singles.skipped, singles.last_offset)


@pytest.mark.parametrize("block", [3, 4, 5, 7, 8, 10, 12, 18])
def test_a_run_says_of_every_changed_byte_what_a_block_says(block: int) -> None:
    """Under a right hash: only a writer that is wrong, or damaged memory, makes these."""
    chance = random.Random(block)
    data, refused = LIFE.blocks[block], 0
    for at in range(16, len(data)):
        if HEADER_BYTES - 32 <= at < HEADER_BYTES:
            continue
        changed = bytearray(data)
        changed[at] ^= chance.choice((1, 2, 16, 128, 255))
        body = bytes(changed[HEADER_BYTES:])
        bad = with_body(bytes(changed), body) if at >= HEADER_BYTES else sealed(bytes(changed))
        records = [*RECORDS[:block], Record(100 * block, bad)]
        runs, singles = _verdict(records, run=True), _verdict(records, run=False)
        if isinstance(runs, str) or isinstance(singles, str):
            assert runs == singles
            refused += 1
        else:
            for each in (runs, singles):  # of what a refused command was about the hash alone vouches
                each.state.ids.rows[:, FINGERPRINT_A : FINGERPRINT_B + 1] = 0
            assert_same_state(runs.state, singles.state)
    assert refused > (len(data) - HEADER_BYTES) // 2, refused


def test_a_flipped_bit_anywhere_stops_a_run_where_it_stops_a_block() -> None:
    chance = random.Random(9)
    for _ in range(300):
        block = chance.randrange(1, len(RECORDS))
        data = bytearray(LIFE.blocks[block])
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        records = [*RECORDS[:block], Record(100 * block, bytes(data)), *RECORDS[block + 1 :]]
        runs, singles = _verdict(records, run=True), _verdict(records, run=False)
        assert isinstance(singles, str)
        assert runs == singles


def test_ids_are_forgotten_in_the_block_that_forgets_them_in_runs_too() -> None:
    partition = DecidingPartition(0, 1)
    partition.open_epoch(NOON_US)
    partition.decide([OpenAccount("ann", USD, 0, "")], NOON_US + 1)
    for hour in range(0, 24 * 9, 5):
        at_us = NOON_US + 2 + hour * 3_600_000_000
        partition.decide([Transfer(timeless_id(hour), "@world", "ann", 1, USD)], at_us)
        partition.decide([Transfer(id_at(at_us, hour), "@world", "ann", 1, USD)], at_us + 1)
    assert partition.state.chained.created_at_us > NOON_US + WINDOW_US
    state = partition.replayed()
    assert state.ids.count == partition.state.ids.count < 2 * len(range(0, 24 * 9, 5))
