"""The topic of events in Kafka: a record an event, its key the account.

The producer is idempotent and waits for all in-sync replicas. One request a partition is on its way, and the next one is sent
only when the one before it is acknowledged: so there is never a hole. After a failure a producer is not used again: what it may
still send is a repeat.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any, Final, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from fanfold.api.events import CONTENT_TYPE
from read_side.whole_log.event_topic import CannotPublish, TopicEmptied
from write_side.contract.log.bounded_kafka import (
    REQUEST_WAIT_MS,
    STOP_WAIT_S,
    NotAnswered,
    answered_within,
    ended_within,
    stop_consumer,
    stop_producer,
)
from write_side.contract.log.log import LogFailed
from write_side.contract.log.lookups_kafka import ends, started_consumer
from write_side.contract.log.topic_kafka import TopicSettings, create_topic

BATCH_BYTES: Final = 512 * 1024
"""Of one request: half of what a topic takes where nothing is set; more makes nothing faster here."""
APPEND_WAIT_S: Final = 60.0
"""aiokafka repeats an idempotent produce for ever. A killed leader costs about 10 s; after this it is begun again."""
LAST_WAIT_MS: Final = 20_000
"""For the last record, which is there."""
_HEADERS: Final = [("content-type", CONTENT_TYPE.encode())]


class KafkaEventTopic:
    """Made by `open`."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._producers: dict[int, AIOKafkaProducer] = {}

    @classmethod
    async def open(cls, bootstrap: str, topic: str, partitions: int, *, replication: int, min_in_sync: int) -> Self:
        """Make the topic where it is missing, kept for ever; one that is there keeps its settings.

        Raises LogFailed, CannotPublish for one with another number of partitions.
        """
        await create_topic(bootstrap, topic, partitions, TopicSettings(replication, min_in_sync, 2 * BATCH_BYTES))
        found = await _partitions_of(bootstrap, topic)
        if found != partitions:
            raise CannotPublish(
                f"The topic {topic} on Kafka at {bootstrap} has {found} partitions, and the log has {partitions}. Partition p "
                "of the topic has the events of partition p of the log, so the numbers must be the same. Nothing was published. "
                "Name another topic with --topic, or delete this one if nobody needs it: it is made again with all events."
            )
        return cls(bootstrap, topic)

    async def last(self, partition: int) -> bytes | None:
        at = TopicPartition(self._topic, partition)
        try:
            consumer = await started_consumer(self._bootstrap, fetch_bytes=1, wait_ms=500)
            try:
                return await answered_within(self._last(consumer, at))
            finally:
                await stop_consumer(consumer)
        except (KafkaError, OSError) as error:  # NotAnswered is an OSError
            raise LogFailed(
                f"Reading the end of {self._topic}, partition {partition}, on Kafka at {self._bootstrap} failed "
                f"({type(error).__name__}: {error}). Nothing was published. Look after the brokers and the topic."
            ) from error

    async def _last(self, consumer: AIOKafkaConsumer, at: TopicPartition) -> bytes | None:
        consumer.assign([at])
        first, end = await ends(consumer, at)
        if end == 0:
            return None
        if first < end:
            consumer.seek(at, end - 1)
            for record in (await consumer.getmany(at, timeout_ms=LAST_WAIT_MS, max_records=1)).get(at, ()):
                value: bytes | None = record.value
                return value or b""
            raise NotAnswered(f"its last record, {end - 1}, does not come")
        raise TopicEmptied(
            f"{self._topic}, partition {at.partition}, had {end} records and has none any more (its retention, or somebody who "
            "deleted them), so it does not tell how far it is. Nothing was published to it. Say with --after which block was "
            "the last, such as 0:17; or delete the topic, and it is made again with all events."
        )

    async def append(self, partition: int, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        try:
            producer = self._producers.get(partition) or await self._started(partition)
            batch, at = await asyncio.to_thread(_filled, producer, keys, values, 0)
            while batch is not None:
                async with asyncio.timeout(APPEND_WAIT_S):
                    sent = await producer.send_batch(batch, self._topic, partition=partition)
                    sent.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
                    batch, at = await asyncio.to_thread(_filled, producer, keys, values, at)  # while it is on its way
                    await asyncio.shield(sent)
        except MessageSizeTooLargeError as error:
            await self._let_go(partition)
            raise CannotPublish(
                f"{self._topic} on Kafka at {self._bootstrap} does not take {BATCH_BYTES} bytes at once: set its "
                f"max.message.bytes to {2 * BATCH_BYTES}. Nothing is lost; what is published is whole up to here."
            ) from error
        except (KafkaError, OSError) as error:  # TimeoutError is an OSError
            await self._let_go(partition)
            raise LogFailed(
                f"Publishing to {self._topic}, partition {partition}, on Kafka at {self._bootstrap} failed "
                f"({type(error).__name__}: {error}). Nothing is lost: it goes on behind the last event that is there. Look after "
                "the brokers."
            ) from error

    async def close(self) -> None:
        for partition in [*self._producers]:
            await self._let_go(partition)

    async def _started(self, partition: int) -> AIOKafkaProducer:
        """One a partition: aiokafka has one request on its way to a broker, so a partition that waits would hold the rest."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            enable_idempotence=True,
            acks="all",
            linger_ms=0,
            max_batch_size=BATCH_BYTES,
            max_request_size=2 * BATCH_BYTES,
            request_timeout_ms=REQUEST_WAIT_MS,
        )
        try:
            await answered_within(producer.start())
        except BaseException:
            await stop_producer(producer, flush=False)
            raise
        self._producers[partition] = producer
        return producer

    async def _let_go(self, partition: int) -> None:
        producer = self._producers.pop(partition, None)
        if producer is not None:
            await stop_producer(producer, flush=False)


def _filled(
    producer: AIOKafkaProducer, keys: Sequence[bytes], values: Sequence[bytes], at: int
) -> tuple[Any | None, int]:
    """A batch of the records from number `at` on, None where there are none, and the number of the next one."""
    if at == len(values):
        return None, at
    batch = producer.create_batch()
    return batch, fill(batch, keys, values, at)


def fill(batch: Any, keys: Sequence[bytes], values: Sequence[bytes], at: int) -> int:
    """Put records from number `at` on into a batch until it is full; the number of the next one."""
    append, now_ms = batch.append, time.time_ns() // 1_000_000
    for key, value in zip(islice(keys, at, None), islice(values, at, None), strict=True):
        if append(timestamp=now_ms, key=key, value=value, headers=_HEADERS) is None:
            break
        at += 1
    batch.close()
    return at


async def _partitions_of(bootstrap: str, topic: str) -> int:
    """Of a topic that is there."""
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_WAIT_MS)
    try:
        await answered_within(admin.start())
        # All topics are listed, because asking for one by its name may make it, with the broker's defaults.
        described = [each for each in await answered_within(admin.describe_topics()) if each["topic"] == topic]
        return len(described[0]["partitions"]) if described else 0
    except (KafkaError, OSError) as error:
        raise LogFailed(
            f"Kafka at {bootstrap} did not tell of its topics ({type(error).__name__}: {error}). Nothing was published. Look "
            "after the brokers."
        ) from error
    finally:
        await ended_within(admin.close(), STOP_WAIT_S)
