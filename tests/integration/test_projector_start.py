"""The projector service answers from its first second, however long the log takes: a start that hangs says so."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from deploy import services
from read_side.doors.no_log_yet import OPENING
from tests.servers import free_port, unique_name
from tests.unit.read_side.block_maker import BlockMaker, moved, opened
from tests.unit.read_side.follow.test_keeper import AwayLog
from write_side.contract.log.log import Log
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_kafka import KafkaLog
from write_side.contract.log.log_memory import MemoryRecords
from write_side.contract.words.atoms import partition_of

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
    serving = asyncio.ensure_future(services.projector(lambda *_: ready.set()))
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


async def begun(address: str, topic: str) -> Log:
    """The log that a write side makes at its first start."""
    if address.startswith("file:"):
        return await FileLog.open(Path(address.removeprefix("file:")), 2)
    bootstrap = address.removeprefix("kafka://")
    return await KafkaLog.open(bootstrap, f"{topic}.events", create_partitions=2, replication=1, min_in_sync=1)


@pytest.mark.parametrize("kind", ["file", pytest.param("kafka", marks=pytest.mark.kafka)])
async def test_a_projector_that_starts_before_there_is_a_log_says_so_and_waits_for_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    address = f"file:{tmp_path}" if kind == "file" else f"kafka://{request.getfixturevalue('kafka_bootstrap')}"
    topic, port, ready = unique_name("late"), free_port(), asyncio.Event()
    for variable, value in {
        "LOG": address,
        "TOPIC": topic,
        "REPLICATION": "1",
        "MIN_IN_SYNC": "1",
        "VIEW": "memory",
        "SNAPSHOTS": "off",
        "READ_PORT": str(port),
    }.items():
        monkeypatch.setenv(f"FANFOLD_{variable}", value)
    serving = asyncio.ensure_future(services.projector(lambda *_: ready.set()))
    missing = "There is no log in" if kind == "file" else f"has no topic {topic}.events"
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client, asyncio.timeout(LIMIT_S):
        while missing not in (said := await get(client, "/readyz"))[1]["reasons"][0]:
            assert said[1]["reasons"] == [OPENING]
        assert (said[0], said[1]["code"], said[1]["ready"]) == (503, "not_ready", False)
        assert (await get(client, "/healthz"))[0] == 200
        status, document = await get(client, "/v1/accounts/alice")
        assert (status, document["code"]) == (503, "not_ready")
        assert missing in document["reasons"][0]
        assert not ready.is_set()
        log = await begun(address, topic)
        partition = partition_of("alice", 2)
        await BlockMaker(log, partition).append(opened("alice"), moved("@world", "alice", 10))
        await ready.wait()
        status, document = await get(client, "/readyz")
        assert (status, document["partitions_of_log"]) == (200, 2)
        assert (await get(client, "/v1/accounts/alice"))[1]["posted"] == "10"
        signal.raise_signal(signal.SIGTERM)
        await serving
    await log.close()


async def get(client: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    while True:
        try:
            async with client.get(path) as response:
                return response.status, json.loads(await response.read())
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0)
