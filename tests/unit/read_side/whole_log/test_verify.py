"""What cannot be read is its partition's trouble, and is never told as broken or as good."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import pytest

from read_side.whole_log.verify import verify
from tests.unit.read_side.block_maker import BlockMaker
from write_side.contract.log.log import START, LogFailed, Record
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.words.atoms import partition_of
from write_side.ledger.commands.commands import OpenAccount


class Without(MemoryLog):
    """A log some of whose partitions cannot be read."""

    unread: Sequence[int] = ()

    def damage(self, partition: int) -> None:
        blocks = self._records.blocks[partition]
        blocks[0] = blocks[0][:-1] + b"?"

    async def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        if partition in self.unread:
            raise LogFailed(f"partition {partition}: Input/output error")
        async for run in super().read(partition, after):
            yield run


async def log_of_two() -> Without:
    log = Without(MemoryRecords(2))
    for partition in range(2):
        name = next(name for name in map(str, range(64)) if partition_of(name, 2) == partition)
        await BlockMaker(log, partition).append(OpenAccount(name, "USD/2", 0, ""))
    return log


async def test_a_partition_that_cannot_be_read_is_named_and_the_others_are_checked() -> None:
    log = await log_of_two()
    log.unread = [0]
    verdict = await verify(log)
    assert [(found.unread, found.problem) for found in verdict.partitions] == [
        (True, "partition 0: Input/output error"),
        (False, None),
    ]
    assert verdict.partitions[1].position == "1:0"
    assert (verdict.good, verdict.word) == (False, "unread")


async def test_a_log_of_which_nothing_can_be_read_has_no_verdict() -> None:
    log = await log_of_two()
    log.unread = [0, 1]
    with pytest.raises(LogFailed, match="Input/output error"):
        await verify(log)


async def test_what_is_broken_is_told_as_broken_beside_what_cannot_be_read() -> None:
    log = await log_of_two()
    log.damage(1)
    log.unread = [0]
    assert (await verify(log)).word == "broken"
