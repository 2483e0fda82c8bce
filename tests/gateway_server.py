"""A real gateway on a free loopback port, in the test's own event loop, before any two sides."""

from __future__ import annotations

import asyncio
import functools
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import uvicorn
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import ClientConnection

from deploy.allowed_hosts import AllowedHosts
from deploy.bounded_http import HEAD_MS_MAX, BoundedHttpProtocol
from deploy.descriptors import connections_max
from gateway.settings import GatewaySettings
from gateway.wiring import Gateway, build_gateway
from read_side.contract.feed import Feed
from read_side.contract.kept_once import KeptOnce
from read_side.feed.kept_once_memory import MemoryKeptOnce

SILENCE_MS = 60_000
"""What stands for a read side says nothing while nothing happens: no test of something else is told that it is silent."""
PASSED_OVER = frozenset({"hello", "heartbeat", "bye"})
"""What a stream hears because it is there: most stories are not about that, and their clients pass it over, as old ones do."""


async def next_frame(client: ClientConnection, wait_s: float = 10) -> Any:
    """What the gateway says next, but for what is passed over."""
    async with asyncio.timeout(wait_s):
        while (frame := json.loads(await client.recv()))["op"] in PASSED_OVER:
            pass
    return frame


class Served(NamedTuple):
    gateway: Gateway
    server: uvicorn.Server
    url: str

    @property
    def stream_url(self) -> str:
        return "ws" + self.url.removeprefix("http") + "/v1/stream"


@asynccontextmanager
async def serving(
    sides: Any, feed: Feed, partitions: int = 1, kept_once: KeptOnce | None = None, **settings: Any
) -> AsyncIterator[Served]:
    """`sides`: an ASGI application or URL that is both sides. `settings`: fields of GatewaySettings."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        told = {"feed_silence_ms": SILENCE_MS, **settings}
        kept = kept_once or MemoryKeptOnce()
        gateway = build_gateway(
            GatewaySettings(**told), sides, sides, feed, CollectorRegistry(), partitions, kept_once=kept
        )
        await gateway.open()
        config = uvicorn.Config(
            gateway.app,
            ws=gateway.ws_class,
            http=functools.partial(  # type: ignore[arg-type]
                BoundedHttpProtocol,
                AllowedHosts(),
                HEAD_MS_MAX,
                connections_max(),
                told_pages=gateway.told_pages,
            ),
            lifespan="off",
            proxy_headers=False,
            log_level="warning",
            timeout_graceful_shutdown=5,
        )
        server = uvicorn.Server(config)
        serve = asyncio.create_task(server._serve([bound]))
        work = asyncio.create_task(gateway.run())
        try:
            async with asyncio.timeout(10):
                while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.01)
            yield Served(gateway, server, f"http://127.0.0.1:{bound.getsockname()[1]}")
        finally:
            gateway.stop()
            server.should_exit = True
            await serve
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            await gateway.close()
