"""A side that is stopped (SIGSTOP) takes connections and says nothing: who asks is told so, and a read soon."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp

from gateway.proxy.reverse_proxy import ONLY_READ
from read_side.feed.feed_memory import MemoryFeed
from tests.gateway_server import serving
from tests.listening import listening

LIMIT_S = 20.0


async def _says_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_a_read_is_told_after_the_silence_of_reads_and_a_write_waits_longer() -> None:
    silences: dict[str, Any] = {"upstream_read_silence_ms": 200, "upstream_silence_ms": 60_000}
    async with (
        listening(_says_nothing) as port,
        serving(f"http://127.0.0.1:{port}", MemoryFeed(), **silences) as served,
        aiohttp.ClientSession(served.url) as client,
    ):
        paying = asyncio.create_task(client.post("/v1/transfers", json={}))
        async with asyncio.timeout(LIMIT_S), client.get("/v1/accounts/alice") as reply:
            told = await reply.json(content_type=None)
        assert (reply.status, told["code"], told["detail"]) == (504, "upstream_timeout", ONLY_READ)
        assert not paying.done(), "what it does not say yet may be that money has moved"
        paying.cancel()
        await asyncio.gather(paying, return_exceptions=True)
