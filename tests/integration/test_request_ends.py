"""Where a request ends, and whose answer is whose: the parser and the application agree, whatever a client sends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from deploy.allowed_hosts import AllowedHosts
from deploy.bounded_http import HEAD_BYTES_MAX, HEAD_MS_MAX
from deploy.serving import listen, serve
from fanfold.api.problems import PROBLEMS
from tests.listening import connected

LIMIT_S = 20


class Recorder:
    """An application that answers with what it was asked; `/slow` waits until `go` is set."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.left: list[str] = []
        self.headers: list[dict[bytes, bytes]] = []
        self.go = asyncio.Event()
        self.begun = asyncio.Event()
        self.gone = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun.set()
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.append(scope["path"])
                return
            body, more = body + message["body"], message["more_body"]
        self.asked.append((scope["method"], scope["path"], body))
        self.headers.append(dict(scope["headers"]))
        if scope["path"] == "/slow":
            going = asyncio.ensure_future(self.go.wait())
            leaving = asyncio.ensure_future(receive())
            await asyncio.wait({going, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if leaving.done():
                self.left.append(scope["path"])
                self.gone.set()
            for task in (going, leaving):
                task.cancel()
        answer = scope["path"].encode()
        await send(
            {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(answer))]}
        )
        await send({"type": "http.response.body", "body": answer})


@asynccontextmanager
async def serving(app: Recorder, head_ms: int = HEAD_MS_MAX, ws: Any = "none") -> AsyncIterator[int]:
    ready, end = asyncio.Event(), asyncio.Event()

    async def until_the_end() -> None:
        await end.wait()

    async def drain() -> None:
        """Nothing was taken that is not answered."""

    with listen("127.0.0.1", 0) as bound:
        running = asyncio.create_task(
            serve(
                app, bound, work=[until_the_end], drain=drain, on_started=ready.set, hosts=AllowedHosts(), ws=ws,
                head_ms=head_ms,
            )
        )  # fmt: skip
        async with asyncio.timeout(LIMIT_S):
            await ready.wait()
        yield bound.getsockname()[1]
        end.set()
        async with asyncio.timeout(LIMIT_S):
            await running


@pytest.fixture
def app() -> Recorder:
    return Recorder()


@pytest.fixture
async def port(app: Recorder) -> AsyncIterator[int]:
    async with serving(app) as port:
        yield port


async def say(port: int, *parts: bytes) -> bytes:
    """All that is answered to these bytes; the last part asks for the connection's end, or breaks it."""
    async with connected("127.0.0.1", port) as (reader, writer):
        for part in parts:
            writer.write(part)
            await writer.drain()
        answer = b""
        # Who goes on sending after the answer may get the reset first.
        with suppress(ConnectionResetError):
            async with asyncio.timeout(LIMIT_S):
                answer = await reader.read()
    return answer


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


INNER = b"POST /inner HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

UPGRADES = [
    b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    b"Connection: keep-alive\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n",
    b"Connection: Upgrade\r\nConnection: keep-alive\r\nUpgrade: h2c\r\n",
    b"Connection: UPGRADE\r\nUpgrade: websocket, h2c\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
    b"Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n",
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n",
]


UPGRADES_AT_ONCE = 2_000
"""More than Python's stack has frames."""


class NoWebSocket:
    """Stands where the stream would: none of these requests may reach it."""

    def __init__(self, **_: Any) -> None:
        raise AssertionError("a request with a body was taken as a handshake")


@pytest.mark.parametrize("upgrade", UPGRADES)
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("ws", ["none", NoWebSocket], ids=["side", "gateway"])
async def test_the_body_of_a_request_with_an_upgrade_is_its_body_and_never_a_request(
    app: Recorder, upgrade: bytes, framing: str, ws: Any
) -> None:
    head = b"POST /outer HTTP/1.1\r\nHost: localhost\r\n" + upgrade
    if framing == "length":
        request = head + b"Content-Length: %d\r\n\r\n" % len(INNER) + INNER
    else:
        request = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(INNER) + INNER + b"\r\n0\r\n\r\n"
    wanted = [("POST", "/outer", INNER), ("GET", "/last", b"")]
    async with serving(app, ws=ws) as port:
        for parts in ([request + LAST], [request[:20], request[20:-10], request[-10:] + LAST]):
            app.asked.clear()
            assert statuses(await say(port, *parts)) == [200, 200]
            assert app.asked == wanted


@pytest.mark.parametrize("upgrade", UPGRADES)
async def test_a_request_without_a_body_that_asks_for_an_upgrade_is_answered_as_if_it_had_not(
    app: Recorder, port: int, upgrade: bytes
) -> None:
    answer = await say(port, b"GET /outer HTTP/1.1\r\nHost: localhost\r\n" + upgrade + b"\r\n" + LAST)
    assert statuses(answer) == [200, 200]
    assert [asked[1] for asked in app.asked] == ["/outer", "/last"]
    assert b"upgrade" not in app.headers[0]


