"""The feed through Redis: notices of what changed in a few capped streams (`lane.py`), and the rows of big batches beside them.

Every gateway reads every notice, 4 bytes a change, and of the rows only those that its clients watch (`notice_bytes.py`).
Nothing of that is registered anywhere: a gateway, a projector or a Redis that is lost takes nothing with it that another one
relies on, and whoever is told of a change too late to have its rows sees a gap.
Streams and not pub/sub: a pub/sub reader that reconnects loses messages without an exception, a stream reader goes on
from the entry it has seen.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final

from read_side.contract.feed import FeedBatch, FeedUnavailable, Interest
from read_side.feed.lane import Lane, Subscriber
from read_side.feed.notice_bytes import Notice, cut, encode_batch, encode_notice
from read_side.feed.redis_stream import RedisStreams
from read_side.feed.row_bytes import Picked
from read_side.views.redis_client import FAILURES, RedisClient

LANES: Final = 2
"""Streams, for all partitions together: few connections, and not all on one node of a cluster. Both sides know it."""
KEPT_MS: Final = 60_000
"""Nothing is kept for longer: who is further behind reads balances again, which is cheaper."""
LANE_BYTES_MAX: Final = 32 * 1024 * 1024
"""All notices of a lane together, as published by this process."""
ROWS_BYTES_MAX: Final = 32 * 1024 * 1024
"""All rows of a partition together, as published by this process: of big batches fewer lie there."""
ENTRY_BYTES: Final = 100
"""About what Redis adds to an entry."""
RANGES_MAX: Final = 500
"""Who wants more pieces than these of a batch's rows takes all of them."""

TRIES: Final = 8
"""For some seconds; then what is asked for counts as gone: what comes behind it must not wait for ever."""

_PIECES: Final = """
local found = {}
for at = 1, #ARGV, 2 do found[#found + 1] = redis.call('GETRANGE', KEYS[1], ARGV[at], ARGV[at + 1]) end
return table.concat(found)
"""


class RedisFeed:
    """`Feed` (read_side/contract/feed.py). Connects on first use."""

    def __init__(self, url: str, prefix: str = "fanfold", *, lane_bytes_max: int = LANE_BYTES_MAX) -> None:
        self._streams = RedisStreams(url)
        self._prefix = prefix
        self._lanes = [Lane(self._streams, self._lane_key(number)) for number in range(LANES)]
        self._notices = [_Kept(lane_bytes_max) for _ in range(LANES)]
        self._rows: dict[int, _Kept] = {}

    async def publish(self, batch: FeedBatch) -> None:
        notice, rows = encode_batch(batch)
        data, lane = encode_notice(notice), batch.partition % LANES
        kept = self._notices[lane]
        try:
            client = await self._streams.client()
            if batch.partition not in self._rows:
                await client.unlink(self._stream_before(batch.partition))
                self._rows[batch.partition] = _Kept(ROWS_BYTES_MAX)
            if rows:
                await self._put_rows(client, notice, rows)  # first: who reads of them finds them
            entry_id: Any = await client.xadd(
                self._lane_key(lane), {"notice": data}, minid=kept.oldest, approximate=True
            )
        except FAILURES as error:
            raise FeedUnavailable(
                f"Redis took no feed batch ({type(error).__name__}); readers will see a gap"
            ) from error
        entry = entry_id.decode()
        kept.add(entry, int(entry.partition("-")[0]), len(data) + ENTRY_BYTES)

    def subscribe(self, partition: int, interest: Interest | None = None) -> AsyncIterator[FeedBatch]:
        lane = self._lanes[partition % LANES]
        return self._batches(lane, lane.subscribe(partition, interest))

    async def _batches(self, lane: Lane, subscriber: Subscriber) -> AsyncIterator[FeedBatch]:
        lane.begin()
        async for notice, picked in subscriber:
            batch = await self._batch(notice, picked)
            if batch is not None:
                yield batch

    async def _batch(self, notice: Notice, picked: Picked) -> FeedBatch | None:
        """With what is wanted of it; None where that is not there any more, which shows as a gap."""
        if not picked:
            return notice.batch(picked, b"")
        shape = notice.shape
        ranges = picked.ranges(shape)
        try:
            if notice.rows:
                return notice.batch(picked, cut(notice.rows, ranges))
            data = await self._pieces(self._rows_key(notice), ranges, shape.size)
            return notice.batch(picked, data)
        except ValueError:
            return None

    async def _pieces(self, key: str, ranges: list[tuple[int, int]], size: int) -> bytes:
        """What lies there of a batch's rows, which have so many bytes; less where they are gone, or the feed is closed."""
        for _ in range(TRIES):
            try:
                client: Any = await self._streams.client()
                if len(ranges) > RANGES_MAX or 2 * sum(last - first for first, last in ranges) > size:
                    return cut(await client.get(key) or b"", ranges)
                bounds = [bound for first, last in ranges for bound in (first, last - 1)]
                found: bytes = await client.eval(_PIECES, 1, key, *bounds)
                return found
            except FAILURES:
                await self._streams.pause()
        return b""

    async def _put_rows(self, client: RedisClient, notice: Notice, rows: bytes) -> None:
        key = self._rows_key(notice)
        gone = self._rows[notice.partition].add(key, int(time.monotonic() * 1000), len(rows) + ENTRY_BYTES)
        await client.set(key, rows, px=KEPT_MS)
        if gone:
            await client.unlink(*gone)

    async def close(self) -> None:
        await self._streams.close()
        for lane in self._lanes:
            await lane.close()

    def _lane_key(self, number: int) -> str:
        return f"{self._prefix}:{{feed {number}}}:notices"

    def _stream_before(self, partition: int) -> str:
        """Where whole batches were published once: a stream that nobody trims any more."""
        return f"{self._prefix}:{{{partition}}}:feed"

    def _rows_key(self, notice: Notice) -> str:
        return f"{self._prefix}:{{{notice.partition}}}:rows:{notice.place}"


class _Kept:
    """What this process has published and is still there: the newest, within bounds of their bytes and their age."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._entries: deque[tuple[str, int, int]] = deque()

    @property
    def oldest(self) -> str:
        return self._entries[0][0] if self._entries else "0-0"

    def add(self, name: str, at_ms: int, size: int) -> list[str]:
        """Names of those that have no room beside it. Those that are too old go by themselves."""
        entries, gone = self._entries, []
        while entries and at_ms - entries[0][1] > KEPT_MS:
            self._bytes -= entries.popleft()[2]
        while entries and self._bytes + size > self._bytes_max:
            name_gone, _, size_gone = entries.popleft()
            self._bytes -= size_gone
            gone.append(name_gone)
        entries.append((name, at_ms, size))
        self._bytes += size
        return gone
