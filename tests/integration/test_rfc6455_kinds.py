"""What a peer may send by RFC 6455 and what it may not, over raw sockets: the kinds of cases of the Autobahn test suite (its
numbers stand beside them), each whole and an octet at a time. Its cases have an echo; ours a message that is answered: `ping`."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Sequence
from typing import Final, NamedTuple

import pytest

from gateway.settings import GatewaySettings
from tests.gateway_server import PASSED_OVER, Served, serving
from tests.integration.test_websocket import WAIT_S, _address, until
from tests.listening import connected
from tests.wallet_stub import WalletStub

TEXT, BINARY, CONT, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
MASK: Final = b"\x37\xfa\x21\x3d"
SIZE_MAX: Final = GatewaySettings().stream_message_bytes_max
HEAD: Final = (
    b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
ASKED: Final = b'{"op":"ping","id":1}'
ANSWERED: Final = "pong 1"
BYTES: Final = b"\x00\xff\xfe"
END: Final = b"end"
STILL_OPEN: Final = f"PONG {END!r}"


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    size = len(data)
    if size > 0xFFFF:
        length = b"\x7f" + struct.pack(">Q", size)
    else:
        length = bytes([size]) if size < 126 else b"\x7e" + struct.pack(">H", size)
    first = bytes([fin << 7 | rsv << 4 | opcode])
    if not masked:
        return first + length + data
    mask = (MASK * (size // 4 + 1))[:size]
    hidden = (int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")).to_bytes(size, "big")
    return first + bytes([length[0] | 0x80]) + length[1:] + MASK + hidden


def fragments(data: bytes, size: int, opcode: int = TEXT) -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    frames = [frame(CONT if at else opcode, part, fin=at == len(parts) - 1) for at, part in enumerate(parts)]
    return b"".join(frames)


def closing(code: int, reason: bytes = b"") -> bytes:
    return frame(CLOSE, struct.pack(">H", code) + reason)


def padded(size: int) -> bytes:
    """A message that is answered, of so many bytes."""
    return ASKED[:-1] + b" " * (size - len(ASKED)) + b"}"


def quoted(text: bytes) -> bytes:
    return b'{"op":"' + text + b'","id":1}'


class Case(NamedTuple):
    """told: what comes, without what every stream hears. Where that does not end with a close the stream goes on."""

    name: str
    sent: bytes
    told: Sequence[str]
    any_order: bool = False


def stays(name: str, sent: bytes, *told: str) -> Case:
    return Case(name, sent, [*told, STILL_OPEN])


def ends(name: str, sent: bytes, code: int | None, *told: str) -> Case:
    return Case(name, sent, [*told, f"CLOSE {code}"])


ASK: Final = frame(TEXT, ASKED)
FRAMING = [
    *(
        stays(f"1.1 text of {size}", frame(TEXT, padded(size)), ANSWERED)
        for size in (125, 126, 127, 128, 65_535, 65_536)
    ),
    stays("1.1.1 an empty text", frame(TEXT), "error"),
    ends("1.2 binary", frame(BINARY, ASKED), 1003),
    ends("1.2.1 an empty binary", frame(BINARY), 1003),
    stays("a mask of zeros", ASK.replace(MASK, bytes(4))[:6] + ASKED, ANSWERED),
    ends("5.1 of the RFC: no mask", frame(TEXT, ASKED, masked=False), 1002),
    *(ends(f"3 reserved bits {rsv}", ASK + frame(TEXT, ASKED, rsv=rsv), 1002, ANSWERED) for rsv in range(1, 8)),
    *(ends(f"3 reserved bits {rsv} of a ping", frame(PING, rsv=rsv), 1002) for rsv in (1, 2, 4)),
    *(
        ends(f"4 opcode {opcode}", ASK + frame(opcode, b"x"), 1002, ANSWERED)
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    ),
]
PINGS = [
    stays("2.1 an empty ping", frame(PING), "PONG b''"),
    stays("2.2 a ping", frame(PING, b"Hello"), "PONG b'Hello'"),
    stays("2.3 a ping of bytes", frame(PING, BYTES), "PONG " + repr(BYTES)),
    stays("2.4 a ping of 125", frame(PING, b"x" * 125), f"PONG {b'x' * 125!r}"),
    ends("2.5 a ping of 126", frame(PING, b"x" * 126), 1002),
    stays("2.7 a pong that nobody asked for", frame(PONG) + frame(PONG, b"x")),
    stays("2.9 a pong and a ping", frame(PONG, b"x") + frame(PING, b"y"), "PONG b'y'"),
    stays(
        "2.10 ten pings",
        b"".join(frame(PING, b"%d" % n) for n in range(10)),
        *(f"PONG {b'%d' % n!r}" for n in range(10)),
    ),
    ends("a pong of 126", frame(PONG, b"x" * 126), 1002),
]
FRAGMENTS = [
    ends("5.1 a ping in two", frame(PING, b"a", fin=False) + frame(CONT, b"b"), 1002),
    ends("5.2 a pong in two", frame(PONG, b"a", fin=False) + frame(CONT, b"b"), 1002),
    stays("5.3 a text in two", fragments(ASKED, 11), ANSWERED),
    stays(
        "5.6 a ping within a text",
        frame(TEXT, ASKED[:5], fin=False) + frame(PING, b"p") + frame(CONT, ASKED[5:]),
        "PONG b'p'",
        ANSWERED,
    )._replace(any_order=True),
    stays("5.8 a letter a fragment", fragments(ASKED, 1), ANSWERED),
    stays("empty fragments", frame(TEXT, fin=False) + frame(CONT, fin=False) + frame(CONT, ASKED), ANSWERED),
    ends("5.9 what continues nothing", frame(CONT, ASKED), 1002),
    ends("5.11 a part that continues nothing", frame(CONT, ASKED, fin=False), 1002),
    ends("5.13 the same after a message", fragments(ASKED, 11) + frame(CONT, ASKED), 1002, ANSWERED),
    ends("5.18 a text within a text", frame(TEXT, ASKED, fin=False) + ASK, 1002),
    ends("a binary within a text", frame(TEXT, ASKED, fin=False) + frame(BINARY, b"x"), 1002),
    ends("a binary in two", frame(BINARY, b"x", fin=False) + frame(CONT, b"y"), 1003),
    stays("10.1 65,536 in pieces of 1,300", fragments(padded(65_536), 1_300), ANSWERED),
]
WELL = [
    "κόσμε",
    "\x7f",
    "\u0080",
    "\u07ff",
    "\u0800",
    "\ud7ff",
    "\ue000",
    "\ufffd",
    "\uffff",
    "\U00010000",
    "\U0010ffff",
    "\u0000",
]
ILL = (
    "80 bf 80bf80 c0 c1bf e0 f0 f8 fe ff c0af e080af f08080af f8808080af c080 e08080 e09fbf f08fbfbf eda080 edbfbf edafbfedbfbf "
    "f4908080 f7bfbfbf c3 e282 f09f98 c328 e228a1"
)
UTF8 = [
    *(stays(f"6.2 {text!r}", frame(TEXT, quoted(text.encode())), "error") for text in WELL),
    *(stays(f"6.2 {text!r} alone, a byte a fragment", fragments(text.encode(), 1), "error") for text in WELL),
    *(ends(f"6.3 {hex}", frame(TEXT, quoted(bytes.fromhex(hex))), 1007) for hex in ILL.split()),
    *(ends(f"6.4 {hex} in fragments", fragments(quoted(bytes.fromhex(hex)), 1), 1007) for hex in ILL.split()),
    ends("6 a text that ends within a letter", frame(TEXT, b"\xe2\x82"), 1007),
    ends("7.5.1 a reason that is not UTF-8", closing(1000, b"\xce\xba\xed\xa0\x80"), 1007),
]
CLOSES = [
    ends("7.1.1 a message and a close", ASK + closing(1000), 1000, ANSWERED),
    ends("7.1.2 two closes", closing(1000) + closing(1001), 1000),
    ends("7.1.3 a ping behind a close", closing(1000) + frame(PING, b"x"), 1000),
    ends("7.1.4 a text behind a close", closing(1000) + ASK, 1000),
    # 1000 there: websockets' protocol takes a message that is never ended for a broken one, and both end it.
    ends(
        "7.1.5 a close within a text", frame(TEXT, ASKED[:4], fin=False) + closing(1000) + frame(CONT, ASKED[4:]), 1002
    ),
    ends("7.3.1 a close without a code", frame(CLOSE), None),
    ends("7.3.2 half of a code", frame(CLOSE, b"\x03"), 1002),
    ends("7.3.4 a reason", closing(1000, b"goodbye"), 1000),
    ends("7.3.5 the longest reason", closing(1000, b"x" * 123), 1000),
    ends("7.3.6 a longer one", closing(1000, b"x" * 124), 1002),
    ends("a close in two", frame(CLOSE, b"\x03\xe8", fin=False), 1002),
    *(
        ends(f"7.7 {code}", closing(code), code)
        for code in (1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    ),
    *(ends(f"7.9 {code}", closing(code), 1002) for code in (0, 999, 1004, 1005, 1006, 1100, 2000, 2999, 5000, 65_535)),
]
HUGE = b"\x81\xff" + struct.pack(">Q", 2**62) + MASK
LIMITS = [
    stays("9.1 the largest message", frame(TEXT, padded(SIZE_MAX)), ANSWERED),
    stays("9.3 the same in fragments of 64", fragments(padded(SIZE_MAX), 64), ANSWERED),
    ends("a larger one", frame(TEXT, padded(SIZE_MAX + 1)), 1009),
    ends("a larger one in fragments", fragments(padded(SIZE_MAX + 1), 4_096), 1009),
    ends("the head of a huge one, of which nothing comes", HUGE, 1009),
    ends("a huge fragment", frame(TEXT, b"a", fin=False) + b"\x80" + HUGE[1:], 1009),
    ends("a length with the highest bit", b"\x81\xff" + b"\xff" * 8 + MASK, 1009),
]  # fmt: skip


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    wallet = await WalletStub.of_alice_and_bob()
    async with serving(wallet, wallet.feed) as found:
        await wallet.heartbeat()
        yield found


async def _heard(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    """What the server says, frame by frame; its connection lost says so, too."""
    while True:
        try:
            first, size = await reader.readexactly(2)
            assert not size & 0x80, "a server masks nothing"
            assert first & 0xF0 == 0x80, "ours are whole, without reserved bits"
            if size == 126:
                [size] = struct.unpack(">H", await reader.readexactly(2))
            data = await reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            yield "LOST"
            return
        if first & 0xF == TEXT:
            said = json.loads(data)
            if said["op"] not in PASSED_OVER:
                yield f"pong {said['id']}" if said["op"] == "pong" else str(said["op"])
        elif first & 0xF == PONG:
            yield f"PONG {data!r}"
        elif first & 0xF == CLOSE:
            yield f"CLOSE {struct.unpack('>H', data[:2])[0] if data else None}"


async def _told(served: Served, case: Case, *, by_octet: bool) -> list[str]:
    sent = case.sent + (frame(PING, END) if case.told[-1] == STILL_OPEN else b"")
    told: list[str] = []
    try:
        async with connected(*_address(served)) as (reader, writer), asyncio.timeout(WAIT_S):
            writer.write(HEAD + b"\r\n")
            assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
            for piece in [sent[at : at + 1] for at in range(len(sent))] if by_octet else [sent]:
                writer.write(piece)
                if by_octet:
                    await asyncio.sleep(0)
            async for each in _heard(reader):
                told.append(each)
                if each.startswith(("CLOSE", "LOST")) or each == STILL_OPEN:
                    break
    except TimeoutError:
        told.append("nothing more")
    return told


@pytest.mark.parametrize(
    "cases", [FRAMING, PINGS, FRAGMENTS, UTF8, CLOSES, LIMITS], ids=lambda cases: cases[-1].name.split()[0]
)
async def test_whatever_a_peer_sends_is_answered_or_ends_the_stream_as_the_rfc_says(
    served: Served, cases: list[Case]
) -> None:
    wrong = []
    for case in cases:
        for by_octet in (False, True) if len(case.sent) < 200 else (False,):
            told = await _told(served, case, by_octet=by_octet)
            same = sorted(told) == sorted(case.told) if case.any_order else told == case.told
            if not same:
                wrong.append((case.name, by_octet, case.told, told))
    assert wrong == []
    await until(lambda: not served.gateway.hub.streams)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (b"null", b"403"),
        (b"https://localhost.evil.example", b"403"),
        (b"http://evil.example/localhost", b"403"),
        (b"http://localhost:1", b"403"),
        (b"http://user@localhost", b"403"),
        (b"", b"403"),
        (b"http://localhost\r\nOrigin: http://localhost", b"403"),
        (b"http://localhost", b"101"),
    ],
)
async def test_a_page_of_another_site_opens_nothing_however_it_calls_itself(
    served: Served, origin: bytes, status: bytes
) -> None:
    async with connected(*_address(served)) as (reader, writer):
        writer.write(HEAD + b"Origin: " + origin + b"\r\n\r\n")
        async with asyncio.timeout(WAIT_S):
            assert (await reader.readline()).split(b" ")[1] == status
