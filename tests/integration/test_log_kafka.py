"""What only the Kafka log promises: a topic that can hold money, and an exit when the broker goes away."""

from __future__ import annotations

import asyncio
import gc
from contextlib import aclosing

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.conn import AIOKafkaConnection

from tests.ports.log_adapters import block, taken
from tests.servers import POLL_S, KafkaServer, make_topic, unique_name
from write_side.contract.block.limits import RECORD_BYTES_MAX
from write_side.contract.log import log_kafka, lookups_kafka
from write_side.contract.log.log import LogFailed, NotThere
from write_side.contract.log.log_kafka import KafkaLog
from write_side.contract.log.lookups_kafka import started_consumer
from write_side.contract.log.topic_kafka import BATCH_OVERHEAD_BYTES, TopicSettings, create_topic

pytestmark = pytest.mark.kafka

ALONE = TopicSettings(replication=1, min_in_sync=1, record_bytes_max=RECORD_BYTES_MAX)


async def opened(
    bootstrap: str, topic: str, *, create_partitions: int | None = 1, append_wait_ms: int = 60_000
) -> KafkaLog:
    return await KafkaLog.open(
        bootstrap,
        topic,
        create_partitions=create_partitions,
        replication=1,
        min_in_sync=1,
        append_wait_ms=append_wait_ms,
    )


