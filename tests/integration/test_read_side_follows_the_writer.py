"""Write side and read side wired as in production, over the file log: what was answered is read, in memory and in Redis."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from read_side.settings import ReadSettings
from read_side.wiring import ReadSide, Wishes
from tests.both_sides import both_sides
from tests.servers import unique_name
from tests.unit.read_side.asgi_client import Reply, ask
from write_side.settings import WriteSettings
from write_side.wiring import WriteSide

LIMIT_S = 60.0


class Both:
    def __init__(self, write_side: WriteSide, read_side: ReadSide) -> None:
        self.write_side, self.read_side = write_side, read_side

    async def put(self, app: FastAPI, target: str, document: dict[str, Any], method: str = "POST") -> Reply:
        return await asyncio.wait_for(ask(app, method, target, json.dumps(document).encode()), LIMIT_S)

    async def open(self, account: str) -> Reply:
        return await self.put(self.write_side.app, f"/v1/accounts/{account}", {"asset": "USD/2"}, "PUT")

    async def transfer(self, debit: str, credit: str, amount: int) -> Reply:
        body = {"id": str(uuid.uuid4()), "from": debit, "to": credit, "amount": str(amount), "asset": "USD/2"}
        return await self.put(self.write_side.app, "/v1/transfers", body)

    async def get(self, target: str) -> Reply:
        return await asyncio.wait_for(ask(self.read_side.app, "GET", target), LIMIT_S)


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def both(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Both]:
    view = "memory" if request.param == "memory" else request.getfixturevalue("redis_url")
    write_settings = WriteSettings(data=str(tmp_path), log="", partitions=2)
    read_settings = ReadSettings(view=view, view_prefix=unique_name())
    async with both_sides(write_settings, read_settings) as sides:
        yield Both(sides.write_side, sides.read_side)


async def test_what_was_answered_is_read_at_once(both: Both) -> None:
    for i in range(20):
        assert (await both.open(f"account-{i}")).status == 201
        assert (await both.get(f"/v1/accounts/account-{i}")).status == 200, "an acknowledged account is never unknown"
        written = await both.transfer("@world", f"account-{i}", 100 + i)
        assert written.status == 201
        position = written.document["position"]
        read = await both.get(f"/v1/accounts/account-{i}?min_position={position}")
        told = written.document["accounts"][0] | {"position": read.document["position"], "flags": []}
        assert read.document == told
        outcome = await both.get(f"/v1/transfers/{written.document['id']}")
        assert outcome.document == written.document


async def test_a_refusal_is_read_as_it_was_answered(both: Both) -> None:
    await both.open("alice")
    refused = await both.transfer("alice", "@world", 5)
    assert refused.status == 422
    outcome = await both.get(f"/v1/transfers/{refused.document['id']}")
    assert (outcome.status, outcome.document) == (200, refused.document)


async def test_a_rebuild_under_load_is_equal_and_reads_go_on(both: Both) -> None:
    names = [f"account-{i}" for i in range(30)]
    for name in names:
        await both.open(name)
    stop = asyncio.Event()

    async def load(name: str) -> int:
        moved = 0
        while not stop.is_set():
            written = await both.transfer("@world", name, 1)
            assert written.status == 201
            moved += 1
            read = await both.get(f"/v1/accounts/{name}?min_position={written.document['position']}&wait_ms=10000")
            assert (read.status, read.document["posted"]) == (200, str(moved))
        return moved

    loads = [asyncio.ensure_future(load(name)) for name in names[:8]]
    told: list[dict[str, Any]] = []
    seen: list[dict[str, Any] | None] = []

    def tell(progress: dict[str, Any]) -> None:
        told.append(progress)
        seen.append(both.read_side.under_way.of(both.read_side.projectors[progress["progress"]["partition"]], 0))

    for generation in (2, 3):
        result = await asyncio.wait_for(both.read_side.rebuild(Wishes(), tell), LIMIT_S)
        assert (result["verdict"], result["different"]) == ("switched", 0)
        assert [each["new_generation"] for each in result["partitions"]] == [generation, generation]
    stop.set()
    moved = await asyncio.gather(*loads)
    assert all(each is not None and each["what"] == "rebuild" for each in seen), "whoever asks meanwhile is told, too"
    assert all("progress" not in each for each in (await both.get("/v1/positions")).document["partitions"])
    system = (await both.get("/v1/system?asset=USD/2")).document
    assert system["world"] == str(-sum(moved))
