"""verify: does the log hold together? Every block is read, chained and folded again, and nothing is changed.

Per partition: hashes and chain, versions, zero sums, limits and the state digest after every block (all by `Replay`), and at the
end that the balances of each asset sum to zero, recomputed from the rows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from blake3 import blake3

from read_side.contract.view import ViewStore
from read_side.history.folder import SegmentFolder
from read_side.whole_log.compare_history import compare_history
from read_side.whole_log.compare_log_archive import ArchiveDiffers, compare_with_log
from read_side.whole_log.compare_snapshots import SnapshotsCompared, compare_snapshots
from read_side.whole_log.compare_view import ViewCompared, compare_view
from write_side.contract.archive.archived_log import ArchivedLog
from write_side.contract.archive.log_archive import ArchiveBroken
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Log, LogDamaged, LogFailed, Record
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.fold_run import Prints
from write_side.contract.state.replay import Replay, size_of
from write_side.contract.state.snapshot import Snapshot
from write_side.contract.state.state import State
from write_side.contract.words.position import Position

Progress = Callable[[int], None]
"""Called with the number of outcomes folded since the last call, from any thread."""


class Derived(NamedTuple):
    """What is made from the log and compared with it. archive: the sealed history of partitions; view: where the live view is;
    snapshots: each of them, their ids by these fingerprints, too (`compare_snapshots.py`). log_archive: whether the archive of
    the log (an `ArchivedLog`) is compared."""

    archive: Mapping[int, SegmentFolder] = MappingProxyType({})
    view: ViewStore | None = None
    snapshots: Snapshots | None = None
    prints: Prints | None = None
    log_archive: bool = False


@dataclass
class PartitionVerdict:
    """What was found in one partition. `problem` is None when everything held; `position` is the last good block.

    unread: the problem is that the rest cannot be read now, which says nothing about it.
    archived: the last block of the history that was compared with the log as well, -1 where there is none; None: not asked.
    begun_after: the block of the snapshot that was begun at, None when every block was read.
    log_archived: the offset of the last record of the log's archive that was compared, -1 where there is none; None: not asked.
    view, snapshots: what was found of these; None: not asked, or the log itself does not hold.
    """

    partition: int
    position: str | None
    blocks: int = 0
    outcomes: int = 0
    entries: int = 0
    accounts: int = 0
    skipped: int = 0
    digest: str = ""
    problem: str | None = None
    begun_after: str | None = None
    unread: bool = False
    archived: int | None = None
    log_archived: int | None = None
    view: ViewCompared | None = None
    snapshots: SnapshotsCompared | None = None


@dataclass(frozen=True)
class Verdict:
    """All partitions. `good` is the verdict; `problem` is what kept the log from being read at all. In the document it is the
    first of all problems; how far each partition is good, its `position` says."""

    partitions: list[PartitionVerdict]
    problem: str | None = None

    @property
    def good(self) -> bool:
        return self.problem is None and all(found.problem is None for found in self.partitions)

    @property
    def word(self) -> str:
        """`good`, `broken`, or `unread`: nothing is broken in what could be read, and that was not all."""
        if self.good:
            return "good"
        unread = self.problem is None and all(found.unread for found in self.partitions if found.problem is not None)
        return "unread" if unread else "broken"

    @property
    def problems(self) -> list[str]:
        """One sentence or more each."""
        found = [] if self.problem is None else [self.problem]
        for each in self.partitions:
            if each.problem is not None:
                good = "nothing of it is good" if each.position is None else f"good up to {each.position}"
                found.append(f"partition {each.partition}, {good}: {each.problem}")
        return found

    def document(self) -> dict[str, Any]:
        """For `--json`. `digest` is BLAKE3 over the partitions' digests in order."""
        digest = blake3("".join(found.digest for found in self.partitions).encode()).hexdigest()
        return {
            "verdict": self.word,
            "problem": next(iter(self.problems), None),
            "partitions": len(self.partitions),
            "blocks": sum(found.blocks for found in self.partitions),
            "outcomes": sum(found.outcomes for found in self.partitions),
            "entries": sum(found.entries for found in self.partitions),
            "digest": digest,
            "by_partition": [asdict(found) for found in self.partitions],
        }


