"""Keeps the projector of one partition going. What fails here is this partition's alone: the others of the process go on.

| what failed | what becomes of the partition |
|---|---|
| the log does not answer (`log_watch.py`) | asked again every `RETRY_S`, as long as it takes; the view is still served |
| the view store does not answer | the projector itself tries again, for as long as it takes |
| the log is damaged | what is good is served, and nothing beyond (`Projector.stopped`) |
| another projector owns the view now | given up: that one answers, and a shared view is read as it writes it |
| the view is of another log, or the projector is broken | given up: 503 with the reason, until a new start |
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from read_side.projector import Projector
from read_side.timer import Timer
from read_side.view_owner import Displaced, ViewOfAnotherLog
from write_side.contract.log import LogFailed

RETRY_S: Final = 2.0
"""Between two tries of a log that does not answer: soon after it is back, and little work while it is away."""

_log = structlog.get_logger(__name__)


class Keeper:
    """One partition. `keep()` until the log is closed, it is cancelled, or the partition is given up.

    settled: set once the partition answers, or has failed for the first time: a start waits for no longer.
    gave_up: why the partition is followed no more, None while it is.
    """

    def __init__(self, projector: Projector, timer: Timer) -> None:
        self.projector = projector
        self.settled = asyncio.Event()
        self.gave_up: Exception | None = None
        self._timer = timer

    async def keep(self) -> None:
        """Start and follow. Raises nothing but what cancels it: `gave_up` and the projector say what happened."""
        try:
            while not await self._follow():
                self.settled.set()
                await self._timer.sleep(RETRY_S)
        except Displaced as displaced:
            self.projector.elsewhere = True
            self._give_up(displaced)
        except Exception as failure:
            self._give_up(failure)
        finally:
            self.settled.set()

    async def _follow(self) -> bool:
        """One try; True when there is nothing more to follow."""
        projector = self.projector
        try:
            if projector.log_away is not None:
                await projector.look_at_log()
                projector.log_away = None
                _log.info("log is back", partition=projector.partition)
            if not projector.ready:
                await projector.start()
            self.settled.set()
            await projector.run()
        except LogFailed as failure:
            if projector.log_away is None:
                _log.error("log away", partition=projector.partition, reason=str(failure))
            projector.log_away = str(failure)
            return False
        return True

    def _give_up(self, failure: Exception) -> None:
        projector = self.projector
        known = isinstance(failure, Displaced | ViewOfAnotherLog)
        projector.ended = (
            str(failure)
            if known
            else f"partition {projector.partition}: its projector failed ({type(failure).__name__}). No money is affected, and "
            "other partitions are answered. See the log of this process, then start it again."
        )
        self.gave_up = failure
        _log.error("partition given up", partition=projector.partition, reason=projector.ended, exc_info=not known)
