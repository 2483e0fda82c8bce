"""Small look-ups in Kafka: where a partition begins and ends, and one record of it. Asked over one client that stays open,
because one that is opened anew takes longer than those who ask can wait.

Raises KafkaError and OSError. Each ends in bounded time (`bounded_kafka.py`); a client that failed is not asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import ConsumerStoppedError, KafkaError

from write_side.contract.log.bounded_kafka import REQUEST_WAIT_MS, answered_within, stop_consumer

READ_WAIT_MS: Final = 60_000
"""`read` knows that there is more: when none comes for this long it fails rather than hangs."""

T = TypeVar("T")


class KafkaLookups:
    """One client, for all partitions of a topic."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._client: AIOKafkaConsumer | None = None
        self._opening = asyncio.Lock()
        self._fetching = asyncio.Lock()
        self._asked: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def begin(self, at: TopicPartition) -> int:
        """The offset of the first record that is there; that of the next one where none is."""
        client = await self._opened()
        return await self._answer(client, _begin(client, at))

    async def end(self, at: TopicPartition) -> int:
        """The offset that the next record will have."""
        client = await self._opened()
        return await self._answer(client, _end(client, at))

    async def record(self, at: TopicPartition, offset: int) -> bytes | None:
        """The value of the record at an offset; None when there is none."""
        async with self._fetching:
            client = await self._opened()
            return await self._answer(client, _record(client, at, offset))

    async def close(self) -> None:
        self._closed = True
        if self._client is not None:
            await self._let_go(self._client)

    async def _opened(self) -> AIOKafkaConsumer:
        async with self._opening:
            if self._client is None and not self._closed:
                # One byte: the broker answers a fetch with the one batch that the offset lies in.
                self._client = await started_consumer(self._bootstrap, fetch_bytes=1, wait_ms=10)
            if self._closed:
                await self.close()  # it came while the client was being opened
                raise ConsumerStoppedError
            assert self._client is not None
            return self._client

    async def _answer(self, client: AIOKafkaConsumer, lookup: Coroutine[Any, Any, T]) -> T:
        asked = asyncio.create_task(answered_within(lookup))
        self._asked.add(asked)
        try:
            await asyncio.wait((asked,))
            if asked.cancelled():
                raise ConsumerStoppedError if self._closed else KafkaError("what was asked beside it failed")
            return asked.result()
        except (KafkaError, OSError):
            # Brokers may have moved: the next look-up begins with those that are configured.
            await self._let_go(client)
            raise
        finally:
            asked.cancel()
            self._asked.discard(asked)

    async def _let_go(self, client: AIOKafkaConsumer) -> None:
        if self._client is not client:
            return
        self._client = None
        for asked in self._asked:
            asked.cancel()  # a client that is stopped answers nothing any more, and may connect anew for what is asked of it
        await stop_consumer(client)


async def started_consumer(bootstrap: str, *, fetch_bytes: int, wait_ms: int) -> AIOKafkaConsumer:
    """A consumer without a group, assigned to nothing yet."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        check_crcs=False,  # the block's own hash is stronger, and is checked by every reader
        max_partition_fetch_bytes=fetch_bytes,
        fetch_max_bytes=fetch_bytes,
        fetch_max_wait_ms=wait_ms,
        request_timeout_ms=REQUEST_WAIT_MS,
    )
    try:
        await answered_within(consumer.start())
    except BaseException:
        await stop_consumer(consumer)
        raise
    return consumer


async def ends(consumer: AIOKafkaConsumer, at: TopicPartition) -> tuple[int, int]:
    """The first offset that is there, and the one that the next record will have."""
    return (await consumer.beginning_offsets([at]))[at], (await consumer.end_offsets([at]))[at]


async def _begin(consumer: AIOKafkaConsumer, at: TopicPartition) -> int:
    await _ask_who_leads(consumer)
    begin: int = (await consumer.beginning_offsets([at]))[at]
    return begin


async def _end(consumer: AIOKafkaConsumer, at: TopicPartition) -> int:
    await _ask_who_leads(consumer)
    end: int = (await consumer.end_offsets([at]))[at]
    return end


async def _ask_who_leads(consumer: AIOKafkaConsumer) -> None:
    """Each time: one that led, and does not know yet that another does, would tell what was before."""
    if not await consumer._client.force_metadata_update():
        raise KafkaError("no broker says who leads")


async def _record(consumer: AIOKafkaConsumer, at: TopicPartition, offset: int) -> bytes | None:
    consumer.assign([at])
    consumer.seek(at, offset)
    if offset < (await consumer.end_offsets([at]))[at]:
        found = await consumer.getmany(at, timeout_ms=READ_WAIT_MS, max_records=1)
        consumer.pause(at)  # or it would go on and fetch what nobody asked for
        for record in found.get(at, ()):
            if record.offset == offset:
                value: bytes = record.value
                return value
    return None
