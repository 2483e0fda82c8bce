"""Accounts that are served after their request was acknowledged."""

from __future__ import annotations

import asyncio
import json

from gateway.protocol.messages import item
from gateway.protocol.partition_watch import PartitionWatch
from gateway.protocol.session import Session
from gateway.protocol.wishes import Watch
from gateway.streams.audience import Audience
from gateway.streams.balance_source import Found
from gateway.streams.subscribes import Subscribes, _NotRead
from read_side.contract.feed import FeedBatch
from read_side.contract.rows import EMPTY_ROWS

AT = "2026-01-01T00:00:00.000000Z"


class Unreadable:
    async def read(self, *_asked: object) -> Found:
        raise NotImplementedError


def test_what_a_repair_finds_of_an_unread_account_waits_for_its_own_read_which_breaks_no_cut() -> None:
    """The view is ahead of the feed: the account must not be shown at a later position than the others of its partition."""
    session, partition = Session(10), PartitionWatch(0, {}, 1_000)
    subscribes = Subscribes(Unreadable(), Audience(), asyncio.create_task, lambda: 0, 1)
    partition.take(FeedBatch(0, 0, "a", -1, 5, EMPTY_ROWS))
    watch = session.receive('{"op":"subscribe","id":1,"accounts":[{"account":"a"}]}')
    assert isinstance(watch, Watch)
    partition.register(watch.subscriptions)
    session.acknowledge(watch, {}, unread={"a": "upstream_unavailable"})
    subscribes.not_read[0] = [share := _NotRead(session, 1, watch.subscriptions)]
    partition.take(FeedBatch(0, 0, "b", 5, 6, EMPTY_ROWS))
    repair = partition.begin_repair()
    assert repair is not None
    partition.finish(repair, {"a": item(3, "USD/2", "1", "0", "1", AT)}, 6, 0)
    late = partition.register(watch.subscriptions)
    found = Found({"a": item(4, "USD/2", "2", "0", "2", AT)}, 9)
    subscribes._served_late(partition, late, found, [share])
    frames = [json.loads(frame) for frame in session.outbox.take()[0]]
    assert [frame["accounts"][0]["version"] for frame in frames if frame["op"] == "ack"] == [None, 4]
    assert [frame["op"] for frame in frames if frame["op"] != "ack"] == []
    partition.take(FeedBatch(0, 0, "b", 6, 9, EMPTY_ROWS))
    [balances] = [json.loads(frame) for frame in session.outbox.take()[0]]
    assert [row["v"] for row in balances["items"]] == [4]
    assert subscribes.not_read == {0: []}


class PutBackMeanwhile:
    """A read that was answered before the log was put back, and came here after a repair had read what counts now."""

    def __init__(self, partition: PartitionWatch) -> None:
        self.partition = partition
        self.reads = 0

    async def read(self, *_asked: object) -> Found:
        self.reads += 1
        now = {"a": item(5, "USD/2", "5", "0", "5", AT)}
        if self.reads > 1:
            return Found(now, 2, history="two")
        self.partition.take(FeedBatch(0, 0, "b", 1, 2, EMPTY_ROWS))
        while (repair := self.partition.begin_repair()) is not None:
            self.partition.finish(repair, now, 2, 0, "two")
        return Found({"a": item(9, "USD/2", "9", "0", "9", AT)}, 7, history="one")


def put_back_meanwhile() -> tuple[Session, PartitionWatch, Subscribes, Watch]:
    session, partition, audience = Session(10), PartitionWatch(0, {}, 1_000), Audience()
    audience.partitions[:] = [partition]
    partition.take(FeedBatch(0, 0, "a", -1, 7, EMPTY_ROWS))
    partition.history = "one"
    subscribes = Subscribes(PutBackMeanwhile(partition), audience, asyncio.create_task, lambda: 0, 30_000)
    watch = session.receive('{"op":"subscribe","id":1,"accounts":[{"account":"a"}]}')
    assert isinstance(watch, Watch)
    return session, partition, subscribes, watch


def test_what_was_read_of_a_history_that_a_repair_has_found_to_be_over_is_not_told() -> None:
    """Its version is the higher one: the balance that counts would stay hidden until as many changes later."""
    session, partition, subscribes, watch = put_back_meanwhile()
    asyncio.run(subscribes.serve(session, watch, subscribes.readings(watch)))
    [error] = [json.loads(frame) for frame in session.outbox.take()[0]]
    assert (error["op"], error["code"]) == ("error", "upstream_unavailable")
    assert len(partition) == 0


def test_what_is_read_late_is_read_once_more_where_its_history_is_over_by_then() -> None:
    session, partition, subscribes, watch = put_back_meanwhile()
    partition.register(watch.subscriptions)
    session.acknowledge(watch, {}, unread={"a": "upstream_unavailable"})
    subscribes.not_read[0] = [_NotRead(session, 1, watch.subscriptions)]
    asyncio.run(subscribes._read_later(partition))
    frames = [json.loads(frame) for frame in session.outbox.take()[0]]
    assert [frame["accounts"][0]["version"] for frame in frames if frame["op"] == "ack"] == [None, 5]
    assert [row["v"] for frame in frames if frame["op"] == "balances" for row in frame["items"]] == [5]