async def verify(
    log: Log,
    progress: Progress = lambda outcomes: None,
    snapshots: Snapshots | None = None,
    *,
    begin: bool = True,
    behind: Mapping[int, int] | None = None,
    against: Derived = Derived(),  # noqa: B008 -- a value
) -> Verdict:
    """Replay every partition to the end it has now, partitions side by side. Raises LogFailed when none can be read.

    against: what is to be compared with the log as well, where the log itself holds.

    snapshots: of this log, which must have the block that each stands at.  begin: at the newest of them, where there is one,
    instead of at the beginning. Blocks before are believed; the snapshot's rows have that block's digest.  behind: by partition
    the block behind which all is to be read, so that it begins at a snapshot of no later one; other partitions are read whole.
    """
    found = await asyncio.gather(
        *(_verify_partition(log, p, progress, snapshots, _Begin(begin, behind), against) for p in range(log.partitions))
    )
    if all(each.unread and each.view is None and each.snapshots is None for each in found):
        raise LogFailed(found[0].problem)
    return Verdict(list(found))


class _Begin(NamedTuple):
    """Where reading begins: see `verify`."""

    at_snapshot: bool
    behind: Mapping[int, int] | None

    @property
    def is_anywhere(self) -> bool:
        """Whether any snapshot will do."""
        return self.at_snapshot and self.behind is None

    async def snapshot(self, snapshots: Snapshots, partition: int) -> Snapshot | None:
        if not self.at_snapshot or (self.behind is not None and partition not in self.behind):
            return None
        return await snapshots.newest(partition, until=None if self.behind is None else self.behind[partition])


async def _verify_partition(
    log: Log,
    partition: int,
    progress: Progress,
    snapshots: Snapshots | None,
    begin: _Begin,
    against: Derived,
) -> PartitionVerdict:
    replay = Replay(State(partition, log.partitions))
    found = PartitionVerdict(partition, None)
    try:
        snapshot = None if snapshots is None else await begin.snapshot(snapshots, partition)
        if snapshot is not None:
            replay.begin_at(snapshot.replay)
            found.begun_after = str(Position(partition, replay.began_after))
        async with aclosing(log.read(partition, replay.last_offset)) as runs:
            async for records in runs:
                await asyncio.to_thread(_take, replay, records, found, progress)
        found.problem = _unbalanced(replay.state)
        if snapshots is not None:
            await snapshots.require_blocks(partition)
        archive = against.archive.get(partition)
        if archive is not None and found.problem is None:
            found.problem = await compare_history(archive, log)
            found.archived = archive.sealed[-1].segment.last if archive.sealed else -1
        if against.view is not None and found.problem is None:
            found.view = await compare_view(log, against.view, partition, snapshots if begin.is_anywhere else None)
            found.problem, found.unread = found.view.problem, found.view.unread
        if against.snapshots is not None and found.problem is None:
            found.snapshots = await compare_snapshots(log, against.snapshots, partition, against.prints)
            found.problem, found.unread = found.snapshots.problem, found.snapshots.unread
        if against.log_archive and found.problem is None:
            found.log_archived = await _compare_log_archive(log, partition)
    except (ChainBroken, CheckFailed, LogDamaged, ArchiveBroken, ArchiveDiffers) as broken:
        found.problem = str(broken)
    except LogFailed as failed:
        found.problem, found.unread = str(failed), True
    if replay.state.chained.sequence >= 0:
        found.position = str(Position(partition, replay.state.chained.sequence))
    found.accounts = replay.state.count
    found.skipped = replay.skipped.total()
    found.digest = replay.state.digest_bytes().hex()
    return found


async def _compare_log_archive(log: Log, partition: int) -> int:
    """The last record that was compared; of those that were trimmed the files' hashes were checked when they were read."""
    assert isinstance(log, ArchivedLog), "it was asked for"
    last = await log.archive.last(partition)
    await compare_with_log(log, partition, await log.begin(partition), last)
    return last


def _take(replay: Replay, records: Sequence[Record], found: PartitionVerdict, progress: Progress) -> None:
    before = found.outcomes
    for folded in replay.take_run(records):
        blocks, outcomes, entries = size_of(folded)
        found.blocks += blocks
        found.outcomes += outcomes
        found.entries += entries
    progress(found.outcomes - before)


def _unbalanced(state: State) -> str | None:
    """None when the balances of every asset sum to zero: the double entry, seen from its end."""
    for number, asset in enumerate(state.asset_names):
        balances = state.posted[: state.count][state.asset_of[: state.count] == number]
        if sum(map(int, np.asarray(balances))) != 0:
            return f"the balances of {asset} in partition {state.partition} do not sum to zero"
    return None
