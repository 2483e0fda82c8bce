"""Rollback: the generation that was live before the last switch is caught up with the log and made live again.

    1. of each partition: fold the log to its end, with every check from the kept checkpoint on, and write into the kept
       generation what changed since. Rows that have not changed stay as they were kept: they are not compared with the log;
    2. note which generations are to be live, in the store: from here on a run that was killed is ended by the next one, and
       not turned back;
    3. switch partition by partition, each in one step and never to an older position; take the note away.
The generation that was live is the kept one then, so a rollback can be rolled back. Nothing is published: replay never pushes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

from read_side.contract.view import Checkpoint, CheckpointMismatch, OwnerStale, ViewStore, ViewUnavailable
from read_side.follow.partition_fold import PartitionFold, fold_log
from read_side.whole_log.alone import alone
from read_side.whole_log.switching import NotSwitched, advance, switch
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Log, LogDamaged
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.fold import CheckFailed
from write_side.contract.words.position import Position

_AS_THEY_ARE: Final = "Balances go on as they are."


class CannotRollBack(NotSwitched):
    """There is nothing to go back to, or it cannot be caught up."""


class Progress(NamedTuple):
    """One partition has folded up to block `sequence`; eta_s None when not known."""

    partition: int
    blocks: int
    blocks_total: int
    rate: float
    eta_s: float | None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class PartitionRolledBack:
    """position: of the generation that is live now, when it was made live; kept_at: where it had been kept."""

    partition: int
    old_generation: int
    new_generation: int
    kept_at: str
    position: str


@dataclass(frozen=True)
class RolledBack:
    """partitions: those that were switched; ended: it is the rest of a rollback that was killed; unkept: partitions of which no
    older generation is kept, so that they are as they were."""

    partitions: list[PartitionRolledBack]
    ended: bool
    unkept: list[int]
    seconds: float

    def document(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "verdict": "ended" if self.ended else "rolled back",
            "partitions": [asdict(each) for each in self.partitions],
            "unkept": self.unkept,
            "seconds": round(self.seconds, 3),
        }


async def roll_back(
    log: Log,
    view: ViewStore,
    *,
    partitions: Sequence[int] | None = None,
    on_progress: OnProgress = lambda progress: None,
    snapshots: Snapshots | None = None,
) -> RolledBack:
    """Make the kept generations of these partitions (all by default) live again, or end a rollback that was killed.

    snapshots: where the fold may begin; never behind a kept checkpoint, so that every block since is checked.

    Raises NotSwitched, LogFailed, ViewUnavailable.
    """
    try:
        return await _roll_back(
            log, view, range(log.partitions) if partitions is None else partitions, on_progress, snapshots
        )
    except ViewUnavailable as away:
        raise ViewUnavailable(f"{away} Run the rollback again then: what it had begun is ended.") from away


async def _roll_back(
    log: Log, view: ViewStore, partitions: Sequence[int], on_progress: OnProgress, snapshots: Snapshots | None
) -> RolledBack:
    started_s = time.monotonic()
    async with alone(view) as reserved:
        kept = {partition: await view.kept(partition) for partition in partitions}
        # A generation that the killed one has noted, and that is the kept one still, it did not come to.
        noted = json.loads(reserved.unfinished) if reserved.unfinished else None
        backs = [
            _PartitionRollback(log, view, partition, number, on_progress, snapshots)
            for partition, number in kept.items()
            if number is not None and (noted is None or noted.get(str(partition)) == number)
        ]
        if not backs and noted is None:
            raise CannotRollBack(
                "there is no older generation to go back to: one is kept from the switch of a rebuild to the next one's. "
                f"{_AS_THEY_ARE}"
            )
        for back in backs:  # all of them before the first is switched: what cannot be caught up is found out by now
            await back.catch_up()
        if noted is None:
            await reserved.note(json.dumps({back.partition: back.number for back in backs}))
        done = [await back.switch() for back in backs]
        await reserved.note("")
    unkept = [] if noted is not None else [partition for partition, number in kept.items() if number is None]
    return RolledBack(done, noted is not None, unkept, time.monotonic() - started_s)


class _PartitionRollback:
    """One partition. number: of the generation that is to be live."""

    def __init__(
        self,
        log: Log,
        view: ViewStore,
        partition: int,
        number: int,
        on_progress: OnProgress,
        snapshots: Snapshots | None,
    ) -> None:
        self.partition = partition
        self.number = number
        self._log = log
        self._view = view
        self._on_progress = on_progress
        self._snapshots = snapshots
        self._fold = PartitionFold(partition)

    async def catch_up(self) -> None:
        """Bring the kept generation to the end of the log, unseen. Raises CannotRollBack, LogFailed, ViewUnavailable."""
        live = await self._view.checkpoint(self.partition)
        if live is None or live.generation == self.number:
            raise self._cannot("its live view is being made again or was switched just now; try again after that.")
        self._live = live
        # A projector that has not noticed the last switch writes the kept one until here, and moves on to the live one then.
        self._owner = await self._view.claim(self.partition, self.number)
        self._kept_at = await self._view.checkpoint(self.partition, self.number)
        if self._kept_at is None:
            raise self._cannot(f"its older generation {self.number} was emptied. A rebuild makes another.")
        with self._failures_told():
            await self._fold_to_end(self._kept_at)
            self._held = await advance(self._view, self._owner, self._kept_at, self._fold)

    async def switch(self) -> PartitionRolledBack:
        """Raises as `catch_up`, and NotSwitched."""
        with self._failures_told():
            now = await switch(self._log, self._view, self._owner, self._held, self._fold, self._live.generation)
        self._fold.end()
        places = (str(Position(self.partition, each.sequence)) for each in (self._kept_at, now) if each is not None)
        return PartitionRolledBack(self.partition, self._live.generation, self.number, *places)

    async def _fold_to_end(self, stored: Checkpoint) -> None:
        fold = self._fold
        if self._snapshots is not None:
            snapshot = await self._snapshots.newest(self.partition, until=stored.sequence)
            if snapshot is not None:
                fold.begin_at(snapshot)
        fold.remember(stored.sequence)
        begun, started_s = fold.folded.sequence, time.monotonic()

        def tell() -> None:
            blocks, total = fold.folded.sequence - begun, max(self._live.sequence, fold.folded.sequence) - begun
            rate = blocks / max(time.monotonic() - started_s, 1e-9)
            self._on_progress(Progress(self.partition, blocks, total, rate, (total - blocks) / rate if rate else None))

        await fold_log(self._log, fold, on_run=tell)
        if not fold.knows(stored):
            raise self._cannot(
                f"its older generation is at block {stored.sequence}, which this log does not have so: it is of another log, or "
                "the log has lost blocks. Check FANFOLD_LOG and FANFOLD_VIEW."
            )

    @contextmanager
    def _failures_told(self) -> Iterator[None]:
        try:
            yield
        except (ChainBroken, CheckFailed, LogDamaged) as damaged:
            raise self._cannot(f"its older generation cannot be caught up with the log. {damaged}") from damaged
        except (CheckpointMismatch, OwnerStale) as taken:
            raise self._cannot(
                "the view was emptied or set back meanwhile. Its projector brings the live one right by itself; see whether "
                "there is an older generation still after that."
            ) from taken

    def _cannot(self, why: str) -> CannotRollBack:
        return CannotRollBack(f"partition {self.partition} is not rolled back: {why} {_AS_THEY_ARE}")
