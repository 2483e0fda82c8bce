"""Is each snapshot what the log says at the block that it stands at? Every byte by its hash, every row by a fold of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Log, LogDamaged, LogFailed, Record
from write_side.contract.snapshots.snapshots import Named, Snapshots, named
from write_side.contract.state.difference import difference
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.fold_run import Prints
from write_side.contract.state.replay import Replay
from write_side.contract.state.snapshot import Snapshot
from write_side.contract.state.snapshot_bytes import SnapshotRefused
from write_side.contract.state.state import State

_MEANS = "No money is affected: a start begins at an older one, or at the beginning. Delete it, and another is taken."


@dataclass
class SnapshotsCompared:
    """The snapshots of one partition. compared: the names of those that are what the log says, from the oldest on.

    problem: what is wrong with the others, None when nothing is; unread: they cannot be read now, which says nothing about them.
    """

    compared: list[str] = field(default_factory=list)
    problem: str | None = None
    unread: bool = False


async def compare_snapshots(
    log: Log, snapshots: Snapshots, partition: int, prints: Prints | None = None
) -> SnapshotsCompared:
    """Compare every snapshot of a partition with the log, folded from its beginning. Changes nothing, goes on behind a bad one.

    prints: what the fingerprints of ids are by; without, they are not compared. Raises nothing of what the environment may do: it
    is told.
    """
    found = SnapshotsCompared()
    problems: list[str] = []
    replay = Replay(State(partition, log.partitions), prints)
    try:
        for each in sorted(await asyncio.to_thread(named, snapshots.store, partition)):
            wrong = await _wrong(log, snapshots, each, replay)
            if wrong is None:
                found.compared.append(each.name)
            elif wrong:
                problems.append(f"snapshot {each.name}: {wrong}. {_MEANS}")
    except (LogDamaged, ChainBroken, CheckFailed) as broken:
        problems.append(str(broken))
    except (LogFailed, OSError) as failed:
        reason = str(failed) if isinstance(failed, LogFailed) else failed.strerror or str(failed)
        found.unread = not problems
        problems.append(f"snapshots in {snapshots.store.place} were not all compared: {reason}")
    found.problem = " ".join(problems) or None
    return found


async def _wrong(log: Log, snapshots: Snapshots, each: Named, replay: Replay) -> str | None:
    """What is wrong with one; None when nothing is, "" when it was deleted meanwhile: a service keeps the newest few."""
    try:
        snapshot = await snapshots.load(each, None)
    except FileNotFoundError:
        return ""
    except SnapshotRefused as refused:
        return str(refused)
    await _fold_to(log, replay, each.sequence)
    return await asyncio.to_thread(_differs, snapshot, each, replay)


def _differs(snapshot: Snapshot, each: Named, ours: Replay) -> str | None:
    return difference(snapshot.replay.state, ours.state, with_prints=each.with_prints and ours.prints is not None)


async def _fold_to(log: Log, replay: Replay, sequence: int) -> None:
    """Fold on to a block, and no further. The log has it: that is asked when the snapshot is loaded."""

    def take(records: Sequence[Record]) -> None:
        for _ in replay.take_run(records, until=sequence):
            pass

    async with aclosing(log.read(replay.state.partition, replay.last_offset)) as runs:
        async for records in runs:
            if replay.state.chained.sequence >= sequence:
                return
            await asyncio.to_thread(take, records)
