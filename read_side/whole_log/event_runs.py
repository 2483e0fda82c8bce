"""The events of a partition from any block on, in the order of the log, with every check that a fold makes.

An entry tells what is after it and names its account by a number, so what lies before is folded first: from the newest snapshot
that is not behind it, or from the beginning of the log.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from read_side.follow.partition_fold import read_ahead
from read_side.history.gathering import Gathering
from read_side.history.segment import Chained
from read_side.whole_log.event_table import Posted, event_table
from write_side.contract.block.block import HASH_BYTES, HEADER_BYTES
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Log, Record
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State

ENTRIES_AT_ONCE: Final = 16_384
"""Of one table, or those of one block where it has more: some 3 MB, and what is done once for a table costs little an event."""


class BlockEvents(NamedTuple):
    """The events of n blocks from `first` on; there may be none. at_us: int64[n], their times; hashes: uint8[n, 32]."""

    first: int
    at_us: npt.NDArray[np.int64]
    hashes: npt.NDArray[np.uint8]
    events: pa.Table


class EventRuns:
    """One partition. `begin`, then `take` of records in their order."""

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self._replay = Replay(State(partition))
        self._posted = Posted(self._replay.state)

    @property
    def sequence(self) -> int:
        """The last block that is behind us."""
        return self._replay.state.chained.sequence

    @property
    def block_hash(self) -> bytes:
        return self._replay.state.chained.block_hash

    @property
    def offset(self) -> int:
        """The log offset behind which the next record is."""
        return self._replay.last_offset

    async def begin(self, log: Log, snapshots: Snapshots | None, sequence: int) -> None:
        """Stand behind block `sequence`, -1 for before the first; where the log ends before it, at its end.

        Raises LogFailed, ChainBroken, CheckFailed.
        """
        if snapshots is not None and sequence >= 0:
            snapshot = await snapshots.newest(self.partition, until=sequence)
            if snapshot is not None:
                self._replay.begin_at(snapshot.replay)
        await self.skip(log, sequence)

    async def skip(self, log: Log, sequence: int) -> None:
        """Fold up to block `sequence` at most, untold. Raises LogFailed, ChainBroken, CheckFailed."""
        if self.sequence < sequence:
            async with aclosing(read_ahead(log.read(self.partition, self.offset))) as runs:
                async for records in runs:
                    await asyncio.to_thread(self._pass, records, sequence)
                    if self.sequence >= sequence:
                        break
        self._posted = Posted(self._replay.state)

    def _pass(self, records: Sequence[Record], sequence: int) -> None:
        for _ in self._replay.take_run(records, until=sequence):
            pass

    async def follow(
        self, runs: AsyncGenerator[Sequence[Record], None], until: int | None = None
    ) -> AsyncGenerator[BlockEvents, None]:
        """The events of records that follow each other, up to block `until`. What lies before a damage is told first.

        Raises LogFailed, ChainBroken, CheckFailed.
        """
        async with aclosing(read_ahead(runs)) as read:
            async for records in read:
                told = self.take(records, until)
                while (each := await asyncio.to_thread(next, told, None)) is not None:
                    yield each
                if until is not None and self.sequence >= until:
                    return

    def take(self, records: Sequence[Record], until: int | None = None) -> Iterator[BlockEvents]:
        """As `follow`, of one run."""
        chained, at = self._replay.state.chained, 0
        while at < len(records) and (until is None or chained.sequence < until):
            before, failure = self._replay.passed, None
            gathered = Gathering(Chained(chained.sequence, chained.block_hash, self.offset))
            try:
                gathered.take_all(self._replay.take_run(records[at:], ENTRIES_AT_ONCE, until))
            except (ChainBroken, CheckFailed) as broken:
                failure = broken
            if gathered.times.count:
                events = event_table(gathered, self._replay.state, self._posted)
                yield BlockEvents(gathered.before.sequence + 1, gathered.times[0].copy(), hashes_of(gathered), events)
            if failure is not None:
                raise failure
            at += self._replay.passed - before


def hashes_of(gathered: Gathering) -> npt.NDArray[np.uint8]:
    """Of each block, uint8[n, 32]."""
    starts = gathered.blocks[0] + HEADER_BYTES - HASH_BYTES
    return np.frombuffer(bytes(gathered.bytes), np.uint8)[starts[:, None] + np.arange(HASH_BYTES)]


def events_of_log(log: Log, runs: EventRuns, *, follow: bool) -> AsyncGenerator[Sequence[Record], None]:
    """The records behind where these stand, to the end of the log as it is now, or for ever."""
    return log.tail(runs.partition, runs.offset) if follow else log.read(runs.partition, runs.offset)
