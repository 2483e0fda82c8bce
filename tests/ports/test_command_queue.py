"""What every adapter of the command queue promises, on every adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.servers import unique_name
from tests.unit.write_side.deciding import NOON_US, id_at
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Transfer
from write_side.queue.command_queue import CommandQueue, Queued, QueueReader
from write_side.queue.queue_kafka import KafkaQueue
from write_side.queue.queue_memory import MemoryQueue

PARTITIONS = 2
LIMIT_S = 30.0  # only ever reached by a test that fails


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
async def queue(request: pytest.FixtureRequest) -> AsyncIterator[CommandQueue]:
    made: CommandQueue = MemoryQueue()
    if request.param == "kafka":
        made = await open_kafka(request.getfixturevalue("kafka_bootstrap"), unique_name("commands"))
    yield made
    await made.close()


async def open_kafka(bootstrap: str, topic: str) -> KafkaQueue:
    return await KafkaQueue.open(bootstrap, topic=topic, partitions=PARTITIONS, replication=1, min_in_sync=1)


def commands(first: int, count: int = 1) -> CommandBatch:
    return CommandBatch.of([Transfer(id_at(NOON_US, first + n), "@world", "alice", 1, "USD/2") for n in range(count)])


@asynccontextmanager
async def reading(queue: CommandQueue, from_offset: int = 0, partition: int = 0) -> AsyncIterator[QueueReader]:
    reader = await queue.open_reader(partition, from_offset)
    try:
        async with asyncio.timeout(LIMIT_S):
            yield reader
    finally:
        await reader.close()


async def taken(reader: QueueReader, count: int, commands_max: int = 8_192) -> list[Queued]:
    found: list[Queued] = []
    while len(found) < count:
        found += await reader.take(commands_max)
    return found


def ids(records: list[Queued]) -> list[bytes]:
    return [record.batch.ids.tobytes() for record in records if record.batch is not None]


async def test_records_are_taken_in_order_at_the_offsets_that_append_returned(queue: CommandQueue) -> None:
    async with reading(queue) as reader:
        batches = [commands(10 * n, 1 + n) for n in range(5)]
        offsets = [await queue.append(0, batch) for batch in batches]
        found = await taken(reader, 5)
        assert [record.offset for record in found] == offsets == sorted(set(offsets))
        assert ids(found) == [batch.ids.tobytes() for batch in batches]


async def test_a_block_is_not_given_more_commands_than_it_asks_for_and_always_a_record(queue: CommandQueue) -> None:
    async with reading(queue) as reader:
        for n in range(3):
            await queue.append(0, commands(10 * n, 4))
        seen: list[Queued] = []
        while len(seen) < 3:
            run = await reader.take(5)
            assert len(run) == 1
            seen += run


async def test_a_new_queue_has_forgotten_nothing(queue: CommandQueue) -> None:
    assert [await queue.begins_at(partition) for partition in range(PARTITIONS)] == [0, 0]


async def test_what_is_consumed_is_forgotten_and_nothing_behind_it(queue: CommandQueue) -> None:
    async with reading(queue) as reader, reading(queue, partition=1) as other:
        offsets = [await queue.append(0, commands(n)) for n in range(6)]
        away = [await queue.append(1, commands(10 + n)) for n in range(3)]
        await taken(reader, 6)
        await taken(other, 3)
        await queue.consumed({0: offsets[4], 1: away[2] + 1})
        assert await queue.begins_at(0) == offsets[4]
        assert await queue.begins_at(1) == away[2] + 1
        behind = await queue.append(0, commands(7))
        assert ids(await taken(reader, 1)) == ids([Queued(behind, commands(7))])


async def test_it_is_harmless_to_say_again_or_late_what_is_consumed(queue: CommandQueue) -> None:
    async with reading(queue) as reader:
        offsets = [await queue.append(0, commands(n)) for n in range(4)]
        await taken(reader, 4)
        for below in (offsets[2], offsets[2], offsets[1], 0):
            await queue.consumed({0: below})
            assert await queue.begins_at(0) == offsets[2]


async def test_all_of_a_queue_may_be_consumed_and_it_goes_on_where_it_was(queue: CommandQueue) -> None:
    async with reading(queue) as reader:
        last = [await queue.append(0, commands(n)) for n in range(3)][-1]
        await taken(reader, 3)
        await queue.consumed({0: last + 1})
    assert await queue.begins_at(0) == last + 1
    async with reading(queue, last + 1) as reader:
        assert await queue.append(0, commands(9)) > last
        assert ids(await taken(reader, 1)) == ids([Queued(0, commands(9))])


@pytest.mark.parametrize("from_offset", [1, 7, 40_000])
async def test_what_is_appended_behind_a_reader_is_never_below_the_offset_it_was_opened_at(
    queue: CommandQueue, from_offset: int
) -> None:
    async with reading(queue, from_offset) as reader:
        offset = await queue.append(0, commands(1))
        assert offset >= from_offset
        [found] = await taken(reader, 1)
        assert (found.offset, ids([found])) == (offset, ids([Queued(0, commands(1))]))


@pytest.mark.kafka
async def test_records_of_a_topic_outlive_the_process_and_what_was_forgotten_stays_forgotten(
    kafka_bootstrap: str,
) -> None:
    topic = unique_name("commands")
    before = await open_kafka(kafka_bootstrap, topic)
    offsets = [await before.append(0, commands(n)) for n in range(5)]
    await before.consumed({0: offsets[3]})
    await before.close()
    after = await open_kafka(kafka_bootstrap, topic)
    try:
        assert await after.begins_at(0) == offsets[3]
        async with reading(after, offsets[3]) as reader:
            found = await taken(reader, 2)
        assert [record.offset for record in found] == offsets[3:]
    finally:
        await after.close()


@pytest.mark.kafka
async def test_filler_in_the_middle_of_commands_is_passed_over_and_is_no_unreadable_record(
    kafka_bootstrap: str,
) -> None:
    """Two writers that filled the same topic at once have filled too much."""
    queue = await open_kafka(kafka_bootstrap, unique_name("commands"))
    try:
        await (await queue.open_reader(0, 3)).close()
        first = await queue.append(0, commands(1))
        await (await queue.open_reader(0, first + 5)).close()
        second = await queue.append(0, commands(2))
        async with reading(queue, 0) as reader:
            found = await taken(reader, 2)
        assert [(record.offset, record.batch is None) for record in found] == [(first, False), (second, False)]
    finally:
        await queue.close()
