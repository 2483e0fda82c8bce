"""Keeps the projectors of a process going. What fails in one partition is that partition's alone: the others go on.

| what failed | what becomes of the partition |
|---|---|
| the log does not answer (`log_watch.py`) | asked again after `WAITS`, as long as it takes; the view is still served |
| the view store does not answer | the projector itself tries again, for as long as it takes |
| the log is damaged | what is good is served, and nothing beyond (`Projector.stopped`) |
| another projector owns the view now | that one answers, and a shared view is read; taken back when it writes no more |
| the view is of another log, or the projector is broken | given up: 503 with the reason, until a new start |
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import structlog

from fanfold.api.retry import Waits, retry
from read_side.contract.view import Checkpoint, ViewUnavailable
from read_side.follow.bring_view_right import Displaced, ViewOfAnotherLog
from read_side.follow.projector import Projector
from read_side.follow.timer import Timer
from write_side.contract.log.log import LogFailed

WAITS: Final = Waits(2.0, 2.0)
"""Between two tries of a log that does not answer: soon after it is back, and little work while it is away."""
LOOK_S: Final = 30.0
"""Between two looks whether the projector that took a partition over still writes. Who lives writes each second."""
LOOKS_WITHOUT_VIEW: Final = 4
"""So often is no view there before it is taken that nobody makes one: two minutes, in which 30 million rows are loaded."""

_log = structlog.get_logger(__name__)


class Keeper:
    """One partition. `keep()` until the log is closed, it is cancelled, or the partition is given up.

    settled: set once the partition answers, or has failed for the first time: a start waits for no longer.
    gave_up: why it is not followed here, None while it is. changed: set when that changes.
    """

    def __init__(self, projector: Projector, timer: Timer, changed: asyncio.Event) -> None:
        self.projector = projector
        self.settled = asyncio.Event()
        self.gave_up: Exception | None = None
        self._changed = changed
        self._timer = timer

    async def keep(self) -> None:
        """Start and follow. Raises nothing but what cancels it: `gave_up` and the projector say what happened."""
        try:
            while True:
                try:
                    await retry(self._follow, LogFailed, WAITS, self._timer.sleep, self._log_is_away)
                    return
                except Displaced as displaced:
                    self.projector.elsewhere = True
                    self._give_up(displaced)
                    await self._until_left_alone()
                    self._take_back()
        except Exception as failure:
            self._give_up(failure)

    async def _follow(self) -> None:
        """One try, until there is nothing more to follow. Raises LogFailed."""
        projector = self.projector
        if projector.log_away is not None:
            await projector.look_at_log()
            projector.log_away = None
            _log.info("log is back", partition=projector.partition)
        if not projector.ready:
            await projector.start()
        self.settled.set()
        await projector.run()

    def _log_is_away(self, failure: LogFailed) -> None:
        if self.projector.log_away is None:
            _log.error("log away", partition=self.projector.partition, reason=str(failure))
        self.projector.log_away = str(failure)
        self.settled.set()

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
        self.settled.set()
        self._changed.set()
        _log.error("partition given up", partition=projector.partition, reason=projector.ended, exc_info=not known)

    async def _until_left_alone(self) -> None:
        """Whoever took a partition over may end before we do, and then nobody would follow it."""
        last: list[Checkpoint | None] = []
        while True:
            await self._timer.sleep(LOOK_S)
            try:
                stored, is_behind = await self.projector.live_view()
            except (ViewUnavailable, LogFailed):
                last.clear()
                continue
            if not is_behind or last[-1:] != [stored]:
                last.clear()
            last.append(stored)
            if len(last) > (1 if stored is not None else LOOKS_WITHOUT_VIEW):
                return

    def _take_back(self) -> None:
        projector = self.projector
        projector.elsewhere, projector.ended, projector.ready, self.gave_up = False, None, False, None
        _log.warning("partition taken back", partition=projector.partition)


class Keepers:
    """All partitions of a process: `start()`, then `run()`."""

    def __init__(self, projectors: Sequence[Projector], timer: Timer) -> None:
        self._changed = asyncio.Event()
        self._keepers = [Keeper(projector, timer, self._changed) for projector in projectors]
        self._keeping: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Until every partition answers or has failed. Raises what ended the first one when none is left."""
        self._keeping = [asyncio.create_task(keeper.keep()) for keeper in self._keepers]
        for task in self._keeping:
            task.add_done_callback(lambda _: self._changed.set())
        try:
            await asyncio.gather(*(keeper.settled.wait() for keeper in self._keepers))
            self._raise_if_none_is_left()
        except BaseException:
            await self._stop()
            raise

    async def run(self) -> None:
        """Until the logs are closed or this is cancelled. Raises what ended the first partition once none is left."""
        try:
            while True:
                self._changed.clear()
                self._raise_if_none_is_left()
                if all(task.done() for task in self._keeping):
                    return
                await self._changed.wait()
        finally:
            await self._stop()

    def _raise_if_none_is_left(self) -> None:
        """A process that follows nothing any more ends with the reason; while it follows one partition, it serves that.

        One whose partitions another projector has taken over stays, reads the shared view, and looks whether that one still
        writes: started again, it would take them back at once, and the other one would do the same.
        """
        failures = [
            keeper.gave_up
            for keeper in self._keepers
            if keeper.gave_up is not None and not isinstance(keeper.gave_up, Displaced)
        ]
        if failures and len(failures) == len(self._keepers):
            raise failures[0]

    async def _stop(self) -> None:
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)
