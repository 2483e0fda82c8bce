"""Where blocks lie: told exactly or found from a mark, whatever lies between, and at a bounded cost in memory."""

from __future__ import annotations

import sys

import pytest

from tests.unit.read_side.block_maker import BlockMaker
from write_side.contract.log import block_offsets
from write_side.contract.log.block_offsets import BlockOffsets, fetch_block
from write_side.contract.log.log import LogFailed
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State


async def test_every_block_is_found_whatever_lies_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_offsets, "EXACT", 4)
    monkeypatch.setattr(block_offsets, "EVERY", 3)
    records = MemoryRecords(1)
    log = MemoryLog(records)
    writer, blocks = BlockMaker(log), list[bytes]()
    for number in range(20):
        blocks.append(writer.make(()))
        records.append(0, blocks[-1])
        if number % 2:
            records.append(0, blocks[-1])  # twice, as a retry leaves it
        if number % 3 == 0:
            records.append(0, blocks[number // 2])  # of a writer that was behind
    replay = Replay(State(0))
    async for run in log.read(0):
        for record in run:
            replay.take(record)
    assert len(replay.offsets) == len(blocks)
    for sequence, block in enumerate(blocks):
        assert bytes(await fetch_block(log, 0, replay.offsets, sequence)) == block
    for sequence in (-1, len(blocks)):
        with pytest.raises(IndexError):
            replay.offsets.nearest(sequence)


async def test_a_block_that_is_gone_is_said_to_be_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_offsets, "EXACT", 1)
    monkeypatch.setattr(block_offsets, "EVERY", 8)
    records = MemoryRecords(1)
    writer = BlockMaker(MemoryLog(records))
    offsets = BlockOffsets(records.append(0, writer.make(())) for _ in range(6))
    del records.blocks[0][3:]
    with pytest.raises(LogFailed, match="block 4"):
        await fetch_block(MemoryLog(records), 0, offsets, 4)


def test_what_is_kept_of_old_blocks_is_a_bit_each() -> None:
    few, many = BlockOffsets(range(100_000)), BlockOffsets(range(1_100_000))
    grown = sys.getsizeof(many._marks) - sys.getsizeof(few._marks)
    assert grown * 8 < 2 * 1_000_000
    assert len(many._exact) == len(few._exact)