async def configs(bootstrap: str, topic: str) -> dict[str, str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
        return {entry[0]: entry[1] for entry in response.resources[0][4]}
    finally:
        await admin.close()


async def make_topic_with(bootstrap: str, topic: str, settings: dict[str, str]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await make_topic(admin, NewTopic(topic, 1, 1, topic_configs=settings))
    finally:
        await admin.close()


async def test_a_topic_is_made_for_ever_whole_and_without_compaction(kafka_bootstrap: str) -> None:
    topic = unique_name("made")
    log = await opened(kafka_bootstrap, topic, create_partitions=3)
    assert log.partitions == 3
    await log.close()
    found = await configs(kafka_bootstrap, topic)
    assert found["cleanup.policy"] == "delete"
    assert found["retention.ms"] == found["retention.bytes"] == "-1"
    assert found["unclean.leader.election.enable"] == "false"
    assert found["min.insync.replicas"] == "1"
    assert int(found["max.message.bytes"]) == RECORD_BYTES_MAX + BATCH_OVERHEAD_BYTES


async def test_a_topic_that_is_there_keeps_its_own_partition_count(kafka_bootstrap: str) -> None:
    topic = unique_name("count")
    assert await create_topic(kafka_bootstrap, topic, 2, ALONE)
    assert not await create_topic(kafka_bootstrap, topic, 5, ALONE)
    log = await opened(kafka_bootstrap, topic, create_partitions=5)
    assert log.partitions == 2
    await log.close()


async def test_a_missing_topic_is_said_and_never_made_by_looking(kafka_bootstrap: str) -> None:
    topic = unique_name("missing")
    for _ in range(2):
        with pytest.raises(LogFailed, match=f"no topic {topic}"):
            await opened(kafka_bootstrap, topic, create_partitions=None)


async def test_every_setting_that_could_lose_money_is_named(kafka_bootstrap: str) -> None:
    topic = unique_name("wrong")
    wrong = {"cleanup.policy": "compact", "retention.bytes": "1000000000", "max.message.bytes": "1000000"}
    await make_topic_with(kafka_bootstrap, topic, wrong)
    with pytest.raises(LogFailed) as refused:
        await KafkaLog.open(kafka_bootstrap, topic)
    said = str(refused.value)
    for part in (
        topic,
        "cleanup.policy is compact, expected delete",
        "retention.ms is 604800000, expected -1",
        "retention.bytes is 1000000000, expected -1",
        f"max.message.bytes is 1000000, expected at least {RECORD_BYTES_MAX + BATCH_OVERHEAD_BYTES}",
        "replication factor is 1, expected at least 3",
        "min.insync.replicas is 1, expected at least 2",
        "FANFOLD_REPLICATION=1",
        "FANFOLD_MIN_IN_SYNC=1",
    ):
        assert part in said
    assert "unclean" not in said


async def test_more_replicas_than_brokers_are_refused(kafka_bootstrap: str) -> None:
    with pytest.raises(LogFailed, match="replication factor 3"):
        await KafkaLog.open(kafka_bootstrap, unique_name("replicas"), create_partitions=1)
    with pytest.raises(LogFailed, match="FANFOLD_REPLICATION=1 and FANFOLD_MIN_IN_SYNC=1"):
        await KafkaLog.open(kafka_bootstrap, unique_name("replicas"), create_partitions=1)


async def test_a_broker_that_is_not_there_is_said() -> None:
    with pytest.raises(LogFailed, match="cannot be reached"):
        await opened("127.0.0.1:1", "fanfold.events")


async def test_a_block_up_to_the_limit_goes_and_a_larger_one_stops_the_log(kafka_bootstrap: str) -> None:
    log = await opened(kafka_bootstrap, unique_name("large"))
    largest = block(0) + bytes(RECORD_BYTES_MAX - len(block(0)))
    offset = await log.append(0, largest)
    assert bytes(await log.fetch(0, offset)) == largest
    with pytest.raises(LogFailed, match="nothing more is taken"):
        await log.append(0, largest + bytes(BATCH_OVERHEAD_BYTES))
    assert 0 in log.failures
    with pytest.raises(LogFailed):
        await log.append(0, block(1))
    await log.close()


async def test_appends_at_once_are_each_a_record_of_its_own(kafka_bootstrap: str) -> None:
    """The command queue appends without waiting; glued into one request they stay separate records."""
    log = await opened(kafka_bootstrap, unique_name("glued"))
    blocks = [block(sequence, rows=sequence * 100) for sequence in range(40)]
    offsets = await asyncio.gather(*(log.append(0, each) for each in blocks))
    assert len(set(offsets)) == len(blocks)
    records = [record async for run in log.read(0) for record in run]
    assert {record.offset: bytes(record.data) for record in records} == dict(zip(offsets, blocks, strict=True))
    await log.close()


async def test_two_writers_on_one_partition_both_get_through_in_one_order(kafka_bootstrap: str) -> None:
    """The log takes both; which of them counts is the chain rule's business."""
    topic = unique_name("two")
    one = await opened(kafka_bootstrap, topic)
    other = await opened(kafka_bootstrap, topic)
    for sequence in range(5):
        await one.append(0, block(sequence))
        await other.append(0, block(sequence + 100))
    seen = [
        [(record.offset, bytes(record.data)) async for run in log.read(0) for record in run] for log in (one, other)
    ]
    assert seen[0] == seen[1]
    assert [data for _, data in seen[0]] == [each for n in range(5) for each in (block(n), block(n + 100))]
    await one.close()
    await other.close()


@pytest.fixture
def consumers(monkeypatch: pytest.MonkeyPatch) -> list[AIOKafkaConsumer]:
    """Those that logs have started."""
    started: list[AIOKafkaConsumer] = []

    async def noted(bootstrap: str, *, fetch_bytes: int, wait_ms: int) -> AIOKafkaConsumer:
        started.append(await started_consumer(bootstrap, fetch_bytes=fetch_bytes, wait_ms=wait_ms))
        return started[-1]

    for module in (log_kafka, lookups_kafka):
        monkeypatch.setattr(module, "started_consumer", noted)
    return started


async def test_looks_behind_the_last_record_share_one_connection_and_see_the_next_at_once(
    kafka_bootstrap: str, consumers: list[AIOKafkaConsumer]
) -> None:
    log = await opened(kafka_bootstrap, unique_name())
    try:
        offset = await log.append(0, block(0))
        for number in range(1, 6):
            assert await taken(log.read(0, offset), 1) == []
            assert await log.end(0) == offset + 1
            assert len(consumers) == number, "one that stays open, and one for each read of a record"
            before, offset = offset, await log.append(0, block(number))
            assert [record.offset for record in await taken(log.read(0, before), 2)] == [offset]
        with pytest.raises(LogFailed, match="holds offsets"):
            await taken(log.read(0, offset + 1), 1)
    finally:
        await log.close()


@pytest.mark.parametrize("wait_ms", range(0, 60, 10))
async def test_a_log_that_is_closed_while_it_is_asked_leaves_no_connection(
    kafka_bootstrap: str, wait_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (log_kafka, lookups_kafka):  # a question whose connection goes away under it waits that long
        monkeypatch.setattr(module, "REQUEST_WAIT_MS", 2_000)
    log = await opened(kafka_bootstrap, unique_name())
    questions = [
        asyncio.create_task(work)
        for work in (log.append(0, block(0)), log.end(0), log.troubles(), taken(log.tail(0), 9), taken(log.read(0), 9))
    ]
    await asyncio.sleep(wait_ms / 1000)  # somewhere in the middle of what each of them does
    await log.close()
    await asyncio.wait(questions)
    assert {type(question.exception()) for question in questions} <= {LogFailed, type(None)}
    open_still = [each for each in gc.get_objects() if isinstance(each, AIOKafkaConnection) and each.connected()]
    assert not [f"{each.host}:{each.port}" for each in open_still]


async def test_a_broker_that_stops_answering_stops_the_writer_and_lets_it_exit(kafka_server: KafkaServer) -> None:
    log = await opened(kafka_server.bootstrap, "fanfold.events", append_wait_ms=1_000)
    await log.append(0, block(0))
    async with aclosing(log.tail(0)) as tail:
        assert len(await taken(tail, 1)) == 1
        kafka_server.pause()
        try:
            with pytest.raises(LogFailed, match="TimeoutError"):
                await log.append(0, block(1))
            with pytest.raises(LogFailed, match="nothing more is taken"):
                await log.append(0, block(2))
            await log.close()
        finally:
            kafka_server.resume()
    again = await opened(kafka_server.bootstrap, "fanfold.events")
    assert bytes(await again.fetch(0, 0)) == block(0)
    kept = [bytes(record.data) async for run in again.read(0) for record in run]
    assert kept in ([block(0)], [block(0), block(1)])
    await again.append(0, block(3))
    await again.close()


async def test_a_tail_and_a_writer_outlive_a_broker_that_is_started_again(kafka_server: KafkaServer) -> None:
    log = await opened(kafka_server.bootstrap, "fanfold.events")
    await log.append(0, block(0))
    async with aclosing(log.tail(0)) as tail:
        assert len(await taken(tail, 1)) == 1
        await asyncio.to_thread(kafka_server.stop)
        appending = asyncio.ensure_future(log.append(0, block(1)))
        await asyncio.sleep(0)
        kafka_server.start()
        offset = await appending
        assert [(r.offset, bytes(r.data)) for r in await taken(tail, 1)] == [(offset, block(1))]
    await log.close()


async def test_a_tail_whose_topic_was_made_again_is_not_told_that_a_trim_took_what_it_waits_for(
    kafka_bootstrap: str,
) -> None:
    topic = unique_name("again")
    log = await opened(kafka_bootstrap, topic)
    for sequence in range(3):
        await log.append(0, block(sequence))
    async with aclosing(log.tail(0, 1)) as runs, asyncio.timeout(60):
        await taken(runs, 1)
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
        await admin.start()
        await admin.delete_topics([topic])
        while topic in await admin.list_topics():  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
        await admin.close()
        await create_topic(kafka_bootstrap, topic, 1, ALONE)
        with pytest.raises(NotThere, match="The topic was made again"):
            await taken(runs, 1)
    await log.close()


async def test_the_end_is_told_again_when_the_broker_is_back(
    kafka_server: KafkaServer, consumers: list[AIOKafkaConsumer]
) -> None:
    log = await opened(kafka_server.bootstrap, "fanfold.events")
    try:
        offset = await log.append(0, block(0))
        assert await log.end(0) == offset + 1
        await asyncio.to_thread(kafka_server.stop)
        with pytest.raises(LogFailed):
            await log.end(0)
        kafka_server.start()
        assert await log.end(0) == offset + 1
        assert len(consumers) == 2, "brokers may have moved, so it does not go on with what it knew of them"
    finally:
        await log.close()
