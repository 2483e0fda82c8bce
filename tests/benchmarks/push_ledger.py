"""Of `bench push`: what a gateway whose feed is in Redis pays for changes that nobody watches, and for partitions that are idle.

- `ledger_us`: processor time of a change that nobody of this gateway watches; `ledger_bytes`: what Redis sends to it for that.
- `watched_us`, `watched_bytes`: the same of a change that somebody watches, a hundredth of all, until it is in the socket.
- `idle_cores`: while `IDLE_PARTITIONS` partitions say each second that nothing has happened, and `idle_connections` to Redis.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import numpy as np
import redis.asyncio

from read_side.contract.feed import FeedBatch
from read_side.contract.rows import EMPTY_ROWS, AccountRows
from read_side.feed.feed_redis import RedisFeed
from tests.benchmarks.push_clients import AT_US, Socket, opened
from tests.benchmarks.requests import processor_s
from tests.servers import shared_redis, unique_name

BATCHES_A_SECOND: Final = 100
LEDGER_S: Final = 4.0
IDLE_PARTITIONS: Final = 600
IDLE_S: Final = 4.0
HEARTBEAT_MS: Final = 1_000
WATCHED_EVERY: Final = 100
SOCKETS: Final = 100


class _Spent(NamedTuple):
    """cpu_s: of the gateway; sent: bytes out of Redis; took_s: by the clock."""

    cpu_s: float
    sent: int
    took_s: float


class _Gateway:
    """One that runs, and a projector's words for it. All rows are of partition 0."""

    def __init__(self, pid: int, port: int, feed: RedisFeed, client: redis.asyncio.Redis) -> None:
        self.port = port
        self.feed = feed
        self.client = client
        self._pid = pid
        self._sequence = 0

    async def spent(self) -> _Spent:
        told = await self.client.info("stats")
        return _Spent(processor_s(self._pid), int(told["total_net_output_bytes"]), time.perf_counter())

    async def tell(self, names: Sequence[str], version: int) -> None:
        """One block: each of these at this version."""
        count = len(names)
        same = np.zeros(count, np.int64)
        rows = AccountRows(
            names, ["USD/2"] * count, same + version, same, same, same + version, same + AT_US, same
        )  # fmt: skip
        self._sequence += 1
        await self.feed.publish(FeedBatch(0, 1, "boot", self._sequence - 1, self._sequence, rows))

    async def beat(self, partition: int) -> None:
        at = self._sequence if partition == 0 else 0
        await self.feed.publish(FeedBatch(partition, 1, "boot", at, at, EMPTY_ROWS))


async def measure(rate: int, partitions: int = IDLE_PARTITIONS) -> dict[str, Any]:
    """rate: changes a second. Needs a Redis."""
    told: dict[str, Any] = {}
    with shared_redis() as url:
        async with _running(url, 1) as gateway:
            names = [f"nobody-watches-{n:07d}" for n in range(max(1, rate // BATCHES_A_SECOND))]
            watched = [f"watched-{n:07d}" for n in range(max(1, len(names) // WATCHED_EVERY))]
            shares = [watched[n::SOCKETS] for n in range(min(SOCKETS, len(watched)))]
            sockets = await opened(gateway.port, shares, range(len(shares)))
            told |= await _ledger(gateway, names)
            told |= await _watched(gateway, names, watched, sockets, told)
            for socket in sockets:
                socket.close()
        async with _running(url, partitions) as gateway:
            told |= await _idle(gateway, partitions)
    return told


async def _ledger(gateway: _Gateway, names: list[str]) -> dict[str, Any]:
    before = await gateway.spent()
    changes = await _changes(gateway, names, [], 0)
    await asyncio.sleep(0.5)
    after = await gateway.spent()
    took_s, cpu_s = after.took_s - before.took_s - 0.5, after.cpu_s - before.cpu_s
    return {
        "ledger_rate": round(changes / took_s),
        "ledger_cores": round(cpu_s / took_s, 3),
        "ledger_us": round(cpu_s / changes * 1e6, 4),
        "ledger_bytes": round((after.sent - before.sent) / changes, 2),
    }


async def _watched(
    gateway: _Gateway, names: list[str], watched: list[str], sockets: list[Socket], told: dict[str, Any]
) -> dict[str, Any]:
    before = await gateway.spent()
    changes = await _changes(gateway, names, watched, 1 << 20)
    last = (1 << 20) + int(LEDGER_S * BATCHES_A_SECOND) - 1
    while any(socket.newest < last for socket in sockets):  # noqa: ASYNC110 - what is waited for has no event
        await asyncio.sleep(0.05)
    after = await gateway.spent()
    seen = len(watched) * int(LEDGER_S * BATCHES_A_SECOND)
    unseen = changes - seen
    return {
        "watched_us": round(((after.cpu_s - before.cpu_s) * 1e6 - unseen * told["ledger_us"]) / seen, 2),
        "watched_bytes": round((after.sent - before.sent - unseen * told["ledger_bytes"]) / seen, 1),
    }


async def _changes(gateway: _Gateway, names: list[str], watched: list[str], version: int) -> int:
    rest = names[len(watched) :]
    mixed = list(rest)
    for n, name in enumerate(watched):
        mixed.insert(n * WATCHED_EVERY, name)
    started, count = time.perf_counter(), int(LEDGER_S * BATCHES_A_SECOND)
    for n in range(count):
        await asyncio.sleep(max(0.0, started + n / BATCHES_A_SECOND - time.perf_counter()))
        await gateway.tell(mixed, version + n)
    return count * len(mixed)


async def _idle(gateway: _Gateway, partitions: int) -> dict[str, Any]:
    async def beats(partition: int) -> None:
        await asyncio.sleep(partition / partitions)
        while True:
            await gateway.beat(partition)
            await asyncio.sleep(1.0)

    beating = [asyncio.create_task(beats(partition)) for partition in range(partitions)]
    await asyncio.sleep(2.0)
    before = await gateway.spent()
    await asyncio.sleep(IDLE_S)
    after = await gateway.spent()
    connections = sum(
        each["name"] == "" and each["cmd"].startswith("xread") for each in await gateway.client.client_list()
    )
    for task in beating:
        task.cancel()
    await asyncio.gather(*beating, return_exceptions=True)
    return {
        "idle_partitions": partitions,
        "idle_cores": round((after.cpu_s - before.cpu_s) / (after.took_s - before.took_s), 3),
        "idle_connections": connections,
    }


@asynccontextmanager
async def _running(url: str, partitions: int) -> AsyncIterator[_Gateway]:
    prefix = unique_name()
    feed, client = RedisFeed(url, prefix), redis.asyncio.Redis.from_url(url)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.push_server", "redis", url, str(HEARTBEAT_MS), prefix, str(partitions),
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        port = int(await process.stdout.readline())
        await asyncio.sleep(1.0)
        gateway = _Gateway(process.pid, port, feed, client)
        await gateway.beat(0)
        yield gateway
    finally:
        process.kill()
        await process.wait()
        await feed.close()
        await client.aclose()
