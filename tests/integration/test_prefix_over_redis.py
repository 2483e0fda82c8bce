"""All accounts with a prefix from a real service: log in files, view and feed in Redis, projectors killed in between."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import connect

from fanfold.api.routes import EVENTS
from gateway.proxy.asgi import Receive, Scope, Send
from read_side.settings import ReadSettings
from read_side.wiring import ReadSide, open_feed, open_view
from tests.gateway_server import serving
from tests.servers import unique_name
from tests.unit.read_side.asgi_client import Reply, ask
from write_side.settings import WriteSettings
from write_side.wiring import WriteSide, open_log, open_queue

pytestmark = pytest.mark.redis

LIMIT_S = 30.0
PARTITIONS = 2


class Service:
    """The write side, and the read side that is there now; an application before both."""

    def __init__(self, write_side: WriteSide, log: Any, read_settings: ReadSettings) -> None:
        self._write_side, self._log, self.read_settings = write_side, log, read_settings
        self._projecting = AsyncExitStack()
        self._read_app: Any = None
        self.positions: dict[int, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """For a gateway, through which nothing is written here."""
        await self._read_app(scope, receive, send)

    async def project(self) -> None:
        """As a process that has just started does, with connections of its own."""
        stack = self._projecting = AsyncExitStack()
        view, feed = await open_view(self.read_settings), await open_feed(self.read_settings)
        stack.push_async_callback(view.close)
        stack.push_async_callback(feed.close)
        read_side = ReadSide(self.read_settings, self._log, view, feed, CollectorRegistry())
        await read_side.start()
        stack.push_async_callback(_kill, asyncio.ensure_future(read_side.run()))
        self._read_app = read_side.app

    async def kill(self) -> None:
        """Nothing that it was about to tell or to keep is told or kept."""
        await self._projecting.aclose()

    async def _write(self, method: str, target: str, body: dict[str, Any]) -> None:
        reply: Reply = await ask(self._write_side.app, method, target, json.dumps(body).encode())
        assert reply.status == 201, reply.document
        for each in reply.document["position"].split(","):
            partition, sequence = map(int, each.split(":"))
            self.positions[partition] = max(self.positions.get(partition, -1), sequence)

    async def open(self, account: str) -> None:
        await self._write("PUT", f"/v1/accounts/{account}", {"asset": "USD/2"})

    async def deposit(self, account: str, amount: int) -> None:
        body = {"id": str(uuid.uuid4()), "from": "@world", "to": account, "amount": str(amount), "asset": "USD/2"}
        await self._write("POST", "/v1/transfers", body)

    async def burst(self, accounts: list[str], amount: int) -> None:
        async with asyncio.TaskGroup() as tasks:
            for account in accounts:
                for _ in range(3):
                    tasks.create_task(self.deposit(account, amount))

    async def answers(self, http: aiohttp.ClientSession, url: str, accounts: list[str]) -> dict[str, tuple[int, str]]:
        """Version and balance, as REST tells them of all that was written."""
        least = ",".join(f"{p}:{s}" for p, s in sorted(self.positions.items()))
        found = {}
        for account in accounts:
            async with http.get(f"{url}/v1/accounts/{account}?min_position={least}&wait_ms=10000") as answer:
                document = await answer.json()
                assert answer.status == 200, document
                found[account] = (document["version"], document["posted"])
        return found


async def _kill(running: asyncio.Future[None]) -> None:
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


@asynccontextmanager
async def service(folder: Path, redis_url: str) -> AsyncIterator[Service]:
    settings = WriteSettings(data=str(folder), log="", partitions=PARTITIONS)
    async with AsyncExitStack() as stack:
        log = await open_log(settings, writing=True)
        stack.push_async_callback(log.close)
        queue = await open_queue(settings, log)
        stack.push_async_callback(queue.close)
        write_side = WriteSide(settings, log, queue, CollectorRegistry())
        await write_side.start()
        stack.push_async_callback(_kill, asyncio.ensure_future(write_side.run()))
        found = Service(write_side, log, ReadSettings(view=redis_url, view_prefix=unique_name()))
        await found.project()
        stack.push_async_callback(found.kill)
        yield found


class Told:
    """What one client knows by what it was told."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self.balances: dict[str, tuple[int, str]] = {}
        self._changed = asyncio.Event()

    def take(self, frame: Any) -> None:
        assert frame["op"] != "error", frame
        if frame["op"] == "ack":
            self._names |= {row["sub"]: row["account"] for row in frame["accounts"]}
        for item in frame["items"] if frame["op"] == "balances" else ():
            account = self._names[item["sub"]]
            assert item["v"] > self.balances.get(account, (-1,))[0], "a version does not rise"
            self.balances[account] = (item["v"], item["posted"])
        self._changed.set()

    async def knows(self, wanted: dict[str, tuple[int, str]]) -> None:
        """Returns once it is told exactly that."""
        try:
            async with asyncio.timeout(LIMIT_S):
                while self.balances != wanted:
                    assert not self.listening.done(), "it had to come back"
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            assert self.balances == wanted

    def listen(self, listening: Coroutine[Any, Any, None]) -> asyncio.Future[None]:
        self.listening = asyncio.ensure_future(listening)
        self.listening.add_done_callback(lambda _: self._changed.set())
        return self.listening

    async def over_a_socket(self, url: str) -> None:
        async with connect(url) as client:
            await client.send(json.dumps({"op": "subscribe", "id": 1, "prefix": "shop:"}))
            async for frame in client:
                self.take(json.loads(frame))

    async def as_events(self, http: aiohttp.ClientSession, url: str) -> None:
        async with http.get(f"{url}{EVENTS.path}?prefix=shop:") as answer:
            assert answer.status == 200
            async for line in answer.content:
                if line.startswith(b"data: "):
                    self.take(json.loads(line.removeprefix(b"data: ")))


async def test_what_is_told_is_what_is_read_whoever_projects_and_whenever_an_account_opened(
    tmp_path: Path, redis_url: str
) -> None:
    accounts = [f"shop:{n}" for n in range(12)]
    async with service(tmp_path, redis_url) as wallet, AsyncExitStack() as stack:
        feed = await open_feed(wallet.read_settings)
        stack.push_async_callback(feed.close)
        served = await stack.enter_async_context(serving(wallet, feed, PARTITIONS))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        for account in [*accounts[:4], "other"]:
            await wallet.open(account)
        socket, events = Told(), Told()
        stack.push_async_callback(_kill, socket.listen(socket.over_a_socket(served.stream_url)))
        stack.push_async_callback(_kill, events.listen(events.as_events(http, served.url)))
        for told in (socket, events):
            await told.knows(await wallet.answers(http, served.url, accounts[:4]))

        for account in accounts[4:8]:
            await wallet.open(account)
        await wallet.burst([*accounts[:8], "other"], 5)
        for told in (socket, events):
            await told.knows(await wallet.answers(http, served.url, accounts[:8]))

        under_way = asyncio.ensure_future(wallet.burst(accounts[:8], 7))
        await wallet.kill()
        await under_way
        for account in accounts[8:]:  # nobody tells of these as they open
            await wallet.open(account)
        await wallet.burst(accounts[8:10], 1)
        await wallet.project()
        wanted = await wallet.answers(http, served.url, accounts)
        for told in (socket, events):
            await told.knows(wanted)
        assert {wanted[account][1] for account in accounts[:8]} == {"36"}
