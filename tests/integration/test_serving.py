"""What every service's door does before anything of the project sees the request."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest
import uvloop

from deploy import bounded_http
from deploy.allowed_hosts import AllowedHosts
from deploy.bounded_http import HEAD_BYTES_MAX
from deploy.serving import listen, run, serve
from tests.listening import connected

LIMIT_S = 10
READ_BYTES = 1024 * 1024
"""More than a server reads at once."""


async def hello(scope: Any, receive: Any, send: Any) -> None:
    seen = f"{scope['client'][0]} by {scope['scheme']}".encode()
    headers = [(b"content-length", b"5"), (b"seen", seen)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    ready, end = asyncio.Event(), asyncio.Event()

    async def until_the_end() -> None:
        await end.wait()

    with listen("127.0.0.1", 0) as bound:
        serving = asyncio.create_task(
            serve(
                hello, bound, work=[until_the_end], drain=_nothing_is_left, on_started=ready.set, hosts=AllowedHosts()
            )
        )
        async with asyncio.timeout(LIMIT_S):
            await ready.wait()
        yield bound.getsockname()[1]
        end.set()
        async with asyncio.timeout(LIMIT_S):
            await serving


async def test_a_header_that_never_ends_ends_the_connection(port: int) -> None:
    async with connected("127.0.0.1", port) as (reader, writer):
        answer = b""
        # A client that goes on sending may get the reset before it has read the answer.
        with suppress(ConnectionError):
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * READ_BYTES)
            writer.write(b"a" * READ_BYTES)
            async with asyncio.timeout(LIMIT_S):
                answer = await reader.read()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")


async def test_the_server_itself_believes_no_header_about_where_a_request_comes_from(port: int) -> None:
    async with connected("127.0.0.1", port) as (reader, writer):
        said = b"X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nForwarded: for=203.0.113.9;proto=https\r\n"
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + said + b"\r\n")
        async with asyncio.timeout(LIMIT_S):
            answer = await reader.readuntil(b"hello")
    assert b"\r\nseen: 127.0.0.1 by http\r\n" in answer


@pytest.mark.parametrize(
    ("asked", "status"),
    [(b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", b"421"), (b"nonsense\r\n\r\n", b"400")],
)
async def test_what_is_refused_before_any_application_is_no_page_either(port: int, asked: bytes, status: bytes) -> None:
    async with connected("127.0.0.1", port) as (reader, writer):
        writer.write(asked)
        async with asyncio.timeout(LIMIT_S):
            answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status)
    assert b"\r\nx-content-type-options: nosniff\r\n" in answer
    assert b"\r\ncontent-security-policy: default-src 'none'; frame-ancestors 'none'\r\n" in answer


async def test_requests_one_after_the_other_are_counted_each_for_itself(port: int) -> None:
    async with connected("127.0.0.1", port) as (reader, writer):
        body = b"b" * HEAD_BYTES_MAX
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Long: " + b"a" * (HEAD_BYTES_MAX // 2))
            writer.write(b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 ")


async def test_a_connection_more_than_leaves_the_log_its_files_is_closed_with_a_reason() -> None:
    ready, end = asyncio.Event(), asyncio.Event()

    async def until_the_end() -> None:
        await end.wait()

    async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return await reader.readuntil(b"hello")

    with listen("127.0.0.1", 0) as bound:
        serving = asyncio.create_task(
            serve(
                hello, bound, work=[until_the_end], drain=_nothing_is_left, on_started=ready.set, hosts=AllowedHosts(),
                connections=2,
            )
        )  # fmt: skip
        async with asyncio.timeout(LIMIT_S):
            await ready.wait()
            port = bound.getsockname()[1]
            async with connected("127.0.0.1", port) as stays:
                async with connected("127.0.0.1", port) as leaves:
                    for each in (stays, leaves):
                        assert (await asked(*each)).startswith(b"HTTP/1.1 200 ")
                    async with connected("127.0.0.1", port) as (reader, _):
                        refused = await reader.read()
                    assert refused.startswith(b"HTTP/1.1 503 ")
                    assert b'"code":"overloaded"' in refused
                    assert (await asked(*stays)).startswith(b"HTTP/1.1 200 ")
                answer = b""
                while not answer.startswith(b"HTTP/1.1 200 "):  # until the server has heard that one has left
                    async with connected("127.0.0.1", port) as (reader, writer):
                        with suppress(ConnectionError):
                            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                            answer = await reader.read()
            end.set()
            await serving


NEWCOMERS = 160


def test_a_burst_of_connections_is_taken_many_a_turn_of_the_loop() -> None:
    turns = 0
    asked_at: list[int] = []
    all_asked = asyncio.Event()

    async def counting(scope: Any, receive: Any, send: Any) -> None:
        asked_at.append(turns)
        if len(asked_at) == NEWCOMERS:
            all_asked.set()
        await hello(scope, receive, send)

    async def until_all_asked() -> None:
        await all_asked.wait()

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def main() -> None:
        with listen("127.0.0.1", 0) as bound, ExitStack() as clients:
            for _ in range(NEWCOMERS):
                client = clients.enter_context(socket.create_connection(bound.getsockname()))
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            counted = asyncio.create_task(count_turns())
            async with asyncio.timeout(LIMIT_S):
                await serve(
                    counting,
                    bound,
                    work=[until_all_asked],
                    drain=_nothing_is_left,
                    on_started=lambda: None,
                    hosts=AllowedHosts(),
                )
            counted.cancel()

    run(main())
    assert asked_at[-1] - asked_at[0] <= NEWCOMERS // 4


async def _nothing_is_left() -> None:
    """Nothing was taken that is not answered."""


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_an_accepted_connection_sends_at_once_on_any_loop(host: str) -> None:
    with listen(host, 0) as bound, socket.create_connection(bound.getsockname()[:2]):
        accepted, _ = bound.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
            assert accepted.proto == socket.IPPROTO_TCP  # what asyncio asks before it turns the delay off itself


def test_what_serves_runs_on_uvloop() -> None:
    loops = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())

    run(main())
    assert isinstance(loops[0], uvloop.Loop)


def test_no_serving_command_makes_a_loop_of_its_own() -> None:
    top = Path(__file__).parents[2]
    sources = [top / "fanfold" / "cli" / "services.py", *(top / "deploy").glob("*.py")]
    assert [source.name for source in sources if "asyncio.run(" in source.read_text()] == []
    assert [source.name for source in sources if "asyncio.Runner(" in source.read_text()] == ["serving.py"]


async def test_requests_are_answered_while_the_logs_are_folded() -> None:
    folded, ready, end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def until_the_end() -> None:
        await end.wait()

    with listen("127.0.0.1", 0) as bound:
        serving = asyncio.create_task(
            serve(
                hello,
                bound,
                start=_waiting_for(folded),
                work=[until_the_end],
                drain=_nothing_is_left,
                on_started=ready.set,
                hosts=AllowedHosts(),
            )
        )
        async with asyncio.timeout(LIMIT_S):
            async with connected(*bound.getsockname()) as (reader, writer):
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 ")
                assert not ready.is_set()
                folded.set()
                await ready.wait()
            end.set()
            await serving


async def test_a_start_that_fails_ends_the_service_with_its_reason() -> None:
    async def fails() -> None:
        raise OSError("no such log")

    with listen("127.0.0.1", 0) as bound, pytest.raises(OSError, match="no such log"):
        async with asyncio.timeout(LIMIT_S):
            await serve(
                hello,
                bound,
                start=fails,
                work=[_nothing_is_left],
                drain=_nothing_is_left,
                on_started=lambda: pytest.fail("it is not ready"),
                hosts=AllowedHosts(),
            )


def _waiting_for(event: asyncio.Event) -> Callable[[], Coroutine[Any, Any, None]]:
    async def wait() -> None:
        await event.wait()

    return wait


class _Echo(asyncio.Protocol):
    """What takes a connection over from HTTP: says once that it has, and then what it is told."""

    writing: ClassVar[list[str]] = []

    def pause_writing(self) -> None:
        self.writing.append("full")

    def resume_writing(self) -> None:
        self.writing.append("free")

    def __init__(self, config: Any, server_state: Any, app_state: Any) -> None:
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(b"taken over" if data.startswith(b"GET ") else data)

    def shutdown(self) -> None:
        self._transport.close()


UPGRADE = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


async def test_a_stream_on_a_connection_with_an_answer_still_to_be_read_is_not_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_http, "UNREAD_MS_MAX", 150)
    _Echo.writing.clear()
    body = b"a" * (32 * 1024 * 1024)
    """More than the kernel takes of it."""
    answered, ready, end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def much(_: Any, receive: Any, send: Any) -> None:
        length = (b"content-length", b"%d" % len(body))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": body})
        answered.set()

    async def until_the_end() -> None:
        await end.wait()

    with listen("127.0.0.1", 0) as bound:
        serving = asyncio.create_task(
            serve(much, bound, work=[until_the_end], on_started=ready.set, hosts=AllowedHosts(), ws=_Echo)
        )
        async with asyncio.timeout(6 * LIMIT_S):
            await ready.wait()
            async with connected(*bound.getsockname(), limit=1024) as (reader, writer):
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await answered.wait()
                writer.write(UPGRADE)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200 ")
                assert len(await reader.readexactly(len(body))) == len(body)
                assert await reader.readexactly(10) == b"taken over"
                for _ in range(10):  # longer than anybody may take nothing of an answer
                    await asyncio.sleep(0.05)
                    writer.write(b"still here")
                    assert await reader.readexactly(10) == b"still here"
                assert _Echo.writing == ["full", "free"], "or it would go on writing to who takes nothing"
            end.set()
            await serving


async def test_who_takes_nothing_of_an_answer_is_cut_off_and_who_takes_some_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_http, "UNREAD_MS_MAX", 150)
    piece, asked = b"a" * 65_536, 400
    over: list[int] = []
    ready, end = asyncio.Event(), asyncio.Event()

    async def much(_: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(asked):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        over.append(1)

    async def until_the_end() -> None:
        await end.wait()

    with listen("127.0.0.1", 0) as bound:
        serving = asyncio.create_task(
            serve(much, bound, work=[until_the_end], on_started=ready.set, hosts=AllowedHosts())
        )
        async with asyncio.timeout(LIMIT_S):
            await ready.wait()

        one, other = (connected(*bound.getsockname(), limit=1024) for _ in range(2))
        async with one as (_, silent), other as (reader, slow):
            for writer in (silent, slow):
                writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            read = 0
            async with asyncio.timeout(6 * LIMIT_S):
                while taken := await reader.read(1 << 20):
                    read += len(taken)
                    await asyncio.sleep(0.002)
            assert read > asked * len(piece), "it was told everything, at its own pace"
            async with asyncio.timeout(LIMIT_S):
                while len(over) < 2:  # noqa: ASYNC110 - the request of who is cut off ends, too
                    await asyncio.sleep(0.01)
        end.set()
        async with asyncio.timeout(LIMIT_S):
            await serving


@pytest.mark.parametrize("ends", ["says so", "half-closes", "sends no request"])
async def test_who_takes_nothing_of_the_end_of_an_answer_keeps_no_closed_connection(
    monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    """What is left is so little that the transport goes on writing: closed, it would wait for its client."""
    monkeypatch.setattr(bounded_http, "UNREAD_MS_MAX", 50)
    lost, ready, end = asyncio.Event(), asyncio.Event(), asyncio.Event()
    was_lost, answered = bounded_http.BoundedHttpProtocol.connection_lost, asyncio.Event()

    def connection_lost(self: bounded_http.BoundedHttpProtocol, exc: Exception | None) -> None:
        was_lost(self, exc)
        lost.set()

    def connection_made(self: bounded_http.BoundedHttpProtocol, transport: Any) -> None:
        was_made(self, transport)
        self.timeout_keep_alive = 1

    was_made = bounded_http.BoundedHttpProtocol.connection_made
    monkeypatch.setattr(bounded_http.BoundedHttpProtocol, "connection_lost", connection_lost)
    monkeypatch.setattr(bounded_http.BoundedHttpProtocol, "connection_made", connection_made)

    async def some(_: Any, receive: Any, send: Any) -> None:
        length = (b"content-length", b"%d" % len(SOME))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": SOME})
        answered.set()

    async def until_the_end() -> None:
        await end.wait()

    with listen("127.0.0.1", 0) as bound, socket.socket() as client:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2_048)
        client.setblocking(False)
        serving = asyncio.create_task(
            serve(some, bound, work=[until_the_end], on_started=ready.set, hosts=AllowedHosts())
        )
        async with asyncio.timeout(LIMIT_S):
            await ready.wait()
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, bound.getsockname())
            close = b"Connection: close\r\n" if ends == "says so" else b""
            await loop.sock_sendall(client, b"GET / HTTP/1.1\r\nHost: localhost\r\n%b\r\n" % close)
            await answered.wait()
            if ends == "half-closes":
                client.shutdown(socket.SHUT_WR)
            await lost.wait()
            end.set()
            await serving


SOME = b"a" * 60_000
"""More than the kernel takes of it here, and less than what makes a transport say that it is full."""
