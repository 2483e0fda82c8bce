"""How much of a partition's log its projector does not have yet, and how old the oldest of it is.

Whoever asks shares one look, and the log is asked once in `LOOK_S` at most, however often that is: with Kafka it is a question to
a broker. Beside those who ask the projector looks every `LOOK_BEATS` heartbeats, so that metrics and a standstill are told of a
partition that nobody asks about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from write_side.contract.block.block import Undecodable, read_header
from write_side.contract.log.log import START, Log, LogFailed, Record

LOOK_S: Final = 1.0
"""Between two looks: what a table that is drawn each second needs."""
LOOK_BEATS: Final = 5
"""Heartbeats (seconds) between two looks of the projector itself: fresher than Prometheus asks."""
OLD_S: Final = 15.0
"""After so long a look is not told any more, and how much is ahead is unknown: a broker is replaced within 10 s, and the next
look comes 5 s later."""


class LogAhead:
    """One partition. accepted: the offset of the last record that the projector has; times: its clock, microseconds."""

    def __init__(self, log: Log, partition: int, accepted: Callable[[], int], wall_us: Callable[[], int]) -> None:
        self.unit = log.unit
        self._log = log
        self._partition = partition
        self._accepted = accepted
        self._wall_us = wall_us
        self._behind = (START, 0)
        """The last record whose end is known: its offset, and where the next one begins."""
        self._end: int | None = None
        self._first: tuple[int, int | None] = (START, None)
        """The place of a record that the projector does not have, and the time of its block."""
        self._looking: asyncio.Task[None] | None = None
        self._began_us = self._looked_us = 0
        self._beats = 0

    def passed(self, record: Record) -> None:
        """The projector has been handed this record, and all before it."""
        self._behind = (record.offset, record.offset + (1 if self.unit == "records" else len(record.data)))

    def unread(self) -> int | None:
        """In `unit`; None while that is not known."""
        behind = self._next()
        if self._end is None or behind is None or self._wall_us() - self._looked_us > OLD_S * 1e6:
            return None
        return max(0, self._end - behind)

    def first_unread_us(self) -> int | None:
        """The time of the first block that is not read; None where that is not known."""
        place, created_at_us = self._first
        return created_at_us if place == self._next() else None

    def refresh(self) -> asyncio.Task[None] | None:
        """Begin a look, if the last one was not just now. The look that is under way, if any."""
        now_us = self._wall_us()
        if self._looking is None and not 0 <= now_us - self._began_us < LOOK_S * 1e6:
            self._began_us, self._looking = now_us, asyncio.create_task(self._look())
            self._looking.add_done_callback(self._looked)
        return self._looking

    def beat(self) -> None:
        """At a heartbeat of the projector."""
        self._beats += 1
        if self._beats % LOOK_BEATS == 0:
            self.refresh()

    async def look(self, wait_s: float) -> None:
        """Look, if the last time was not just now; returns once it is known, or after `wait_s`. Never raises."""
        if (looking := self.refresh()) is not None:
            await asyncio.wait((looking,), timeout=wait_s)

    def stop(self) -> None:
        """Ask no more."""
        if self._looking is not None:
            self._looking.cancel()

    def _looked(self, look: asyncio.Task[None]) -> None:
        self._looking = None
        if not look.cancelled():
            look.result()

    async def _look(self) -> None:
        try:
            self._end, self._looked_us = await self._log.end(self._partition), self._wall_us()
            accepted = self._accepted()
            if self._next() is None:  # folded from a snapshot, or before the tail: nobody has noted how long it is
                record = Record(accepted, await self._fetched(accepted))
                if self._accepted() == accepted:
                    self.passed(record)
            behind = self._next()
            if behind is not None and behind < self._end and behind != self._first[0]:
                self._first = (behind, created_at_us(await self._fetched(behind)))
        except LogFailed:
            return  # whether the log is there others say (`log_watch.py`); what is not known by then is told as that

    async def _fetched(self, offset: int) -> bytes | memoryview:
        return await self._log.fetch(self._partition, offset)

    def _next(self) -> int | None:
        """Where the first record is that the projector does not have."""
        accepted = self._accepted()
        if accepted == self._behind[0]:
            return self._behind[1]
        return 0 if accepted == START else accepted + 1 if self.unit == "records" else None


def created_at_us(data: bytes | memoryview) -> int | None:
    """The time of a block; None of what is none."""
    try:
        return read_header(data).created_at_us
    except Undecodable:
        return None
