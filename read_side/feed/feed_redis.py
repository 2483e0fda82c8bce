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
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any, Final

from read_side.contract.feed import FeedBatch, FeedUnavailable, Interest
from read_side.feed.lane import Lane, Subscriber
from read_side.feed.notice_bytes import Notice, cut, encode_batch, encode_notice
from read_side.feed.redis_stream import BEGINNING, RedisStreams, order
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

AT_ONCE_MAX: Final = 16
"""Batches whose rows are asked for together: those that came while others were asked for."""
BYTES_AT_ONCE_MAX: Final = 1024 * 1024
"""About: Redis does nothing else meanwhile."""

_PIECES: Final = """
local found = {}
for at = 1, #KEYS do found[at] = {} end
for at = 1, #ARGV, 3 do
    local pieces = found[tonumber(ARGV[at])]
    pieces[#pieces + 1] = redis.call('GETRANGE', KEYS[tonumber(ARGV[at])], ARGV[at + 1], ARGV[at + 2])
end
for at = 1, #KEYS do found[at] = table.concat(found[at]) end
return found
"""


class RedisFeed:
    """`Feed` (read_side/contract/feed.py). Connects on first use."""

    def __init__(self, url: str, prefix: str = "fanfold", *, lane_bytes_max: int = LANE_BYTES_MAX) -> None:
        self._streams = RedisStreams(url)
        self._prefix = prefix
        self._lanes = [Lane(self._streams, self._lane_key(number)) for number in range(LANES)]
        self._notices = [_Kept(lane_bytes_max) for _ in range(LANES)]
        self._gone_upto = [BEGINNING] * LANES
        self._rows: dict[int, _Kept] = {}

    async def publish(self, batch: FeedBatch) -> None:
        notice, rows = encode_batch(batch)
        data, lane = encode_notice(notice), batch.partition % LANES
        try:
            client = await self._streams.client()
            if batch.partition not in self._rows:
                await client.unlink(self._stream_before(batch.partition))
                self._rows[batch.partition] = _Kept(ROWS_BYTES_MAX)
            if rows:
                await self._put_rows(client, notice, rows)  # first: who reads of them finds them
            entry_id: Any = await client.xadd(
                self._lane_key(lane), {"notice": data}, minid=self._gone_upto[lane], approximate=True
            )
        except FAILURES as error:
            raise FeedUnavailable(
                f"Redis took no feed batch ({type(error).__name__}); readers will see a gap"
            ) from error
        entry = entry_id.decode()
        at_ms, _ = order(entry)
        # What others have published is as old: they are trimmed alike, and by age only where this process has room.
        gone = self._notices[lane].add(entry, at_ms, len(data) + ENTRY_BYTES)
        self._gone_upto[lane] = max([f"{max(at_ms - KEPT_MS, 0)}-0", *gone[-1:]], key=order)

    def subscribe(self, partition: int, interest: Interest | None = None) -> AsyncIterator[FeedBatch]:
        lane = self._lanes[partition % LANES]
        return self._batches(lane, lane.subscribe(partition, interest))

    async def _batches(self, lane: Lane, subscriber: Subscriber) -> AsyncIterator[FeedBatch]:
        lane.begin()
        async for first in subscriber:
            for batch in await self._with_rows([first, *subscriber.more(AT_ONCE_MAX - 1)]):
                yield batch

    async def _with_rows(self, asked: Sequence[tuple[Notice, Picked]]) -> list[FeedBatch]:
        """The batches with what is wanted of them; without those whose rows are gone, which shows as a gap."""
        wanted = [_Wanted(self._rows_key(notice), notice, picked) for notice, picked in asked]
        found: dict[str, bytes] = {}
        for share in _shares([each for each in wanted if each.is_beside]):
            found |= zip((each.key for each in share), await self._read(share), strict=True)
        batches = []
        for each in wanted:
            with suppress(ValueError):
                batches.append(each.batch(found.get(each.key, b"")))
        return batches

    async def _read(self, wanted: Sequence[_Wanted]) -> list[bytes]:
        """What lies there of each; less where it is gone, or cannot be had."""
        keys = [each.key for each in wanted]
        bounds = [
            bound for at, each in enumerate(wanted, 1) for first, last in each.asked for bound in (at, first, last - 1)
        ]
        for _ in range(TRIES):
            if self._streams.closed.is_set():
                break
            try:
                client: Any = await self._streams.client()
                found: list[bytes] = await client.eval(_PIECES, len(keys), *keys, *bounds)
                return found
            except FAILURES:
                await self._streams.pause()
        return [b""] * len(wanted)

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


class _Wanted:
    """What is wanted of a batch's rows. asked: what is read for it of those that lie beside the notice."""

    def __init__(self, key: str, notice: Notice, picked: Picked) -> None:
        self.key, self._notice, self._picked = key, notice, picked
        self.is_beside = bool(picked) and not notice.rows
        self._ranges = picked.ranges(notice.shape) if picked else []
        size = notice.shape.size
        self._is_all = len(self._ranges) > RANGES_MAX or 2 * sum(last - first for first, last in self._ranges) > size
        self.asked = [(0, size)] if self._is_all else self._ranges
        self.size = sum(last - first for first, last in self.asked)

    def batch(self, found: bytes) -> FeedBatch:
        """found: what was read. Raises ValueError when that is not what was asked for."""
        if not self.is_beside:
            return self._notice.batch(self._picked, cut(self._notice.rows, self._ranges))
        return self._notice.batch(self._picked, cut(found, self._ranges) if self._is_all else found)


def _shares(wanted: Sequence[_Wanted]) -> list[list[_Wanted]]:
    """What is asked for together, in order."""
    shares: list[list[_Wanted]] = []
    room = 0
    for each in wanted:
        if each.size > room:
            shares.append([])
            room = BYTES_AT_ONCE_MAX
        shares[-1].append(each)
        room -= each.size
    return shares


class _Kept:
    """What this process has published and is still there: the newest, within bounds of their bytes and their age."""

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._entries: deque[tuple[str, int, int]] = deque()

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
