"""A stream in Redis as its readers follow it: from a place on, over a server that is away for a while or has lost the stream."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from read_side.views.redis_client import LaterClient, RedisClient

READ_ENTRIES: Final = 64
BLOCK_MS: Final = 2_500
"""A read waits this long. Heartbeats come each second: silence means a lost stream, or that nobody publishes."""
RETRY_S: Final = 0.25
"""Between two tries of a reader whose server does not answer: soon enough to be unnoticed, no load when it is away."""
TIMEOUT_S: Final = 5.0
CONNECTIONS_MAX: Final = 16
"""Of one server; who needs more waits for one. A reader holds one while it waits: a lane of the feed, the topics."""
BEGINNING: Final = "0-0"

Entries = list[tuple[bytes, dict[bytes, bytes]]]


class RedisStreams:
    """The streams of one server or cluster. Connects on first use; everything raises one of `redis_client.FAILURES`."""

    def __init__(self, url: str) -> None:
        self._client = LaterClient(
            url,
            connections_max=CONNECTIONS_MAX,
            connect_s=TIMEOUT_S,
            answer_s=TIMEOUT_S + BLOCK_MS / 1000,
            retries=1,
        )
        self.closed = asyncio.Event()

    async def read(self, key: str, cursor: str) -> Entries:
        """Entries after the cursor; waits for some, but not past `close`."""
        client = await self.client()
        read = asyncio.ensure_future(client.xread({key: cursor}, count=READ_ENTRIES, block=BLOCK_MS))
        closed = asyncio.ensure_future(self.closed.wait())
        try:
            await asyncio.wait((read, closed), return_when=asyncio.FIRST_COMPLETED)
            if not read.done():
                return []
            answer: Any = read.result()
            return answer[0][1] if answer else []
        finally:
            read.cancel()
            closed.cancel()

    async def last(self, key: str) -> str:
        """The id of the last entry."""
        found: Any = await (await self.client()).xrevrange(key, count=1)
        return found[0][0].decode() if found else BEGINNING

    async def cursor_after_silence(self, key: str, cursor: str) -> str:
        """The cursor again, or the start when the stream was lost: entries of a new one may have lower ids."""
        if self.closed.is_set():
            return cursor
        return cursor if order(await self.last(key)) >= order(cursor) else BEGINNING

    async def pause(self) -> None:
        """Before another try; not past `close`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S):
                await self.closed.wait()

    async def client(self) -> RedisClient:
        return await self._client.get()

    async def close(self) -> None:
        """Safe to call twice."""
        self.closed.set()
        await self._client.close()


def order(entry_id: str) -> tuple[int, int]:
    """Milliseconds of the server's clock, and a number among those of one."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
