"""Webhooks as users have them: commands beside `fanfold up`, a receiver of their own, and kill -9 in between."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web

from fanfold import Client, Moved, Opened
from tests.end_to_end import processes

LIMIT_S = 120.0


class Shop:
    """A receiver. status: what it answers from now on."""

    def __init__(self) -> None:
        self.secret, self.status = "", 200
        self.bodies: list[dict[str, Any]] = []
        self.taken: list[int] = []
        """Versions of alice's account, as they came."""

    async def receive(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.check(request, body)
        told = json.loads(body)
        self.bodies.append(told)
        if self.status == 200 and told["type"] == "fanfold.balances.v1":
            self.taken += [change["version"] for change in told["data"]["changes"]]
        return web.json_response({"ok": True}, status=self.status)

    def check(self, request: web.Request, body: bytes) -> None:
        """As a receiver does that knows the specification and none of our code."""
        signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + body
        made = hmac.new(base64.b64decode(self.secret.removeprefix("whsec_")), signed, hashlib.sha256).digest()
        assert f"v1,{base64.b64encode(made).decode()}" in request.headers["webhook-signature"].split()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        app = web.Application()
        app.router.add_post("/hook", self.receive)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        finally:
            await runner.cleanup()

    async def has(self, version: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            while version not in self.taken:  # noqa: ASYNC110 - told by another process
                await asyncio.sleep(0.01)


async def test_what_happened_while_the_receiver_and_the_service_were_down_is_delivered_in_order(tmp_path: Path) -> None:
    environment = {"FANFOLD_DATA": str(tmp_path / "data")}
    shop = Shop()

    async def told(*arguments: str, code: int = 0) -> str:
        ended, out, errors = await processes.command("webhook", *arguments, environment=environment)
        assert ended == code, out + errors
        return out.strip()

    async with shop.open() as url:
        service = await processes.start("up", "--port", "0", environment=environment, errors=tmp_path / "errors")
        async with Client(service.address) as client:
            assert isinstance(await client.open_account("alice", "USD/2"), Opened)
            added = await told("add", url, "--account", "alice", "--from", "start", "--allow-private", "--paused")
            hook_id, shop.secret = added.split()
            assert "answered 200" in await told("test", hook_id)
            await told("resume", hook_id)
            await shop.has(0)
            assert isinstance(await client.transfer("@world", "alice", 1_000, "USD/2"), Moved)
            await shop.has(1)
            shop.status = 500
            for _ in range(5):
                assert isinstance(await client.transfer("@world", "alice", 1, "USD/2"), Moved)
            async with asyncio.timeout(LIMIT_S):
                while shop.bodies[-1]["data"]["changes"][0]["version"] != 2:  # noqa: ASYNC110 - told by another process
                    await asyncio.sleep(0.01)
        await service.kill()
        [listed] = json.loads(await told("list", "--json"))["webhooks"]
        assert (listed["error"], listed["failures"] > 0) == ("answered 500", True)
        shop.status = 200
        await told("resume", hook_id)
        service = await processes.start("up", "--port", "0", environment=environment, errors=tmp_path / "errors")
        try:
            await shop.has(6)
            assert [*dict.fromkeys(shop.taken)] == [*range(7)], "each once, in order, repeats left out"
            newest = shop.bodies[-1]["data"]["changes"][-1]
            assert (newest["posted"], newest["available"], newest["account"]) == ("1005", "1005", "alice")
            shop.taken.clear()
            await told("replay", hook_id, "--from", "start")
            await shop.has(6)
            assert [*dict.fromkeys(shop.taken)] == [*range(7)]
        finally:
            await service.kill()
    file = tmp_path / "data" / "webhooks.db"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    secret = shop.secret.removeprefix("whsec_")
    assert secret not in (tmp_path / "errors").read_text()
