"""Rebuild: the view made again from the log, beside the live one, compared row by row, switched in one step.

One partition:
  1. fold the log from its beginning to where the live view is, with every check;
  2. load the rows into a new generation;
  3. compare: read a part of the live rows and, at the same position, the same rows of the new generation. The live view
     moves on meanwhile; its checkpoint, read with the rows, says how far to fold before comparing, so both are always at
     one position and every row at one version;
  4. catch up with the end of the log and switch, when all was equal or the differences are accepted; in a dry run not.
The old generation is kept (`rollback.py`) until another one is. Nothing is published: replay never pushes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Final

import numpy as np

from read_side.contract.rows import EMPTY_ROWS, AccountRow
from read_side.contract.view import Checkpoint, CheckpointMismatch, Owner, OwnerStale, ViewStore
from read_side.follow.bring_view_right import load_everything
from read_side.follow.partition_fold import PartitionFold, fold_log
from read_side.whole_log.alone import Alone, alone
from read_side.whole_log.first_version import first_version, first_versions
from read_side.whole_log.names_besides import COMPARED_AT_ONCE, names_besides
from read_side.whole_log.rebuild_result import COLUMNS, Difference, PartitionRebuilt, Progress, Rebuilt, Wishes
from read_side.whole_log.switching import NotSwitched, advance, switch
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Log
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.fold import CheckFailed
from write_side.contract.words.position import Position

DIFFERENCES_MAX: Final = 1_000
"""Told one by one; more are counted."""
AT_ONCE: Final = 2
"""Partitions rebuilt side by side: each keeps one core busy, and the service beside it needs some too."""


class CannotRebuild(NotSwitched):
    """There is nothing to rebuild beside, or the log does not let it. The live view is as it was."""


OnProgress = Callable[[Progress], None]


async def rebuild(
    log: Log,
    view: ViewStore,
    wishes: Wishes = Wishes(),  # noqa: B008 -- a value
    *,
    partitions: Sequence[int] | None = None,
    on_progress: OnProgress = lambda progress: None,
    snapshots: Snapshots | None = None,
) -> Rebuilt:
    """Rebuild the views of these partitions (all by default), as far as they are wished for, and switch those that are equal.

    snapshots: where the fold may begin, where that is wished for. What is before is then believed, not checked again.

    Raises NotSwitched, LogFailed, ViewUnavailable; ValueError for a partition that is wished for and none of these.
    """
    started_s = time.monotonic()
    chosen = wishes.chosen(range(log.partitions) if partitions is None else partitions)
    begin_in = snapshots if wishes.from_snapshot else None
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(partition: int, reserved: Alone) -> PartitionRebuilt:
        async with slots:
            return await _PartitionRebuild(log, view, partition, on_progress, wishes, begin_in, reserved).run()

    running: list[asyncio.Task[PartitionRebuilt]] = []
    async with alone(view) as reserved:
        try:
            async with asyncio.TaskGroup() as tasks:
                running += [tasks.create_task(one(partition, reserved)) for partition in chosen]
        except ExceptionGroup as failures:
            raise _told_with(running, failures.exceptions[0]) from None
    return Rebuilt([task.result() for task in running], time.monotonic() - started_s)


def _told_with(running: Sequence[asyncio.Task[PartitionRebuilt]], failure: Exception) -> Exception:
    """One partition's failure, with what became of those that had ended before."""
    ended = [task.result() for task in running if not task.cancelled() and task.exception() is None]
    switched = [str(each.partition) for each in ended if each.switched]
    if not switched:
        return failure
    return CannotRebuild(
        f"{failure} Of partition {', '.join(switched)} the rebuilt view is live since; fanfold rollback goes back to the one "
        "before."
    )


