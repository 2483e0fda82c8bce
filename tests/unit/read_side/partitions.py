"""Writers of several partitions and the messages between them, carried when the test says so. No queue, no waiting."""

from __future__ import annotations

from tests.unit.read_side.block_maker import START_US, BlockMaker
from write_side.contract.block.block import decode
from write_side.contract.log.log import Log
from write_side.contract.words.atoms import partition_of
from write_side.ledger.across.outstanding import messages_of_block
from write_side.ledger.commands.commands import Command
from write_side.ledger.commands.step_batch import StepBatch


class Partitions:
    """One writer a partition. Blocks are made in the order of their times, so what follows from a block is later than it."""

    def __init__(self, log: Log, start_us: int = START_US) -> None:
        self.writers = [BlockMaker(log, p, start_us=start_us) for p in range(log.partitions)]
        self.waiting: list[list[StepBatch]] = [[] for _ in self.writers]
        self._log = log

    async def say(self, partition: int, *commands: Command) -> None:
        """A block of commands in one partition."""
        await self._append(partition, self._writer(partition).make(commands))

    async def carry(self, partition: int) -> bool:
        """A block of everything that waits for a partition; False when that is nothing."""
        messages, self.waiting[partition] = self.waiting[partition], []
        if messages:
            await self._append(partition, self._writer(partition).make((), messages))
        return bool(messages)

    async def settle(self) -> None:
        """Carry until nothing waits any more."""
        while any([await self.carry(partition) for partition in range(len(self.writers))]):
            pass

    def name(self, partition: int, word: str) -> str:
        """An account id that lives in this partition and begins with `word`."""
        return next(name for i in range(1000) if partition_of(name := f"{word}-{i}", len(self.writers)) == partition)

    def _writer(self, partition: int) -> BlockMaker:
        writer = self.writers[partition]
        writer.now_us = max(each.now_us for each in self.writers)
        return writer

    async def _append(self, partition: int, block: bytes) -> None:
        await self._log.append(partition, block)
        for target, messages in messages_of_block(decode(block)).items():
            self.waiting[target].append(messages)
