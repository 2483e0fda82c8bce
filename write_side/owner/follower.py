"""A follower: folds a partition that another process writes, so that this process's intake can answer for it too."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from write_side.contract.log.log import Log, Record
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.replay import Folded, Replay
from write_side.contract.state.state import State
from write_side.owner.fold_to_end import fold_to_end
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
        """Fold what is there. Raises ChainBroken, CheckFailed, LogFailed."""
        await fold_to_end(self._log, self.partition, self.replay, self._snapshots, None)

    async def run(self) -> None:
        """Fold what comes. Raises as `start`."""
        async with aclosing(self._log.tail(self.partition, self.replay.last_offset)) as runs:
            async for records in runs:
                for folded in await asyncio.to_thread(self._fold, records):
                    self._on_accepted(folded.block, folded.offset)

    def _fold(self, records: Sequence[Record]) -> list[Folded]:
        return [folded for record in records if (folded := self.replay.take(record)) is not None]
