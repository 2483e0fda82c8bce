"""A follower: folds a partition that another process writes, so that this process's intake can answer for it too."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from write_side.contract.log.log import Log, Record
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.replay import Folded, Replay
from write_side.contract.state.state import State
from write_side.id_runs.keeping import keep_ids
from write_side.id_runs.runs import IdRuns
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.owner.fold_to_end import fold_to_end
from write_side.owner.writer import OnAccepted


class Follower:
    """One partition, read only. `start()` folds to the end of the log, `run()` goes on for ever.

    on_accepted(block, log offset): called for every block accepted after the start, in order.
    """

    def __init__(
        self,
        partition: int,
        log: Log,
        on_accepted: OnAccepted,
        snapshots: Snapshots | None = None,
        ids: IdRuns | None = None,
    ) -> None:
        self.partition = partition
        self.ids = ids
        self.state = State(partition, log.partitions)
        # Whoever writes the partition in this process one day goes on with these files: they have fingerprints.
        self._prints = None if ids is None else FINGERPRINTS
        self.replay = Replay(self.state, self._prints)
        self._log = log
        self._on_accepted = on_accepted
        self._snapshots = snapshots

    async def start(self) -> None:
        """Fold what is there. Raises ChainBroken, CheckFailed, LogFailed."""
        await fold_to_end(self._log, self.partition, self.replay, self._snapshots, self._prints, self.ids)

    async def run(self) -> None:
        """Fold what comes. Raises as `start`."""
        keeping = None if self.ids is None else asyncio.create_task(keep_ids(self.ids))
        try:
            async with aclosing(self._log.tail(self.partition, self.replay.last_offset)) as runs:
                async for records in runs:
                    for folded in await asyncio.to_thread(self._fold, records):
                        self._on_accepted(folded.block, folded.offset)
        finally:
            if keeping is not None:
                keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)

    def _fold(self, records: Sequence[Record]) -> list[Folded]:
        found = []
        for record in records:
            if (folded := self.replay.take(record)) is not None:
                if self.ids is not None:
                    self.ids.add_folded(self.state, folded)
                found.append(folded)
        return found
