"""One partition in this process: a writer with its relay, or a follower, and the next one when it fails.

A failure belongs to its partition. Whoever waits there is told that the outcome is unknown, whoever comes is refused with the
reason, and the others do not notice. `failures.py` says what follows: a new life (fold, epoch, go on), or a stop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from math import inf
from typing import Final, NamedTuple

import structlog

from fanfold.api.retry import InARow
from write_side.contract.block.block import Block
from write_side.contract.compiled.compiling import compiling
from write_side.contract.log.log import Log, LogFailed
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.start_progress import StartProgress
from write_side.id_runs.runs import IdRuns
from write_side.owner.block_times import BlockTimes
from write_side.owner.clock import Clock, SteppedClockGuard
from write_side.owner.failures import WAITS, Next, a_new_process_may_mend, stops_for_all, what_follows
from write_side.owner.follower import Follower
from write_side.owner.learn_ids import learn_ids
from write_side.owner.outcomes import Outcomes, Starting
from write_side.owner.relay import Relay
from write_side.owner.writer import Overtaken, Writer, WriterLimits
from write_side.queue.command_queue import CommandQueue

CALM_S: Final = 60.0
"""A life that served for so long has nothing to do with the failures before it: the back-off begins anew."""

_log = structlog.get_logger(__name__)


class Standing(StrEnum):
    STARTING = "starting"
    SERVING = "serving"
    TAKES_NOTHING = "takes_nothing"
    """It serves, and its log or queue would not take a record: only told, `look.py` finds it."""
    WAITING = "waiting"
    STOPPED = "stopped"
    OVERTAKEN = "overtaken"
    """Another process writes it. It is not taken back while this process lives."""


class Consumed(NamedTuple):
    """to: the offset behind the last record of the queue that an accepted block has consumed; at_us: the time of that block, or
    of a later one."""

    to: int
    at_us: int


class Partition:
    """`keep` it; `part` is its writer or follower of the moment. reason: why it does not serve, None while it does."""

    def __init__(
        self,
        number: int,
        log: Log,
        queue: CommandQueue,
        clock: Clock,
        limits: WriterLimits,
        *,
        owned: bool,
        snapshots: Snapshots | None = None,
        new_ids: Callable[[], IdRuns] | None = None,
        times: BlockTimes | None = None,
    ) -> None:
        """new_ids: every id that ran here, for one life, since what the last one was writing may still be written then; None: an
        id is remembered as long as memory has it. times: told each block of every life, for traces."""
        self.number = number
        self.owned = owned
        self.standing = Standing.STARTING
        self.failure: Exception | None = None
        self.failures = 0
        self.trouble: str | None = None
        self.settled = asyncio.Event()
        """Set once it serves, waits or is stopped: the start of this partition is over, one way or another."""
        self.served = asyncio.Event()
        """Set once it has served."""
        self.given_up = asyncio.Event()
        """Set once it is stopped or overtaken: that is for good."""
        self.consumed: Consumed | None = None
        """By the newest accepted block of a writer that serves here; None while none does."""
        self.relay = Relay(number, queue, clock) if owned else None
        self._log = log
        self._queue = queue
        self._clock = clock
        self._limits = limits
        self._snapshots = snapshots
        self._new_ids = new_ids
        self.times = times
        # Of all lives: a clock that jumped is not right because somebody looked at it a second time.
        self._guard = SteppedClockGuard(clock, limits.max_clock_step_us)
        self._claimed: int | None = None
        self._serves_since_s = inf
        self._progress = StartProgress(clock.wall_us())
        self.part: Writer | Follower = self._new_part()
        self.outcomes = Outcomes(number, self.part.replay, log, self._look_behind)
        self.outcomes.fail(Starting("the log is being folded"))

    @property
    def reason(self) -> str | None:
        if self.standing is Standing.SERVING:
            return self.trouble
        if self.failure is None:
            return compiling().why or "the log is being folded"
        return str(self.failure) or type(self.failure).__name__

    def position(self) -> int:
        """The last block that is in the state; -1 for none, and until it has served: of what was read before it was found damaged
        nobody takes a snapshot."""
        return self.part.replay.state.chained.sequence if self.served.is_set() else -1

    def last_offset(self) -> int:
        """Of the last record of the log that was read; START for none."""
        return self.part.replay.last_offset

    def document(self) -> dict[str, object]:
        """For /readyz."""
        standing = Standing.TAKES_NOTHING if self.standing is Standing.SERVING and self.trouble else self.standing
        said: dict[str, object] = {"standing": str(standing), "reason": self.reason, "failures": self.failures}
        if self.standing is Standing.STARTING:
            replay = self.part.replay
            folded = replay.state.chained.sequence + 1
            now_us, begun = self._clock.wall_us(), replay.began_after + 1
            said["progress"] = self._progress.document(folded, replay.last_offset, now_us, begun)
        return said

    def looked_at(self, trouble: str | None) -> None:
        """Why its log or queue would not take a record now, None when both would. Until then who comes is refused."""
        if self.standing is Standing.SERVING:
            self._look_behind()
        if trouble == self.trouble:
            return
        before, self.trouble = self.trouble, trouble
        self.outcomes.trouble(None if trouble is None else LogFailed(trouble))
        if trouble is None:
            _log.info("partition takes requests again", partition=self.number)
        elif before is None:
            _log.error("partition takes no requests", partition=self.number, reason=trouble)

    async def keep(self) -> None:
        """Serve for ever, in as many lives as it takes. Returns when it is stopped; raises what ends the process."""
        in_a_row = InARow(WAITS, asyncio.sleep)
        while True:
            self._serves_since_s = inf
            try:
                await self._live()
                return  # the log was closed
            except Exception as failure:
                if self._served_s() > CALM_S:
                    in_a_row.worked()
                follows = what_follows(failure, in_a_row.failed + 1)
                self._fail(failure, follows)
                if follows is Next.ENDS:
                    raise
                if follows is Next.STAYS:
                    return
            await in_a_row.wait()
            if isinstance(self.part, Writer):
                self._claimed = self.part.claimed
            self.part = self._new_part()
            self.outcomes.restart(self.part.replay)

    async def _live(self) -> None:
        part = self.part
        self._progress = StartProgress(self._clock.wall_us())
        with suppress(LogFailed):  # if it matters, the fold says so
            self._progress.end = await self._log.end(self.number)
        if isinstance(part, Follower) or self.relay is None:
            await self._start(part)
            self._serve()
            await part.run()
            return
        try:
            await self._start(part)
            self.relay.start(part.state)
            chained = part.state.chained
            self.consumed = Consumed(chained.consumed_to, chained.created_at_us)
            self._serve()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(part.run())
                tasks.create_task(self.relay.run())
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None
        finally:
            await part.close()

    async def _start(self, part: Writer | Follower) -> None:
        """Raises why it cannot serve, once it is known which ids ran here, as far as that can be read: other partitions ask."""
        try:
            await self._log.resume(self.number)  # files that could not be opened when the log was may be there by now
            await part.start()
        except Exception as failure:
            if not self.served.is_set():
                await learn_ids(self._log, self.number, part.replay, self._snapshots, part.ids, failure)
                self.outcomes.learn(part.ids)
            raise

    def _served_s(self) -> float:
        """How long the life that is over has served."""
        return asyncio.get_running_loop().time() - self._serves_since_s

    def _serve(self) -> None:
        if self.failure is not None:
            _log.info("partition serves again", partition=self.number, failures=self.failures)
        self.failure, self.standing = None, Standing.SERVING
        self._serves_since_s = asyncio.get_running_loop().time()
        self.trouble = None  # a writer that serves has just appended its epoch: what was seen before is over
        self.outcomes.trouble(None)
        self.outcomes.serve(self.part.ids)
        self.served.set()
        self.settled.set()

    def _fail(self, failure: Exception, follows: Next) -> None:
        self.failure, self.failures, self.consumed = failure, self.failures + 1, None
        if follows is Next.AGAIN:
            self.standing = Standing.WAITING
        else:
            self.standing = Standing.OVERTAKEN if isinstance(failure, Overtaken) else Standing.STOPPED
            self.given_up.set()
        self.outcomes.fail(failure, stopped=self.given_up.is_set() and stops_for_all(failure, self.owned))
        self.settled.set()
        _log.error(
            "partition does not serve",
            partition=self.number,
            standing=str(self.standing),
            failure=type(failure).__name__,
            reason=self.reason,
        )

    def _new_part(self) -> Writer | Follower:
        ids = None if self._new_ids is None else self._new_ids()
        if not self.owned:
            return Follower(self.number, self._log, self._accepted, self._snapshots, ids)
        if self.times is not None:
            self.times.begin_life()
        return Writer(
            self.number, self._log, self._queue, self._clock, self._limits, self._accepted,
            guard=self._guard, snapshots=self._snapshots, claimed=self._claimed, ids=ids,
            times=self.times,
        )  # fmt: skip

    def _look_behind(self) -> None:
        if isinstance(self.part, Writer):
            self.part.look()

    def _accepted(self, block: Block, offset: int) -> None:
        self.outcomes.accepted(block, offset)
        if self.relay is not None:
            self.relay.accepted(block)
            self.consumed = Consumed(block.header.consumed_to, block.header.created_at_us)


async def keep_all(partitions: Sequence[Partition]) -> None:
    """Keep those of one process, each for itself: until the log is closed, or for ever where one is given up.

    Raises what ends the process (`failures.py`).
    """
    kept = {asyncio.create_task(partition.keep()): partition for partition in partitions}
    owned = [partition for partition in partitions if partition.owned]
    try:
        left = set(kept)
        while left:
            done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if all(partition.given_up.is_set() for partition in owned):
                for partition in owned:
                    if partition.failure is not None and a_new_process_may_mend(partition.failure):
                        raise partition.failure
        if any(partition.given_up.is_set() for partition in partitions):
            await asyncio.Event().wait()  # its doors go on saying why
    finally:
        for task in kept:
            task.cancel()
        await asyncio.gather(*kept, return_exceptions=True)
