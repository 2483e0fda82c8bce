"""The log port in memory, for tests and simulation: durable as long as its `MemoryRecords` live, which stand for the disk.

Several `MemoryLog` over one `MemoryRecords` are several processes on one log: one may be closed and another opened, or
both append at once, as two writers on one Kafka topic can.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Final

from write_side.contract.log.log import START, LogFailed, NotThere, Record, Trimmed, Unit

RUN_BYTES: Final = 4 * 1024 * 1024
"""A run ends when it is this long: the same reason as in the file log, so that readers meet several runs here too."""


class MemoryRecords:
    """What outlives a process: the records of every partition. An offset is the number of the record, from 0."""

    def __init__(self, partitions: int) -> None:
        self.blocks: list[list[bytes]] = [[] for _ in range(partitions)]
        self.begins = [0] * partitions
        """What lies before was trimmed: no log reads it any more. It stays here for whoever keeps the books of a test."""
        self.grown = [asyncio.Event() for _ in range(partitions)]

    def append(self, partition: int, block: bytes) -> int:
        self.blocks[partition].append(block)
        self.wake(partition)
        return len(self.blocks[partition]) - 1

    def wake(self, partition: int) -> None:
        self.grown[partition].set()
        self.grown[partition] = asyncio.Event()


class MemoryLog:
    """One process's log over `records`."""

    def __init__(self, records: MemoryRecords) -> None:
        self._records = records
        self._closed = False
        self._failures: dict[int, LogFailed] = {}
        self._next_append_fails: dict[int | None, bool] = {}

    @property
    def partitions(self) -> int:
        return len(self._records.blocks)

    @property
    def unit(self) -> Unit:
        return "records"

    def fail_next_append(self, *, record_is_there: bool, partition: int | None = None) -> None:
        """The next append, in whatever partition or in this one, raises LogFailed; whether its record got there all the same is
        chosen here."""
        self._next_append_fails[partition] = record_is_there

    async def append(self, partition: int, block: bytes) -> int:
        await asyncio.sleep(0)  # a real log always lets others run before it answers
        if self._closed:
            raise LogFailed("The log is closed. Nothing was appended.")
        if partition in self._failures:
            raise self._failures[partition]
        meant = partition if partition in self._next_append_fails else None
        lands = self._next_append_fails.pop(meant, None)
        if lands is not None:
            failure = LogFailed("An append failed as it was told to. Resume the partition and read what is there.")
            self._failures[partition] = failure
            if lands:
                self._records.append(partition, block)
            raise failure
        return self._records.append(partition, block)

    async def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        at = self._begin(partition, after)
        end = len(self._records.blocks[partition])
        while at < end:
            self._check_there(partition, at)
            run = self._run(partition, at, end)
            at = run[-1].offset + 1
            await asyncio.sleep(0)
            yield run
            if self._closed and at < end:
                raise LogFailed("The log was closed while it was being read. What was read so far is good.")

    async def tail(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        at = self._begin(partition, after)
        while not self._closed:
            grown, end = self._records.grown[partition], len(self._records.blocks[partition])
            if at < end:
                self._check_there(partition, at)
                run = self._run(partition, at, end)
                at = run[-1].offset + 1
                await asyncio.sleep(0)
                yield run
            else:
                await grown.wait()

    async def fetch(self, partition: int, offset: int) -> bytes | memoryview:
        await asyncio.sleep(0)
        self._check_there(partition, offset)
        blocks = self._records.blocks[partition]
        if not 0 <= offset < len(blocks):
            raise NotThere(f"Partition {partition} has no block at offset {offset}.")
        return blocks[offset]

    async def resume(self, partition: int) -> None:
        await asyncio.sleep(0)
        self._failures.pop(partition, None)

    async def end(self, partition: int) -> int:
        return len(self._records.blocks[partition])

    async def begin(self, partition: int) -> int:
        return self._records.begins[partition]

    async def trim(self, partition: int, before: int) -> int:
        await asyncio.sleep(0)
        if self._closed:
            raise LogFailed("The log is closed. Nothing was trimmed.")
        begin = max(self._records.begins[partition], min(before, len(self._records.blocks[partition]) - 1))
        self._records.begins[partition] = begin
        return begin

    async def troubles(self) -> Mapping[int, str]:
        return {partition: str(failure) for partition, failure in self._failures.items()}

    async def close(self) -> None:
        self._closed = True
        for partition in range(self.partitions):
            self._records.wake(partition)

    def _begin(self, partition: int, after: int) -> int:
        if self._closed:
            raise LogFailed("The log is closed. Nothing was read.")
        if after >= len(self._records.blocks[partition]):
            raise NotThere(f"Partition {partition} has no block at offset {after}, where the reader wants to go on.")
        at = max(after, START) + 1
        self._check_there(partition, at)
        return at

    def _check_there(self, partition: int, offset: int) -> None:
        begin = self._records.begins[partition]
        if 0 <= offset < begin:
            raise Trimmed(f"Partition {partition}", begin)

    def _run(self, partition: int, at: int, end: int) -> list[Record]:
        """Records from `at` on, up to RUN_BYTES of them and one at least."""
        blocks, run, size = self._records.blocks[partition], list[Record](), 0
        while at < end and (not run or size < RUN_BYTES):
            run.append(Record(at, blocks[at]))
            size += len(blocks[at])
            at += 1
        return run
