"""The command queue of one process: a list a partition, numbered on from where the log says it was consumed to."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping

from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.step_batch import StepBatch
from write_side.queue.command_queue import Queued, QueueFull, how_many_fit, rows_of


class MemoryQueue:
    """commands_max, messages_max: how many of each may wait in a partition before `append` refuses (bounds memory and latency).

    Counted apart: what finishes transfers that have begun is never pushed out by new requests.
    """

    def __init__(self, commands_max: int = 131_072, messages_max: int = 131_072) -> None:
        self._commands_max = commands_max
        self._messages_max = messages_max
        self._readers: dict[int, _MemoryReader] = {}
        self._begins_at: dict[int, int] = {}

    async def append(self, partition: int, batch: CommandBatch | StepBatch) -> int:
        reader = self._readers.get(partition)
        if reader is None or reader.closed:
            raise QueueFull
        if isinstance(batch, StepBatch):
            full = reader.messages + len(batch) > self._messages_max
        else:
            full = reader.commands + len(batch) > self._commands_max
        if full:
            raise QueueFull
        return reader.put(batch)

    async def open_reader(self, partition: int, from_offset: int) -> _MemoryReader:
        reader = self._readers[partition] = _MemoryReader(from_offset)
        return reader

    async def begins_at(self, partition: int) -> int:
        return self._begins_at.get(partition, 0)

    async def consumed(self, below: Mapping[int, int]) -> None:
        # What was taken is gone already; a reader that is opened below it would find nothing there.
        for partition, offset in below.items():
            self._begins_at[partition] = max(offset, await self.begins_at(partition))

    async def troubles(self) -> Mapping[int, str]:
        return {}

    async def close(self) -> None:
        for reader in self._readers.values():
            await reader.close()


class _MemoryReader:
    def __init__(self, from_offset: int) -> None:
        self.commands = 0
        self.messages = 0
        self.closed = False
        self._next_offset = from_offset
        self._records: deque[Queued] = deque()
        self._filled = asyncio.Event()

    def put(self, batch: CommandBatch | StepBatch) -> int:
        offset = self._next_offset
        self._next_offset += 1
        self._records.append(Queued(offset, batch))
        self._count(batch, len(batch))
        self._filled.set()
        return offset

    async def take(self, commands_max: int) -> list[Queued]:
        await self._filled.wait()
        taken = [self._records.popleft() for _ in range(how_many_fit(self._records, commands_max))]
        for record in taken:
            self._count(record.batch, -rows_of(record))
        if not self._records:
            self._filled.clear()
        return taken

    async def close(self) -> None:
        self.closed = True

    def _count(self, batch: CommandBatch | StepBatch | None, rows: int) -> None:
        if isinstance(batch, StepBatch):
            self.messages += rows
        else:
            self.commands += rows
