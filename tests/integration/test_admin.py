"""The port of whoever runs a gateway beside the public one, both served as a process does it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from deploy.admin import admin_beside, admin_socket
from deploy.allowed_hosts import AllowedHosts
from deploy.serving import CannotListen, listen, serve
from deploy.settings import ProcessSettings
from fanfold.api.close_codes import CloseCode
from gateway.settings import GatewaySettings
from gateway.wiring import build_gateway
from read_side.feed.kept_once_memory import MemoryKeptOnce
from tests.integration.test_stream_identity import Place, closed, token
from tests.tokens import some
from tests.wallet_stub import WalletStub

LIMIT_S = 30.0


class Doors(NamedTuple):
    public: str
    admin: str
    http: aiohttp.ClientSession

    async def ask(self, url: str, method: str = "GET", **headers: str) -> tuple[int, Any, str]:
        async with self.http.request(method, url, headers=headers) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith("{") else None, text


@asynccontextmanager
async def serving(wallet: WalletStub, *, admin_port: int | None = 0, **settings: Any) -> AsyncIterator[Doors]:
    process, told = ProcessSettings(port=0, admin_port=admin_port), GatewaySettings(drain_ms=50, **settings)
    ready, end = asyncio.Event(), asyncio.Event()
    async with AsyncExitStack() as stack:
        bound = stack.enter_context(listen(process.host, process.port))
        other = admin_socket(stack, process, told)
        door = build_gateway(
            told,
            wallet,
            wallet,
            wallet.feed,
            CollectorRegistry(),
            1,
            admin=other is not None,
            kept_once=MemoryKeptOnce(),
        )
        await door.open()
        task = asyncio.create_task(
            serve(
                door.app,
                bound,
                work=[door.run, end.wait],  # type: ignore[list-item]  # what it ends with is nobody's
                stopping=door.stop,
                on_started=ready.set,
                hosts=AllowedHosts(),
                ws=door.ws_class,
                beside=admin_beside(door, other, process),
            )
        )
        async with asyncio.timeout(LIMIT_S), aiohttp.ClientSession() as http:
            await ready.wait()
            public, admin = (f"http://127.0.0.1:{each.getsockname()[1]}" if each else "" for each in (bound, other))
            yield Doors(public, admin, http)
            end.set()
        await task
        await door.close()


@pytest.fixture
async def wallet() -> WalletStub:
    found = WalletStub()
    await found.open("alice")
    return found


async def test_with_an_admin_port_the_public_one_tells_only_that_it_is_alive_and_ready(wallet: WalletStub) -> None:
    async with serving(wallet) as doors:
        assert await doors.ask(f"{doors.public}/healthz") == (200, {"status": "alive"}, '{"status":"alive"}')
        assert (await doors.ask(f"{doors.public}/readyz"))[1] == {"status": "ready", "auth": "off"}
        status, document, _ = await doors.ask(f"{doors.public}/metrics")
        assert (status, document["code"]) == (404, "not_found")
        assert "FANFOLD_ADMIN_PORT" in document["detail"]
        assert (await doors.ask(f"{doors.public}/drain", "POST"))[0] == 404
        assert {"reasons", "write_side", "read_side", "streams"} <= (await doors.ask(f"{doors.admin}/readyz"))[1].keys()
        assert "fanfold_gateway_streams" in (await doors.ask(f"{doors.admin}/metrics"))[2]
        assert (await doors.ask(f"{doors.admin}/healthz"))[0] == 200
        for path in ("/v1/accounts/alice", "/", "/openapi.json"):
            assert (await doors.ask(doors.admin + path))[0] == 404, "it is no second public door"
        assert (await doors.ask(f"{doors.admin}/metrics", "POST"))[0] == 405
        assert (await doors.ask(f"{doors.admin}/readyz?x=1"))[0] == 400


async def test_without_one_everything_is_told_on_loopback_where_nobody_is_asked_and_nowhere_else(
    wallet: WalletStub, tmp_path: Path
) -> None:
    async with serving(wallet, admin_port=None) as doors:
        assert "reasons" in (await doors.ask(f"{doors.public}/readyz"))[1]
        assert (await doors.ask(f"{doors.public}/metrics"))[0] == 200
    async with serving(wallet, admin_port=None, **Place(tmp_path).settings()) as doors:
        system = {"authorization": f"Bearer {token('ops', some('*', 'read', 'system'))}"}
        assert (await doors.ask(f"{doors.public}/readyz", **system))[1] == {"status": "ready", "auth": "tokens"}
        assert (await doors.ask(f"{doors.public}/metrics", **system))[0] == 404


async def test_a_drain_sends_streams_away_lets_none_in_and_answers_requests(wallet: WalletStub) -> None:
    async with serving(wallet) as doors:
        stream_url = "ws" + doors.public.removeprefix("http") + "/v1/stream"
        async with (
            connect(stream_url, proxy=None) as opened,
            doors.http.get(f"{doors.public}/v1/stream/sse?accounts=alice") as events,
        ):
            assert (await events.content.readline()).startswith(b"event: ")
            assert (await doors.ask(f"{doors.admin}/drain"))[1] == {"draining": False, "streams": 2, "within_ms": 50}
            for _ in range(2):
                status, document, _ = await doors.ask(f"{doors.admin}/drain", "POST")
                assert (status, document["draining"]) == (202, True)
            assert await closed(opened) == CloseCode.RESTARTING
            assert (await events.content.read()).rstrip().rpartition(b"\n")[2].startswith(b"retry: ")
        with pytest.raises(InvalidStatus) as refused:
            async with connect(stream_url, proxy=None):
                pass
        assert (refused.value.response.status_code, refused.value.response.headers["retry-after"]) == (503, "1")
        status, document, _ = await doors.ask(f"{doors.public}/v1/stream/sse?accounts=alice")
        assert (status, document["code"]) == (503, "stopping")
        status, document, _ = await doors.ask(f"{doors.public}/readyz")
        assert (status, document["status"]) == (503, "not ready")
        assert "draining" in (await doors.ask(f"{doors.admin}/readyz"))[1]["reasons"][0]
        assert (await doors.ask(f"{doors.public}/v1/accounts/alice"))[0] == 200


async def test_no_page_drains_it(wallet: WalletStub) -> None:
    """A browser sends a plain POST to loopback for whatever page asks for it."""
    async with serving(wallet, allowed_origins="*") as doors:
        status, document, _ = await doors.ask(f"{doors.admin}/drain", "POST", origin="https://evil.example")
        assert (status, document["code"]) == (403, "origin_refused")
        status, document, _ = await doors.ask(f"{doors.admin}/drain", "POST", host="evil.example")
        assert (status, document["code"]) == (421, "host_refused")
        assert not (await doors.ask(f"{doors.admin}/drain"))[1]["draining"]


async def test_elsewhere_than_on_loopback_who_asks_must_be_of_the_system(wallet: WalletStub, tmp_path: Path) -> None:
    told = GatewaySettings(**Place(tmp_path).settings())
    door = build_gateway(
        told, wallet, wallet, wallet.feed, CollectorRegistry(), 1, admin=True, kept_once=MemoryKeptOnce()
    )
    await door.open()
    admin = door.admin_door(is_reached_from_elsewhere=True)
    for path, method in (("/metrics", "GET"), ("/readyz", "GET"), ("/drain", "POST")):
        for bearer, status in (
            (None, 401),
            (token("anna"), 403),
            (token("ops", some("*", "read", "system")), 202 if path == "/drain" else 200),
        ):
            assert await _status(admin, method, path, bearer) == status, path
    assert await _status(admin, "GET", "/healthz", None) == 200
    door.stop()
    await door.close()


async def _status(app: Any, method: str, path: str, bearer: str | None) -> int:
    sent = list[Any]()

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [] if bearer is None else [(b"authorization", f"Bearer {bearer}".encode())]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": headers, "client": None}
    await app(scope, receive, send)
    status: int = sent[0]["status"]
    return status


async def test_where_nobody_is_asked_it_is_opened_on_loopback_only_and_a_port_that_is_taken_is_named() -> None:
    with pytest.raises(ValueError, match="FANFOLD_ADMIN_HOST"):
        async with AsyncExitStack() as stack:
            admin_socket(stack, ProcessSettings(admin_port=0, admin_host="0.0.0.0"), GatewaySettings())
    async with AsyncExitStack() as stack:
        taken = stack.enter_context(listen("127.0.0.1", 0)).getsockname()[1]
        with pytest.raises(CannotListen, match=str(taken)):
            admin_socket(stack, ProcessSettings(admin_port=taken), GatewaySettings())
        assert admin_socket(stack, ProcessSettings(), GatewaySettings()) is None


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_there_is_not_is_refused(port: int) -> None:
    with pytest.raises(ValidationError):
        ProcessSettings(admin_port=port)


async def test_an_event_stream_that_begins_while_the_drain_does_is_sent_away_too(wallet: WalletStub) -> None:
    gateway = build_gateway(GatewaySettings(drain_ms=0), wallet, wallet, wallet.feed, CollectorRegistry(), 1)
    sent, never = list[Any](), asyncio.Event()

    async def send(message: Any) -> None:
        sent.append(message)
        if message["type"] == "http.response.start":
            gateway.drain.begin()
            await asyncio.sleep(0)  # its list of streams is made

    async def receive() -> Any:
        await never.wait()

    path, query = "/v1/stream/sse", b"accounts=alice"
    scope: Any = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": [], "client": None}
    async with asyncio.timeout(LIMIT_S):
        await gateway.app(scope, receive, send)
    assert b"retry: " in sent[-1]["body"]
    assert gateway.hub.streams == 0
    gateway.stop()
    await gateway.close()
