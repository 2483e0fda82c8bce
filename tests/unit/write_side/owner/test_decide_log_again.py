"""The whole log decided again: what is told of each partition, from a snapshot too, and what of a log that does not hold."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.unit.write_side.contract.snapshots.growing import Growing
from write_side.contract.log.log import START, LogFailed, Record
from write_side.contract.log.log_memory import MemoryLog
from write_side.contract.snapshots.store_file import FileStore
from write_side.ledger.deciding import decide as decide_module
from write_side.owner import decide_log_again as shell
from write_side.owner.decide_log_again import decide_log_again


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    growing = Growing(FileStore(tmp_path))
    growing.grow(6)
    return growing


async def test_a_log_that_is_decided_as_it_was_is_the_same(growing: Growing) -> None:
    told: list[int] = []
    found = await decide_log_again(growing.log, [0], told.append)
    assert found.word == "same"
    [partition] = found.partitions
    assert (partition.position, partition.blocks, partition.outcomes) == ("0:7", 8, 7)
    assert (partition.untold, partition.problem, sum(told)) == ({}, None, 7)
    assert found.document()["verdict"] == "same"


async def test_it_begins_at_a_snapshot_of_whoever_decides(growing: Growing) -> None:
    assert await growing.taker().take(0)
    growing.grow(2)
    [partition] = (await decide_log_again(growing.log, [0], snapshots=growing.snapshots)).partitions
    assert (partition.begun_after, partition.position, partition.outcomes) == ("0:7", "0:9", 2)


async def test_it_begins_at_a_snapshot_of_no_later_block_than_was_asked_for(growing: Growing) -> None:
    assert await growing.taker().take(0)
    growing.grow(2)
    for behind, begun in ({0: 7}, "0:7"), ({0: 6}, None), ({}, None):
        [partition] = (await decide_log_again(growing.log, [0], snapshots=growing.snapshots, behind=behind)).partitions
        assert (partition.begun_after, partition.problem) == (begun, None)


async def test_the_first_block_that_is_decided_otherwise_is_named(
    growing: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Otherwise(decide_module._Deciding):
        def run(self) -> decide_module.Decision:
            decision = super().run()
            return decision._replace(digest=bytes(16)) if self.state.chained.sequence == 3 else decision

    monkeypatch.setattr(decide_module, "_Deciding", Otherwise)
    found = await decide_log_again(growing.log, [0])
    assert found.word == "different"
    [partition] = found.partitions
    assert partition.position == "0:3"
    assert partition.problem is not None
    assert partition.problem.startswith("block 0:4 is decided otherwise now: the digest of the state")
    assert "no balance changes" in partition.problem


async def test_code_that_fails_on_history_is_told_with_the_block(
    growing: Growing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("a share of nothing")

    monkeypatch.setattr(shell, "decide_again", fail)
    [partition] = (await decide_log_again(growing.log, [0])).partitions
    assert partition.problem is not None
    assert "cannot decide block 0:0 (ZeroDivisionError: a share of nothing)" in partition.problem


async def test_a_damaged_block_stops_its_partition(growing: Growing) -> None:
    blocks = growing.records.blocks[0]
    blocks[4] = blocks[4][:-1] + bytes([blocks[4][-1] ^ 1])
    found = await decide_log_again(MemoryLog(growing.records), [0])
    assert (found.word, found.partitions[0].position) == ("different", "0:3")


async def test_what_cannot_be_read_is_no_difference(growing: Growing) -> None:
    class Unread(MemoryLog):
        async def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
            raise LogFailed(f"partition {partition}: Input/output error")
            yield

    found = await decide_log_again(Unread(growing.records), [0])
    assert (found.word, found.partitions[0].unread) == ("unread", True)
