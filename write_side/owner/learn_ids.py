"""Which ids ran in a partition that cannot be served, as far as it can be read.

Other partitions ask for them before they run an id (`intake/refused_ahead.py`): the same id with another first giver is theirs to
decide, and would pay a second time. What lies behind the damage is in no state; the files of ids may have it still.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Log, LogDamaged, LogFailed
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.replay import Replay
from write_side.id_runs.runs import IdRuns
from write_side.owner.fold_to_end import fold_to_end


async def learn_ids(
    log: Log, partition: int, replay: Replay, snapshots: Snapshots | None, ids: IdRuns | None, failure: Exception
) -> None:
    """Fold into `replay` what is good of a partition whose start ended with `failure`, where nothing of it was folded yet, and
    open the files of its ids. Raises nothing that the start did not."""
    if replay.state.chained.sequence >= 0:
        return
    if not isinstance(failure, LogDamaged):  # it will be read when it is taken up again, which may be soon
        if ids is not None and not ids.folder.sealed:
            await asyncio.to_thread(ids.open)
        return
    for begun_at in (snapshots, None):  # a snapshot behind the damage is not begun at, and ends the fold
        with suppress(LogFailed, ChainBroken, CheckFailed, OSError):
            await fold_to_end(log, partition, replay, begun_at, replay.prints, ids)
        if replay.state.chained.sequence >= 0 or snapshots is None:
            return
