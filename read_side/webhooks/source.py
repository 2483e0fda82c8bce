"""Where deliveries come from: the blocks of the log that count and that a projector has folded with every check.

Not the feed: what was told while nobody delivered would be lost. A lane reads from its own place on, however far back that is;
those at the end of the log share what is read there. Entries name accounts by number, and the fold has the names of all of them,
so nothing is folded here.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Coroutine, Sequence
from typing import Any, Final, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from read_side.follow.partition_fold import PartitionFold
from read_side.history.accepted import Accepted
from read_side.history.gathering import Gathering
from read_side.history.segment import Chained
from read_side.webhooks.trimmed import first_there
from read_side.whole_log.event_runs import BlockEvents, hashes_of
from read_side.whole_log.event_table import event_table
from write_side.contract.block.block import ZERO_HASH, Header, read_header
from write_side.contract.log.block_offsets import fetch_block
from write_side.contract.log.log import START, Log, LogFailed, Record, Trimmed
from write_side.contract.words.position import Position

T = TypeVar("T")

SILENT_S: Final = 60.0
CLOSING_S: Final = 5.0
RECORD_BYTES_AT_ONCE: Final = 1 << 20
"""Of blocks that are made events together, or one block: some 20,000 events of 200 bytes."""
RECENT_EVENTS_MAX: Final = 32_768
"""Of a partition that are kept for the lanes at the end of the log, some 6 MB: who is behind them reads for itself."""

RECENT_RUNS_MAX: Final = 256
"""Of them, however few events each has: a table has some 15 kB by itself."""


UNTOLD: Final = ["metadata", "owner", "floor", "amount"]
"""Columns of events of which a delivery says nothing."""


class Followed(Protocol):
    """A partition that is folded here, as `Projector` is."""

    partition: int
    fold: PartitionFold

    def position(self) -> int: ...

    def refusal_of_fold(self) -> object | None: ...


class CannotRead(Exception):
    """What is behind a place is not to be had from this log. The message says what is missing, and how to go on."""


class Blocks:
    """The events of a partition from behind a block on, some blocks at a time."""

    def __init__(self, log: Log, followed: Followed, turn: asyncio.Semaphore, behind: int) -> None:
        self.sequence = behind
        """The last block that was read."""
        self._log, self._followed, self._turn = log, followed, turn
        self._accepted: Accepted | None = None
        self._runs: AsyncGenerator[Sequence[Record], None] | None = None
        self._left: Sequence[Record] = ()
        self._before = Chained(-1, ZERO_HASH, START)

    async def close(self) -> None:
        """A client that does not end is left behind."""
        if self._runs is not None:
            closing = asyncio.ensure_future(self._runs.aclose())
            closing.add_done_callback(lambda closed: closed.cancelled() or closed.exception())
            await asyncio.wait((closing,), timeout=CLOSING_S)

    async def ready(self) -> None:
        """Have something of what is next, which is there: who calls `next` then waits for no log as a rule. Raises LogFailed."""
        _, runs = await in_time(self._opened())
        if not self._left:
            self._left = await in_time(_next(runs))
            if not self._left:
                raise LogFailed("The log was closed.")

    async def next(self, until: int) -> BlockEvents:
        """The next blocks, up to this one at most, which is folded and behind `sequence`. Raises LogFailed, ChainBroken."""
        assert self.sequence < until, "there is something to read"
        while True:
            await self.ready()
            async with self._turn:
                made = await asyncio.to_thread(self._take, until)
            if made is not None:
                return made

    def _take(self, until: int) -> BlockEvents | None:
        """Of the records read so many as make a table; None where all of them are before `sequence`, or do not count."""
        assert self._accepted is not None, "opened"
        part = _first(self._left)
        gathered = Gathering(self._before)
        gathered.take_all(self._accepted.take_run(part, until))
        self._before = gathered.end
        count = len(part)
        if gathered.end.sequence >= until:  # what is behind it was not looked at
            count = next(number for number in range(count) if part[number].offset == gathered.end.offset) + 1
        self._left = self._left[count:]
        if gathered.end.sequence <= self.sequence:
            return None
        self.sequence = gathered.end.sequence
        # What no delivery tells is not kept: metadata alone may have 20 kB an event.
        events = event_table(gathered, self._followed.fold.state, None).drop_columns(UNTOLD)
        return BlockEvents(gathered.before.sequence + 1, gathered.times[0].copy(), hashes_of(gathered), events)

    async def _opened(self) -> tuple[Accepted, AsyncGenerator[Sequence[Record], None]]:
        """At the nearest block whose place in the log is known; those from there to `sequence` are passed over."""
        if self._accepted is None or self._runs is None:
            partition, offsets = self._followed.partition, self._followed.fold.replay.offsets
            after, accepted = START, Accepted(partition, None)
            if self.sequence >= 0:
                at, after = offsets.nearest(self.sequence)
                try:
                    header, _ = await self._block_at(at, after)
                    self._before, accepted = Chained(at, header.block_hash, after), Accepted(partition, header)
                except Trimmed as trimmed:
                    if (at := first_there(offsets, trimmed.begin)) > self.sequence + 1:
                        raise
                    # All that is asked for is there. What is behind the first block that is there is read; it itself is at hand.
                    after = offsets.nearest(at)[1]
                    header, data = await self._block_at(at, after)
                    self._before = Chained(at - 1, header.previous_hash, after)
                    accepted, self._left = Accepted.beginning_with(partition, header), [Record(after, data)]
            self._accepted, self._runs = accepted, self._log.tail(partition, after)
        return self._accepted, self._runs

    async def _block_at(self, sequence: int, offset: int) -> tuple[Header, bytes | memoryview]:
        data = await self._log.fetch(self._followed.partition, offset)
        header = read_header(data)
        if header.sequence != sequence:
            raise CannotRead(another_log(Position(self._followed.partition, sequence)))
        return header, data


async def in_time(asking: Coroutine[Any, Any, T]) -> T:
    """What the log answers; it has what is asked for. Raises LogFailed where it says nothing: a client that hung may do so for
    ever, and is left behind."""
    asked = asyncio.ensure_future(asking)
    try:
        await asyncio.wait((asked,), timeout=SILENT_S)
        if not asked.done():
            raise LogFailed(f"The log has not answered for {SILENT_S:.0f} s. Nothing is lost; it is asked again.")
        return asked.result()
    finally:
        asked.cancel()


async def _next(runs: AsyncGenerator[Sequence[Record], None]) -> Sequence[Record]:
    return await anext(runs, ())


def _first(records: Sequence[Record]) -> Sequence[Record]:
    """As many as have `RECORD_BYTES_AT_ONCE`, one at least."""
    size, count = 0, 0
    for record in records:
        size += len(record.data)
        if count and size > RECORD_BYTES_AT_ONCE:
            break
        count += 1
    return records[:count]


class Source:
    """One partition for all webhooks of this process. turn: of all partitions, whose blocks are made events one after
    the other: the threads of the process are for those who fold."""

    def __init__(self, log: Log, followed: Followed, turn: asyncio.Semaphore) -> None:
        self.partition = followed.partition
        self.turn = turn
        self._log, self._followed = log, followed
        self._recent: list[BlockEvents] = []
        self._recent_events = 0
        self._blocks: Blocks | None = None
        self._reading = asyncio.Lock()

    def position(self) -> int:
        """The last block that may be told; -1 before the first."""
        return -1 if self._followed.refusal_of_fold() is not None else self._followed.position()

    def folded(self) -> int:
        """The last block that is there, also where none may be told now."""
        return self._followed.position()

    def floor_of(self, accounts: list[str]) -> npt.NDArray[np.int64]:
        state = self._followed.fold.state
        return state.floor[state.numbers_of(accounts)]

    def reader(self, behind: int) -> Blocks:
        """For a lane that is far behind. The caller closes it."""
        return Blocks(self._log, self._followed, self.turn, behind)

    async def recent(self, behind: int) -> BlockEvents | None:
        """Blocks with the one behind `behind` among them; None where they are not kept here, or that one is not there yet.

        Raises LogFailed, ChainBroken, CannotRead."""
        async with self._reading:
            while (found := self._kept(behind)) is None:
                until = self.position()
                blocks = self._blocks
                at = behind if blocks is None else blocks.sequence
                if until <= behind or behind < at or until - behind > RECENT_EVENTS_MAX:
                    return None
                if until - at > RECENT_EVENTS_MAX:  # nobody was here for long
                    await self._forget()
                    blocks, at = None, behind
                if blocks is None:
                    self._blocks = blocks = self.reader(behind)
                await self._read_on(blocks, until)
            return found

    async def _read_on(self, blocks: Blocks, until: int) -> None:
        try:
            found = await blocks.next(until)
        except BaseException:  # also where who asked has gone: the reader is in the middle of something
            await self._forget()
            raise
        self._recent.append(found)
        self._recent_events += len(found.events)
        while len(self._recent) > 1 and (
            self._recent_events > RECENT_EVENTS_MAX or len(self._recent) > RECENT_RUNS_MAX
        ):
            self._recent_events -= len(self._recent.pop(0).events)

    async def _forget(self) -> None:
        blocks, self._blocks = self._blocks, None
        self._recent, self._recent_events = [], 0
        if blocks is not None:
            await blocks.close()

    def _kept(self, behind: int) -> BlockEvents | None:
        at = bisect_right(self._recent, behind + 1, key=lambda each: each.first) - 1
        found = self._recent[at] if at >= 0 else None
        return found if found is not None and behind + 1 < found.first + len(found.at_us) else None

    async def block_hash(self, sequence: int) -> bytes:
        """Of a block that is folded, also where only the one behind it was not trimmed away. Raises LogFailed, CannotRead."""
        if not 0 <= sequence <= self._followed.position():
            raise CannotRead(another_log(Position(self.partition, sequence)))
        try:
            return (await self._header_of(sequence)).block_hash
        except Trimmed as trimmed:  # the block behind it names it
            if self.first_there(trimmed) > sequence + 1:
                raise
            return (await self._header_of(sequence + 1)).previous_hash

    def first_there(self, trimmed: Trimmed) -> int:
        """The first block that the log has."""
        return first_there(self._followed.fold.replay.offsets, trimmed.begin)

    async def last_before(self, at_us: int) -> int:
        """The last block of before a time, -1 for none, found in some twenty blocks of the log. Raises LogFailed, Trimmed
        where it was trimmed away."""
        low, high = 0, self.position()
        away: tuple[int, Trimmed] | None = None
        while low <= high:
            middle = (low + high) // 2
            try:
                is_before = (await self._header_of(middle)).created_at_us < at_us
            except Trimmed as trimmed:  # and so is all before it
                is_before, away = True, (middle, trimmed)
            low, high = (middle + 1, high) if is_before else (low, middle - 1)
        if away is not None and away[0] == high:
            raise away[1]
        return high

    async def _header_of(self, sequence: int) -> Header:
        asking = fetch_block(self._log, self.partition, self._followed.fold.replay.offsets, sequence)
        return read_header(await in_time(asking))

    async def close(self) -> None:
        await self._forget()


def another_log(place: Position) -> str:
    return (
        f"The webhook is at block {place}, and this log has not got that block: it is another log, or was put back, or has lost "
        "blocks. Nothing is sent. Once it is the right one (`fanfold verify`), say where to go on: `fanfold webhook replay ID "
        "--from POSITION`, or `--from now`."
    )
