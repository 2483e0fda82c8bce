"""The client of the Redis that holds view and feed: of one server, or of a cluster when that is what answers.

All keys of a partition have one hash tag, so each script and each stream lives on one node; a cluster spreads the partitions.
"""

from __future__ import annotations

import asyncio
from functools import partial
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
    pool.connection_class = _hearing(pool.connection_class)
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
    _let_hear(cluster)
    try:
        await cluster.initialize()
    except BaseException:
        await cluster.aclose()
        raise
    return cluster


def _hearing(connection_class: Any) -> Any:
    """The same connections, whose user hears that it is cancelled.

    They send under `asyncio.wait_for`, which before Python 3.12 passes over a cancel in the moment in which all is sent: one of
    eight here. Whoever cancels waits for the end, so a partition or a service that is stopped would go on for ever.
    """

    class Hearing(connection_class):  # type: ignore[misc]
        async def send_packed_command(self, *args: Any, **kwargs: Any) -> None:
            task = asyncio.current_task()
            before = 0 if task is None else task.cancelling()
            await super().send_packed_command(*args, **kwargs)
            if task is not None and task.cancelling() > before:
                await self.disconnect(nowait=True)  # its answer, which nobody takes, would be the next one's
                raise asyncio.CancelledError

    return Hearing


def _let_hear(cluster: RedisCluster) -> None:
    """Of every node: those that are known, and those that it finds."""
    nodes = cluster.nodes_manager
    nodes.connection_kwargs["connection_class"] = _hearing(nodes.connection_kwargs["connection_class"])
    for node in nodes.startup_nodes.values():
        node.connection_class = _hearing(node.connection_class)


class LaterClient:
    """A client that is opened when it is first asked for, once for all who ask meanwhile. The arguments are `open_client`'s."""

    def __init__(self, url: str, *, connections_max: int, connect_s: float, answer_s: float, retries: int) -> None:
        self._open = partial(
            open_client, url, connections_max=connections_max, connect_s=connect_s, answer_s=answer_s, retries=retries
        )
        self._opened: RedisClient | None = None
        self._opening = asyncio.Lock()

    async def get(self) -> RedisClient:
        """Raises one of FAILURES."""
        async with self._opening:
            if self._opened is None:
                self._opened = await self._open()
            return self._opened

    async def close(self) -> None:
        """Safe to call twice."""
        if self._opened is not None:
            await close_client(self._opened)


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