HANDSHAKE = (
    b"Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_thousands_of_upgrades_in_one_read_are_answered_each_for_itself(app: Recorder, port: int) -> None:
    one = b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    answer = await say(port, one * UPGRADES_AT_ONCE + LAST)
    assert statuses(answer) == [200] * (UPGRADES_AT_ONCE + 1)


async def test_a_handshake_behind_a_request_that_is_not_answered_is_an_ordinary_request(app: Recorder) -> None:
    """It would take the connection away from the answer that is still to come."""
    async with serving(app, ws=NoWebSocket) as port:
        app.go.set()
        slow = b"POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        answer = await say(port, slow + b"GET /stream HTTP/1.1\r\n" + HANDSHAKE + LAST)
        assert statuses(answer) == [200, 200, 200]


async def test_a_handshake_in_http_1_0_is_an_ordinary_request(app: Recorder) -> None:
    async with serving(app, ws=NoWebSocket) as port:
        assert statuses(await say(port, b"GET /stream HTTP/1.0\r\n" + HANDSHAKE)) == [200]


POST = b"POST /a HTTP/1.1\r\nHost: localhost\r\n"
NOT_REQUESTS = {
    "both lengths": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both, other order": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "a list of lengths": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    "a signed length": POST + b"Content-Length: +5\r\n\r\nhello",
    "a blank before the colon": POST + b"Content-Length : 5\r\n\r\nhello",
    "another coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunked not last": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a coding before chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding in a header before": POST + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a fragment": b"GET /a#b HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a fragment of a handshake": b"GET /stream#b HTTP/1.1\r\n" + HANDSHAKE,
    "two lengths that differ": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a length of hexadecimal digits": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "a length of nothing": POST + b"Content-Length:\r\n\r\nhello",
    "a negative length": POST + b"Content-Length: -1\r\n\r\nhello",
    "a length that wraps": POST + b"Content-Length: 18446744073709551621\r\n\r\nhello",
    "a vertical tab before chunked": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "a zero byte in a name": POST + b"Content-\x00Length: 5\r\n\r\nhello",
    "a zero byte in a value": POST + b"X: a\x00b\r\n\r\n",
    "a return alone within a header": POST + b"X: a\rContent-Length: 5\r\n\r\nhello",
    "a folded length": POST + b"Content-Length:\r\n 5\r\n\r\nhello",
    "a header without a name": POST + b": a\r\n\r\n",
    "a chunk of hexadecimal digits with a prefix": POST + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk size that wraps": POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n",
    "line feeds only behind a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\n0\n\n",
    "a folded header": POST + b"X: a\r\n Content-Length: 5\r\n\r\nhello",
    "line feeds only": b"POST /a HTTP/1.1\nHost: localhost\nContent-Length: 5\n\nhello",
    "a chunk size with a sign": POST + b"Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n",
    "a chunk longer than its size": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "http/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "connect": b"CONNECT localhost:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a target without a path": b"GET http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bytes behind a handshake": b"GET /stream HTTP/1.1\r\n" + HANDSHAKE + b"\x81\x80\0\0\0\0",
    "trailers without an end": POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + b"a" * 8 * HEAD_BYTES_MAX,
}


@pytest.mark.parametrize("name", NOT_REQUESTS)
async def test_what_may_be_read_in_two_ways_is_refused_and_does_nothing(app: Recorder, port: int, name: str) -> None:
    answer = await say(port, NOT_REQUESTS[name] + INNER)
    told = {
        "bytes behind a handshake": [[200, 400]],
        "trailers without an end": [[400], []],
    }  # a whole GET first; a reset
    assert statuses(answer) in told.get(name, [[400]])
    assert "/a" not in [asked[1] for asked in app.asked]
    assert "/inner" not in [asked[1] for asked in app.asked]


@pytest.mark.parametrize("name", NOT_REQUESTS)
async def test_broken_bytes_are_never_answered_in_the_place_of_the_payment_before_them(
    app: Recorder, name: str
) -> None:
    async with serving(app) as port:
        async with connected("127.0.0.1", port) as (reader, writer):
            writer.write(b"POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
            async with asyncio.timeout(LIMIT_S):
                await app.begun.wait()
            writer.write(NOT_REQUESTS[name][:60_000] + b"\r\n\r\n\x00")
            app.go.set()
            async with asyncio.timeout(LIMIT_S):
                answer = await reader.read()
        assert statuses(answer)[0] == 200
        assert statuses(answer)[-1] == 400
        assert b"/slow" in answer


@pytest.mark.parametrize("version", [b"2.0", b"1.2", b"0.9"])
async def test_another_version_of_http_is_told_so_and_nothing_behind_it_is_read(
    app: Recorder, port: int, version: bytes
) -> None:
    answer = await say(port, b"GET /a HTTP/" + version + b"\r\nHost: localhost\r\n\r\n" + INNER)
    assert statuses(answer) in ([505], [400])  # the parser itself knows some versions and not others
    assert version != b"2.0" or statuses(answer) == [505]
    assert app.asked == []


async def test_trailers_are_not_headers(app: Recorder, port: int) -> None:
    request = (
        b"POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
        b"Idempotency-Key: other\r\nHost: evil.example\r\n\r\n"
    )
    assert statuses(await say(port, request + LAST)) == [200, 200]
    assert app.headers[0][b"host"] == b"localhost"
    assert b"idempotency-key" not in app.headers[0]


@pytest.mark.parametrize("ws", ["none", NoWebSocket], ids=["side", "gateway"])
@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /a HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 2\r\n", 421),
        (b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nContent-Length: 2\r\n", 400),
        (b"POST /a HTTP/1.1\r\nHost: localhost, evil.example\r\nContent-Length: 2\r\n", 400),
        (b"POST http://evil.example/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n", 421),
        (b"POST http://localhost/a HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 2\r\n", 421),
        (b"POST /a HTTP/1.0\r\nHost: evil.example\r\nContent-Length: 2\r\n", 421),
    ],
)
async def test_a_request_for_another_host_is_refused(app: Recorder, head: bytes, status: int, ws: Any) -> None:
    async with serving(app, ws=ws) as port:
        answer = await say(port, head + b"\r\n{}")
        assert statuses(answer) == [status]
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] in ("host_refused", "host_malformed")
        handshake = b"GET /stream HTTP/1.1\r\n" + HANDSHAKE.replace(b"Host: localhost", b"Host: evil.example")
        assert statuses(await say(port, handshake)) == [421]
    assert app.asked == []


