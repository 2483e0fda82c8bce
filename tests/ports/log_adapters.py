"""The log adapters as the port suite meets them: open, open again, make an append fail."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Sequence
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np

from tests.servers import POLL_S
from write_side.contract.block.block import ZERO_HASH, encode
from write_side.contract.block.limits import RECORD_BYTES_MAX
from write_side.contract.log.log import Log, Record
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_file_partition import SEGMENT_BYTES
from write_side.contract.log.log_kafka import KafkaLog
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.log.topic_kafka import BATCH_OVERHEAD_BYTES

PARTITIONS = 2
WAIT_LIMIT_S = 30.0  # only ever reached by a test that fails


@cache
def block(sequence: int, rows: int = 0, partition: int = 0) -> bytes:
    """A well-formed block of `rows` outcomes, each 16 random bytes and a little."""
    ids = np.random.default_rng(sequence).integers(0, 256, (rows, 16), dtype=np.uint8)
    ones = np.ones(rows, dtype=np.int64)
    outcomes = {
        "id": ids,
        "kind": ones.astype(np.uint8),
        "code": ones.astype(np.uint8),
        "back": ones,
        "row": np.arange(rows),
    }
    return encode(
        partition=partition,
        epoch=1,
        sequence=sequence,
        previous_hash=ZERO_HASH,
        consumed_to=0,
        created_at_us=1,
        refuse_ids_before_us=0,
        digest=bytes(16),
        sections={"outcomes": outcomes} if rows else {},
    )


async def taken(runs: AsyncIterator[Sequence[Record]], count: int) -> list[Record]:
    """The first `count` records, fewer when the iterator ends before; closes it only when it was used up."""
    records: list[Record] = []
    async with asyncio.timeout(WAIT_LIMIT_S):
        while len(records) < count:
            try:
                records += await anext(runs)
            except StopAsyncIteration:
                break
    return records


class Logs(Protocol):
    """One log that can be opened several times, one after the other."""

    @property
    def block_that_fails(self) -> bytes: ...

    async def open(self) -> Log: ...

    async def let_next_append_fail(self, log: Log) -> None: ...

    def resources(self) -> int:
        """How many descriptors or connections are open."""
        ...

    async def settled(self, resources: int) -> None:
        """Waits until not more are open than that; TimeoutError otherwise."""
        ...

    async def close(self) -> None: ...


class _Opened:
    block_that_fails = block(50)

    def __init__(self) -> None:
        self._opened: list[Log] = []

    def resources(self) -> int:
        return len(os.listdir("/proc/self/fd"))

    async def settled(self, resources: int) -> None:
        async with asyncio.timeout(WAIT_LIMIT_S):
            while self.resources() > resources:  # noqa: ASYNC110  (the kernel tells nobody of a closed descriptor)
                await asyncio.sleep(POLL_S)

    async def close(self) -> None:
        for log in self._opened:
            await log.close()


class MemoryLogs(_Opened):
    def __init__(self) -> None:
        super().__init__()
        self._records = MemoryRecords(PARTITIONS)

    async def open(self) -> Log:
        self._opened.append(MemoryLog(self._records))
        return self._opened[-1]

    async def let_next_append_fail(self, log: Log) -> None:
        assert isinstance(log, MemoryLog)
        log.fail_next_append(record_is_there=True)


class FileLogs(_Opened):
    def __init__(self, data: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        super().__init__()
        self._data = data
        self._segment_bytes = segment_bytes
        self._disk_fails = False

    async def open(self) -> Log:
        self._disk_fails = False
        self._opened.append(
            await FileLog.open(self._data, PARTITIONS, segment_bytes=self._segment_bytes, sync=self._sync)
        )
        return self._opened[-1]

    async def let_next_append_fail(self, log: Log) -> None:
        self._disk_fails = True

    def _sync(self, descriptor: int) -> None:
        if self._disk_fails:
            self._disk_fails = False
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fdatasync(descriptor)


class KafkaLogs(_Opened):
    def __init__(self, bootstrap: str, topic: str) -> None:
        super().__init__()
        self._bootstrap = bootstrap
        self._topic = topic
        # An append that the broker or the client refuses: a record above the topic's limit.
        self.block_that_fails = block(50) + bytes(RECORD_BYTES_MAX + BATCH_OVERHEAD_BYTES)

    async def open(self) -> Log:
        opened = await KafkaLog.open(
            self._bootstrap, self._topic, create_partitions=PARTITIONS, replication=1, min_in_sync=1
        )
        self._opened.append(opened)
        return self._opened[-1]

    async def let_next_append_fail(self, log: Log) -> None:
        pass
