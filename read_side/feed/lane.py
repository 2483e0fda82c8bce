"""A lane: one stream in Redis with the notices of many partitions, read once for all who follow one of them in this process.

So a gateway waits in as many reads as there are lanes, however many partitions there are; and it is here, as soon as a notice has
come, that each is asked what it wants of it.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final
from weakref import WeakSet

import structlog

from read_side.contract.feed import Interest
from read_side.feed.notice_bytes import Notice, decode_notice
from read_side.feed.redis_stream import RedisStreams
from read_side.feed.row_bytes import Picked
from read_side.feed.waiting import Waiting
from read_side.views.redis_client import FAILURES, time_at

LOOK_BACK_MS: Final = 20
"""How far before `subscribe` reading starts: more than the rounding of two clocks, so that nothing falls between."""
IDLE_REST_S: Final = 0.01
"""After heartbeats alone the next notices are waited for so long: 600 idle partitions send one each 1.7 ms, which would be a read
each. What happens meanwhile is told that much later."""
BUSY_REST_S: Final = 0.003
"""The same after changes that nobody wants."""

_log = structlog.get_logger(__name__)


class Subscriber(Waiting[tuple[Notice, Picked]]):
    """Notices, and what was wanted of each."""

    def __init__(self, interest: Interest | None) -> None:
        super().__init__()
        self.interest = interest


class Lane:
    """One reader, for as long as the feed is open. Where it fails, its subscribers end, and who comes next begins another one."""

    def __init__(self, streams: RedisStreams, key: str) -> None:
        self._streams = streams
        self._key = key
        self._subscribers: dict[int, WeakSet[Subscriber]] = {}
        self._asked_at_s: float | None = None
        self._reading: asyncio.Task[None] | None = None

    def subscribe(self, partition: int, interest: Interest | None) -> Subscriber:
        """The notices of a partition from now on, once `begin` was called."""
        waiting = Subscriber(interest)
        self._subscribers.setdefault(partition, WeakSet()).add(waiting)
        if self._asked_at_s is None:
            self._asked_at_s = time.monotonic()
        if self._streams.closed.is_set():
            waiting.end()
        return waiting

    def begin(self) -> None:
        """Go on reading; needs a running loop. Safe to call again."""
        if not self._streams.closed.is_set() and (self._reading is None or self._reading.done()):
            self._reading = asyncio.create_task(self._read())

    async def close(self) -> None:
        """End every subscription, when the streams have been closed."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self._end()

    def _end(self) -> None:
        for subscribers in self._subscribers.values():
            for waiting in subscribers:
                waiting.end()
        self._subscribers, self._asked_at_s = {}, None

    async def _read(self) -> None:
        try:
            await self._read_for_ever()
        except Exception:
            _log.exception("lane_failed", lane=self._key)
        finally:
            self._end()

    async def _read_for_ever(self) -> None:
        cursor: str | None = None
        while not self._streams.closed.is_set():
            try:
                cursor = cursor or await first_cursor(self._streams, self._key, self._asked_at_s or time.monotonic())
                entries = await self._streams.read(self._key, cursor)
                if not entries:
                    cursor = await self._streams.cursor_after_silence(self._key, cursor)
            except FAILURES:
                await self._streams.pause()  # not `retry`: a feed that is closed ends the wait
                continue
            rest_s = IDLE_REST_S if entries else 0.0
            for entry_id, fields in entries:
                cursor = entry_id.decode()
                rest_s = min(rest_s, self._tell(fields))
            if rest_s:
                await asyncio.sleep(rest_s)

    def _tell(self, fields: dict[bytes, bytes]) -> float:
        """How long the next may wait."""
        try:
            notice = decode_notice(fields[b"notice"])
        except (KeyError, ValueError):
            return IDLE_REST_S  # an entry of another version: to the reader it is one more gap
        rest_s = IDLE_REST_S if notice.after == notice.upto else BUSY_REST_S
        for waiting in self._subscribers.get(notice.partition, ()):
            picked = notice.pick(waiting.interest)
            waiting.put((notice, picked))
            if picked:
                rest_s = 0.0
        return rest_s


async def first_cursor(streams: RedisStreams, key: str, asked_at_s: float) -> str:
    """Just before the moment of `subscribe`, on the server's clock: entry ids begin with its milliseconds."""
    seconds, microseconds = await time_at(await streams.client(), key)
    asked_ago_ms = int((time.monotonic() - asked_at_s) * 1000)
    return f"{max(seconds * 1000 + microseconds // 1000 - asked_ago_ms - LOOK_BACK_MS, 0)}-0"
