"""Rebuild: the view made again from the log, beside the live one, compared row by row, switched in one step.

One partition:
  1. fold the log from its beginning to where the live view is, with every check;
  2. load the rows into a new generation;
  3. compare: read a part of the live rows and, at the same position, the same rows of the new generation. The live view
     moves on meanwhile; its checkpoint, read with the rows, says how far to fold before comparing, so both are always at
     one position and every row at one version;
  4. catch up with the end of the log and switch, when all was equal or the differences are accepted; in a dry run not.
The old generation stays. Nothing is published: replay never pushes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

import numpy as np

from read_side.contract.rows import EMPTY_ROWS, AccountRow
from read_side.contract.view import Checkpoint, CheckpointMismatch, Owner, OwnerStale, ViewStore
from read_side.fold.balances import changed_after
from read_side.follow.partition_fold import PartitionFold, fold_log
from read_side.follow.view_owner import ROWS_PER_APPLY_MAX, load_everything
from read_side.whole_log.rebuild_result import COLUMNS, Difference, PartitionRebuilt, Progress, Rebuilt, Wishes
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Log
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.fold import CheckFailed
from write_side.contract.words.position import Position

COMPARED_AT_ONCE: Final = 5_000
"""Rows read together: some 10 ms of a Redis server, so that reads of others go on."""
DIFFERENCES_MAX: Final = 1_000
"""Told one by one; more are counted."""
SWITCHES_MAX: Final = 200
"""The live view may move on between catching up and switching; each try takes milliseconds and each misses by chance."""
AT_ONCE: Final = 2
"""Partitions rebuilt side by side: each keeps one core busy, and the service beside it needs some too."""


class CannotRebuild(Exception):
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

    Raises CannotRebuild, LogFailed, ViewUnavailable; ValueError for a partition that is wished for and none of these.
    """
    started_s = time.monotonic()
    chosen = wishes.chosen(range(log.partitions) if partitions is None else partitions)
    begin_in = snapshots if wishes.from_snapshot else None
    reporter = _Reporter(chosen, on_progress)
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(partition: int) -> PartitionRebuilt:
        async with slots:
            return await _PartitionRebuild(log, view, partition, reporter, wishes, begin_in).run()

    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(one(partition)) for partition in chosen]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return Rebuilt([task.result() for task in running], time.monotonic() - started_s)


class _Reporter:
    """Adds up what the partitions report. Totals are estimates: blocks to fold are known, their entries are not."""

    def __init__(self, partitions: Sequence[int], on_progress: OnProgress) -> None:
        self._started_s = time.monotonic()
        self._on_progress = on_progress
        self._folds: dict[int, tuple[PartitionFold, int, int]] = {}
        self._partitions = len(partitions)
        self._compared = 0

    def begin(self, fold: PartitionFold, first: int, blocks: int) -> None:
        """Blocks from `first` on are folded, up to `blocks`."""
        self._folds[fold.partition] = (fold, first, blocks)

    def compared(self, rows: int) -> None:
        self._compared += rows
        self.tell("comparing")

    def tell(self, stage: str) -> None:
        entries = sum(fold.entries for fold, _, _ in self._folds.values())
        done = sum(min(fold.folded.sequence + 1, blocks) - first for fold, first, blocks in self._folds.values())
        blocks = sum(blocks - first for _, first, blocks in self._folds.values())
        accounts = sum(fold.state.count for fold, _, _ in self._folds.values())
        elapsed_s = time.monotonic() - self._started_s
        total = max(entries, round(entries * blocks / done)) if done else entries
        rate = entries / elapsed_s if elapsed_s > 0 else 0.0
        eta_s = (total - entries) / rate if rate else None
        self._on_progress(Progress(stage, entries, total, rate, eta_s, self._compared, accounts))


