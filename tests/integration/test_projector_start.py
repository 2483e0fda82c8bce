"""The projector service answers from its first second, however long the log takes: a start that hangs says so."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from deploy import services
from tests.servers import free_port
from tests.unit.read_side.block_maker import BlockMaker, moved, opened
from tests.unit.read_side.follow.test_keeper import AwayLog
from write_side.contract.log.log_memory import MemoryRecords

LIMIT_S = 30.0


async def test_while_the_log_is_folded_the_projector_answers_and_it_is_ready_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = AwayLog(MemoryRecords(1))
    await BlockMaker(log).append(opened("alice"), moved("@world", "alice", 10))
    log.away, log.hangs = {0}, True

    async def open_log() -> AwayLog:
        return log

    port = free_port()
    monkeypatch.setattr(services, "open_log_to_read", open_log)
    monkeypatch.setenv("FANFOLD_VIEW", "memory")
    monkeypatch.setenv("FANFOLD_READ_PORT", str(port))
    ready = asyncio.Event()
    serving = asyncio.ensure_future(services.projector(lambda _: ready.set()))
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client, asyncio.timeout(LIMIT_S):
        status, document = await get(client, "/healthz")
        assert status == 200
        status, document = await get(client, "/readyz")
        assert (status, document["ready"], list(document["starting"]["partitions"])) == (503, False, ["0"])
        status, document = await get(client, "/v1/accounts/alice")
        assert (status, document["code"]) == (503, "starting")
        assert not ready.is_set()
        log.away = set()
        log.returned.set()
        await ready.wait()
        assert (await get(client, "/readyz"))[0] == 200
        status, document = await get(client, "/v1/accounts/alice")
        assert (status, document["posted"]) == (200, "10")
        await log.close()  # the end of what is followed is the end of the service
        await serving


async def get(client: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    while True:
        try:
            async with client.get(path) as response:
                return response.status, json.loads(await response.read())
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0)
