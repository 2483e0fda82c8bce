"""The command queue over a Kafka topic, `fanfold.commands`: a record is a batch of commands as an Arrow stream.

The topic has the same partitions and the same safety as the event log: what an intake was told is taken survives it. A record
without a byte is filler (`filler_kafka.py`): it is no command, and passed over without a word.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import aclosing

from write_side.contract.log.bounded_kafka import STOP_WAIT_S
from write_side.contract.log.delete_records_kafka import delete_records
from write_side.contract.log.log import START, LogFailed, Trimmed
from write_side.contract.log.log_kafka import APPEND_WAIT_MS, KafkaLog
from write_side.ledger.commands.command_batch import BatchMalformed, CommandBatch
from write_side.ledger.commands.step_batch import StepBatch, decode_record
from write_side.queue.command_queue import Queued, how_many_fit, rows_of
from write_side.queue.filler_kafka import Filler

READ_AHEAD_MAX = 131_072
"""Commands read and not yet decided: two of the largest blocks. Beyond it the reader waits and Kafka keeps the rest."""

CLOSE_WAIT_S = 2 * STOP_WAIT_S
"""A reader that is closed is waited for so long: its consumer stops within half of it, if it stops at all."""


class KafkaQueue:
    """Made by `open`."""

    def __init__(self, topic: KafkaLog, bootstrap: str, name: str) -> None:
        self._topic = topic
        self._bootstrap = bootstrap
        self._name = name
        self._readers: dict[int, _KafkaReader] = {}

    @classmethod
    async def open(
        cls,
        bootstrap: str,
        *,
        topic: str,
        partitions: int,
        replication: int,
        min_in_sync: int,
        append_wait_ms: int = APPEND_WAIT_MS,
    ) -> KafkaQueue:
        """Make the topic where it is missing, check it, and open it.

        Raises LogFailed, also when it has another number of partitions than the event log: commands would go astray.
        """
        records = await KafkaLog.open(
            bootstrap,
            topic,
            create_partitions=partitions,
            replication=replication,
            min_in_sync=min_in_sync,
            append_wait_ms=append_wait_ms,
        )
        if records.partitions != partitions:
            count = records.partitions
            await records.close()
            raise LogFailed(
                f"The topic {topic} has {count} partitions and the event log has {partitions}: commands would reach the wrong "
                "writer. Nothing was started. Use topics that were made together."
            )
        return cls(records, bootstrap, topic)

    async def append(self, partition: int, batch: CommandBatch | StepBatch) -> int:
        # Unlike the log, the queue goes on behind a record of which nobody knows: a copy of it is harmless.
        if partition in self._topic.failures:
            await self._topic.resume(partition)
        return await self._topic.append(partition, batch.encode())

    async def open_reader(self, partition: int, from_offset: int) -> _KafkaReader:
        if await self._topic.end(partition) < from_offset:
            await Filler(self._topic, self._bootstrap, self._name, partition).fill(from_offset)
        reader = self._readers[partition] = _KafkaReader(self._topic, partition, from_offset)
        return reader

    async def begins_at(self, partition: int) -> int:
        return await self._topic.begin(partition)

    async def consumed(self, below: Mapping[int, int]) -> None:
        await delete_records(self._bootstrap, self._name, below)

    async def troubles(self) -> Mapping[int, str]:
        # Not what became of the last append: the next one begins anew.
        return await self._topic.brokers_away()

    async def close(self) -> None:
        for reader in self._readers.values():
            await reader.close()
        await self._topic.close()


class _KafkaReader:
    """Reads ahead in a task of its own, so that a writer finds the next commands waiting."""

    def __init__(self, topic: KafkaLog, partition: int, from_offset: int) -> None:
        self._topic = topic
        self._partition = partition
        self._after = from_offset - 1 if from_offset else START
        self._records: deque[Queued] = deque()
        self._waiting = 0
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._failure: Exception | None = None
        self._closed = False
        self._pump = asyncio.create_task(self._read_ahead())

    async def take(self, commands_max: int) -> list[Queued]:
        await self._filled.wait()
        if self._failure is not None:
            raise self._failure
        taken = [self._records.popleft() for _ in range(how_many_fit(self._records, commands_max))]
        self._waiting -= sum(map(rows_of, taken))
        self._room.set()
        if not self._records:
            self._filled.clear()
        return taken

    def fail(self, failure: Exception) -> None:
        """The topic cannot be read any more: the partition's writer must end, and the next one opens a reader of its own."""
        self._failure = failure
        self._filled.set()

    async def close(self) -> None:
        self._closed = True
        self._pump.cancel()
        await asyncio.wait((self._pump,), timeout=CLOSE_WAIT_S)

    async def _read_ahead(self) -> None:
        try:
            async with aclosing(self._topic.tail(self._partition, self._after)) as runs:
                async for run in runs:
                    if self._closed:  # what was cancelled below Kafka's client may not have heard of it
                        return
                    for record in run:
                        if not record.data:
                            continue
                        queued = Queued(record.offset, _readable(record.data))
                        self._records.append(queued)
                        self._waiting += rows_of(queued)
                    if self._records:
                        self._filled.set()
                    while self._waiting > READ_AHEAD_MAX:
                        self._room.clear()
                        await self._room.wait()
        except Trimmed as trimmed:
            # Its words are about a log. Who opens the next reader asks where the queue begins first, and says what that means.
            gone = f"The queue of partition {self._partition} begins at {trimmed.begin} now, behind where its reader goes on."
            self.fail(LogFailed(gone))
        except Exception as failure:
            self.fail(failure)


def _readable(data: bytes | memoryview) -> CommandBatch | StepBatch | None:
    try:
        return decode_record(data)
    except BatchMalformed:
        return None