class _PartitionRebuild:
    def __init__(
        self,
        log: Log,
        view: ViewStore,
        partition: int,
        reporter: _Reporter,
        wishes: Wishes,
        snapshots: Snapshots | None,
    ) -> None:
        self._log = log
        self._view = view
        self._partition = partition
        self._reporter = reporter
        self._wishes = wishes
        self._snapshots = snapshots
        self._fold = PartitionFold(partition)
        self._differences: list[Difference] = []
        self._different = 0
        self._compared = 0
        self._begun_after: str | None = None

    async def run(self) -> PartitionRebuilt:
        live = await self._live_checkpoint()
        await self._begin(live)
        self._reporter.begin(self._fold, self._fold.folded.sequence + 1, live.sequence + 1)
        try:
            await self._fold_to(live)
            owner, checkpoint = await self._load(live.generation)
            checkpoint = await self._compare(owner, checkpoint, live.generation)
            switched = (self._different == 0 or self._wishes.accept_differences) and not self._wishes.dry_run
            if switched:
                await self._switch(owner, checkpoint, live.generation)
            else:
                await self._view.clear(owner)
        except (ChainBroken, CheckFailed) as damaged:
            raise CannotRebuild(f"{damaged} The live view is as it was.") from damaged
        except OwnerStale as stale:
            raise CannotRebuild(
                f"partition {self._partition}: another rebuild has taken over. The live view is right; see what that one says."
            ) from stale
        self._fold.end()
        return PartitionRebuilt(
            self._partition,
            live.generation,
            owner.generation,
            switched,
            self._fold.checkpoint(owner.generation).sequence,
            self._fold.entries,
            self._fold.state.count,
            self._compared,
            self._different,
            self._differences,
            self._begun_after,
        )

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
        left = [number for number in await self._view.generations(self._partition) if number > live]
        if await self._view.live(self._partition) != live:
            # What is there above `live` may be what another rebuild has just made live: claiming it would end its projector.
            raise CannotRebuild(
                f"partition {self._partition}: another rebuild has switched to a new view meanwhile. The live view is right; "
                "see what that one says."
            )
        owner = await self._view.claim(self._partition, left[0] if left else live + 1)
        loaded = await load_everything(self._view, owner, self._fold)
        checkpoint = self._fold.checkpoint(owner.generation)
        await self._view.apply(owner, None, EMPTY_ROWS, checkpoint, loaded)
        return owner, checkpoint

    async def _advance(self, owner: Owner, held: Checkpoint) -> Checkpoint:
        """Write what was folded since `held` into the new generation, in steps that keep the store from nobody.

        Rows of a step before the last are ahead of the checkpoint; nobody reads them yet, and who starts again clears them.
        """
        wanted = self._fold.checkpoint(owner.generation)
        if wanted != held:
            changed = changed_after(self._fold.state, held.at_us)
            for first in range(0, max(1, len(changed)), ROWS_PER_APPLY_MAX):
                rows = self._fold.rows.rows_of(changed[first : first + ROWS_PER_APPLY_MAX])
                is_last = first + ROWS_PER_APPLY_MAX >= len(changed)
                await self._view.apply(owner, held, rows, wanted if is_last else held)
        return wanted

    async def _compare(self, owner: Owner, checkpoint: Checkpoint, live: int) -> Checkpoint:
        """Every row of ours with its live one, then every live row that we do not have."""
        state, at = self._fold.state, 0
        while at < state.count:
            names = state.row_names(np.arange(at, min(at + COMPARED_AT_ONCE, state.count)))
            checkpoint = await self._compare_rows(owner, checkpoint, live, names)
            at += len(names)
        async with aclosing(self._other_names(live, at)) as parts:
            async for names in parts:
                checkpoint = await self._compare_rows(owner, checkpoint, live, names)
        return checkpoint

    async def _other_names(self, live: int, compared: int) -> AsyncGenerator[list[str], None]:
        """Accounts of the live view that are none of our first ones, which were compared: opened meanwhile, or not in the log at
        all."""
        async for rows in self._view.scan(self._partition, live):
            numbers = self._fold.state.numbers_of(rows.accounts)
            others = np.flatnonzero((numbers < 0) | (numbers >= compared)).tolist()
            if others:
                yield [rows.accounts[i] for i in others]

    async def _compare_rows(self, owner: Owner, held: Checkpoint, live: int, names: list[str]) -> Checkpoint:
        """Compare at the position that the live rows were read at; folding never goes past it."""
        stored, theirs = await self._view.read_columns(self._partition, names, live)
        if stored is None or stored.sequence < self._fold.folded.sequence:
            raise CannotRebuild(
                f"partition {self._partition}: the live view was emptied or set back meanwhile. Its projector brings it right by "
                "itself; start the rebuild again after that."
            )
        await self._fold_to(stored)
        held = await self._advance(owner, held)
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
        for column in COLUMNS:
            ours_value = None if ours is None else getattr(ours, column)
            theirs_value = None if theirs is None else getattr(theirs, column)
            if ours_value != theirs_value and len(self._differences) < DIFFERENCES_MAX:
                self._differences.append(Difference(account, column, theirs_value, ours_value))

    async def _switch(self, owner: Owner, held: Checkpoint, live: int) -> None:
        for _ in range(SWITCHES_MAX):
            await fold_log(self._log, self._fold)
            held = await self._advance(owner, held)
            try:
                await self._view.switch(owner)
            except CheckpointMismatch:
                await asyncio.sleep(0)
                continue
            await self._drop_older(live)
            return
        raise CannotRebuild(
            f"partition {self._partition}: the live view moved on during each of {SWITCHES_MAX} tries to switch. It is as it "
            "was; try again when there is less traffic."
        )

    async def _drop_older(self, live: int) -> None:
        """The generation that was live stays, for going back; those before it go."""
        for number in await self._view.generations(self._partition):
            if number < live:
                await self._view.clear(await self._view.claim(self._partition, number))
