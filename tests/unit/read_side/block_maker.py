"""Makes the blocks of a partition for read-side tests, deciding real commands with the write side's own rules."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from write_side.contract.log.log import Log
from write_side.contract.state.state import State
from write_side.contract.words.codes import Flag
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Change, Command, OpenAccount, Transfer
from write_side.ledger.commands.step_batch import StepBatch
from write_side.ledger.deciding.next_block import next_block

START_US = 1_760_000_000_000_000
NO_FLAGS = Flag(0)


class BlockMaker:
    """A writer without a queue: each call decides one block and appends it."""

    def __init__(self, log: Log, partition: int = 0, *, start_us: int = START_US) -> None:
        self.state = State(partition)
        self.blocks: list[bytes] = []
        self._log = log
        self._partition = partition
        self.now_us = start_us
        self._consumed_to = 0
        self.life = 1
        """The epoch of the blocks that are made."""

    def make(self, commands: Sequence[Command], messages: Sequence[StepBatch] = ()) -> bytes:
        """The next block, decided and not appended. messages: from other partitions, decided before the commands."""
        self.now_us += 1000
        batches: list[CommandBatch | StepBatch] = [*messages]
        if commands:
            batches.append(CommandBatch.of(commands))
        records = list(enumerate(batches, self._consumed_to))
        self._consumed_to += max(1, len(records))
        block = next_block(
            self.state,
            records,
            partitions=self._log.partitions,
            created_at_us=self.now_us,
            consumed_to=self._consumed_to,
            ids_max=1_000_000,
            epoch=self.life,
        ).data
        self.blocks.append(block)
        return block

    async def append(self, *commands: Command) -> int:
        """Decide a block of these commands and append it; returns its log offset."""
        return await self._log.append(self._partition, self.make(commands))

    async def epoch(self) -> int:
        """A block without outcomes, as every writer starts with."""
        return await self.append()


def opened(account: str, floor: int = 0, asset: str = "USD/2") -> OpenAccount:
    return OpenAccount(account, asset, floor, "")


def moved(debit: str, credit: str, amount: int, transfer_id: uuid.UUID | None = None, asset: str = "USD/2") -> Transfer:
    return Transfer((transfer_id or uuid.uuid4()).bytes, debit, credit, amount, asset)


def changed(account: str, set: Flag = NO_FLAGS, clear: Flag = NO_FLAGS) -> Change:
    return Change(uuid.uuid4().bytes, account, set, clear)
