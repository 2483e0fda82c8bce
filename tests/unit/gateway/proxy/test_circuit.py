"""A side in another process that does not answer: what is told of a request, what is sent again, and when nothing is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from fanfold.api.body_checks import id_of_key
from fanfold.doors.security_headers import ALWAYS, POLICY
from gateway.metrics import Metrics
from gateway.proxy.breaker import Breaker
from gateway.proxy.circuit import Circuit, CircuitOpen
from gateway.proxy.over_http import OverHttp
from gateway.proxy.reverse_proxy import NEVER_SENT, ONLY_READ, ReverseProxy
from gateway.proxy.upstream import NotSent, UpstreamUnavailable
from gateway.proxy.written import Written
from gateway.settings import GatewaySettings
from gateway.wiring import build_gateway
from read_side.feed.feed_memory import MemoryFeed
from tests.listening import Listener, accepting
from tests.unit.read_side.asgi_client import ask

OPEN_S = 1.0
Answer = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Stand:
    """A proxy before a side that can be there and be away."""

    def __init__(self) -> None:
        self.clock, self.registry = Time(), CollectorRegistry()
        metrics = Metrics(self.registry)
        self.circuit = Circuit("write_side", Breaker(3, OPEN_S, 4.0), metrics, self.clock)
        self.side = OverHttp("http://127.0.0.1:1", 1_000, 1_000, self.circuit)
        self.proxy = ReverseProxy(self.side, self.side, metrics, 1_000_000, Written(lambda: 1))
        self.heard: list[bytes] = []
        self._servers = AsyncExitStack()
        self._listener: Listener | None = None

    async def stands(self, answer: Answer, port: int = 0) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next((int(line[15:]) for line in head.split(b"\r\n") if line[:15] == b"Content-Length:"), 0)
                await reader.readexactly(length)
                self.heard.append(head.partition(b"\r\n")[0])
                await answer(head, writer)

        self._listener = await self._servers.enter_async_context(accepting(serve, port))
        self.side._base = f"http://127.0.0.1:{self._listener.port}"
        return self._listener.port

    def goes_away(self) -> None:
        """Nobody can be connected any more."""
        if self._listener is not None:
            self._listener.close()

    async def end(self) -> None:
        await self.side.close()
        await self._servers.aclose()

    def gauge(self, name: str) -> float | None:
        return self.registry.get_sample_value(f"fanfold_gateway_{name}", {"side": "write_side"})

    async def ask(
        self, method: str = "GET", path: str = "/v1/accounts/alice", body: bytes = b"", *more: tuple[bytes, bytes]
    ) -> tuple[int, dict[bytes, bytes], Any]:
        sent: list[Any] = []
        given = [{"type": "http.request", "body": body, "more_body": False}]
        headers = (
            [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *more] if body else []
        )

        async def receive() -> Any:
            return given.pop() if given else await asyncio.Future()

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "headers": headers,
        }
        await self.proxy(scope, receive, send)
        told = b"".join(each.get("body", b"") for each in sent[1:])
        return sent[0]["status"], dict(sent[0]["headers"]), json.loads(told)


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    made = Stand()
    yield made
    await made.end()


async def fine(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")


def after(first: Answer, then: Answer) -> Answer:
    """The first request is answered so, and all others so."""
    left = [first]

    async def answer(head: bytes, writer: asyncio.StreamWriter) -> None:
        await (left.pop() if left else then)(head, writer)

    return answer


async def hangs_up(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()
    raise ConnectionResetError


async def test_a_side_that_is_away_is_not_asked_after_some_failures_and_asked_again_when_it_is_back(
    stand: Stand,
) -> None:
    port = await stand.stands(fine)
    assert (await stand.ask())[0] == 200
    stand.goes_away()
    stand.side._base = "http://127.0.0.1:1"
    for _ in range(3):
        status, _, told = await stand.ask("POST", "/v1/transfers")
        assert (status, told["code"], told["detail"]) == (503, "upstream_unavailable", NEVER_SENT)
    assert (stand.gauge("circuit_open"), stand.gauge("circuit_openings_total")) == (1, 1)
    await stand.stands(fine, port)
    asked = len(stand.heard)
    status, headers, told = await stand.ask("POST", "/v1/transfers")
    assert (status, told["detail"], headers[b"retry-after"]) == (503, NEVER_SENT, b"1")
    assert len(stand.heard) == asked, "it was not asked"
    stand.clock.now_s = OPEN_S
    assert (await stand.ask("POST", "/v1/transfers"))[0] == 200
    assert stand.heard[asked:] == [b"GET /healthz HTTP/1.1", b"POST /v1/transfers HTTP/1.1"]
    assert stand.gauge("circuit_open") == 0


async def test_one_asks_whether_the_side_is_back_and_others_do_not_wait_for_it(stand: Stand) -> None:
    for _ in range(3):
        await stand.ask()
    asked, go = asyncio.Event(), asyncio.Event()

    async def in_a_moment(head: bytes, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await go.wait()
        await fine(head, writer)

    await stand.stands(in_a_moment)
    stand.clock.now_s = OPEN_S
    first = asyncio.create_task(stand.ask())
    async with asyncio.timeout(30):
        await asked.wait()
    assert (await stand.ask())[0] == 503
    assert stand.heard == [b"GET /healthz HTTP/1.1"]
    go.set()
    assert (await first)[0] == 200
    assert (await stand.ask())[0] == 200


async def test_a_probe_that_fails_keeps_it_open_for_its_time(stand: Stand) -> None:
    for _ in range(3):
        await stand.ask()
    stand.clock.now_s = OPEN_S
    assert (await stand.ask())[0] == 503
    with pytest.raises(CircuitOpen):
        await stand.side.ask("GET", "/readyz")
    assert stand.gauge("circuit_openings_total") == 1


async def test_whatever_may_have_been_done_is_told_so_though_the_circuit_opens_with_it(stand: Stand) -> None:
    await stand.stands(hangs_up)
    for _ in range(3):
        status, _, told = await stand.ask("POST", "/v1/transfers")
        assert (status, told["code"]) == (502, "upstream_failed")
        assert "may have been made" in told["detail"]
    assert stand.gauge("circuit_open") == 1
    assert (await stand.ask("POST", "/v1/transfers"))[2]["detail"] == NEVER_SENT
    assert len(stand.heard) == 3, "no write was sent twice, and none while it was open"


ID, HOLD = "01970f3e-8c2b-7d4f-9b3c-2345678901bc", "01970f3e-8c2b-7d4f-9b3c-2345678901bd"
PLAIN = b'{"from": "alice", "to": "bob", "amount": "5", "asset": "USD/2"%b}'
WITH_ID = PLAIN % f', "id": "{ID}"'.encode()
KEY = (b"idempotency-key", b"order-7")
CHUNKED = (b"transfer-encoding", b"chunked")
NAMED = [
    ("POST", "/v1/transfers", WITH_ID, (), {"id": ID}),
    ("POST", "/v1/transfers", PLAIN % b"", (KEY,), {"id": id_of_key("order-7")}),
    ("POST", "/v1/transfers", PLAIN % b"", ((KEY[0], ID.encode()),), {"id": ID}),
    ("POST", "/v1/holds", WITH_ID, (), {"id": ID}),
    ("POST", f"/v1/holds/{HOLD}/capture", f'{{"id": "{ID}"}}'.encode(), (), {"id": ID}),
    ("POST", f"/v1/holds/{HOLD}/void", f'{{"id": "{ID}"}}'.encode(), (), {"id": ID}),
    ("POST", f"/v1/transfers/{HOLD}/reverse", f'{{"id": "{ID}"}}'.encode(), (), {"id": ID}),
    ("PUT", "/v1/accounts/alice", b'{"asset": "USD/2"}', (), {"account": "alice"}),
    ("PATCH", "/v1/accounts/alice", f'{{"id": "{ID}", "debit": "frozen"}}'.encode(), (), {"id": ID}),
    ("POST", "/v1/transfers:batch", WITH_ID, (), {}),
    ("POST", "/v1/transfers", b"no JSON", (), {}),
]


@pytest.mark.parametrize(("method", "path", "body", "more", "about"), NAMED)
async def test_when_nobody_knows_what_became_of_a_write_it_is_told_by_which_name_to_ask(
    stand: Stand, method: str, path: str, body: bytes, more: tuple[tuple[bytes, bytes], ...], about: dict[str, str]
) -> None:
    await stand.stands(hangs_up)
    status, headers, told = await stand.ask(method, path, body, *more)
    assert (status, told["code"], headers[b"retry-after"]) == (502, "upstream_failed", b"1")
    assert "may have been made" in told["detail"]
    assert {name: told[name] for name in ("id", "account") if name in told} == about


async def test_of_what_was_never_sent_there_is_nothing_to_ask_for(stand: Stand) -> None:
    told = (await stand.ask("POST", "/v1/transfers", WITH_ID))[2]
    assert (told["detail"], "id" in told) == (NEVER_SENT, False)


@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
async def test_a_write_whose_side_dies_with_it_is_never_told_as_not_sent(stand: Stand, method: str) -> None:
    """The connection was used before, and when it ends nobody can be connected to."""

    async def dies(head: bytes, writer: asyncio.StreamWriter) -> None:
        stand.goes_away()
        await hangs_up(head, writer)

    await stand.stands(after(fine, dies))
    assert (await stand.ask())[0] == 200
    path = "/v1/transfers" if method == "POST" else "/v1/accounts/alice"
    told = (await stand.ask(method, path))[2]
    assert "may have been made" in told["detail"]
    assert len(stand.heard) == 2


async def test_a_read_whose_connection_ended_is_asked_once_more(stand: Stand) -> None:
    await stand.stands(after(hangs_up, fine))
    assert (await stand.ask())[0] == 200
    assert len(stand.heard) == 2


async def test_reads_are_asked_again_only_while_the_budget_lasts(stand: Stand) -> None:
    await stand.stands(hangs_up)
    with pytest.raises(UpstreamUnavailable):
        await stand.side.ask("GET", "/readyz")
    assert len(stand.heard) == 2
    stand.side._budget._saved = 0.0
    with pytest.raises(UpstreamUnavailable) as gone:
        await stand.side.ask("GET", "/readyz")
    assert not isinstance(gone.value, NotSent)
    assert len(stand.heard) == 3


async def test_an_answer_that_says_no_is_an_answer(stand: Stand) -> None:
    async def busy(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}")

    await stand.stands(busy)
    for _ in range(10):
        assert (await stand.ask())[0] == 503
    assert stand.gauge("circuit_open") == 0


async def _drop_by_drop(_: bytes, writer: asyncio.StreamWriter) -> None:
    """Some of an answer every now and then, for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" ")
        await asyncio.sleep(0.02)


