"""The servers of `bench push`, a process each: `python -m tests.benchmarks.push_server gateway|bare FEED_PORT HEARTBEAT_MS`, and
`... redis URL HEARTBEAT_MS PREFIX PARTITIONS`, a gateway whose feed is in Redis.

`gateway` is a gateway alone: its feed comes over a socket, as from Redis, and its read side answers that every account is at
version 0. `bare` is what it is compared with: an asyncio protocol that hears the same bytes of the feed, and for each change
writes a frame that was made before to whoever is to have it. Prints its address.
"""

from __future__ import annotations

import asyncio
import sys
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any, Final, cast

import msgspec
import uvloop
from prometheus_client import CollectorRegistry

from deploy import serving
from deploy.allowed_hosts import AllowedHosts
from gateway.protocol.outbox import text_frame
from gateway.settings import GatewaySettings
from gateway.wiring import build_gateway
from read_side.contract.feed import Feed, FeedBatch, Interest
from read_side.feed.feed_redis import RedisFeed
from read_side.feed.notice_bytes import cut, decode_notice

HEAD: Final = 8
"""Bytes before each batch: how long it is, and the group of sockets that it is for (little endian, 4 each)."""
ITEM: Final = (
    b'{"op":"balances","items":[{"sub":1,"v":1000000,"posted":"1000000","held":"0","available":"1000000",'
    b'"at":"2026-01-01T00:00:00.000000Z"}]}'
)


async def batches(port: int) -> AsyncIterator[tuple[int, bytes]]:
    """Group and bytes of each."""
    reader, _ = await asyncio.open_connection("127.0.0.1", port, limit=1 << 26)
    while True:
        head = await reader.readexactly(HEAD)
        size, group = int.from_bytes(head[:4], "little"), int.from_bytes(head[4:], "little")
        yield group, await reader.readexactly(size)


class SocketFeed:
    """`Feed` of one partition, for reading."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def publish(self, batch: FeedBatch) -> None:
        raise NotImplementedError

    async def subscribe(self, partition: int, interest: Interest | None = None) -> AsyncIterator[FeedBatch]:
        async for _, data in batches(self._port):
            notice = decode_notice(data)
            picked = notice.pick(interest)
            yield notice.batch(picked, cut(notice.rows, picked.ranges(notice.shape)))

    async def close(self) -> None:
        pass


async def sides(scope: Any, receive: Any, send: Any) -> None:
    """A read side whose view is as far as it is asked for."""
    body, more = b"", True
    while more:
        event = await receive()
        body, more = body + event.get("body", b""), event.get("more_body", False)
    asked = msgspec.json.decode(body) if body else {}
    accounts = [
        {"account": name, "asset": "USD/2", "posted": "0", "held": "0", "available": "0", "version": 0,
         "at": "2026-01-01T00:00:00.000000Z"}
        for name in asked.get("accounts", ())
    ]  # fmt: skip
    answer = msgspec.json.encode({"positions": asked.get("written", "0:0"), "accounts": accounts})
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": answer})


async def gateway(feed: Feed, heartbeat_ms: int, partitions: int = 1) -> None:
    settings = GatewaySettings(stream_heartbeat_ms=heartbeat_ms, feed_silence_ms=1_000_000)
    serves = build_gateway(settings, sides, sides, feed, CollectorRegistry(), partitions=partitions)
    bound = serving.listen("127.0.0.1", 0)
    await serving.serve(
        serves.app,
        bound,
        work=[serves.run],
        on_started=lambda: print(bound.getsockname()[1], flush=True),
        hosts=AllowedHosts(),
        stopping=serves.stop,
        ws=serves.ws_class,
    )


class Peer(asyncio.Protocol):
    def __init__(self, groups: dict[int, list[asyncio.Transport]]) -> None:
        self._groups = groups
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._upgraded:
            self._upgraded = True
            self._transport.write(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        elif (at := data.find(b'"id":')) > 0:
            self._groups[int(data[at + 5 :].partition(b",")[0])].append(self._transport)
            self._transport.write(text_frame(ITEM))


async def bare(port: int) -> None:
    groups: dict[int, list[asyncio.Transport]] = defaultdict(list)
    server = await asyncio.get_running_loop().create_server(lambda: Peer(groups), "127.0.0.1", 0, backlog=4_096)
    print(server.sockets[0].getsockname()[1], flush=True)
    frame = text_frame(ITEM)
    async for group, _ in batches(port):
        for transport in groups.get(group, ()):
            transport.write(frame)


if __name__ == "__main__":
    kind, place, beat_ms = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if kind == "gateway":
        serving.run(gateway(SocketFeed(int(place)), beat_ms))
    elif kind == "redis":
        serving.run(gateway(RedisFeed(place, sys.argv[4]), beat_ms, int(sys.argv[5])))
    else:
        uvloop.run(bare(int(place)))
