"""Publishing: every event at least once and in order, from where the topic is, whatever ended the last time."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from read_side.whole_log import event_runs, publish
from read_side.whole_log.event_topic import EventTopic, TopicEmptied
from read_side.whole_log.event_topic_memory import MemoryEventTopic
from read_side.whole_log.publish import PartitionPublished
from tests.unit.read_side.block_maker import BlockMaker, moved, opened
from tests.unit.read_side.whole_log.event_telling import plain_events
from write_side.contract.log.log import LogFailed
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.snapshots.taker import SnapshotLimits, SnapshotTaker
from write_side.contract.words.atoms import partition_of

LIMIT_S = 30.0


class Wallet:
    """A log of partitions, each with two accounts between which money moves."""

    def __init__(self, partitions: int = 1) -> None:
        self.records = MemoryRecords(partitions)
        self.log = MemoryLog(self.records)
        self.makers = [BlockMaker(self.log, partition) for partition in range(partitions)]
        self.topic = MemoryEventTopic(partitions)

    async def open(self) -> None:
        for partition in range(len(self.makers)):
            await self.makers[partition].epoch()
            await self.makers[partition].append(*(opened(name, -1000) for name in self.names(partition)))

    def names(self, partition: int) -> list[str]:
        count = len(self.makers)
        return [name for name in map(str, range(64)) if partition_of(name, count) == partition][:2]

    async def move(self, partition: int = 0, blocks: int = 1, transfers: int = 3) -> None:
        one, other = self.names(partition)
        for _ in range(blocks):
            await self.makers[partition].append(*(moved(one, other, 1) for _ in range(transfers)))

    def expected(self, partition: int = 0) -> list[dict[str, Any]]:
        return plain_events(self.makers[partition].blocks, partition)

    def told(self, partition: int = 0) -> list[dict[str, Any]]:
        records = self.topic.records[partition]
        events = [json.loads(value) for _, value in records]
        assert [key.decode() for key, _ in records] == [event["subject"] for event in events]
        return events

    def told_once(self, partition: int = 0) -> list[dict[str, Any]]:
        """As a reader takes them who drops what is not above what it had."""
        newest, found = (-1, -1, -1), []
        for event in self.told(partition):
            place = tuple(map(int, event["id"].split(":")[1:]))
            if place > newest:
                newest = place  # type: ignore[assignment]
                found.append(event)
        return found

    async def publish(self, **more: Any) -> list[PartitionPublished]:
        topic: EventTopic = self.topic
        async with asyncio.timeout(LIMIT_S):
            return await publish.publish(
                MemoryLog(self.records), topic, more.pop("snapshots", None), once=True, sleep=never, **more
            )


async def never(seconds: float) -> None:
    raise AssertionError("nothing is waited for")


async def in_no_time(seconds: float) -> None:
    await asyncio.sleep(0)


async def test_every_event_is_published_once_and_in_order_and_a_second_run_adds_nothing() -> None:
    wallet = Wallet(2)
    await wallet.open()
    await wallet.move(0, blocks=5)
    await wallet.move(1, blocks=2)
    first = await wallet.publish()
    assert [wallet.told(p) for p in range(2)] == [wallet.expected(p) for p in range(2)]
    assert [(each.events, each.position, each.problem) for each in first] == [(32, "0:6", None), (14, "1:3", None)]
    assert [(each.events, each.position) for each in await wallet.publish()] == [(0, "0:6"), (0, "1:3")]
    await wallet.move(1)
    assert [each.events for each in await wallet.publish()] == [0, 6]
    assert wallet.told(1) == wallet.expected(1)


@pytest.mark.parametrize("seed", range(12))
async def test_appends_that_fail_anywhere_lose_nothing_and_what_comes_twice_has_the_same_id(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    monkeypatch.setattr(publish, "EVENTS_AT_ONCE", chance.randint(1, 9))
    monkeypatch.setattr(event_runs, "ENTRIES_AT_ONCE", chance.randint(1, 30))
    wallet = Wallet()
    await wallet.open()
    for _ in range(12):
        await wallet.move(blocks=chance.randint(0, 3), transfers=chance.randint(1, 6))
        wallet.topic.fail_next_append(0, chance.randint(0, 9))
        before = len(wallet.told())
        [result] = await wallet.publish()
        assert result.unread is (result.problem is not None)
        if chance.random() < 0.3:  # a late request of a producer that was given up
            again = wallet.topic.records[0][before : before + 2]
            wallet.topic.records[0] += again
    await wallet.publish()
    await wallet.publish()
    assert wallet.told_once() == wallet.expected()
    bodies: dict[str, dict[str, Any]] = {}
    for event in wallet.told():
        assert bodies.setdefault(event["id"], event) == event


async def test_for_ever_it_follows_the_log_and_goes_on_after_the_topic_failed() -> None:
    wallet = Wallet(2)
    await wallet.open()
    wallet.topic.fail_next_append(1, 1)
    async with following(wallet) as seen:
        await wallet.move(0, blocks=3)
        await wallet.move(1, blocks=3)
        await seen(lambda: [wallet.told_once(p) for p in range(2)] == [wallet.expected(p) for p in range(2)])
        wallet.topic.fail_next_append(0, 0)
        await wallet.move(0, blocks=2)
        await seen(lambda: wallet.told_once(0) == wallet.expected(0))


@asynccontextmanager
async def following(wallet: Wallet) -> AsyncIterator[Any]:
    changed = asyncio.Event()

    def note(events: int) -> None:
        changed.set()

    running = asyncio.create_task(
        publish.publish(wallet.log, wallet.topic, None, once=False, sleep=in_no_time, on_events=note)
    )

    async def seen(what: Any) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not what():
                changed.clear()
                await changed.wait()

    yield seen
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def test_damage_in_a_partition_keeps_nothing_from_the_others_nor_what_lies_before_it() -> None:
    wallet = Wallet(2)
    await wallet.open()
    for partition in range(2):
        await wallet.move(partition, blocks=4)
    good = wallet.expected(0)
    blocks = wallet.records.blocks[0]
    blocks[4] = blocks[4][:-1] + bytes([blocks[4][-1] ^ 1])
    damaged, whole = await wallet.publish()
    assert damaged.problem is not None
    assert not damaged.unread
    assert (damaged.position, whole.problem) == ("0:3", None)
    assert wallet.told(0) == [event for event in good if int(event["id"].split(":")[1]) < 4]
    assert wallet.told(1) == wallet.expected(1)


async def test_an_empty_log_has_nothing_to_publish() -> None:
    [result] = await Wallet().publish()
    assert (result.events, result.position, result.problem) == (0, None, None)


async def test_a_topic_of_another_log_is_refused() -> None:
    wallet, other = Wallet(), Wallet()
    for each, blocks in ((wallet, 3), (other, 5)):
        await each.open()
        await each.move(blocks=blocks)
    await other.publish()
    wallet.topic = other.topic
    [ahead] = await wallet.publish()
    assert "this log ends before it" in str(ahead.problem)
    await wallet.move(blocks=5)
    [different] = await wallet.publish()
    assert "of another log" in str(different.problem)
    assert len(other.told()) == len(other.expected()), "nothing was put into it"


async def test_a_log_that_lost_its_last_block_is_refused_also_by_one_that_would_wait_for_it() -> None:
    wallet = Wallet()
    await wallet.open()
    await wallet.move(blocks=2)
    await wallet.publish()
    wallet.records.blocks[0].pop()
    async with asyncio.timeout(LIMIT_S):
        [result] = await publish.publish(MemoryLog(wallet.records), wallet.topic, None, once=False, sleep=never)
    assert "has lost blocks" in str(result.problem)


async def test_a_topic_to_which_somebody_else_writes_is_refused() -> None:
    for value in (b"hello", b"[1]", b'{"id": "1:0:0:0"}', b'{"id": "x"}', b"", b"\xff"):
        wallet = Wallet()
        await wallet.open()
        wallet.topic.records[0] = [(b"", value)]
        [result] = await wallet.publish()
        assert "somebody else writes to it" in str(result.problem), value


async def test_a_topic_of_another_source_is_refused() -> None:
    wallet = Wallet()
    await wallet.open()
    await wallet.publish(source="/shop")
    assert {event["source"] for event in wallet.told()} == {"/shop"}
    [result] = await wallet.publish()
    assert "'/shop'" in str(result.problem)
    await wallet.move()
    [result] = await wallet.publish(source="/shop")
    assert (result.events, result.problem) == (6, None)


class Emptied(MemoryEventTopic):
    async def last(self, partition: int) -> bytes | None:
        if not self.records[partition]:
            raise TopicEmptied("It is emptied.")
        return await super().last(partition)


async def test_a_topic_without_records_is_begun_where_it_is_told_and_one_that_was_emptied_only_there() -> None:
    wallet = Wallet()
    await wallet.open()
    await wallet.move(blocks=3)
    wallet.topic = Emptied(1)
    [refused] = await wallet.publish()
    assert refused.problem == "It is emptied."
    await wallet.publish(after={0: 3})
    assert wallet.told() == [event for event in wallet.expected() if int(event["id"].split(":")[1]) > 3]
    await wallet.move()
    await wallet.publish(after={0: 1})
    assert wallet.told() == [event for event in wallet.expected() if int(event["id"].split(":")[1]) > 3]


async def test_it_begins_at_a_snapshot_where_there_is_one(tmp_path: Path) -> None:
    wallet = Wallet()
    await wallet.open()
    await wallet.move(blocks=4)
    await wallet.publish()
    snapshots = Snapshots(FileStore(tmp_path), wallet.log)
    assert await SnapshotTaker(snapshots, wallet.log, {0: lambda: 0}, SnapshotLimits(), None).take(0)
    snapshots.used.clear()
    await wallet.move(blocks=2)
    await wallet.publish(snapshots=snapshots)
    assert wallet.told() == wallet.expected()
    assert not snapshots.used, "it stands behind the last event's block"
    await wallet.move(blocks=2)
    await wallet.publish(snapshots=snapshots)
    assert wallet.told() == wallet.expected()
    assert snapshots.used == {0: 5}


class Unread(MemoryLog):
    async def end(self, partition: int) -> int:
        raise LogFailed("away")

    def read(self, partition: int, after: int = -1) -> Any:
        if partition == 0:
            raise LogFailed("away")
        return super().read(partition, after)


async def test_a_partition_that_cannot_be_read_is_told_as_that() -> None:
    wallet = Wallet(2)
    await wallet.open()
    away, other = await publish.publish(Unread(wallet.records), wallet.topic, None, once=True, sleep=never)
    assert (away.problem, away.unread, other.problem) == ("away", True, None)
    assert wallet.told(1) == wallet.expected(1)
