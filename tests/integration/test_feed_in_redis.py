"""What a gateway pays for the feed in Redis, and what it is told when something of it is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import numpy as np
import pytest
import redis.asyncio

from read_side.contract.feed import FeedBatch, FeedUnavailable, Places
from read_side.contract.marks import Marks, marks_of
from read_side.contract.rows import EMPTY_ROWS, AccountRow, AccountRows
from read_side.feed import feed_redis, lane
from read_side.feed.feed_redis import LANES, RedisFeed
from read_side.feed.notice_bytes import encode_batch
from tests.servers import RedisServer, unique_name

pytestmark = pytest.mark.redis

LIMIT_S = 30.0
MANY = 100


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with redis.asyncio.Redis.from_url(redis_url) as found:
        yield found


@pytest.fixture
async def feed(redis_url: str) -> AsyncIterator[RedisFeed]:
    found = RedisFeed(redis_url, unique_name())
    yield found
    await found.close()


def batch(upto: int, accounts: int = 0, partition: int = 0) -> FeedBatch:
    rows = [AccountRow(f"account-{n}", "USD/2", n, 0, 0, upto, 1) for n in range(accounts)]
    return FeedBatch(partition, 1, "boot", upto - 1, upto, AccountRows.of(rows) if rows else EMPTY_ROWS)


async def take(batches: AsyncIterator[FeedBatch]) -> FeedBatch:
    return await asyncio.wait_for(anext(batches), LIMIT_S)


async def test_many_partitions_are_followed_over_a_handful_of_connections(
    feed: RedisFeed, client: redis.asyncio.Redis
) -> None:
    before = len(await client.client_list())
    following = [asyncio.ensure_future(take(feed.subscribe(p))) for p in range(MANY)]
    for p in range(MANY):
        await feed.publish(batch(1, partition=p))
    assert [each.partition for each in await asyncio.gather(*following)] == list(range(MANY))
    assert len(await client.client_list()) - before <= 2 * LANES


async def test_rows_that_are_gone_show_as_a_gap_and_the_next_come(feed: RedisFeed, client: redis.asyncio.Redis) -> None:
    batches = feed.subscribe(0)
    await feed.publish(batch(1, accounts=MANY))
    await client.delete(feed._rows_key(encode_batch(batch(1, accounts=MANY))[0]))
    await feed.publish(batch(2, accounts=MANY))
    found = await take(batches)
    assert (found.after, found.upto, len(found.rows)) == (1, 2, MANY)


async def test_rows_of_all_that_wait_are_asked_for_at_once(feed: RedisFeed, client: redis.asyncio.Redis) -> None:
    batches = feed.subscribe(0)
    for upto in range(1, 11):
        await feed.publish(batch(upto, accounts=MANY))
    before = (await client.info("commandstats")).get("cmdstat_eval", {"calls": 0})["calls"]
    found = [await take(batches) for _ in range(10)]
    assert [(each.upto, len(each.rows), each.rows[MANY - 1].version) for each in found] == [
        (upto, MANY, upto) for upto in range(1, 11)
    ]
    assert (await client.info("commandstats"))["cmdstat_eval"]["calls"] - before < 5


async def test_of_the_rows_only_the_newest_stay(
    feed: RedisFeed, client: redis.asyncio.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(encode_batch(batch(1, accounts=MANY))[1])
    monkeypatch.setattr(feed_redis, "ROWS_BYTES_MAX", 3 * (size + feed_redis.ENTRY_BYTES))
    for upto in range(1, 11):
        await feed.publish(batch(upto, accounts=MANY))
    left = [key async for key in client.scan_iter(f"{feed._prefix}:*:rows:*", count=10_000)]
    assert sorted(key.decode().rsplit(":", 1)[1] for key in left) == ["10", "8", "9"]
    assert all([0 < await client.pttl(key) <= feed_redis.KEPT_MS for key in left])


async def test_a_projector_that_starts_trims_nothing_that_others_have_just_published(
    redis_url: str, feed: RedisFeed, client: redis.asyncio.Redis
) -> None:
    for upto in range(1, 301):
        await feed.publish(batch(upto))
    other = RedisFeed(redis_url, feed._prefix)
    for upto in range(1, 4):
        await other.publish(batch(upto, partition=LANES))
    await other.close()
    assert await client.xlen(feed._lane_key(0)) == 303


async def test_nonsense_among_the_notices_stops_nobody(feed: RedisFeed, client: redis.asyncio.Redis) -> None:
    batches = feed.subscribe(0)
    await client.xadd(feed._lane_key(0), {"notice": b"nonsense"})
    await client.xadd(feed._lane_key(0), {"batch": b"of another version"})
    await feed.publish(batch(1))
    assert (await take(batches)).upto == 1


async def test_a_lane_that_fails_ends_who_follows_it_and_who_comes_again_goes_on(
    feed: RedisFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(data: bytes) -> None:
        raise RuntimeError("a fault of ours")

    with monkeypatch.context() as patch:
        patch.setattr(lane, "decode_notice", fail)
        followed = feed.subscribe(0)
        await feed.publish(batch(1))
        with pytest.raises(StopAsyncIteration):
            await take(followed)
    again = feed.subscribe(0)
    await feed.publish(batch(2))
    while (found := await take(again)).upto < 2:
        pass
    assert found.upto == 2


async def test_what_was_published_in_the_way_before_is_taken_away(feed: RedisFeed, client: redis.asyncio.Redis) -> None:
    await client.xadd(feed._stream_before(0), {"batch": b"of another version"})
    await feed.publish(batch(1))
    assert not await client.exists(feed._stream_before(0))


class OneAccount:
    """An interest in the last account of each batch."""

    def accounts(self, upto: int, marks: Marks) -> Places:
        return np.flatnonzero(marks == marks_of([f"account-{MANY - 1}"])[0])

    def keys(self, marks: Marks) -> Places:
        return np.zeros(0, np.int64)


@pytest.mark.parametrize("how", ["flush", "restart_empty"])
async def test_a_batch_comes_with_what_is_wanted_of_it_or_not_at_all_whatever_redis_loses(
    redis_server: RedisServer, how: str
) -> None:
    """And who follows is heard again when Redis is back."""
    publisher, reader = RedisFeed(redis_server.url), RedisFeed(redis_server.url)
    batches = reader.subscribe(0, OneAccount())
    upto, lost = 0, False

    async def tell_for_ever() -> None:
        nonlocal upto
        while True:
            upto += 1
            with suppress(FeedUnavailable):
                await publisher.publish(batch(upto, accounts=MANY))
            await asyncio.sleep(0.002)

    telling = asyncio.create_task(tell_for_ever())
    try:
        seen, until = 0, None
        while until is None or seen < until:
            found = await take(batches)
            assert [(row.account, row.version) for row in found.rows.each()] == [(f"account-{MANY - 1}", found.upto)]
            seen = found.upto
            if seen > 20 and not lost:
                lost = True
                await asyncio.to_thread(getattr(redis_server, how))
                until = upto + 20
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)
        await publisher.close()
        await reader.close()
