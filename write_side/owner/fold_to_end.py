"""How a writer or a follower comes to know its partition."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from write_side.contract.log.log import Log
from write_side.contract.snapshots.snapshots import Snapshots, fold_from_newest
from write_side.contract.state.fold_run import Prints
from write_side.contract.state.replay import Replay


async def fold_to_end(
    log: Log, partition: int, replay: Replay, snapshots: Snapshots | None, prints: Prints | None
) -> None:
    """Fold what is there, from a snapshot on where there is one. Raises ChainBroken, CheckFailed, LogFailed."""

    async def fold_on() -> None:
        async with aclosing(log.read(partition, replay.last_offset)) as runs:
            async for records in runs:
                await asyncio.to_thread(replay.take_all, records)

    await fold_from_newest(
        snapshots, partition, log.partitions, prints, lambda newest: replay.begin_at(newest.replay), fold_on
    )
