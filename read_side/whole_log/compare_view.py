"""Does the live view show what the log says? Every row, compared at the position that it was read at, while money moves on.

The view's checkpoint, read with the rows, says how far to fold before comparing: both are always at one position and every row at
one version. Nothing is written, so the service goes on beside it; a rebuild (`rebuild.py`) compares likewise.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from read_side.contract.rows import AccountRow, AccountRows
from read_side.contract.view import Checkpoint, ViewStore, ViewUnavailable
from read_side.follow.partition_fold import PartitionFold, fold_log
from read_side.whole_log.names_besides import COMPARED_AT_ONCE, names_besides
from read_side.whole_log.rebuild_result import COLUMNS
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Log, LogDamaged, LogFailed
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.fold import CheckFailed
from write_side.contract.words.position import Position

TOLD_MAX: Final = 100
"""Accounts told one by one; more are counted."""
_MEANS: Final = (
    "No balance in the log is wrong, and what is decided is decided from the log; readers are told other balances."
)
_REBUILD: Final = "Make the view again: fanfold rebuild --accept-differences."
_LATER: Final = "Nothing is known to be wrong."


@dataclass(frozen=True)
class RowDiffers:
    """An account whose row is not what the log says: its version in both, and its first column that differs, as texts.

    None stands for an account that is not there.
    """

    account: str
    view_version: int | None
    log_version: int | None
    column: str
    view: str | None
    log: str | None


@dataclass
class ViewCompared:
    """The live view of one partition. position: of the view, where its last rows were compared; None where none was.

    `different` accounts differ, the first of which are told. problem: what is wrong, None when nothing is; unread: the problem is
    that the view cannot be compared now, which says nothing about it.
    """

    position: str | None = None
    generation: int | None = None
    rows: int = 0
    different: int = 0
    differences: list[RowDiffers] = field(default_factory=list)
    problem: str | None = None
    unread: bool = False


async def compare_view(log: Log, view: ViewStore, partition: int, snapshots: Snapshots | None = None) -> ViewCompared:
    """Compare the live view of a partition with the log. Changes nothing.

    snapshots: where the fold may begin; blocks before are believed then. What the environment may do is told and not raised.
    """
    comparison = _Comparison(log, view, partition)
    found = comparison.found
    try:
        await comparison.run(snapshots)
    except _Stopped as stopped:
        found.problem, found.unread = str(stopped), stopped.unread
    except (ChainBroken, CheckFailed, LogDamaged) as broken:
        found.problem = str(broken)
    except (LogFailed, ViewUnavailable) as failed:
        found.problem, found.unread = str(failed), True
    comparison.fold.end()
    return found


class _Stopped(Exception):
    """The comparison cannot go on."""

    def __init__(self, what: str, *, unread: bool) -> None:
        super().__init__(what)
        self.unread = unread


class _Comparison:
    def __init__(self, log: Log, view: ViewStore, partition: int) -> None:
        self.found = ViewCompared()
        self.fold = PartitionFold(partition)
        self._log, self._view, self._partition = log, view, partition

    async def run(self, snapshots: Snapshots | None) -> None:
        live = await self._view.checkpoint(self._partition)
        if live is None:
            raise _Stopped(
                "there is no live view to compare. Its projector makes one from the log by itself: start it, and see /readyz.",
                unread=True,
            )
        self.found.generation = live.generation
        if snapshots is not None and (at := await snapshots.newest(self._partition, until=live.sequence)) is not None:
            self.fold.begin_at(at)
        await self._fold_to(live)
        state, at_row = self.fold.state, 0
        while at_row < state.count:
            names = state.row_names(np.arange(at_row, min(at_row + COMPARED_AT_ONCE, state.count)))
            await self._compare(names, live.generation)
            at_row += len(names)
        async with aclosing(names_besides(self._view, live.generation, self.fold.state, at_row)) as parts:
            async for names in parts:
                await self._compare(names, live.generation)
        if await self._view.live(self._partition) != live.generation:
            raise _Stopped(f"a rebuild has switched to another view meanwhile. {_LATER} Verify again.", unread=True)
        if self.found.different:
            first = self.found.differences[0]
            raise _Stopped(
                f"the live view is not what the log says: {self.found.different:,} of {self.found.rows:,} accounts differ at "
                f"{self.found.position}, the first is {first.account} at version {first.log_version}. {_MEANS} {_REBUILD}",
                unread=False,
            )

    async def _fold_to(self, stored: Checkpoint) -> None:
        """Fold on to the block of a checkpoint, and no further."""
        if stored.sequence > self.fold.folded.sequence:
            await fold_log(self._log, self.fold, until=stored.sequence)
        held = self.fold.folded.sequence
        if stored.sequence > held:
            raise _Stopped(
                f"the live view is at block {stored.sequence}, and the log ends at {held}. The log has lost blocks, or the view "
                "is of another log. Check FANFOLD_LOG and FANFOLD_VIEW; if both are right, restore the log from a copy that has "
                "that block.",
                unread=False,
            )
        if not self.fold.knows(stored):
            raise _Stopped(
                f"the live view is at a block {stored.sequence} that this log does not have so: it is the view of another log. "
                "Check FANFOLD_LOG and FANFOLD_VIEW.",
                unread=False,
            )

    async def _compare(self, names: list[str], live: int) -> None:
        stored, theirs = await self._view.read_columns(self._partition, names, live)
        if stored is None or stored.sequence < self.fold.folded.sequence:
            raise _Stopped(
                "the live view was emptied or set back meanwhile, and its projector brings it right by itself. "
                f"{_LATER} Verify again after that.",
                unread=True,
            )
        await self._fold_to(stored)
        await asyncio.to_thread(self._note, names, theirs)
        self.found.position = str(Position(self._partition, stored.sequence))

    def _note(self, names: list[str], theirs: AccountRows) -> None:
        self.found.rows += len(names)
        numbers = self.fold.state.numbers_of(names)
        ours = self.fold.rows.rows_of(numbers[numbers >= 0])
        if ours.same_as(theirs):
            return
        our, their = ({row.account: row for row in rows.each()} for rows in (ours, theirs))
        for name in names:
            if our.get(name) != their.get(name):
                self.found.different += 1
                if len(self.found.differences) < TOLD_MAX:
                    self.found.differences.append(_differing(name, their.get(name), our.get(name)))


def _differing(account: str, view: AccountRow | None, log: AccountRow | None) -> RowDiffers:
    def told(row: AccountRow | None, column: str) -> str | None:
        return None if row is None else str(getattr(row, column))

    column = next(each for each in COLUMNS if told(view, each) != told(log, each))
    view_version, log_version = (None if row is None else row.version for row in (view, log))
    return RowDiffers(account, view_version, log_version, column, told(view, column), told(log, column))
