"""A log that was written with one number of partitions is never read, and never written on, with another."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import pytest

from tests.unit.write_side.deciding import NOON_US, DecidingPartition
from write_side.contract.block.block import Block, Undecodable, decode, encode
from write_side.contract.block.columns import SECTIONS
from write_side.contract.log.log import START, LogFailed, Record
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.state.fold import CheckFailed, fold
from write_side.contract.state.partition_count import check_partition_count
from write_side.contract.state.state import State
from write_side.contract.words.atoms import partition_of
from write_side.ledger.commands.commands import OpenAccount


def written(partitions: int, *, told: bool = True) -> list[bytes]:
    """Two blocks of partition 0: an epoch, and accounts of it; `told`: as they are written now."""
    partition = DecidingPartition(0, partitions)
    if not told:
        partition.partitions = 0
    partition.open_epoch(NOON_US)
    partition.partitions = partitions
    names = [name for name in map(str, range(200)) if partition_of(name, partitions) == 0][:16]
    block = partition.decide([OpenAccount(name, "USD/2", 0, "") for name in names], NOON_US + 1)
    if told:
        return partition.blocks
    return [partition.blocks[0], encoded(block, partitions=0)]


def encoded(block: Block, *, partitions: int) -> bytes:
    header = {name: value for name, value in block.header._asdict().items() if name not in ("body_bytes", "block_hash")}
    return encode(**header | {"partitions": partitions}, sections={s.name: getattr(block, s.name) for s in SECTIONS})


def log_of(partitions: int, blocks: list[bytes], *, at: int = 0) -> MemoryLog:
    records = MemoryRecords(partitions)
    records.blocks[at].extend(blocks)
    return MemoryLog(records)


@pytest.mark.parametrize("told", [True, False])
async def test_a_log_of_as_many_partitions_as_it_was_written_with_is_opened(told: bool) -> None:
    await check_partition_count(log_of(4, written(4, told=told)))
    await check_partition_count(log_of(4, []))
    await check_partition_count(log_of(4, [b"nothing that can be read"]))


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("now", [1, 2, 5, 8, 1024])
async def test_a_log_that_was_given_other_partitions_is_not_opened(now: int, told: bool) -> None:
    if not told and 4 % now == 0:
        return  # accounts of partition 0 of 4 live in partition 0 of 2 and of 1 too: only the count can tell
    with pytest.raises(LogFailed, match=f"now has {now}\\. .*no money is affected"):
        await check_partition_count(log_of(now, written(4, told=told)))


class Without(MemoryLog):
    """A log whose partition 0 cannot be read."""

    async def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        if partition == 0:
            raise LogFailed("the disk of partition 0 is away")
        async for run in super().read(partition, after):
            yield run


async def test_a_partition_that_cannot_be_read_keeps_nobody_from_starting_and_hides_no_wrong_count() -> None:
    records = MemoryRecords(8)
    await check_partition_count(Without(records))
    records.blocks[2].extend(written(4))
    with pytest.raises(LogFailed, match="now has 8"):
        await check_partition_count(Without(records))


def test_a_fold_stops_at_a_block_written_for_another_number_of_partitions() -> None:
    with pytest.raises(CheckFailed, match="written for a log of 4 partitions, and this one has 8"):
        fold(State(0, 8), decode(written(4)[0]))
    changed = decode(encoded(decode(written(4)[1]), partitions=8))
    state = State(0)
    fold(state, decode(written(4)[0]))
    with pytest.raises(CheckFailed, match="written for a log of 8 partitions, and this one has 4"):
        fold(state, changed)


def test_a_fold_stops_at_an_account_that_lives_in_another_partition() -> None:
    state = State(0, 8)
    epoch, accounts = written(4, told=False)
    fold(state, decode(epoch))
    with pytest.raises(CheckFailed, match="an account of another partition"):
        fold(state, decode(accounts))


@pytest.mark.parametrize(("partition", "partitions"), [(0, 1025), (4, 4), (5, 4), (0, 65_535)])
def test_a_header_whose_partition_is_none_of_its_log_is_not_read(partition: int, partitions: int) -> None:
    block = decode(written(4)[0])
    data = encoded(block._replace(header=block.header._replace(partition=partition)), partitions=partitions)
    with pytest.raises(Undecodable, match="none of the partitions"):
        decode(data)
