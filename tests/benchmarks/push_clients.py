"""The clients of `bench push` and what they are told: sockets that count frames, and the feed that a server hears."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Final, cast

import numpy as np

from gateway.protocol.outbox import text_frame
from read_side.contract.feed import FeedBatch
from read_side.contract.rows import AccountRows
from read_side.feed.notice_bytes import encode_batch, encode_notice
from tests.benchmarks.push_server import HEAD

OPENED_AT_ONCE: Final = 200
VERSION: Final = b'"v":'
AT_US: Final = 1_767_225_600_000_000


class Socket(asyncio.Protocol):
    """Watches accounts. newest: the newest version told of any; balances, heartbeats: how many frames of each came."""

    def __init__(self, number: int, accounts: Sequence[str]) -> None:
        self.ready = asyncio.get_running_loop().create_future()
        self.newest = -1
        self.balances = self.heartbeats = 0
        self.on_balances: asyncio.Event | None = None
        self._subscribe = json.dumps(
            {"op": "subscribe", "id": number, "accounts": [{"account": name} for name in accounts]},
            separators=(",", ":"),
        )
        self._buffer = b""
        self._upgraded = False
        self.told_s: list[float] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(
            b"GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        if not self._upgraded:
            head, end, data = data.partition(b"\r\n\r\n")
            assert end, head
            assert head.startswith(b"HTTP/1.1 101"), head
            self._upgraded = True
            self._transport.write(_masked(self._subscribe.encode()))
        at, size = 0, len(data)
        while at + 10 <= size:
            length, begin = data[at + 1], at + 2
            if length >= 126:
                more = 2 if length == 126 else 8
                length, begin = int.from_bytes(data[begin : begin + more], "big"), begin + more
            if begin + length > size:
                break
            if data.startswith(b'{"op":"balances"', begin):
                self._take(data, begin, begin + length)
            elif data.startswith(b'{"op":"heartbeat"', begin):
                self.heartbeats += 1
            at = begin + length
        self._buffer = data[at:]

    def _take(self, data: bytes, begin: int, end: int) -> None:
        first = data.find(VERSION, begin, end) + len(VERSION)
        self.newest = max(self.newest, int(data[first : data.find(b",", first)]))
        self.balances += 1
        if self.told_s is not None:
            self.told_s.append(time.perf_counter())
        if self.on_balances is not None:
            self.on_balances.set()
        if not self.ready.done():
            self.ready.set_result(None)

    def close(self) -> None:
        self._transport.abort()


def _masked(text: bytes) -> bytes:
    """A client's frame whose mask changes nothing, so that the bare server can read it as it is."""
    head = text_frame(text)[: -len(text)]
    return bytes((head[0], head[1] | 0x80)) + head[2:] + bytes(4) + text


async def opened(port: int, accounts: Sequence[Sequence[str]], groups: Sequence[int]) -> list[Socket]:
    """A socket for each list of accounts, subscribed, and told the state. groups: what each calls itself."""
    made: list[Socket] = []
    loop = asyncio.get_running_loop()
    for first in range(0, len(accounts), OPENED_AT_ONCE):
        pairs = zip(accounts[first : first + OPENED_AT_ONCE], groups[first : first + OPENED_AT_ONCE], strict=True)
        found = await asyncio.gather(
            *(
                loop.create_connection(lambda g=group, n=names: Socket(g, n), "127.0.0.1", port)  # type: ignore[misc]
                for names, group in pairs
            )
        )
        part = [protocol for _, protocol in found]
        await asyncio.gather(*(each.ready for each in part))
        made += part
    return made


class Ledger:
    """What a server hears of the feed: one partition's batches, over one connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.sequence = 0
        self._rows: dict[int, tuple[Sequence[str], bytes]] = {}

    async def tell(self, names: list[str], version: int, group: int = 0) -> None:
        """One block: each of these at this version."""
        count = len(names)
        same = np.zeros(count, np.int64)
        rows = AccountRows(
            names, ["USD/2"] * count, same + version, same, same, same + version, same + AT_US, same
        )  # fmt: skip
        data = _bytes(FeedBatch(0, 1, "boot", self.sequence, self.sequence + 1, rows))
        self.sequence += 1
        self._write(data, group)
        await self._writer.drain()

    def beat(self) -> None:
        """Where it is."""
        none = np.zeros(0, np.int64)
        rows = AccountRows([], [], none, none, none, none, none, none)
        self._write(_bytes(FeedBatch(0, 1, "boot", self.sequence, self.sequence, rows)), 1 << 30)

    def _write(self, data: bytes, group: int) -> None:
        self._writer.write(len(data).to_bytes(4, "little") + group.to_bytes(HEAD - 4, "little") + data)


def _bytes(batch: FeedBatch) -> bytes:
    """All of it: over this connection nothing can be asked for."""
    return encode_notice(encode_batch(batch, len(batch.rows))[0])
