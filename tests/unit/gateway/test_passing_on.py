"""What the sides get of a request, and the client of their answer: everything that means something, as it was."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import structlog
from prometheus_client import CollectorRegistry

from fanfold.api.openapi import side_document
from gateway.metrics import Metrics
from gateway.proxy.asgi import Message, Receive, Scope, Send
from gateway.proxy.over_http import OverHttp
from gateway.proxy.reverse_proxy import ReverseProxy, route
from gateway.proxy.upstream import InProcess, UpstreamUnavailable
from gateway.proxy.written import Written
from tests.listening import listening

ARROW = b"application/vnd.apache.arrow.stream"


async def _tell_what_came(scope: Scope, receive: Receive, send: Send) -> None:
    """A side that answers with the request itself, in the type that it came in."""
    body = (await receive())["body"]
    headers = {name.decode(): value.decode() for name, value in scope["headers"]}
    told = {
        "method": scope["method"],
        "path": scope["path"],
        "query": scope["query_string"].decode(),
        "headers": headers,
    }
    answered = [(b"content-type", headers["content-type"].encode()), (b"preference-applied", b"wait")]
    await send({"type": "http.response.start", "status": 202, "headers": answered})
    await send({"type": "http.response.body", "body": json.dumps(told).encode() + b"\n" + body})


async def _nobody(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("the other side was asked")


async def _ask(
    write: Any, read: Any, method: str, path: str, query: bytes, headers: list[Any], body: bytes
) -> list[Message]:
    proxy = ReverseProxy(
        InProcess(write, 1_000), InProcess(read, 1_000), Metrics(CollectorRegistry()), 1_000, Written(lambda: 1)
    )
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": path, "query_string": query, "headers": headers}
    await proxy(scope, receive, send)
    return sent


async def test_arrow_batches_pass_with_their_mode_their_preference_and_their_bytes() -> None:
    body = bytes(range(256))
    headers = [(b"content-type", ARROW), (b"prefer", b"wait=2"), (b"content-length", b"256")]
    start, answer = await _ask(_tell_what_came, _nobody, "POST", "/v1/transfers:batch", b"mode=atomic", headers, body)
    told, _, came = answer["body"].partition(b"\n")
    assert came == body
    assert json.loads(told)["query"] == "mode=atomic"
    assert json.loads(told)["headers"] == {name.decode(): value.decode() for name, value in headers}
    assert start["status"] == 202
    assert (b"content-type", ARROW) in start["headers"]


async def test_the_list_of_open_transfers_is_the_read_sides() -> None:
    headers = [(b"content-type", b"application/json")]
    _, answer = await _ask(_nobody, _tell_what_came, "GET", "/v1/transfers", b"phase=open&older_than=5", headers, b"")
    assert json.loads(answer["body"])["query"] == "phase=open&older_than=5"


DESCRIBED = [
    (method.upper(), path)
    for path, operations in side_document("write")["paths"].items()
    for method in operations
    if path.startswith("/v1/")
]


@pytest.mark.parametrize(("method", "path"), DESCRIBED)
def test_every_public_address_of_the_write_side_can_be_reached(method: str, path: str) -> None:
    assert route(method, path) == "write"


@pytest.mark.parametrize("bytes_max", [1_000, 5])
async def test_a_body_that_is_cut_is_not_told_as_a_side_that_is_away(bytes_max: int) -> None:
    """Its client went away in the middle, or sent more than may be."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            gone.set()

    gone = asyncio.Event()
    messages: list[Message] = [
        {"type": "http.disconnect"},
        {"type": "http.request", "body": b"0123456789", "more_body": True},
    ]

    async def receive() -> Message:
        return messages.pop() if messages else {"type": "http.disconnect"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"transfer-encoding", b"chunked"), (b"content-type", b"application/json")]
    path = "/v1/transfers"
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    async with listening(swallow) as port:
        write_side = OverHttp(f"http://127.0.0.1:{port}", 1_000, 1_000)
        proxy = ReverseProxy(
            write_side, InProcess(_nobody, 1_000), Metrics(CollectorRegistry()), bytes_max, Written(lambda: 1)
        )
        with structlog.testing.capture_logs() as told:
            await proxy(scope | {"headers": headers}, receive, send)
        assert told == []
        assert sent[0]["status"] == (413 if bytes_max == 5 else 502)
        await write_side.close()
        await asyncio.wait_for(gone.wait(), 20.0)


@pytest.mark.parametrize(("method", "may_be_made"), [("GET", False), ("POST", True)])
async def test_only_a_write_that_is_not_answered_may_have_been_made(method: str, may_be_made: bool) -> None:
    async def away(scope: Scope, receive: Receive, send: Send) -> None:
        raise UpstreamUnavailable("it is away")

    start, answer = await _ask(away, away, method, "/v1/transfers", b"", [], b"")
    assert start["status"] == 502
    detail = json.loads(answer["body"])["detail"]
    assert ("may have been made" in detail, "no money is affected" in detail) == (may_be_made, not may_be_made)


async def test_positions_between_gateway_and_sides_are_no_clients_to_say_or_to_hear() -> None:
    told = [(b"content-type", b"x"), (b"fanfold-position", b"0:17")]
    forged = [(b"fanfold-written", b"0:%d" % 10**17), (b"fanfold-position", b"0:5"), (b"fanfold-lost", b"0:17")]
    came: list[list[tuple[bytes, bytes]]] = []

    async def side(scope: Scope, receive: Receive, send: Send) -> None:
        came.append(scope["headers"])
        answered = told if scope["method"] == "POST" else told[:1]
        await send({"type": "http.response.start", "status": 200, "headers": answered})
        await send({"type": "http.response.body", "body": b""})

    written = Written(lambda: 1)
    proxy = ReverseProxy(InProcess(side, 1_000), InProcess(side, 1_000), Metrics(CollectorRegistry()), 1_000, written)
    heads: list[Any] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            heads.append(message["headers"])

    for method, path in (("GET", "/v1/accounts/alice"), ("POST", "/v1/transfers"), ("GET", "/v1/accounts/alice")):
        scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": forged}
        await proxy(scope, receive, send)
    assert came == [[], [], [(b"fanfold-written", b"0:17")]]
    assert heads[1] == told


async def test_a_position_that_would_be_too_long_for_some_proxy_is_remembered_and_not_passed_on() -> None:
    positions = [f"{p}:{10**17}" for p in range(200)]
    lines = [(b"fanfold-position", ",".join(part).encode()) for part in (positions[:100], positions[100:])]

    async def side(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"x"), *lines]})
        await send({"type": "http.response.body", "body": b""})

    written = Written(lambda: 2)
    proxy = ReverseProxy(InProcess(side, 1_000), InProcess(side, 1_000), Metrics(CollectorRegistry()), 1_000, written)
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/transfers:batch", "query_string": b"", "headers": []}
    await proxy(scope, receive, send)
    assert sent[0]["headers"] == [(b"content-type", b"x")]
    assert {written.of(p) for p in range(200)} == {10**17}
