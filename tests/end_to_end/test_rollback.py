"""`fanfold rollback` as its users type it, over real processes and a real Redis, with kill -9 in the middle of it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import struct
import uuid
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from tests.end_to_end import load, processes
from tests.servers import unique_name

LIMIT_S = 30.0


async def pay(address: str, to: str, amount: int) -> None:
    body = {"id": str(uuid.uuid4()), "from": "@world", "to": to, "amount": str(amount), "asset": load.ASSET}
    async with aiohttp.ClientSession() as session, session.post(f"{address}/v1/transfers", json=body) as response:
        assert response.status == 201


async def posted(address: str, account: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(f"{address}/v1/accounts/{account}") as response:
        return int((await response.json())["posted"])


async def command(*arguments: str, environment: dict[str, str]) -> tuple[int, dict[str, Any], str]:
    code, out, errors = await processes.command(*arguments, "--json", environment=environment)
    assert "Traceback" not in errors
    return code, json.loads(out) if out else {}, errors


async def test_in_one_process_it_goes_back_and_forth_and_says_when_it_cannot(tmp_path: Path) -> None:
    environment = load.folder_of(tmp_path / "data") | {"FANFOLD_PARTITIONS": "2"}
    code, _, errors = await command("rollback", environment=environment)
    assert (code, "no fanfold is running" in errors) == (2, True)
    async with processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service:
        async with aiohttp.ClientSession() as session:
            await load.open_accounts(session, service.address, ["alice", "bob"])
        code, _, errors = await command("rollback", environment=environment)
        assert (code, "no older generation to go back to" in errors) == (2, True)
        code, _, errors = await command("rebuild", environment=environment)
        assert code == 0, errors
        await pay(service.address, "alice", 5)
        for generation, paid in ((1, 5), (2, 12)):
            code, told, errors = await command("rollback", environment=environment)
            assert code == 0, errors
            assert {each["new_generation"] for each in told["partitions"]} == {generation}
            assert await posted(service.address, "alice") == paid
            await pay(service.address, "alice", 7)


async def item_of(stream: aiohttp.ClientWebSocketResponse, posted: str) -> dict[str, Any]:
    """The next item with this balance."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            for item in json.loads(await stream.receive_str()).get("items", ()):
                if item["posted"] == posted:
                    return dict(item)


async def numbers(redis: Redis, prefix: str, name: str) -> list[int]:
    """Of the generations that are live, or kept, in both partitions."""
    return [int(await redis.get(f"{prefix}:2:{{{partition}}}:{name}") or 0) for partition in range(2)]


async def kill_once_begun(redis: Redis, prefix: str, environment: dict[str, str]) -> int | None:
    """`fanfold rollback`, killed as soon as it has reserved the view; its exit code, where it was faster."""
    key = f"{prefix}:2:{{0}}:reserved"
    before = await redis.hget(key, "token")
    process = await asyncio.create_subprocess_exec(
        *processes.COMMAND, "rollback", env={**os.environ, **environment}, stderr=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(LIMIT_S):
        while await redis.hget(key, "token") == before and process.returncode is None:
            pass
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    return await process.wait()


@pytest.mark.redis
async def test_a_damaged_view_is_replaced_and_gone_back_to_though_it_is_killed(tmp_path: Path, redis_url: str) -> None:
    prefix = unique_name("rollback")
    environment = load.folder_of(tmp_path / "data") | {
        "FANFOLD_PARTITIONS": "2", "FANFOLD_VIEW": redis_url, "FANFOLD_VIEW_PREFIX": prefix,
    }  # fmt: skip
    async with (
        processes.running("up", environment=environment, errors=tmp_path / "errors.txt") as service,
        aiohttp.ClientSession() as session,
        Redis.from_url(redis_url) as redis,
    ):
        await load.open_accounts(session, service.address, ["alice", "bob"])
        for account in ("alice", "bob"):
            await pay(service.address, account, 100)
        stream = await session.ws_connect(f"{service.address}/v1/stream", protocols=["wallet.v1"])
        accounts = [{"account": account} for account in ("alice", "bob")]
        await stream.send_json({"op": "subscribe", "id": 1, "accounts": accounts})

        [key] = [each async for each in redis.scan_iter(f"{prefix}:2:*:rows:1") if await redis.hexists(each, "alice")]
        row = await redis.hget(key, "alice")
        assert isinstance(row, bytes)
        await redis.hset(key, "alice", struct.pack("<q", 107) + row[8:])
        assert await posted(service.address, "alice") == 107
        misled = await session.ws_connect(f"{service.address}/v1/stream", protocols=["wallet.v1"])
        await misled.send_json({"op": "subscribe", "id": 1, "accounts": [{"account": "alice"}]})
        wrong = await item_of(misled, "107")
        code, told, _ = await command("rebuild", environment=environment)
        assert (code, told["verdict"], told["different"]) == (1, "different", 1)
        code, told, errors = await command("rebuild", "--accept-differences", environment=environment)
        assert (code, told["switched"]) == (0, True), errors
        assert await posted(service.address, "alice") == 100
        right = await item_of(misled, "100")
        assert (right["v"], right["snapshot"]) == (wrong["v"], True), "it is told though its version is the same"
        await pay(service.address, "bob", 1)

        replaced, kept = await numbers(redis, prefix, "live"), await numbers(redis, prefix, "kept")
        ended = await kill_once_begun(redis, prefix, environment)
        assert await posted(service.address, "bob") == 101
        left = await redis.hget(f"{prefix}:2:{{0}}:reserved", "unfinished")
        if ended != 0 and (left or await numbers(redis, prefix, "live") != kept):
            code, told, errors = await command("rollback", environment=environment)
            assert code == 0, errors
        assert (await numbers(redis, prefix, "live"), await numbers(redis, prefix, "kept")) == (kept, replaced)
        assert [await posted(service.address, each) for each in ("alice", "bob")] == [107, 101], (
            "as it was kept, and since"
        )
        await pay(service.address, "alice", 1)
        assert await posted(service.address, "alice") == 101, "what changes is written as the log has it"

        code, told, errors = await command("rollback", environment=environment)
        assert (code, [each["new_generation"] for each in told["partitions"]]) == (0, replaced), errors
        await pay(service.address, "bob", 1)
        assert [await posted(service.address, each) for each in ("alice", "bob")] == [101, 102]

        newest: dict[int, dict[str, Any]] = {}
        async with asyncio.timeout(LIMIT_S):
            while [each.get("posted") for each in newest.values()] != ["101", "102"]:
                frame = json.loads(await stream.receive_str())
                for item in frame.get("items", ()):
                    before = newest.get(item["sub"])
                    assert before is None or item["v"] > before["v"] or item["snapshot"], "nothing is sent twice"
                    newest[item["sub"]] = item
        assert not stream.closed, "over the first connection"
        await stream.close()
