"""The client of the Redis that holds view and feed: of one server, or of a cluster when that is what answers.

All keys of a partition have one hash tag, so each script and each stream lives on one node; a cluster spreads the partitions.
"""

from __future__ import annotations

from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError

RedisClient = Redis | RedisCluster
FAILURES: Final = (RedisError, RedisClusterException, OSError)
"""What a client raises when the environment fails: its cluster errors are not its errors."""


async def open_client(
    url: str, *, connections_max: int, connect_s: float, answer_s: float, retries: int
) -> RedisClient:
    """Connect, and see what answers. connections_max: of one server; who needs more waits `connect_s` for one.

    Raises one of FAILURES.
    """
    # A connection that is dead is another try; a server that does not answer is not: each try would wait as long again.
    retry = Retry(ExponentialBackoff(cap=0.2, base=0.02), retries, (RedisConnectionError,))
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections_max,
        timeout=connect_s,
        socket_timeout=answer_s,
        socket_connect_timeout=connect_s,
        retry=retry,
    )
    client = Redis.from_pool(pool)
    try:
        server = await client.info("cluster")
    except BaseException:
        await close_client(client)
        raise
    if not server.get("cluster_enabled"):
        return client
    await close_client(client)
    # A cluster's client does not wait for a free connection, so it may open more than it needs at once.
    cluster = RedisCluster.from_url(url, socket_timeout=answer_s, socket_connect_timeout=connect_s, retry=retry)
    try:
        await cluster.initialize()
    except BaseException:
        await cluster.aclose()
        raise
    return cluster


async def close_client(client: RedisClient) -> None:
    await client.aclose()
    if isinstance(client, Redis):
        await client.connection_pool.disconnect()


async def infos(client: RedisClient, section: str) -> list[dict[str, Any]]:
    """A section of INFO, of every server that holds keys."""
    if isinstance(client, Redis):
        return [await client.info(section)]
    told = await client.execute_command("INFO", section, target_nodes=RedisCluster.PRIMARIES)
    return list(told.values())


async def time_at(client: RedisClient, key: str) -> tuple[int, int]:
    """Seconds and microseconds of the clock of the server that holds a key."""
    if isinstance(client, Redis):
        return await client.time()
    node = client.get_node_from_key(key)
    told = await client.execute_command("TIME", target_nodes=node)
    seconds, microseconds = next(iter(told.values())) if isinstance(told, dict) else told
    return int(seconds), int(microseconds)