class _Reporter:
    """Tells how far one partition is. Totals are estimates: blocks to fold are known, their entries are not."""

    def __init__(self, fold: PartitionFold, blocks: int, on_progress: OnProgress) -> None:
        """Blocks behind the fold are folded, up to `blocks`."""
        self._started_s = time.monotonic()
        self._fold, self._on_progress = fold, on_progress
        self._first, self._blocks = fold.folded.sequence + 1, blocks
        self._compared = 0

    def compared(self, rows: int) -> None:
        self._compared += rows
        self.tell("comparing")

    def tell(self, stage: str) -> None:
        fold, elapsed_s = self._fold, time.monotonic() - self._started_s
        done, blocks = min(fold.folded.sequence + 1, self._blocks) - self._first, self._blocks - self._first
        total = max(fold.entries, round(fold.entries * blocks / done)) if done else fold.entries
        rate = fold.entries / elapsed_s if elapsed_s > 0 else 0.0
        eta_s = (total - fold.entries) / rate if rate else None
        self._on_progress(
            Progress(fold.partition, stage, fold.entries, total, rate, eta_s, self._compared, fold.state.count)
        )


class _PartitionRebuild:
    def __init__(
        self,
        log: Log,
        view: ViewStore,
        partition: int,
        on_progress: OnProgress,
        wishes: Wishes,
        snapshots: Snapshots | None,
        reserved: Alone,
    ) -> None:
        self._alone = reserved
        self._log = log
        self._view = view
        self._partition = partition
        self._on_progress = on_progress
        self._wishes = wishes
        self._snapshots = snapshots
        self._fold = PartitionFold(partition)
        self._differences: list[Difference] = []
        self._lacking: dict[str, AccountRow] = {}
        self._different = 0
        self._compared = 0
        self._begun_after: str | None = None

    async def run(self) -> PartitionRebuilt:
        live = await self._live_checkpoint()
        await self._begin(live)
        self._reporter = _Reporter(self._fold, live.sequence + 1, self._on_progress)
        try:
            await self._fold_to(live)
            owner, checkpoint = await self._load(live.generation)
            checkpoint = await self._compare(owner, checkpoint, live.generation)
            await self._date_differences()
            switched = (self._different == 0 or self._wishes.accept_differences) and not self._wishes.dry_run
            if switched:
                await self._switch(owner, checkpoint, live.generation)
            else:
                await self._view.clear(owner)
            sequence = self._fold.checkpoint(owner.generation).sequence
            if not switched:  # a log that is damaged behind the live view is no log of which anything is the same
                await fold_log(self._log, self._fold)
        except (ChainBroken, CheckFailed) as damaged:
            raise CannotRebuild(f"{damaged} The live view is as it was.") from damaged
        except OwnerStale as stale:
            raise CannotRebuild(
                f"partition {self._partition}: another rebuild has taken over. The live view is right; see what that one says."
            ) from stale
        except CheckpointMismatch as emptied:
            raise CannotRebuild(
                f"partition {self._partition}: the view was emptied or set back meanwhile. Its projector brings it right by "
                "itself; start the rebuild again after that."
            ) from emptied
        self._fold.end()
        return PartitionRebuilt(
            partition=self._partition, old_generation=live.generation, new_generation=owner.generation, switched=switched,
            sequence=sequence, entries=self._fold.entries, accounts=self._fold.state.count, compared=self._compared,
            different=self._different, differences=self._differences, begun_after=self._begun_after,
        )  # fmt: skip

    async def _begin(self, live: Checkpoint) -> None:
        """At a snapshot, where one is wanted and there; what is in it was not folded here."""
        if self._snapshots is None:
            return
        snapshot = await self._snapshots.newest(self._partition, until=live.sequence)
        if snapshot is not None:
            self._fold.begin_at(snapshot._replace(entries=0))
            self._begun_after = str(Position(self._partition, snapshot.replay.began_after))

    async def _live_checkpoint(self) -> Checkpoint:
        live = await self._view.checkpoint(self._partition)
        if live is None:
            raise CannotRebuild(
                f"partition {self._partition} has no live view to compare with. Its projector makes one from the log by itself; "
                "start it, and see /readyz."
            )
        return live

    async def _fold_to(self, live: Checkpoint) -> None:
        """Fold on to the block of a live checkpoint, and no further."""
        if live.sequence > self._fold.folded.sequence:
            await fold_log(self._log, self._fold, until=live.sequence, on_run=lambda: self._reporter.tell("folding"))
        if not self._fold.knows(live):
            raise CannotRebuild(
                f"partition {self._partition}: the live view is at block {live.sequence}, which this log does not have so. It is "
                "the view of another log. Nothing was changed; check FANFOLD_LOG and FANFOLD_VIEW."
            )

    async def _load(self, live: int) -> tuple[Owner, Checkpoint]:
        """A new generation with everything folded so far. One that an earlier rebuild left unfinished is taken over."""
        newest = max(live, await self._view.kept(self._partition) or 0)
        left = [number for number in await self._view.generations(self._partition) if number > newest]
        if await self._view.live(self._partition) != live:
            # What is there above `live` may be what another rebuild has just made live: claiming it would end its projector.
            raise CannotRebuild(
                f"partition {self._partition}: another rebuild has switched to a new view meanwhile. The live view is right; "
                "see what that one says."
            )
        owner = await self._view.claim(self._partition, left[0] if left else newest + 1)
        loaded = await load_everything(self._view, owner, self._fold)
        checkpoint = self._fold.checkpoint(owner.generation)
        await self._view.apply(owner, None, EMPTY_ROWS, checkpoint, loaded)
        return owner, checkpoint

    async def _compare(self, owner: Owner, checkpoint: Checkpoint, live: int) -> Checkpoint:
        """Every row of ours with its live one, then every live row that we do not have."""
        state, at = self._fold.state, 0
        while at < state.count:
            names = state.row_names(np.arange(at, min(at + COMPARED_AT_ONCE, state.count)))
            checkpoint = await self._compare_rows(owner, checkpoint, live, names)
            at += len(names)
        async with aclosing(names_besides(self._view, live, self._fold.state, at)) as parts:
            async for names in parts:
                checkpoint = await self._compare_rows(owner, checkpoint, live, names)
        return checkpoint

    async def _compare_rows(self, owner: Owner, held: Checkpoint, live: int, names: list[str]) -> Checkpoint:
        """Compare at the position that the live rows were read at; folding never goes past it."""
        stored, theirs = await self._view.read_columns(self._partition, names, live)
        if stored is None or stored.sequence < self._fold.folded.sequence:
            raise CannotRebuild(
                f"partition {self._partition}: the live view was emptied or set back meanwhile. Its projector brings it right by "
                "itself; start the rebuild again after that."
            )
        await self._fold_to(stored)
        held = await advance(self._view, owner, held, self._fold)
        _, ours = await self._view.read_columns(self._partition, names, owner.generation)
        if not ours.same_as(theirs):
            our, their = ({row.account: row for row in rows.each()} for rows in (ours, theirs))
            for name in names:
                if our.get(name) != their.get(name):
                    self._note(name, our.get(name), their.get(name))
        self._compared += len(names)
        self._reporter.compared(len(names))
        return held

    def _note(self, account: str, ours: AccountRow | None, theirs: AccountRow | None) -> None:
        self._different += 1
        version = first_version(theirs, ours)
        if version is None and theirs is not None and len(self._differences) < DIFFERENCES_MAX:
            self._lacking[account] = theirs
        for column in COLUMNS:
            ours_value = None if ours is None else getattr(ours, column)
            theirs_value = None if theirs is None else getattr(theirs, column)
            if ours_value != theirs_value and len(self._differences) < DIFFERENCES_MAX:
                self._differences.append(Difference(account, column, theirs_value, ours_value, version or 0))

    async def _date_differences(self) -> None:
        """Rows that lack versions: what they were then, the log is read again for."""
        if self._lacking:
            found = await first_versions(self._log, self._partition, self._lacking, self._fold.folded.sequence)
            self._differences = [
                each._replace(first_version=found.get(each.account, each.first_version)) for each in self._differences
            ]

    async def _switch(self, owner: Owner, held: Checkpoint, live: int) -> None:
        await self._alone.note("")  # a rollback that was left half done is not gone on with: this view is another one
        await switch(self._log, self._view, owner, held, self._fold, live)
        for number in await self._view.generations(self._partition):
            if number not in (owner.generation, live):  # one is kept, for going back; those before it go
                await self._view.clear(await self._view.claim(self._partition, number))
