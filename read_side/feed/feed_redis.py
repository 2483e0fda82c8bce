"""The feed through Redis: one capped stream a partition, one entry a batch.

Streams and not pub/sub: a pub/sub reader that reconnects loses messages without an exception, a stream reader goes on
from the entry it has seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

from read_side.contract.feed import FeedBatch, FeedUnavailable
from read_side.feed.batch_bytes import decode_batch, encode_batch
from read_side.views.redis_client import FAILURES, RedisClient, close_client, open_client, time_at

ENTRIES_MAX: Final = 1_024
"""A gateway that is further behind reads balances again, which is cheaper than a thousand batches."""
STREAM_BYTES_MAX: Final = 32 * 1024 * 1024
"""All entries of one stream together, as published by this process: big batches leave room for fewer of them."""
READ_ENTRIES: Final = 64
BLOCK_MS: Final = 2_500
"""A read waits this long. Heartbeats come each second: silence means a lost stream, or that nobody publishes."""
LOOK_BACK_MS: Final = 20
"""How far before `subscribe` reading starts: more than the rounding of two clocks, so that nothing falls between."""
RETRY_S: Final = 0.25
"""Between two tries of a reader whose server does not answer: soon enough to be unnoticed, no load when it is away."""
TIMEOUT_S: Final = 5.0
CONNECTIONS_MAX: Final = 512
"""Every subscription holds one while it waits; one a partition is the rule."""


class RedisFeed:
    """`Feed` (read_side/contract/feed.py). Connects on first use."""

    def __init__(self, url: str, prefix: str = "fanfold") -> None:
        self._url = url
        self._opened: RedisClient | None = None
        self._opening = asyncio.Lock()
        self._prefix = prefix
        self._sizes: dict[int, deque[int]] = {}
        self._closed = asyncio.Event()

    async def publish(self, batch: FeedBatch) -> None:
        data = encode_batch(batch)
        kept = self._keep(batch.partition, len(data))
        try:
            client = await self._client()
            await client.xadd(self._key(batch.partition), {"batch": data}, maxlen=kept, approximate=True)
        except FAILURES as error:
            raise FeedUnavailable(
                f"Redis took no feed batch ({type(error).__name__}); readers will see a gap"
            ) from error

    def subscribe(self, partition: int) -> AsyncIterator[FeedBatch]:
        return self._batches(partition, time.monotonic())

    async def _batches(self, partition: int, asked_at_s: float) -> AsyncIterator[FeedBatch]:
        key = self._key(partition)
        cursor: str | None = None
        while not self._closed.is_set():
            try:
                cursor = cursor or await self._first_cursor(key, asked_at_s)
                entries = await self._read(key, cursor)
                if not entries:
                    cursor = await self._cursor_after_silence(key, cursor)
            except FAILURES:
                await self._pause()  # not `retry`: a feed that is closed ends the wait
                continue
            for entry_id, fields in entries:
                cursor = entry_id.decode()
                try:
                    yield decode_batch(partition, fields[b"batch"])
                except (KeyError, ValueError):
                    continue  # an entry of another version: to the reader it is one more gap

    async def _read(self, key: str, cursor: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        """Entries after the cursor; waits for some, but not past `close`."""
        client = await self._client()
        read = asyncio.ensure_future(client.xread({key: cursor}, count=READ_ENTRIES, block=BLOCK_MS))
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait((read, closed), return_when=asyncio.FIRST_COMPLETED)
            if not read.done():
                return []
            answer: Any = read.result()
            return answer[0][1] if answer else []
        finally:
            read.cancel()
            closed.cancel()

    async def _first_cursor(self, key: str, asked_at_s: float) -> str:
        """Just before the moment of `subscribe`, on the server's clock: entry ids begin with its milliseconds."""
        seconds, microseconds = await time_at(await self._client(), key)
        asked_ago_ms = int((time.monotonic() - asked_at_s) * 1000)
        return f"{max(seconds * 1000 + microseconds // 1000 - asked_ago_ms - LOOK_BACK_MS, 0)}-0"

    async def _cursor_after_silence(self, key: str, cursor: str) -> str:
        """The cursor again, or the start when the stream was lost: entries of a new one may have lower ids."""
        if self._closed.is_set():
            return cursor
        last: Any = await (await self._client()).xrevrange(key, count=1)
        return cursor if last and _order(last[0][0].decode()) >= _order(cursor) else "0-0"

    async def _pause(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closed.wait(), RETRY_S)

    async def close(self) -> None:
        self._closed.set()
        if self._opened is not None:
            await close_client(self._opened)

    async def _client(self) -> RedisClient:
        async with self._opening:
            if self._opened is None:
                self._opened = await open_client(
                    self._url,
                    connections_max=CONNECTIONS_MAX,
                    connect_s=TIMEOUT_S,
                    answer_s=TIMEOUT_S + BLOCK_MS / 1000,
                    retries=1,
                )
            return self._opened

    def _keep(self, partition: int, size: int) -> int:
        """How many of the newest entries, this one included, fit the bounds."""
        sizes = self._sizes.setdefault(partition, deque(maxlen=ENTRIES_MAX))
        sizes.append(size)
        if sum(sizes) <= STREAM_BYTES_MAX:
            return ENTRIES_MAX
        while len(sizes) > 1 and sum(sizes) > STREAM_BYTES_MAX:
            sizes.popleft()
        return len(sizes)

    def _key(self, partition: int) -> str:
        return f"{self._prefix}:{{{partition}}}:feed"


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number)
