"""The projector of one partition: tail the log, fold, one write a run of blocks, publish. One projector a partition.

It folds the whole log in memory at its start, and never publishes what it folded then: replay never pushes. From there on
everything that the view must be lies in memory, so whatever happens to the store is repaired without reading back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from typing import Any, Final, NamedTuple

import structlog

from fanfold.api.retry import Waits, retry
from read_side.contract.feed import Feed, FeedBatch, FeedUnavailable
from read_side.contract.how_far import NOWHERE, Distances, HowFar, Place
from read_side.contract.no_answer import Elsewhere, HistoryUnavailable, PartitionUnavailable, Starting, Unanswerable
from read_side.contract.phases import NO_PHASES, PhaseRows
from read_side.contract.rows import EMPTY_ROWS, AccountRows
from read_side.contract.view import Checkpoint, ReadByOthers, Stale, ViewStore, ViewUnavailable
from read_side.follow.bring_view_right import ROWS_PER_APPLY_MAX, ViewOfAnotherLog, ViewOwner
from read_side.follow.log_watch import LogWatch
from read_side.follow.partition_fold import Failure, FoldedRun, PartitionFold, fold_before, fold_log
from read_side.follow.silence import Silence
from read_side.follow.timer import Timer
from read_side.follow.watermark import Shown
from read_side.follow.work import Work
from read_side.history.history import History
from read_side.history.segment import Segment
from write_side.contract.block.block import Undecodable, read_header
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.in_thread import through
from write_side.contract.log.log import START, Log, LogDamaged, LogFailed
from write_side.contract.log.log_end import LogEnd, TooFarBehind
from write_side.contract.snapshots.snapshots import Snapshots, fold_from_newest
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.start_progress import StartProgress

HEARTBEAT_S: Final = 1.0
"""How often a quiet partition tells gateways that it lives, and looks whether its view is still there."""
WAITS: Final = Waits(0.25, 0.25)
"""Between tries while store or log do not answer: soon enough to be unnoticed, no load when they are away."""
AHEAD_BEATS_MAX: Final = 30
"""A view may be ahead of us while a rebuild has read further; after this many seconds it is the view of another log."""

DAMAGE: Final = (ChainBroken, CheckFailed, LogDamaged)
"""What a person has to mend: reading it again finds the same."""

_log = structlog.get_logger(__name__)


class Lag(NamedTuple):
    """How old what readers see is; how far the marks are from each other, `Distances` says.

    blocks_behind: folded and not yet shown; commit_to_view_ms: from the last block's time to its being shown;
    last_block_age_ms: how old the last shown block is; probed_age_ms: how long ago the view was last found right.
    """

    blocks_behind: int
    commit_to_view_ms: int
    last_block_age_ms: int
    probed_age_ms: int


class Projector:
    """One partition. `start()`, then `run()` until the log is closed, the task is cancelled, or it raises.

    boot: random for each life; readers of the feed know a new life by it.
    shown, published: marks of `contract/how_far.py`; `how_far` has them all.
    stopped: why this partition goes no further (the log is damaged), None while it does. What is good is still served.
    log_away, unavailable: why the log, the view store does not answer for the moment. ended: why nobody follows this partition
    here any more; elsewhere: another projector does. These three are said by whoever keeps it going (`keeper.py`).
    """

    def __init__(
        self,
        partition: int,
        log: Log,
        view: ViewStore,
        feed: Feed,
        timer: Timer,
        boot: str,
        snapshots: Snapshots | None = None,
        history: History | None = None,
    ) -> None:
        self.partition = partition
        self.history = history
        self.boot = boot
        self.fold = PartitionFold(partition)
        self.owner = ViewOwner(view, self.fold)
        self.shown = Shown()
        self.published = -1
        self.stopped: str | None = None
        self.unavailable: str | None = None
        self.log_away: str | None = None
        self.ended: str | None = None
        self.elsewhere = False
        self.ready = False
        self.progress = StartProgress(timer.wall_us())
        self.blocks = 0
        self.feed_failures = 0
        self.commit_to_view_us = 0
        self.probed_at_us = 0
        self.asked_store_us = 0
        """Since when the view store is being asked something; 0 while it is not."""
        self._log = log
        self._view = view
        self._feed = feed
        self._timer = timer
        self._snapshots = snapshots
        self._ahead_beats = 0
        self._told_stale: tuple[Stale | None] | None = None
        self._log_end = LogEnd(log, partition)
        self._watch = LogWatch(self.look_at_log)
        self._silence = Silence(self._log_end)
        self._work = Work(log, partition, self, lambda: self._silence.withheld, timer.wall_us)
        self._writing = asyncio.Lock()

    async def start(self) -> None:
        """Fold the log to its end, from a snapshot on where there is one, and bring the view right; again after a failure, going
        on where it was.

        Raises Displaced, ViewOfAnotherLog, LogFailed.
        """
        stored = await self._look_at_view()
        with suppress(LogFailed):
            self.progress.end = await self._log.end(self.partition)
        if self.fold.folded.offset == START:
            await self._fold_to_end(self._fold_from_newest)
            if stored is not None and self.stopped is None:
                await self._recall(stored)
        await self._fold_to_end()
        await self._until_available(self.owner.claim)
        # Whoever owned the view before us can write it no more; what it wrote is in the log by now.
        await self._fold_to_end()
        await self._until_available(self.owner.bring_right)
        while self.owner.is_ahead and self.stopped is None:
            # Another projector that started with us wrote between our look at the log and our claim; that is in the log by now.
            await self._fold_to_end()
            self._check_not_ahead()
            await self._until_available(self.owner.bring_right)
        if self.fold.log_history.name is None and self.fold.folded.sequence >= 0:
            with suppress(LogFailed, Undecodable):  # then nobody is told which history it is
                await self.fold.log_history.find(self._log, self.partition, self.fold.replay)
        self.published = self._work.pushed = self.fold.folded.sequence
        self._tell_readers()
        self._silence.told(self._timer.wall_us())
        if self.history is not None:
            self.fold.tell(self.history)
        await self._tell_stale()
        self.ready = True

    async def look_at_log(self) -> None:
        """Whether the log answers, in a time that is bounded (`LogEnd`). Raises LogFailed."""
        with suppress(TooFarBehind):  # it has answered
            await self._log_end.offset(self.fold.folded.offset)

    async def look_ahead(self, wait_s: float) -> None:
        """See how far the log is ahead, if that was not just now; known after `wait_s`, or not. Never raises."""
        await self._work.look_ahead(wait_s)

    async def live_view(self) -> tuple[Checkpoint | None, bool]:
        """Where the live view stands, whoever writes it, and whether the log has more. Raises ViewUnavailable, LogFailed."""
        stored = await self._view.checkpoint(self.partition)
        if stored is None:
            return None, True
        async with aclosing(self._log.read(self.partition, stored.log_offset)) as runs:
            return stored, await anext(runs, None) is not None

    def refusal(self) -> Unanswerable | None:
        """Why nothing of this partition is answered here; None while it is."""
        if self.elsewhere:
            return Elsewhere(self.partition)
        if self.ended is not None:
            return PartitionUnavailable(self.partition, reason=self.ended)
        if self.ready:
            return None
        reason = self.log_away or self.unavailable
        return Starting(self.partition) if reason is None else PartitionUnavailable(self.partition, reason=reason)

    def refusal_of_fold(self) -> Unanswerable | None:
        """Why nothing is told of what is folded, as lists are; None while it is. After a failed check that is so until what is
        good has been folded again, while balances are told from the view."""
        wrong = PartitionUnavailable(self.partition, reason=self.stopped) if self.fold.is_wrong else None
        return self.refusal() or wrong

    @property
    def stale_since_us(self) -> int | None:
        """The time of the last good block (0 for none), where the log is damaged behind it: what came later is in no answer. None
        while it is followed, or another projector answers for it."""
        return None if self.stopped is None or self.elsewhere else self.fold.state.chained.created_at_us

    @property
    def log_history(self) -> str | None:
        """Which history of its log this is (`log_history.py`), and of its view: what was told from one that a rebuild or rollback
        replaced may have been wrong at the very version that is right now. None where that is not known."""
        name, generation = self.fold.log_history.name, self.owner.generation
        return name if name is None or generation <= 1 else f"{name}-{generation}"

    def past(self) -> list[Segment]:
        """What is kept of the past, whole, the newest first. Raises HistoryUnavailable."""
        parts = "no history is kept here: FANFOLD_ARCHIVE is off" if self.history is None else self.history.whole()
        if isinstance(parts, str):
            raise HistoryUnavailable(self.partition, reason=parts)
        return parts

    def held_up(self) -> str | None:
        """Why the partition goes no further, for good or for now; None while it does."""
        return self.ended or self.stopped or self.log_away or self.unavailable

    def stands_still(self) -> str | None:
        """Why it does not get on though it is known to have work, and nothing else is known to be the matter; None while it does,
        or has nothing to do."""
        return self._work.stands_still() if self.ready and self.held_up() is None else None

    async def run(self) -> None:
        """Follow the log for ever. Raises Displaced, ViewOfAnotherLog, LogFailed: the process must end then."""
        beating = asyncio.create_task(self._beat_for_ever())
        following = asyncio.create_task(self._follow())
        try:
            while True:
                done, _ = await asyncio.wait((beating, following), return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if following.done() and self.stopped is None:
                    return
                if following.done():
                    await beating  # what is good is served and kept right until somebody stops us
        finally:
            self._watch.stop()
            self._silence.stop()
            self._work.stop()
            for task in (beating, following):
                task.cancel()
            await asyncio.gather(beating, following, return_exceptions=True)

    @property
    def how_far(self) -> HowFar:
        work = self._work
        return HowFar(self.folded, self.stored, self.shown.place, self.published, work.accepted, work.pushed)

    @property
    def folded(self) -> Place:
        return self.fold.folded

    @property
    def stored(self) -> Place:
        return NOWHERE if self.owner.stored is None else self.owner.stored.place

    def distances(self) -> Distances:
        """How far the marks are from each other now, by the last look at the log (`look_ahead`)."""
        return self._work.distances()

    def position(self) -> int:
        """The last block that is folded; -1 for none."""
        return self.fold.folded.sequence

    def lag(self, now_us: int) -> Lag:
        stored = self.owner.stored
        return Lag(
            self.how_far.blocks_behind,
            self.commit_to_view_us // 1000,
            max(0, now_us - stored.at_us) // 1000 if stored is not None and stored.sequence >= 0 else 0,
            max(0, now_us - self.probed_at_us) // 1000 if self.probed_at_us else 0,
        )

    def _check_not_ahead(self) -> None:
        if self.owner.is_ahead and self.stopped is None:
            raise _another_log(self.owner)

    async def _look_at_view(self) -> Checkpoint | None:
        """What another life has shown tells how far there is to fold, and must be known again when it is passed."""
        with suppress(ViewUnavailable):
            if stored := await self._view.checkpoint(self.partition):
                self.fold.remember(stored.sequence)
                self.progress.blocks = max(self.progress.blocks or 0, stored.sequence + 1)
                return stored
        return None

    async def _recall(self, stored: Checkpoint) -> None:
        """A checkpoint of a block that a snapshot has passed, too long ago for its hash to be known: the log has it still."""
        if 0 <= stored.sequence <= self.fold.replay.began_after and not self.fold.knows(stored):
            with suppress(LogFailed, Undecodable):
                header = read_header(await self._log.fetch(self.partition, stored.log_offset))
                if header.sequence == stored.sequence:
                    self.fold.recall(header.sequence, header.block_hash)

    async def _fold_on(self) -> None:
        await fold_log(self._log, self.fold)

    async def _fold_from_newest(self) -> None:
        await fold_from_newest(
            self._snapshots, self.partition, self._log.partitions, None, self.fold.begin_at, self._fold_on
        )

    async def _fold_to_end(self, fold: Callable[[], Awaitable[None]] | None = None) -> None:
        if self.stopped is None:
            try:
                await (fold or self._fold_on)()
            except DAMAGE as failure:
                await self._stop(failure)

    async def _follow(self) -> None:
        if self.stopped is not None:
            return
        try:
            await self._follow_tail()
        except LogDamaged as damage:
            async with self._writing:
                await self._stop(damage)

    async def _follow_tail(self) -> None:
        async with aclosing(self._log.tail(self.partition, self.fold.folded.offset)) as runs:
            async for records in runs:
                while records:
                    self._work.take(records)
                    # Folding too: a repair takes rows and checkpoint from the fold, which must not move between the two.
                    async with self._writing:
                        try:
                            run = await through(self.fold.take, records, ROWS_PER_APPLY_MAX)
                        except (ChainBroken, CheckFailed) as failure:
                            await self._stop(failure)
                            await self._until_available(self.owner.bring_right)
                            self.published = self.fold.folded.sequence
                            self._tell_readers()
                            return
                        self.blocks += run.blocks
                        await self._show(run)
                    records = records[run.records :]
                self._work.take(())

    async def _show(self, run: FoldedRun) -> None:
        """Write a folded run to the view, then tell who waits and who watches."""
        self._work.note()
        await self._until_available(lambda: self.owner.advance(run.rows))
        self.commit_to_view_us = self._timer.wall_us() - self.fold.state.chained.created_at_us
        self._tell_readers()
        self._work.note()
        if self.fold.folded.sequence > self.published:
            after, self.published = self.published, self.fold.folded.sequence
            await self._publish(after, run.rows, run.phases)

    async def _beat_for_ever(self) -> None:
        while True:
            await self._timer.sleep(HEARTBEAT_S)
            self._work.beat()
            async with self._writing:
                await self._beat()

    async def _beat(self) -> None:
        try:
            await self._asking_store(self.owner.probe)
        except ViewUnavailable as error:
            self.unavailable = str(error)
            return
        self.unavailable = None
        self.probed_at_us = self._timer.wall_us()
        self._ahead_beats = self._ahead_beats + 1 if self.owner.is_ahead and self.stopped is None else 0
        if self._ahead_beats > AHEAD_BEATS_MAX:
            raise _another_log(self.owner)
        self._tell_readers()
        await self._tell_stale()
        if self.stopped is None:
            self.log_away = self._watch.beat(self.fold.folded.offset, self.log_away)
        if self.stopped is None and self.log_away is None:
            # A heartbeat says that all is told up to here; of a log that is damaged or away nobody knows that.
            await self._publish(self.published, EMPTY_ROWS, NO_PHASES)

    async def _tell_stale(self) -> None:
        """Beside the rows, where others read them: also that what an earlier life said there is over."""
        if not isinstance(self._view, ReadByOthers):
            return
        stale = None if self.stale_since_us is None else Stale(self.stale_since_us, str(self.stopped))
        if self._told_stale == (stale,):
            return
        try:
            await self._view.tell_stale(self.partition, stale)
        except ViewUnavailable as error:  # the next beat tries it again
            self.unavailable = str(error)
        else:
            self._told_stale = (stale,)

    async def _publish(self, after: int, rows: AccountRows, phases: PhaseRows) -> None:
        if not self._silence.may_tell(self._timer.wall_us(), self.shown.offset.value):
            return
        batch = FeedBatch(self.partition, self.owner.generation, self.boot, after, self.published, rows, phases)
        try:
            await self._feed.publish(batch)
        except FeedUnavailable as error:
            self.feed_failures += 1
            _log.warning("feed batch not published", partition=self.partition, reason=str(error))
        else:
            self._work.pushed = batch.upto
            self._silence.told(self._timer.wall_us())

    async def _stop(self, failure: Failure | LogDamaged) -> None:
        """This partition goes no further. A failed check leaves the state unusable, so what is good is folded again."""
        self._work.take(())
        sequence, reason = self.fold.folded.sequence + 1, str(failure)
        if isinstance(failure, LogDamaged):  # it knows files, and not blocks
            reason = f"partition {self.partition} stops before block {sequence}: {reason}"
        else:
            sequence = failure.sequence
        self.stopped = reason
        _log.error("partition stopped", partition=self.partition, sequence=sequence, reason=reason)
        if isinstance(failure, CheckFailed):
            self.fold = self.owner.fold = await self._fold_before(failure.sequence)
        await self._tell_stale()

    async def _fold_before(self, sequence: int) -> PartitionFold:
        """What is good, however long the log is away: the state that failed must never be written to the view."""

        def tell(away: LogFailed) -> None:
            self.log_away = str(away)

        good = partial(fold_before, self._log, self.partition, sequence)
        return await retry(good, LogFailed, WAITS, self._timer.sleep, tell)

    def _tell_readers(self) -> None:
        if self.owner.stored is not None:
            self.shown.advance(self.owner.stored.place)

    async def _asking_store(self, ask: Callable[[], Awaitable[Any]]) -> None:
        self.asked_store_us = self._timer.wall_us()
        try:
            await ask()
        finally:
            self.asked_store_us = 0

    async def _until_available(self, write: Callable[[], Awaitable[Any]]) -> None:
        """Try again for as long as the store is away: the log waits, and memory holds no more than one run of it."""

        def tell(away: ViewUnavailable) -> None:
            if self.unavailable is None:
                _log.warning("view store away", partition=self.partition, reason=str(away))
            self.unavailable = str(away)

        await retry(partial(self._asking_store, write), ViewUnavailable, WAITS, self._timer.sleep, tell)
        self.unavailable = None


def _another_log(owner: ViewOwner) -> ViewOfAnotherLog:
    stored = NOWHERE if owner.stored is None else owner.stored.place
    return ViewOfAnotherLog(
        f"partition {owner.fold.partition}: the view reflects block {stored.sequence}, the log ends at "
        f"{owner.fold.folded.sequence}. Either this is the view of another log, or the log has lost blocks that were shown. "
        "Nothing was changed. Check FANFOLD_LOG and FANFOLD_VIEW first; if the log is the right one and whole, empty the view, "
        "and it is made again."
    )
