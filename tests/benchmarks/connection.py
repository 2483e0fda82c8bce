"""One HTTP connection as a benchmark's client has it: kept alive, one request at a time, and cheap, since it shares the cores.

What it measures is the service: reading an answer costs some 30 us here, an aiohttp client ten times that.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from typing import Any
from urllib.parse import urlsplit


def connecting(address: str) -> socket.socket:
    """A socket whose first packet has left: many of these are a burst, which a client on an event loop never makes."""
    place = urlsplit(address)
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    client.setblocking(False)
    client.connect_ex((place.hostname, place.port))
    return client


class Connection:
    """Made by `open`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self._reader = reader
        self._writer = writer
        self._host = host

    @classmethod
    async def open(cls, address: str) -> Connection:
        """address: `http://host:port`."""
        return await cls.over(connecting(address), address)

    @classmethod
    async def over(cls, client: socket.socket, address: str) -> Connection:
        """Over a socket that `connecting` made, once it is connected."""
        await _writable(client)
        if failure := client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(failure, os.strerror(failure))
        reader, writer = await asyncio.open_connection(sock=client)
        return cls(reader, writer, urlsplit(address).netloc)

    async def ask(self, method: str, path: str, document: Any = None) -> tuple[int, bytes]:
        """Status and body. Raises ConnectionError, IncompleteReadError when the service goes away."""
        body = b"" if document is None else json.dumps(document).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\n"
        if document is not None:
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        self._writer.write(head.encode() + b"\r\n" + body)
        answered = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        status = int(answered[9:12])
        length = answered.partition(b"content-length:")[2].partition(b"\r\n")[0]
        return status, await self._reader.readexactly(int(length)) if length else await self._chunks()

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)
        return body


async def _writable(client: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    connected: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not connected.done():
            connected.set_result(None)

    loop.add_writer(client, tell)
    try:
        await connected
    finally:
        loop.remove_writer(client)
