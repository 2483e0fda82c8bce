"""A real Redis Cluster of three nodes: each partition lies whole on one, and everything that one server does works there."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster

from read_side.ask.balances import BalanceReader
from read_side.contract.feed import FeedBatch
from read_side.feed.feed_redis import RedisFeed
from read_side.follow.projector import Projector
from read_side.views.view_redis import RedisViewStore
from read_side.whole_log.rebuild import rebuild
from tests.servers import unique_name
from tests.unit.read_side.block_maker import BlockMaker, moved, opened
from tests.unit.read_side.manual_timer import ManualTimer
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.words.atoms import partition_of

pytestmark = pytest.mark.redis
PARTITIONS = 6
LIMIT_S = 30.0


async def test_partitions_on_several_nodes_are_projected_published_read_and_rebuilt(redis_cluster_url: str) -> None:
    prefix = unique_name()
    view, feed = await RedisViewStore.connect(redis_cluster_url, prefix), RedisFeed(redis_cluster_url, prefix)
    log = MemoryLog(MemoryRecords(PARTITIONS))
    writers = [BlockMaker(log, p) for p in range(PARTITIONS)]
    names = [next(n for i in range(999) if partition_of(n := f"a{i}", PARTITIONS) == p) for p in range(PARTITIONS)]
    for name, writer in zip(names, writers, strict=True):
        await writer.append(opened(name), moved("@world", name, 10))
    timer = ManualTimer()
    projectors = [Projector(p, log, view, feed, timer, f"boot-{p}") for p in range(PARTITIONS)]
    for projector in projectors:
        await projector.start()
    heard = [asyncio.ensure_future(first(feed, p)) for p in range(PARTITIONS)]
    await asyncio.sleep(0)
    running = [asyncio.ensure_future(projector.run()) for projector in projectors]
    try:
        for name, writer in zip(names, writers, strict=True):
            await writer.append(moved("@world", name, 1))
        for p, batch in enumerate(await asyncio.wait_for(asyncio.gather(*heard), LIMIT_S)):
            assert (batch.partition, batch.upto) == (p, 1)
            assert names[p] in batch.rows.accounts
        result = await rebuild(log, view)
        assert [(each.switched, each.differences) for each in result.partitions] == [(True, [])] * PARTITIONS
        row, position = await BalanceReader(view, log, {}).account(names[3])
        assert (row.posted, position) == (11, "3:1"), "read by a process that knew another generation to be live"
        other = await RedisViewStore.connect(redis_cluster_url, prefix)
        row, position = await BalanceReader(other, log, {}).account(names[3])
        await other.close()
        assert (row.posted, position) == (11, "3:1")
    finally:
        for task in running:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await view.close()
        await feed.close()
    assert await nodes_with_keys(redis_cluster_url, prefix) > 1


async def first(feed: RedisFeed, partition: int) -> FeedBatch:
    async for batch in feed.subscribe(partition):
        if not batch.is_heartbeat:
            return batch
    raise AssertionError("the feed ended")


async def nodes_with_keys(url: str, prefix: str) -> int:
    cluster = RedisCluster.from_url(url)
    count = 0
    for node in cluster.get_primaries() or (await cluster.initialize()).get_primaries():
        async with Redis(host=node.host, port=int(node.port)) as client:
            count += bool([key async for key in client.scan_iter(f"{prefix}:*")])
    await cluster.aclose()
    return count
