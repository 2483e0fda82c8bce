"""The public port over real sockets: proxying in process and over HTTP, limits, failures, pages."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, cast

import aiohttp
import pytest
import uvicorn
from prometheus_client import CollectorRegistry

from gateway.settings import GatewaySettings
from gateway.wiring import build_gateway
from read_side.feed.feed_memory import MemoryFeed
from tests.gateway_server import Served, serving
from tests.listening import connected, listening
from tests.unit.read_side.asgi_client import ask as call
from tests.wallet_stub import WalletStub

LIMIT = 100_000


class Answer:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


async def ask(served: Served, method: str, path: str, **more: Any) -> Answer:
    async with aiohttp.ClientSession() as http, http.request(method, served.url + path, **more) as answer:
        return Answer(answer.status, answer.headers, await answer.read())


@pytest.fixture
def wallet() -> WalletStub:
    return WalletStub()


@pytest.fixture(params=["in process", "over HTTP"])
async def served(request: pytest.FixtureRequest, wallet: WalletStub) -> AsyncIterator[Served]:
    async with AsyncExitStack() as stack:
        sides: Any = wallet
        if request.param == "over HTTP":
            bound = stack.enter_context(socket.socket())
            bound.bind(("127.0.0.1", 0))
            server = uvicorn.Server(uvicorn.Config(wallet, lifespan="off", log_level="warning"))
            task = asyncio.create_task(server._serve([bound]))
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            sides = f"http://127.0.0.1:{bound.getsockname()[1]}"

            async def stop() -> None:
                server.should_exit = True
                await task

            stack.push_async_callback(stop)
        yield await stack.enter_async_context(serving(sides, wallet.feed, request_bytes_max=LIMIT))


async def test_writes_and_reads_reach_their_side_and_come_back(served: Served) -> None:
    opened = await ask(served, "PUT", "/v1/accounts/alice", json={"asset": "USD/2"})
    whole = {"account": "alice", "asset": "USD/2", "position": "0:0", "result": "opened"}
    assert (opened.status, opened.document) == (201, whole)
    command = {"id": "1", "from": "@world", "to": "alice", "amount": "5", "asset": "USD/2"}
    assert (await ask(served, "POST", "/v1/transfers", json=command)).document["position"] == "0:1"
    read = await ask(served, "GET", "/v1/accounts/alice?min_position=0:1")
    assert read.document["posted"] == "5"
    assert (await ask(served, "GET", "/v1/accounts/bob")).document["code"] == "account_not_found"


async def test_internal_addresses_are_not_there(served: Served, wallet: WalletStub) -> None:
    for path in ("/internal/balances", "/v1/%2e%2e/internal/balances", "/v1/accounts/..%2f..%2finternal%2fbalances"):
        refused = await ask(served, "POST", path, data=b"{}")
        assert (refused.status, refused.document["code"]) == (404, "not_found")
    assert wallet.requests == []


async def test_a_body_that_is_too_large_goes_nowhere(served: Served, wallet: WalletStub) -> None:
    refused = await ask(served, "POST", "/v1/transfers", data=b"x" * (LIMIT + 1))
    assert (refused.status, refused.document["code"]) == (413, "body_too_large")
    assert wallet.requests == []


async def test_a_body_without_a_length_is_counted(served: Served) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 10_000

    refused = await ask(served, "POST", "/v1/transfers", data=chunks())
    assert (refused.status, refused.document["code"]) == (413, "body_too_large")


async def test_a_body_without_a_length_passes_when_it_is_small_enough(served: Served, wallet: WalletStub) -> None:
    await wallet.open("alice")

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"id": "1", "from": "@world", "to": "alice",'
        yield b'"amount": "5", "asset": "USD/2"}'

    assert (await ask(served, "POST", "/v1/transfers", data=chunks())).status == 201


async def test_a_method_that_an_address_does_not_take_is_named(served: Served) -> None:
    refused = await ask(served, "DELETE", "/v1/accounts/alice")
    assert (refused.status, refused.headers["allow"]) == (405, "PUT, PATCH, GET, HEAD")
    refused = await ask(served, "POST", "/healthz")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("path", ["/v1/accounts/alice", "/v1/accounts/nobody", "/v1/system", "/healthz", "/"])
async def test_head_is_answered_where_get_is_with_the_same_head_and_no_body(
    served: Served, wallet: WalletStub, path: str
) -> None:
    await wallet.open("alice")
    got, headed = await ask(served, "GET", path), await ask(served, "HEAD", path)
    assert (headed.status, headed.body) == (got.status, b"")
    for name in ("content-type", "content-length"):
        assert headed.headers[name] == got.headers[name]


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/v1/stream"])
async def test_a_query_parameter_that_nobody_reads_is_refused(served: Served, path: str) -> None:
    refused = await ask(served, "GET", path + "?dry_run=true")
    assert (refused.status, refused.document["code"]) == (400, "parameter_malformed")
    assert (await ask(served, "GET", "/?from=a-bookmark")).status == 200
    assert (await ask(served, "GET", "/docs?foo=1")).status == 400
    assert (await ask(served, "GET", "/docs")).status == 200
    assert (await ask(served, "GET", "/console/main.js?v=1")).status == 200


async def test_a_side_that_is_gone_is_told_as_such_and_nothing_is_sent_twice(wallet: WalletStub) -> None:
    async with serving("http://127.0.0.1:9", wallet.feed) as served:
        lost = await ask(served, "POST", "/v1/transfers", json={})
        assert (lost.status, lost.document["code"]) == (503, "upstream_unavailable")
        assert lost.headers["retry-after"] == "1"
        ready = await ask(served, "GET", "/readyz")
        assert (ready.status, len(ready.document["reasons"]), ready.headers["retry-after"]) == (503, 2, "1")
        assert (await ask(served, "GET", "/openapi.json")).status == 200, "what may be asked is known without them"
        assert (await ask(served, "GET", "/healthz")).status == 200


async def test_a_door_through_which_a_write_is_answered_is_ready_and_says_what_else_is_the_matter() -> None:
    said = {"write_side": (200, {"status": "ready"}), "read_side": (503, {"reasons": ["partition 0: no store"]})}

    def side(name: str) -> Any:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await receive()
            status, document = said[name]
            await send({"type": "http.response.start", "status": status, "headers": []})
            await send({"type": "http.response.body", "body": json.dumps(document).encode()})

        return app

    gateway = build_gateway(
        GatewaySettings(), side("write_side"), side("read_side"), MemoryFeed(), CollectorRegistry(), partitions=1
    )

    async def ready() -> tuple[int, Any]:
        reply = await call(cast("Any", gateway.app), "GET", "/readyz")
        return reply.status, reply.document

    status, document = await ready()
    assert (status, document["status"], document["reasons"]) == (200, "degraded", [])
    assert document["degraded"] == ["read side: partition 0: no store"]
    said["read_side"] = (200, {"degraded": ["partition 1: damaged"]})
    said["write_side"] = (200, {"degraded": ["partition 2: no leader"]})
    status, document = await ready()
    assert (status, document["status"]) == (200, "degraded")
    assert document["degraded"] == ["write side: partition 2: no leader", "read side: partition 1: damaged"]
    said["write_side"] = (503, {"reasons": ["partition 0: no broker"]})
    status, document = await ready()
    assert (status, document["status"]) == (503, "not ready")
    assert document["reasons"] == ["write side: partition 0: no broker", "read side: partition 1: damaged"]
    await gateway.close()


async def test_an_answer_that_is_cut_short_never_looks_whole() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")

    async with listening(half) as port, serving(f"http://127.0.0.1:{port}", WalletStub().feed) as served:
        with pytest.raises(aiohttp.ClientError):
            await ask(served, "GET", "/v1/system")


async def test_a_side_that_fails_is_a_500_without_details() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("secret")

    async with serving(broken, WalletStub().feed) as served:
        failed = await ask(served, "GET", "/v1/system")
        assert (failed.status, failed.document["code"]) == (500, "internal")
        assert b"secret" not in failed.body


async def test_health_readiness_metrics_and_description_answer(served: Served) -> None:
    assert (await ask(served, "GET", "/healthz")).document == {"status": "alive"}
    ready = await ask(served, "GET", "/readyz")
    assert (ready.status, ready.document["status"]) == (200, "ready")
    assert b"fanfold_gateway_streams 0.0" in (await ask(served, "GET", "/metrics")).body
    described = (await ask(served, "GET", "/openapi.json")).document
    assert {"/v1/stream", "/v1/transfers", "/v1/accounts/{account}"} < described["paths"].keys()
    assert not [path for path in described["paths"] if path.startswith("/internal/")]
    assert (await ask(served, "GET", "/asyncapi.json")).document["asyncapi"] == "3.0.0"


@pytest.mark.parametrize("path", ["/", "/docs"])
async def test_pages_and_all_they_load_come_from_here(served: Served, path: str) -> None:
    import re

    page = await ask(served, "GET", path)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    loaded = re.findall(rb'(?:src|href)="([^"]+)"', page.body)
    for address in {address.decode() for address in loaded} - {"/metrics", "/readyz", "/docs", "/openapi.json"}:
        assert address.startswith("/console/")
        found = await ask(served, "GET", address)
        assert found.status == 200
        again = await ask(served, "GET", address, headers={"if-none-match": found.headers["etag"]})
        assert (again.status, again.body) == (304, b"")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n", b"421"),
        (b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n", b"400"),
    ],
)
@pytest.mark.parametrize(("origin", "may"), [(b"https://shop.example", True), (b"https://evil.example", False)])
async def test_a_page_of_a_listed_origin_may_read_what_is_refused_before_the_application(
    sent: bytes, status: bytes, origin: bytes, may: bool
) -> None:
    wallet = WalletStub()
    async with serving(wallet, wallet.feed, allowed_origins="https://shop.example") as served:
        host, port = served.url.removeprefix("http://").split(":")
        async with connected(host, int(port)) as (reader, writer):
            writer.write(sent + b"Origin: " + origin + b"\r\n\r\n")
            async with asyncio.timeout(30):
                head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 " + status)
    assert (b"\r\naccess-control-allow-origin: " + origin + b"\r\n" in head) is may
    assert b"\r\nvary: Origin\r\n" in head