async def test_an_answer_that_comes_drop_by_drop_has_an_end_all_the_same(stand: Stand) -> None:
    stand.side._total_s = 0.3
    await stand.stands(_drop_by_drop)
    sent: list[Any] = []
    given = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        return given.pop() if given else await asyncio.Future()

    async def send(message: Any) -> None:
        sent.append(message)

    path = "/v1/accounts/alice"
    scope = {"method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": []}
    async with asyncio.timeout(30):
        await stand.side(scope, receive, send)
    assert sent[0]["status"] == 200
    assert all(message["more_body"] for message in sent[1:]), "it is not told as whole"


async def test_a_body_that_comes_drop_by_drop_has_an_end_and_is_no_fault_of_the_side(stand: Stand) -> None:
    stand.side._total_s = 0.3

    async def waits_for_the_end_of_it(_: bytes, __: asyncio.StreamWriter) -> None:
        await asyncio.Future()

    await stand.stands(waits_for_the_end_of_it)

    async def receive() -> Any:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    async def send(message: Any) -> None:
        raise AssertionError(message)

    path = "/v1/transfers"
    scope = {"method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": [CHUNKED]}
    async with asyncio.timeout(30):
        for _ in range(4):
            with pytest.raises(UpstreamUnavailable) as gone:
                await stand.side(scope, receive, send)
            assert not isinstance(gone.value, NotSent)
    assert stand.gauge("circuit_open") == 0


