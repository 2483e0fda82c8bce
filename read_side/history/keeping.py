"""The histories of a process, kept up: what is missing is read from the log, what came since is sealed.

Whatever fails here is told once and tried again; no partition waits for it.
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

TIDIED_S: Final = 1.0
WAITS: Final = Waits(2.0, 30.0)
_FAILURES: Final = (LogFailed, ChainBroken, Undecodable, ValueError, OSError)

_logger = structlog.get_logger(__name__)


async def keep(histories: Sequence[History], log: Log, sleep: Sleep) -> None:
    """Until this is cancelled. Call once the partitions are folded."""
    async with asyncio.TaskGroup() as tasks:
        for history in histories:
            tasks.create_task(_keep(history, log, sleep))


async def _keep(history: History, log: Log, sleep: Sleep) -> None:
    failing: str | None = None

    def tell(failure: BaseException) -> None:
        nonlocal failing
        if str(failure) != failing:
            failing = str(failure)
            _logger.warning(
                "history not kept", partition=history.folder.partition, place=history.folder.place, reason=failing
            )

    async def once() -> None:
        if history.unavailable is not None:
            try:
                await history.fill(log, sleep)
            except _FAILURES as failure:
                history.unavailable = f"its history cannot be read ({failure})"
                raise
        await asyncio.to_thread(history.tidy)

    while True:
        await retry(once, _FAILURES, WAITS, sleep, tell)
        failing = None
        await sleep(TIDIED_S)
