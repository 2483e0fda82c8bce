"""Which snapshot a start begins at: the newest that is whole, of this log, and good for whoever asks.

Nothing depends on there being one. What is wrong with a snapshot is said in the log of the process, the next older one is tried,
and at last the log is folded from its beginning. One that is whole and of this log, and whose log still does not go on from it
(a program that was wrong has written it), is dropped too. But one that is whole and of this log, and that stands at a block which
this log does not have, is the one sign that acknowledged blocks are lost: that stops the partition.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final, NamedTuple

import structlog

from write_side.contract.block.block import Undecodable, read_header
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Log, LogDamaged, NotThere
from write_side.contract.snapshots.read_whole import WholeReader
from write_side.contract.snapshots.store import SnapshotStore
from write_side.contract.state.block_hashes import BlockHashes
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.fold_run import Prints
from write_side.contract.state.replay import Replay
from write_side.contract.state.snapshot import Snapshot, SnapshotHead, read_head
from write_side.contract.state.snapshot_bytes import Reader, SnapshotDamaged, SnapshotRefused
from write_side.contract.state.state import State

SUFFIX: Final = ".snapshot"
_NAME: Final = re.compile(r"p([0-9]{5})-([0-9]{20})-(writer|reader)\.snapshot")
_MEANS: Final = "No money is affected by that. An older snapshot is tried, or the start takes longer."

_log = structlog.get_logger(__name__)


class BlocksLost(LogDamaged):
    """A snapshot of this very log stands at a block that the log does not have: what was acknowledged is gone."""

    def __init__(self, partition: int, head: SnapshotHead, place: str) -> None:
        super().__init__(
            f"Partition {partition}: the log has lost blocks that it had. A snapshot in {place} was taken at block "
            f"{head.sequence}, and the log ends before it or goes on otherwise, so payments that were answered are missing from "
            "it. Nothing is read or written, so that no id runs twice. Restore the log from a backup or a copy that has that "
            "block. If this log is meant to be another one, or what is missing is settled otherwise, move the snapshots of this "
            "partition out of that folder, then start again."
        )


class Named(NamedTuple):
    """A snapshot by its name: `writer` ones have the fingerprints of ids, and serve everybody; `reader` ones serve who does not
    decide. sequence: of its last block."""

    partition: int
    sequence: int
    with_prints: bool

    @property
    def name(self) -> str:
        kind = "writer" if self.with_prints else "reader"
        return f"p{self.partition:05d}-{self.sequence:020d}-{kind}{SUFFIX}"


def named(store: SnapshotStore, partition: int) -> list[Named]:
    """The snapshots of a partition, the newest first. Raises OSError."""
    return _named_of(store, f"p{partition:05d}-")


def _named_of(store: SnapshotStore, prefix: str) -> list[Named]:
    found = (_NAME.fullmatch(name) for name in store.names(prefix))
    return [Named(int(each[1]), int(each[2]), each[3] == "writer") for each in found if each is not None]


def newest_of_all(store: SnapshotStore) -> list[Named]:
    """The newest snapshot of each partition, where it serves everybody. Raises OSError."""
    newest: dict[int, Named] = {}
    for each in _named_of(store, "p"):
        newest.setdefault(each.partition, each)
    return [newest[partition] for partition in sorted(newest) if newest[partition].with_prints]


def from_the_beginning(partition: int, partitions: int, prints: Prints | None = None) -> Snapshot:
    """A fold that has folded nothing yet."""
    return Snapshot(Replay(State(partition, partitions), prints), BlockHashes(), 0)


class Snapshots:
    """The snapshots in a store, of one log. used: the block at which each partition began last, where it began at one.
    damaged: the names of those that were found to be."""

    def __init__(self, store: SnapshotStore, log: Log, reader: WholeReader | None = None) -> None:
        """reader: of this store, which may have begun to read before the log was there."""
        self.store = store
        self.used: dict[int, int] = {}
        self.damaged: set[str] = set()
        self._told: set[tuple[str, str]] = set()
        self._log = log
        self._reader = WholeReader(store) if reader is None else reader

    async def newest(
        self, partition: int, prints: Prints | None = None, until: int | None = None, *, starts: bool = False
    ) -> Snapshot | None:
        """The newest that can be begun at; None when there is none. prints: of whoever decides, who needs one with fingerprints.
        until: no block behind this one. starts: a side of this process, whose other side may have read it just now. Raises
        LogFailed while the log does not answer, BlocksLost."""
        for each in await self._named(partition):
            if (prints is not None and not each.with_prints) or (until is not None and each.sequence > until):
                continue
            try:
                snapshot = await self.load(each, prints, starts=starts)
            except (SnapshotRefused, OSError, MemoryError) as refused:
                self._refused(each, refused)
                continue
            self.used[partition] = each.sequence
            return snapshot
        return None

    async def load(self, each: Named, prints: Prints | None, *, starts: bool = False) -> Snapshot:
        """This one. Raises SnapshotRefused, OSError, MemoryError; LogFailed while the log does not answer, BlocksLost."""
        head = await asyncio.to_thread(self._head, each)
        await self._check_log(head)
        return await asyncio.to_thread(self._read, each, head, prints, starts)

    async def require_blocks(self, partition: int) -> None:
        """That the log has every block at which a snapshot of it stands. Raises BlocksLost, LogFailed."""
        for each in await self._named(partition):
            try:
                await self._check_log(await asyncio.to_thread(self._head, each))
            except (SnapshotRefused, OSError) as refused:
                self._refused(each, refused)

    def is_since(self, each: Named, at_us: int) -> bool:
        """Whether its last block is of this time or later; not, where that cannot be read. Blocks."""
        try:
            return self._head(each).created_at_us >= at_us
        except (SnapshotRefused, OSError):
            return False

    async def _named(self, partition: int) -> list[Named]:
        try:
            return await asyncio.to_thread(named, self.store, partition)
        except OSError as failure:
            reason = f"{failure.strerror or failure}. {_MEANS}"
            _log.warning("snapshots not read", place=self.store.place, reason=reason)
            return []

    def _refused(self, each: Named, refused: Exception) -> None:
        if isinstance(refused, SnapshotDamaged):
            self.damaged.add(each.name)
        reason = f"{str(refused) or type(refused).__name__}. {_MEANS}"
        if (each.name, reason) not in self._told:  # both sides of a process look at it, and the next taking does
            self._told.add((each.name, reason))
            _log.warning("snapshot not used", place=self.store.place, name=each.name, reason=reason)

    def _head(self, each: Named) -> SnapshotHead:
        with self.store.open(each.name) as source:
            head = read_head(Reader(source.readinto, source.size))
        said = Named(head.partition, head.sequence, head.with_prints)
        if said != each:
            raise SnapshotRefused(f"it is {said.name} by what it says itself, so somebody has renamed it")
        if head.partitions != self._log.partitions:
            raise SnapshotRefused(
                f"it is of a log with {head.partitions} partitions, and this one has {self._log.partitions}"
            )
        return head

    def _read(self, each: Named, head: SnapshotHead, prints: Prints | None, starts: bool) -> Snapshot:
        read = self._reader.taken_ahead(each.name, prints) if starts else None
        if read is None or read.head != head:
            read = self._reader.read(each.name, prints, starts=starts)
        if read.head != head:
            raise SnapshotRefused("it was replaced while it was being read")
        return read.snapshot

    async def _check_log(self, head: SnapshotHead) -> None:
        """That the block it stands at is where it says it is. Raises SnapshotRefused, BlocksLost, LogFailed."""
        if await self._has(head, head.block_offset, head.sequence, head.block_hash, head.last_offset):
            return
        partition = head.partition
        async with aclosing(self._log.read(partition)) as runs:
            is_empty = await anext(runs, None) is None
        if is_empty or await self._has(
            head, head.first_block_offset, 0, head.first_block_hash, head.first_block_offset
        ):
            raise BlocksLost(partition, head, self.store.place)
        raise SnapshotRefused(
            f"it stands at block {head.sequence} of another log: this one began otherwise; check FANFOLD_LOG and "
            "FANFOLD_SNAPSHOTS"
        )

    async def _has(self, head: SnapshotHead, offset: int, sequence: int, block_hash: str, last_offset: int) -> bool:
        """Whether the log has this block at this offset. Raises LogFailed while it does not answer: only what an answer lacks is
        lost."""
        partition = head.partition
        try:
            async with aclosing(self._log.read(partition, last_offset)) as runs:
                await anext(runs, None)  # a log that is only read looks now how far it is
            header = read_header(await self._log.fetch(partition, offset))
        except (NotThere, Undecodable):
            return False
        return (header.sequence, header.block_hash.hex()) == (sequence, block_hash)


async def fold_from_newest(
    snapshots: Snapshots | None,
    partition: int,
    partitions: int,
    prints: Prints | None,
    begin_at: Callable[[Snapshot], None],
    fold_on: Callable[[], Awaitable[None]],
    *,
    starts: bool = True,
    may_begin: Callable[[State], bool] = lambda _: True,
) -> None:
    """Begin at the newest snapshot, where there is one, and fold on to the end; from the beginning when that fails.

    fold_on: from wherever the fold is. starts: a partition, which is told. may_begin: whether the snapshot's state will do.
    Raises what `fold_on` raises, and LogFailed.
    """
    snapshot = None if snapshots is None else await snapshots.newest(partition, prints, starts=starts)
    if snapshot is not None and not may_begin(snapshot.replay.state):
        snapshot = None
    if snapshots is not None and snapshot is not None:
        begin_at(snapshot)
        if starts:
            place = snapshots.store.place
            _log.info("begins at a snapshot", partition=partition, block=snapshot.replay.began_after, place=place)
        try:
            await fold_on()
            return
        except (ChainBroken, CheckFailed) as failure:
            snapshots.used.pop(partition, None)  # the other side of this process may have found the same
            block, place = snapshot.replay.began_after, snapshots.store.place
            reason = f"the log does not go on from it, so it is folded from the beginning: {failure}"
            _log.error("snapshot dropped", place=place, block=block, reason=reason)
            begin_at(from_the_beginning(partition, partitions, prints))
    await fold_on()
