"""The feed through Redis: one capped stream a partition, one entry a batch.

Streams and not pub/sub: a pub/sub reader that reconnects loses messages without an exception, a stream reader goes on
from the entry it has seen.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from read_side.contract.feed import FeedBatch, FeedUnavailable
from read_side.feed.batch_bytes import decode_batch, encode_batch
from read_side.feed.redis_stream import RedisStreams
from read_side.views.redis_client import FAILURES, time_at

ENTRIES_MAX: Final = 1_024
"""A gateway that is further behind reads balances again, which is cheaper than a thousand batches."""
STREAM_BYTES_MAX: Final = 32 * 1024 * 1024
"""All entries of one stream together, as published by this process: big batches leave room for fewer of them."""
LOOK_BACK_MS: Final = 20
"""How far before `subscribe` reading starts: more than the rounding of two clocks, so that nothing falls between."""


class RedisFeed:
    """`Feed` (read_side/contract/feed.py). Connects on first use."""

    def __init__(self, url: str, prefix: str = "fanfold") -> None:
        self._streams = RedisStreams(url)
        self._prefix = prefix
        self._sizes: dict[int, deque[int]] = {}

    async def publish(self, batch: FeedBatch) -> None:
        data = encode_batch(batch)
        kept = self._keep(batch.partition, len(data))
        try:
            client = await self._streams.client()
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
        while not self._streams.closed.is_set():
            try:
                cursor = cursor or await self._first_cursor(key, asked_at_s)
                entries = await self._streams.read(key, cursor)
                if not entries:
                    cursor = await self._streams.cursor_after_silence(key, cursor)
            except FAILURES:
                await self._streams.pause()  # not `retry`: a feed that is closed ends the wait
                continue
            for entry_id, fields in entries:
                cursor = entry_id.decode()
                try:
                    yield decode_batch(partition, fields[b"batch"])
                except (KeyError, ValueError):
                    continue  # an entry of another version: to the reader it is one more gap

    async def _first_cursor(self, key: str, asked_at_s: float) -> str:
        """Just before the moment of `subscribe`, on the server's clock: entry ids begin with its milliseconds."""
        seconds, microseconds = await time_at(await self._streams.client(), key)
        asked_ago_ms = int((time.monotonic() - asked_at_s) * 1000)
        return f"{max(seconds * 1000 + microseconds // 1000 - asked_ago_ms - LOOK_BACK_MS, 0)}-0"

    async def close(self) -> None:
        await self._streams.close()

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
