"""The Kafka log: a partition is a partition of one topic, a block is one record.

Money does not rest on Kafka transactions or consumer groups: the producer is idempotent and waits for all in-sync replicas,
readers assign themselves a partition and an offset, and the chain rule settles what counts. Each `tail`, and each `read` that
finds records, has a consumer of its own, closed with it; whether there are any is asked over one that stays open. The same class
carries any records with the same promises (the command queue).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError, OffsetOutOfRangeError

from write_side.contract.block.limits import RECORD_BYTES_MAX
from write_side.contract.log.bounded_kafka import REQUEST_WAIT_MS, answered_within, stop_consumer, stop_producer
from write_side.contract.log.brokers_kafka import TopicBrokers
from write_side.contract.log.delete_records_kafka import delete_records
from write_side.contract.log.log import START, LogFailed, NotThere, Record, Trimmed, Unit
from write_side.contract.log.lookups_kafka import (
    READ_WAIT_MS,
    KafkaLookups,
    ends,
    started_consumer,
)
from write_side.contract.log.topic_kafka import (
    EVENTS_TOPIC,
    MIN_IN_SYNC,
    REPLICATION,
    CheckedTopic,
    TopicSettings,
    check_topic,
    create_topic,
)

FETCH_BYTES: Final = 8 * 1024 * 1024
"""One run: long enough that a request costs little, short enough that a reader of many partitions stays small. A larger
block comes all the same, alone."""
BATCH_BYTES: Final = 1024 * 1024
"""aiokafka glues records that wait up to this (a larger one goes alone), so it stays far below `max.message.bytes`."""
APPEND_WAIT_MS: Final = 60_000
"""aiokafka repeats an idempotent produce for ever. A killed leader costs about 10 s; after this the partition is given up."""
TAIL_WAIT_MS: Final = 1_000
"""How long one look for new records may take. Data ends it at once, and so does close; it bounds nothing else."""


class _Reading(NamedTuple):
    consumer: AIOKafkaConsumer
    at: TopicPartition
    end: int
    """The offset that the next record will have."""


class KafkaLog:
    """The log port over a topic; made by `open`."""

    def __init__(
        self, bootstrap: str, topic: str, checked: CheckedTopic, settings: TopicSettings, append_wait_ms: int
    ) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._partitions = checked.partitions
        self._brokers = TopicBrokers(bootstrap, topic, *checked)
        self._settings = settings
        self._append_wait_ms = append_wait_ms
        self._producers: dict[int, AIOKafkaProducer] = {}
        self._starting: dict[int, asyncio.Lock] = {}
        self._consumers: set[AIOKafkaConsumer] = set()
        self._lookups = KafkaLookups(bootstrap)
        self._failures: dict[int, LogFailed] = {}
        self._closed = False

    @classmethod
    async def open(
        cls,
        bootstrap: str,
        topic: str = EVENTS_TOPIC,
        *,
        create_partitions: int | None = None,
        replication: int = REPLICATION,
        min_in_sync: int = MIN_IN_SYNC,
        record_bytes_max: int = RECORD_BYTES_MAX,
        append_wait_ms: int = APPEND_WAIT_MS,
    ) -> Self:
        """Check the topic's settings (see `topic_kafka.py`) and open it. Raises LogFailed.

        `create_partitions` makes the topic with that many partitions where it is missing; None never does. An existing topic
        keeps its own count. The producer starts with the first append: a process that only reads has none.
        """
        settings = TopicSettings(replication, min_in_sync, record_bytes_max)
        if create_partitions is not None:
            await create_topic(bootstrap, topic, create_partitions, settings)
        checked = await check_topic(bootstrap, topic, settings, made=create_partitions is not None)
        return cls(bootstrap, topic, checked, settings, append_wait_ms)

    @property
    def partitions(self) -> int:
        return self._partitions

    @property
    def unit(self) -> Unit:
        return "records"

    @property
    def failures(self) -> Mapping[int, LogFailed]:
        """Why partitions take no more appends: those whose last append failed."""
        return self._failures

    async def append(self, partition: int, block: bytes) -> int:
        if self._closed:
            raise LogFailed("The log is closed. Nothing was appended.")
        if partition in self._failures:
            raise self._failures[partition]
        try:
            async with asyncio.timeout(self._append_wait_ms / 1000):
                producer = await self._started_producer(partition)
                sent = await producer.send(self._topic, block, partition=partition)
                offset: int = (await asyncio.shield(sent)).offset
            if offset < 0:
                raise KafkaError("the broker took the record and does not know its offset")
        except (KafkaError, OSError) as error:  # TimeoutError is an OSError
            self._failures[partition] = LogFailed(
                f"Appending to {self._topic}, partition {partition}, on Kafka at {self._bootstrap} failed "
                f"({type(error).__name__}: {error}), so it is not known whether the block is there. Nothing that was answered is "
                "lost, and nothing more is taken here until it is read what won. Look after the brokers."
            )
            raise self._failures[partition] from error
        return offset

    async def resume(self, partition: int) -> None:
        """With a producer of its own: what the failed one may still send is a record of a writer that lost its partition."""
        if self._closed:
            raise LogFailed("The log is closed. Nothing was appended.")
        producer = self._producers.pop(partition, None)
        if self._failures.pop(partition, None) is not None and producer is not None:
            await stop_producer(producer, flush=False)
        elif producer is not None:
            self._producers[partition] = producer

    async def end(self, partition: int) -> int:
        at = TopicPartition(self._topic, partition)
        self._check_open()
        async with self._told(partition):
            return await self._lookups.end(at)

    async def begin(self, partition: int) -> int:
        at = TopicPartition(self._topic, partition)
        self._check_open()
        async with self._told(partition):
            return await self._lookups.begin(at)

    async def trim(self, partition: int, before: int) -> int:
        self._check_open()
        return (await delete_records(self._bootstrap, self._topic, {partition: before}))[partition]

    async def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        if after >= 0 and await self.end(partition) == after + 1:
            return  # asked over an open connection: most looks find nothing, and a consumer takes longer than they wait
        async with self._reading(partition, after) as (consumer, at, end):
            while await consumer.position(at) < end:
                found = await consumer.getmany(at, timeout_ms=READ_WAIT_MS)
                run = [Record(record.offset, record.value) for record in found.get(at, ()) if record.offset < end]
                if run:
                    yield run
                elif self._closed:
                    raise ConsumerStoppedError
                elif not found:
                    raise LogFailed(
                        f"Reading {self._topic}, partition {partition}: Kafka has more and sends nothing for "
                        f"{READ_WAIT_MS // 1000} s. What was read so far is good. Look after the brokers. {_AGAIN}"
                    )

    async def tail(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        was_closed = self._closed
        try:
            async with self._reading(partition, after) as (consumer, at, _):
                while not self._closed:
                    try:
                        found = await consumer.getmany(at, timeout_ms=TAIL_WAIT_MS)
                    except ConsumerStoppedError:
                        return
                    if at in found:
                        yield [Record(record.offset, record.value) for record in found[at]]
        except LogFailed:
            # A close that comes while the tail is being opened takes its answers away: it ends like any other tail.
            if was_closed or not self._closed:
                raise

    async def fetch(self, partition: int, offset: int) -> bytes | memoryview:
        at = TopicPartition(self._topic, partition)
        self._check_open()
        async with self._told(partition):
            value = await self._lookups.record(at, offset)
            if value is not None:
                return value
            if self._closed:
                raise ConsumerStoppedError
        raise NotThere(f"{self._topic}, partition {partition}, has no record at offset {offset}. {_NOT_THERE}")

    async def troubles(self) -> Mapping[int, str]:
        failed = {partition: str(failure) for partition, failure in self._failures.items()}
        return {**failed, **await self.brokers_away()}

    async def brokers_away(self) -> Mapping[int, str]:
        """The troubles that an append would meet at the brokers, whatever became of the last one."""
        return await self._brokers.troubles()

    async def close(self) -> None:
        self._closed = True
        await self._brokers.close()
        producers, self._producers = self._producers, {}
        consumers, self._consumers = self._consumers, set()
        await asyncio.gather(self._lookups.close(), *(stop_consumer(consumer) for consumer in consumers))
        await asyncio.gather(
            *(
                stop_producer(producer, flush=partition not in self._failures)
                for partition, producer in producers.items()
            )
        )

    async def _started_producer(self, partition: int) -> AIOKafkaProducer:
        """One a partition: aiokafka has one request on its way to a broker, so a partition that waits would hold the rest."""
        async with self._starting.setdefault(partition, asyncio.Lock()):
            if partition not in self._producers:
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._bootstrap,
                    enable_idempotence=True,
                    acks="all",
                    linger_ms=0,
                    max_batch_size=min(BATCH_BYTES, self._settings.record_bytes_max),
                    max_request_size=self._settings.batch_bytes_max(),
                    request_timeout_ms=REQUEST_WAIT_MS,
                )
                try:
                    await producer.start()
                    if self._closed:  # while it was being started: nobody would stop it later
                        raise LogFailed("The log is closed. Nothing was appended.")
                except BaseException:
                    await stop_producer(producer, flush=False)
                    raise
                self._producers[partition] = producer
            return self._producers[partition]

    @asynccontextmanager
    async def _reading(self, partition: int, after: int) -> AsyncIterator[_Reading]:
        """A consumer that stands behind `after`."""
        self._check_open()
        at = TopicPartition(self._topic, partition)
        async with self._told(partition):
            consumer = await started_consumer(self._bootstrap, fetch_bytes=FETCH_BYTES, wait_ms=TAIL_WAIT_MS // 2)
            self._consumers.add(consumer)
            try:
                if self._closed:
                    raise ConsumerStoppedError
                consumer.assign([at])
                first, end = await answered_within(ends(consumer, at))
                if after + 1 < first:
                    raise Trimmed(f"{self._topic}, partition {partition},", first)
                begin = max(after, START) + 1
                if not first <= begin <= end:
                    raise NotThere(
                        f"{self._topic}, partition {partition}, holds offsets {first} to {end - 1}, and the reader wants to go "
                        f"on behind {after}. {_NOT_THERE}"
                    )
                consumer.seek(at, begin)
                yield _Reading(consumer, at, end)
            finally:
                self._consumers.discard(consumer)
                await stop_consumer(consumer)

    def _check_open(self) -> None:
        if self._closed:
            raise LogFailed("The log is closed. Nothing was read.")

    @asynccontextmanager
    async def _told(self, partition: int) -> AsyncIterator[None]:
        """What Kafka refuses, said for a person."""
        try:
            yield
        except OffsetOutOfRangeError as error:
            place, begin, end = (
                f"{self._topic}, partition {partition},",
                await self.begin(partition),
                await self.end(partition),
            )
            if all(wanted < begin for wanted in error.args[0].values()):
                raise Trimmed(place, begin) from None
            raise NotThere(
                f"{place} holds offsets {begin} to {end - 1}, and the reader is behind them. {_NOT_THERE}"
            ) from None
        except ConsumerStoppedError:
            raise LogFailed("The log was closed while it was being read. What was read so far is good.") from None
        except (KafkaError, OSError) as error:
            raise LogFailed(
                f"Reading {self._topic}, partition {partition}, on Kafka at {self._bootstrap} failed ({type(error).__name__}: "
                f"{error}). Nothing was changed and nothing is lost. Look after the brokers and the topic. {_AGAIN}"
            ) from error


_AGAIN: Final = "A service that runs tries it again by itself."
_NOT_THERE: Final = (
    "The topic was made again, or acknowledged records are gone. Restore it, or rebuild what was folded from it."
)