async def test_what_the_public_door_says_to_browsers_no_side_says_too(stand: Stand) -> None:
    async def says_it(_: bytes, writer: asyncio.StreamWriter) -> None:
        said = b"".join(b"%b: %b\r\n" % header for header in (*ALWAYS, POLICY, (b"X-Request-Id", b"a")))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n" + said + b"content-length: 2\r\nkept: yes\r\n\r\n{}")

    await stand.stands(says_it)
    assert set((await stand.ask())[1]) == {b"content-length", b"kept"}


async def test_readyz_says_that_a_side_is_not_asked_and_all_ways_to_it_know() -> None:
    settings = GatewaySettings(upstream_failures_max=1, upstream_pause_ms=60_000)
    away = "http://127.0.0.1:1"
    gateway = build_gateway(settings, away, away, MemoryFeed(), CollectorRegistry(), 1)
    first, then = [(await ask(gateway.app, "GET", "/readyz")).document for _ in range(2)]
    assert "the write side does not answer" in first["reasons"]
    assert then["status"] == "not ready"
    assert "the read side did not answer, so requests for it are refused at once until it does" in then["degraded"]
    reply = await ask(gateway.app, "GET", "/v1/accounts/alice")
    assert (reply.status, reply.headers["retry-after"]) == (503, "60")
    await gateway.close()


async def nonsense(_: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n")


@pytest.mark.parametrize(
    ("answer", "status", "code", "may_be_made"),
    [
        ("away", 503, "upstream_unavailable", False),
        (hangs_up, 502, "upstream_failed", True),
        (nonsense, 502, "upstream_failed", True),
        ("silent", 504, "upstream_timeout", True),
    ],
    ids=["not reached", "broken off", "no answer of HTTP", "silent"],
)
async def test_a_write_that_is_not_answered_is_told_what_is_known_of_it_and_by_which_name_to_ask(
    stand: Stand, answer: Answer | str, status: int, code: str, may_be_made: bool
) -> None:
    async def silent(_: bytes, __: asyncio.StreamWriter) -> None:
        await asyncio.Future()

    await stand.stands(silent if isinstance(answer, str) else answer)
    stand.side._timeout = aiohttp.ClientTimeout(total=None, sock_read=0.2)
    if answer == "away":
        stand.goes_away()
    told_status, headers, told = await stand.ask("POST", "/v1/transfers", PLAIN % b"", KEY)
    assert (told_status, told["code"], headers[b"retry-after"]) == (status, code, b"1")
    assert ("may have been made" in told["detail"], "nothing was done" in told["detail"]) == (
        may_be_made,
        not may_be_made,
    )
    assert told.get("id") == (id_of_key("order-7") if may_be_made else None)
    told_status, _, told = await stand.ask()
    assert (told_status, told["code"], told["detail"]) == (status, code, ONLY_READ)
