"""A delivery over real sockets to receivers that misbehave: it ends in time, reads hardly anything, and goes nowhere else."""

from __future__ import annotations

import asyncio
import json
import resource
import socket

import pytest

from read_side.webhooks.delivery import Answer
from read_side.webhooks.sender import Sender
from tests.listening import Serve, listening
from tests.unit.read_side.webhooks.webhook_stage import SECRET

BODY = json.dumps({"filler": "x" * 250_000}).encode()
LIMIT_S = 30.0
WAITS_IN_VAIN_S = 1.0


async def sent(url: str, *, private: bool = True, answer_s: float = LIMIT_S) -> Answer:
    sender = Sender(answer_s)
    try:
        async with asyncio.timeout(2 * LIMIT_S):
            return await sender.send(url, private, {"webhook-id": "msg_1"}, BODY)
    finally:
        await sender.close()


async def read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    return head + await reader.readexactly(length)


def saying(text: bytes) -> Serve:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(text)
        await writer.drain()
        await asyncio.sleep(LIMIT_S)

    return serve


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    for byte in b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1_000:
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)


async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.sleep(LIMIT_S)


async def flooding(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"100000\r\n" + b"x" * (1 << 20) + b"\r\n")
        await writer.drain()


async def head_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"x-filler: " + b"y" * 4_000 + b"\r\n")
        await writer.drain()


@pytest.mark.parametrize(
    ("serve", "status", "says"),
    [
        (saying(b"HTTP/1.1 204 No Content\r\n\r\n"), 204, ""),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n"), 200, ""),
        (saying(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), 302, "not followed"),
        (saying(b"HTTP/1.1 200 " + b"x" * 100_000), None, "no HTTP"),
        (saying(b"SSH-2.0-x\r\n\r\n"), None, "no HTTP"),
        (dripping, None, "within 1 s"),
        (deaf, None, "within 1 s"),
        (flooding, 200, ""),
        (head_without_end, None, ""),
    ],
    ids=["204", "a body that never comes", "redirect", "long line", "no HTTP", "drips", "deaf", "floods", "endless head"],
)  # fmt: skip
async def test_a_receiver_that_misbehaves_is_answered_for_in_time(serve: Serve, status: int | None, says: str) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with listening(serve) as port:
        limit_s = WAITS_IN_VAIN_S if serve in (dripping, deaf) else LIMIT_S
        answer = await sent(f"http://127.0.0.1:{port}/hook?token=not-told", answer_s=limit_s)
    assert answer.status == status
    assert says in str(answer)
    assert "not-told" not in str(answer)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024, "KiB: hardly anything is read"


async def test_when_it_may_be_asked_again_is_told() -> None:
    async with listening(saying(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")) as port:
        assert (await sent(f"http://127.0.0.1:{port}/")).retry_after_s == 7


async def test_one_connection_serves_many_deliveries_and_no_cookie_is_kept() -> None:
    heads = list[bytes]()
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            heads.append((await read_request(reader))[:2_000])
            writer.write(b'HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 11\r\n\r\n{"ok":true}')

    async with listening(serve) as port:
        sender = Sender(LIMIT_S)
        for _ in range(3):
            assert (await sender.send(f"http://127.0.0.1:{port}/", True, {}, BODY)).is_taken
        await sender.close()
    assert connections == 1
    assert not any(b"cookie" in head.lower() for head in heads)


async def test_a_public_webhook_reaches_nothing_on_this_machine_whatever_its_name_leads_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = list[str]()
    plain = socket.getaddrinfo

    def rebinding(host: str, port: int, *more: int, **named: int) -> object:
        """A public name whose server answers with an address of this machine, as it is asked for a connection."""
        asked.append(host)
        return plain("127.0.0.1", port, *more, **named)

    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1

    async with listening(serve) as port:
        for url in (
            f"http://127.0.0.1:{port}/",
            f"http://localhost:{port}/",
            f"http://[::ffff:127.0.0.1]:{port}/",
            f"http://2130706433:{port}/",
        ):
            answer = await sent(url, private=False)
            assert answer.status is None
            assert "public" in str(answer) or "connection" in str(answer), url
        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        answer = await sent(f"http://hooks.example:{port}/", private=False)
        assert "127.0.0.1 is no public address" in str(answer)
        assert asked == ["hooks.example"]
    assert connections == 0


async def test_a_name_that_leads_nowhere_and_a_port_that_is_closed_are_told_in_words() -> None:
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    assert "refused" in str(await sent(f"http://127.0.0.1:{port}/")).lower()
    assert "leads nowhere" in str(await sent("http://name.invalid/"))
    assert SECRET not in str(await sent(f"http://127.0.0.1:{port}/"))
