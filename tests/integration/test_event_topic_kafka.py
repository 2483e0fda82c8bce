"""The topic of events in a real broker: what it tells of its end, and a broker that goes away while events are published."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from read_side.whole_log.event_topic import CannotPublish, TopicEmptied
from read_side.whole_log.event_topic_kafka import KafkaEventTopic
from read_side.whole_log.publish import publish
from tests.servers import KafkaServer, unique_name
from tests.unit.read_side.whole_log.test_publish import Wallet
from write_side.contract.log.log import LogFailed

pytestmark = pytest.mark.kafka
LIMIT_S = 120.0


async def opened(bootstrap: str, topic: str, partitions: int = 1) -> KafkaEventTopic:
    return await KafkaEventTopic.open(bootstrap, topic, partitions, replication=1, min_in_sync=1)


async def test_it_tells_its_last_record_also_when_it_has_several_batches(kafka_bootstrap: str) -> None:
    name = unique_name("published")
    topic = await opened(kafka_bootstrap, name, 2)
    assert await topic.last(1) is None
    values = [b"%07d" % i + bytes(1_000) for i in range(3_000)]
    await topic.append(1, [b"key"] * len(values), values)
    assert await topic.last(1) == values[-1]
    assert await topic.last(0) is None
    await topic.append(1, [b"key"], [b"next"])
    await topic.close()
    again = await opened(kafka_bootstrap, name, 2)
    assert await again.last(1) == b"next"
    async with AIOKafkaConsumer(bootstrap_servers=kafka_bootstrap) as consumer:
        at = TopicPartition(name, 1)
        consumer.assign([at])
        consumer.seek(at, 0)
        found: list[bytes] = []
        while len(found) < len(values) + 1:
            found += [record.value for record in (await consumer.getmany(at, timeout_ms=1_000)).get(at, ())]
    assert found == [*values, b"next"]
    with pytest.raises(CannotPublish, match="has 2 partitions, and the log has 3"):
        await opened(kafka_bootstrap, name, 3)


async def test_a_topic_that_has_forgotten_all_says_so(kafka_bootstrap: str) -> None:
    name = unique_name("published")
    topic = await opened(kafka_bootstrap, name)
    await topic.append(0, [b"key"] * 3, [b"value"] * 3)
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    await admin.delete_records({TopicPartition(name, 0): RecordsToDelete(before_offset=3)})
    await admin.close()
    with pytest.raises(TopicEmptied, match="--after"):
        await topic.last(0)
    await topic.close()


async def test_a_broker_that_is_away_is_waited_for_and_nothing_is_missing(kafka_server: KafkaServer) -> None:
    wallet, name = Wallet(), unique_name("published")
    await wallet.open()
    topic = await opened(kafka_server.bootstrap, name)
    seen = asyncio.Event()
    running = asyncio.create_task(
        publish(wallet.log, topic, None, once=False, on_events=lambda events: seen.set(), sleep=_shortly)
    )
    async with asyncio.timeout(LIMIT_S):
        await seen.wait()
        kafka_server.stop()
        await wallet.move(blocks=5)
        with pytest.raises(LogFailed):
            await topic.last(0)
        kafka_server.start()
        await wallet.move(blocks=5)
        last = wallet.expected()[-1]
        while await _last_of(topic) != last:
            seen.clear()
            await wait_for_either(seen, running)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    await topic.close()
    async with AIOKafkaConsumer(bootstrap_servers=kafka_server.bootstrap) as consumer:
        at = TopicPartition(name, 0)
        end = (await consumer.end_offsets([at]))[at]
        consumer.assign([at])
        consumer.seek(at, 0)
        while end > 0 and len(wallet.topic.records[0]) < end:
            found = (await consumer.getmany(at, timeout_ms=1_000)).get(at, ())
            wallet.topic.records[0] += [(record.key, record.value) for record in found]
    assert wallet.told_once() == wallet.expected()


async def _shortly(seconds: float) -> None:
    await asyncio.sleep(min(seconds, 0.1))


async def _last_of(topic: KafkaEventTopic) -> Any:
    try:
        value = await topic.last(0)
    except LogFailed:  # it is just coming up
        return None
    return None if value is None else json.loads(value)


async def wait_for_either(seen: asyncio.Event, running: asyncio.Task[Any]) -> None:
    """Until more was published; not for ever, for it may have been before we looked."""
    waiting = asyncio.create_task(seen.wait())
    await asyncio.wait((waiting, running), timeout=0.5, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    assert not running.done() or running.result()
