"""A follower: folds a partition that another process writes, so that this process's intake can answer for it too."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from write_side.contract.log.log import Log, Record
from write_side.contract.snapshots.snapshots import Snapshots, fold_from_newest
from write_side.contract.state.replay import Folded, Replay
from write_side.contract.state.snapshot import Snapshot
from write_side.contract.state.state import State
from write_side.owner.writer import OnAccepted


class Follower:
    """One partition, read only. `start()` folds to the end of the log, `run()` goes on for ever.

    on_accepted(block, log offset): called for every block accepted after the start, in order.
    """

    def __init__(self, partition: int, log: Log, on_accepted: OnAccepted, snapshots: Snapshots | None = None) -> None:
        self.partition = partition
        self.state = State(partition, log.partitions)
        self.replay = Replay(self.state)
        self._log = log
        self._on_accepted = on_accepted
        self._snapshots = snapshots

    async def start(self) -> None:
        """Fold what is there, from a snapshot on where there is one. Raises ChainBroken, CheckFailed, LogFailed."""
        await fold_from_newest(
            self._snapshots, self.partition, self._log.partitions, None, self._begin_at, self._fold_on
        )

    def _begin_at(self, snapshot: Snapshot) -> None:
        self.replay.begin_at(snapshot.replay)

    async def _fold_on(self) -> None:
        async with aclosing(self._log.read(self.partition, self.replay.last_offset)) as runs:
            async for records in runs:
                await asyncio.to_thread(self.replay.take_all, records)

    async def run(self) -> None:
        """Fold what comes. Raises as `start`."""
        async with aclosing(self._log.tail(self.partition, self.replay.last_offset)) as runs:
            async for records in runs:
                for folded in await asyncio.to_thread(self._fold, records):
                    self._on_accepted(folded.block, folded.offset)

    def _fold(self, records: Sequence[Record]) -> list[Folded]:
        return [folded for record in records if (folded := self.replay.take(record)) is not None]
