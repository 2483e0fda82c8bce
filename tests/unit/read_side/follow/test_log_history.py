"""A history of a log has one name, whoever reads it from wherever, and none of its is that of another one."""

from __future__ import annotations

import pytest

from read_side.follow.log_history import LogHistory
from read_side.follow.partition_fold import PartitionFold, fold_log
from tests.unit.read_side.block_maker import BlockMaker, moved, opened
from write_side.contract.log.log import Log
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords


async def written(*lives: int, until: int | None = None) -> tuple[MemoryLog, BlockMaker]:
    """A log whose lives have so many blocks after the one that begins each."""
    log = MemoryLog(MemoryRecords(1))
    writer = BlockMaker(log)
    await go_on(writer, *lives)
    return log, writer


async def go_on(writer: BlockMaker, *lives: int) -> None:
    for blocks in lives:
        if writer.blocks:
            writer.life += 1
        await writer.epoch()
        for _ in range(blocks):
            n = len(writer.blocks)
            await writer.append(opened(f"account-{n}"), moved("@world", f"account-{n}", 1))


async def name_of(log: Log) -> str | None:
    fold = PartitionFold(0)
    await fold_log(log, fold)
    return fold.log_history.name


async def put_back(log: MemoryLog, blocks: int) -> tuple[MemoryLog, BlockMaker]:
    """A copy of the first blocks, and a writer that goes on from there, a second later than the first one did."""
    records = MemoryRecords(1)
    copy = MemoryLog(records)
    fold = PartitionFold(0)
    for data in log._records.blocks[0][:blocks]:
        records.append(0, data)
    await fold_log(copy, fold)
    writer = BlockMaker(copy, start_us=fold.state.chained.created_at_us + 1_000_000)
    writer.state, writer.blocks, writer.life = fold.state, [b""], fold.state.chained.epoch
    writer._consumed_to = fold.state.chained.consumed_to
    return copy, writer


async def test_a_log_without_blocks_has_none_and_each_life_begins_one() -> None:
    log, writer = await written()
    assert await name_of(log) is None
    names = []
    for _ in range(3):
        await go_on(writer, 3)
        names.append(await name_of(log))
        await writer.append(opened(f"more-{len(names)}"))
        assert await name_of(log) == names[-1], "it goes on"
    assert None not in names
    assert len(set(names)) == 3


@pytest.mark.parametrize(("kept", "lives_lost"), [(3, 0), (5, 1), (2, 2)])
async def test_a_log_that_was_put_back_has_another_name_however_many_lives_it_lost(kept: int, lives_lost: int) -> None:
    log, _ = await written(4, *[2] * lives_lost)
    copy, writer = await put_back(log, kept)
    await go_on(writer, 1)
    names = {await name_of(log), await name_of(copy)}
    while writer.life < 5:  # the lives of both are counted alike
        await go_on(writer, 1)
        names.add(await name_of(copy))
    assert len(names) == 1 + 5 - 1


async def test_two_logs_have_no_name_in_common() -> None:
    (one, _), (other, writer) = await written(2, 2), await written()
    writer.now_us += 1
    await go_on(writer, 2, 2)
    assert await name_of(one) != await name_of(other)


@pytest.mark.parametrize("lives", [(0,), (5,), (0, 0, 0), (70, 3), (3, 70), (1, 200, 1)])
async def test_who_begins_in_the_middle_finds_the_same_name_in_the_log(lives: tuple[int, ...]) -> None:
    log, _ = await written(*lives)
    fold = PartitionFold(0)
    await fold_log(log, fold)
    history = LogHistory()
    history.begin_at(fold.state.chained.epoch)
    assert history.name is None, "a snapshot does not say which block it was"
    await history.find(log, 0, fold.replay)
    assert history.name == fold.log_history.name
