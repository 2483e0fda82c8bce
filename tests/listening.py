"""Servers and clients of a test's own, over streams: none of their connections outlives the block that they stand in.

A writer that nobody closed is told of when it is collected, and that fails whichever test runs then.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

from deploy.serving import listen
from tests.servers import LOOPBACK

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Listener:
    """Made by `accepting`. asyncio's own server loses whoever it is about to take as it is closed, so this is none."""

    def __init__(self, serve: Serve, port: int) -> None:
        self._serve = serve
        self._loop = asyncio.get_running_loop()
        self._taken = dict[asyncio.Task[None], socket.socket]()
        self._bound = listen(LOOPBACK, port)
        self._bound.setblocking(False)
        self._loop.add_reader(self._bound, self._take)
        self.port: int = self._bound.getsockname()[1]

    def close(self) -> None:
        """Nobody is taken any more; who was taken is served on."""
        if self._bound.fileno() >= 0:
            self._loop.remove_reader(self._bound)
            self._bound.close()

    async def end(self) -> list[BaseException | None]:
        """Cut off what is left. What became of each connection."""
        self.close()
        for task in self._taken:
            task.cancel()
        ended = await asyncio.gather(*self._taken, return_exceptions=True)
        for client in self._taken.values():  # a task that was cancelled before it began has closed nothing
            client.close()
        return ended

    def _take(self) -> None:
        with suppress(BlockingIOError, ConnectionError):
            client, _ = self._bound.accept()
            self._taken[self._loop.create_task(self._served(client))] = client

    async def _served(self, client: socket.socket) -> None:
        async with connected(sock=client) as (reader, writer):
            with suppress(ConnectionError, EOFError):
                await self._serve(reader, writer)
                writer.close()
                await writer.wait_closed()


@asynccontextmanager
async def accepting(serve: Serve, port: int = 0) -> AsyncIterator[Listener]:
    """A server on loopback. Each connection is served so, and closed; what is left at the end is cut off.

    A peer that went away is no fault. Anything else that `serve` raises is raised at the end, unless the block itself failed.
    """
    listener = Listener(serve, port)
    try:
        yield listener
    finally:
        ended = await listener.end()
    for each in ended:
        if isinstance(each, Exception):
            raise each


@asynccontextmanager
async def listening(serve: Serve) -> AsyncIterator[int]:
    """The port of what `accepting` makes."""
    async with accepting(serve) as listener:
        yield listener.port


@asynccontextmanager
async def connected(*address: Any, **more: Any) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client, made as `asyncio.open_connection` makes it; cut off at the end, whatever is still to be sent."""
    reader, writer = await asyncio.open_connection(*address, **more)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
