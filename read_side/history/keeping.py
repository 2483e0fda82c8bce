"""The histories of a process, kept up: what is missing is read from the log, what came since is sealed.

Whatever fails here is told (`History.failing`, which `/readyz` names) and tried again; no partition waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from fanfold.api.retry import Waits, retry
from read_side.history.history import History, Sleep
from write_side.contract.block.block import Undecodable
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Log, LogFailed
from write_side.contract.state.snapshot_bytes import SnapshotRefused

TIDIED_S: Final = 1.0
WAITS: Final = Waits(2.0, 30.0)
_FAILURES: Final = (LogFailed, ChainBroken, Undecodable, SnapshotRefused, ValueError, OSError)

_logger = structlog.get_logger(__name__)


async def keep(histories: Sequence[History], log: Log, sleep: Sleep) -> None:
    """Until this is cancelled. Call once the partitions are folded."""
    async with asyncio.TaskGroup() as tasks:
        for history in histories:
            tasks.create_task(_keep(history, log, sleep))


async def _keep(history: History, log: Log, sleep: Sleep) -> None:
    def tell(failure: BaseException) -> None:
        if str(failure) != history.failing:
            history.failing = str(failure)
            _logger.warning(
                "history not kept", partition=history.folder.partition, place=history.folder.place, reason=str(failure)
            )

    async def once() -> None:
        if history.unavailable is not None:
            try:
                await history.fill(log, sleep)
            except _FAILURES as failure:
                history.unavailable = f"its history cannot be read ({failure})"
                raise
        await asyncio.to_thread(history.tidy)

    try:
        while True:
            await retry(once, _FAILURES, WAITS, sleep, tell)
            history.failing = None
            await sleep(TIDIED_S)
    except Exception as failure:
        # A mistake of ours is this history's alone: the others are kept, and nobody need look for it in vain.
        history.failing = f"it failed ({type(failure).__name__}); see the log of this process, then start it again"
        _logger.exception("history given up", partition=history.folder.partition, place=history.folder.place)