async def test_a_client_of_http_1_0_needs_no_host(app: Recorder, port: int) -> None:
    assert statuses(await say(port, b"GET /a HTTP/1.0\r\n\r\n")) == [200]


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: local", LAST.replace(b"close", b"keep-alive")[:-4]]
)
async def test_a_head_that_does_not_come_ends_the_connection(app: Recorder, sent: bytes) -> None:
    async with serving(app, head_ms=50) as port:
        assert statuses(await say(port, sent)) == ([400] if sent else [])
        assert app.asked == []


@pytest.mark.parametrize("behind", [b"", LAST.replace(b"close", b"keep-alive")], ids=["alone", "behind a request"])
async def test_blank_lines_are_no_head_and_keep_no_connection(app: Recorder, behind: bytes) -> None:
    """RFC 9112 section 2.2 lets a client send them before a request line, and the parser says nothing of them."""
    async with serving(app, head_ms=50) as port, connected("127.0.0.1", port) as (reader, writer):
        writer.write(behind)
        async with asyncio.timeout(LIMIT_S):
            if behind:
                assert statuses(await reader.readuntil(b"\r\n\r\n/last")) == [200]
            with suppress(ConnectionError):
                while not reader.at_eof():
                    writer.write(b"\r\n")
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.01):
                            assert await reader.read(1) == b""


async def test_blank_lines_before_a_request_take_nothing_from_it(app: Recorder) -> None:
    async with serving(app, head_ms=50) as port, connected("127.0.0.1", port) as (reader, writer):
        writer.write(b"\r\n\r\n")
        await writer.drain()
        writer.write(b"POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read(1)
        app.go.set()
        async with asyncio.timeout(LIMIT_S):
            assert statuses(await reader.readuntil(b"\r\n\r\n/slow")) == [200]


async def test_a_slow_head_behind_a_payment_does_not_take_its_answer(app: Recorder) -> None:
    async with serving(app, head_ms=50) as port, connected("127.0.0.1", port) as (reader, writer):
        writer.write(b"POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}GET /never")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await reader.read(1)
        app.go.set()
        async with asyncio.timeout(LIMIT_S):
            assert statuses(await reader.read()) == [200, 400]


async def test_who_asked_twice_and_leaves_is_gone_for_both(app: Recorder, port: int) -> None:
    async with connected("127.0.0.1", port) as (_, writer):
        slow = b"POST /slow HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        writer.write(slow)
        async with asyncio.timeout(LIMIT_S):
            await app.begun.wait()
        writer.write(slow)
        await writer.drain()
    async with asyncio.timeout(LIMIT_S):
        await app.gone.wait()


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"nonsense\r\n\r\n", "request_malformed"),
        (b"GET /%s HTTP/1.1\r\n" % (b"x" * (HEAD_BYTES_MAX + 1)), "request_malformed"),
        (b"CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n", "request_malformed"),
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "host_refused"),
        (b"GET / HTTP/1.1\r\n\r\n", "host_malformed"),
    ],
)
async def test_what_goes_no_further_than_http_is_a_problem_of_the_one_table(port: int, sent: bytes, code: str) -> None:
    head, _, body = (await say(port, sent)).partition(b"\r\n\r\n")
    document = json.loads(body)
    assert document["code"] == code
    assert statuses(head) == [document["status"]] == [PROBLEMS[code].status]
    assert b"content-type: application/problem+json" in head.lower()
    assert b"connection: close" in head.lower()
