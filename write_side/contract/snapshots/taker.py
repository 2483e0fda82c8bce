"""Takes snapshots while everything else goes on: a fold of its own, from the last snapshot over what the log has got since.

It never looks at a state that somebody uses: the log is durable, and what is folded from it again has passed every check again.
So it needs no lock and stops nobody; it costs processor time, and the memory of one partition's state until the file is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from importlib.metadata import version
from typing import Final, NamedTuple

import structlog

from write_side.contract.log.log import Log, Record
from write_side.contract.snapshots.snapshots import Named, Snapshots, fold_from_newest, from_the_beginning, named
from write_side.contract.state.fold_run import Prints
from write_side.contract.state.replay import size_of
from write_side.contract.state.snapshot import Snapshot, write_snapshot

LOOK_S: Final = 1.0
"""Between two looks whether a snapshot is due: one number a partition is compared."""
WORTH_BLOCKS: Final = 100
"""Fewer new blocks are folded faster than a file is written."""
LAST_S: Final = 4.0
"""At a stop. What starts services kills them 10 s after it has asked them to end; open requests may have had 5 of those."""
AGAIN_S: Final = 300.0
"""After one that failed: a full disk is not filled again each second, and has room when somebody was told."""

_MEANS: Final = f"Nothing else is affected; it is tried again in {AGAIN_S:.0f} s, and a start until then takes longer."

_log = structlog.get_logger(__name__)


class SnapshotLimits(NamedTuple):
    """A snapshot is due `blocks` after the last one, or `every_s` after it when there is something new.

    The last `kept` of them stay, and those before until they are `kept_s` older than the newest.
    """

    blocks: int = 250_000
    every_s: float = 3_600.0
    kept: int = 2
    kept_s: float = 0.0


class _Abandoned(Exception):
    """Nobody waits for this snapshot any more."""


class SnapshotTaker:
    """Of some partitions of one log, one after the other. `run` for ever, `take_last` at a clean stop.

    positions: tells the last block of each partition.  prints: of a process that decides; its snapshots serve everybody.
    taken, failures: how many; `used` of the snapshots says how far they are.
    """

    def __init__(
        self,
        snapshots: Snapshots,
        log: Log,
        positions: Mapping[int, Callable[[], int]],
        limits: SnapshotLimits,
        prints: Prints | None,
    ) -> None:
        self.taken = 0
        self.failures = 0
        self._snapshots = snapshots
        self._log = log
        self._positions = positions
        self._limits = limits
        self._prints = prints
        self._since_s: dict[int, float] = {}
        self._not_before_s: dict[int, float] = {}
        self._taking = asyncio.Lock()
        self._abandoned = False

    async def run(self) -> None:
        """Take what is due, until this is cancelled. Raises nothing else."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                await asyncio.sleep(LOOK_S)
                for partition in self._positions:
                    if self._is_due(partition, loop.time()) and not await self._is_taken_elsewhere(partition):
                        await self.take(partition)
        finally:
            self._abandoned = True

    async def take_last(self, within_s: float = LAST_S) -> None:
        """What is worth it, as far as there is time: a start then folds nothing. Raises nothing."""
        try:
            async with asyncio.timeout(within_s):
                for partition in self._positions:
                    if self._behind(partition) >= WORTH_BLOCKS:
                        await self.take(partition)
        except TimeoutError:
            _log.info(
                "snapshot not finished before the stop", reason="The next start folds what came since the last one."
            )
        finally:
            self._abandoned = True
            self._snapshots.store.give_up()

    async def take(self, partition: int) -> bool:
        """Take one now; whether it was taken. What fails is said, and no reason to end."""
        loop = asyncio.get_running_loop()
        async with self._taking:
            began_s = loop.time()
            try:
                sequence = await self._take(partition)
            except _Abandoned:
                return False
            except Exception as failure:
                self.failures += 1
                self._not_before_s[partition] = loop.time() + AGAIN_S
                reason = f"{str(failure) or type(failure).__name__}. {_MEANS}"
                place = self._snapshots.store.place
                _log.error("snapshot not taken", partition=partition, place=place, reason=reason)
                return False
            self.taken += 1
            self._since_s[partition] = loop.time()
            _log.info("snapshot taken", partition=partition, block=sequence, seconds=round(loop.time() - began_s, 1))
            return True

    def _behind(self, partition: int) -> int:
        return self._positions[partition]() - self._snapshots.used.get(partition, -1)

    def _is_due(self, partition: int, now_s: float) -> bool:
        if now_s < self._not_before_s.get(partition, 0.0):
            return False
        behind = self._behind(partition)
        late = now_s - self._since_s.setdefault(partition, now_s) >= self._limits.every_s
        return behind >= self._limits.blocks or (late and behind >= WORTH_BLOCKS)

    async def _is_taken_elsewhere(self, partition: int) -> bool:
        """Whether somebody who decides has stored a later one here, which serves us, too."""
        if self._prints is not None:
            return False
        with suppress(OSError):
            found = await asyncio.to_thread(named, self._snapshots.store, partition)
            theirs = [each.sequence for each in found if each.with_prints]
            own = self._snapshots.used.get(partition, -1)
            later = [sequence for sequence in theirs if own < sequence <= self._positions[partition]()]
            if later:
                self._snapshots.used[partition] = later[0]
                self._since_s[partition] = asyncio.get_running_loop().time()
                return True
        return False

    async def _take(self, partition: int) -> int:
        # A store that is away is found out now, and not after hours of folding a log from its beginning.
        await asyncio.to_thread(named, self._snapshots.store, partition)
        held = [from_the_beginning(partition, self._log.partitions, self._prints)]

        def begin_at(snapshot: Snapshot) -> None:
            held[0] = snapshot

        async def fold_on() -> None:
            async with aclosing(self._log.read(partition, held[0].replay.last_offset)) as runs:
                async for records in runs:
                    held[0] = await asyncio.to_thread(_advanced, held[0], records)

        count = self._log.partitions
        await fold_from_newest(self._snapshots, partition, count, self._prints, begin_at, fold_on, starts=False)
        return await asyncio.to_thread(self._put, partition, held.pop())

    def _put(self, partition: int, snapshot: Snapshot) -> int:
        store, chained = self._snapshots.store, snapshot.replay.state.chained
        sequence, created_at_us = chained.sequence, chained.created_at_us
        name = Named(partition, sequence, self._prints is not None).name
        store.put(name, self._pieces(snapshot))
        self._snapshots.used[partition] = sequence
        # Those behind it are of another log, or of this one before it lost blocks: that is for a person to see.
        ours = [each for each in named(store, partition) if each.with_prints == (self._prints is not None)]
        older = [each for each in ours if each.sequence <= sequence]
        # A damaged one is no second chance: it counts for nothing.
        good = [each for each in older if each.name not in self._snapshots.damaged]
        since_us = created_at_us - round(self._limits.kept_s * 1e6)
        for each in set(older) - set(good[: self._limits.kept]):
            with suppress(OSError):
                if each in good and self._snapshots.is_since(each, since_us):
                    continue
                store.delete(each.name)
        return sequence

    def _pieces(self, snapshot: Snapshot) -> Iterator[bytes | memoryview]:
        with_prints = self._prints is not None
        for piece in write_snapshot(snapshot, with_prints=with_prints, written_by=version("fanfold")):
            if self._abandoned:
                raise _Abandoned
            yield piece


def _advanced(snapshot: Snapshot, records: Sequence[Record]) -> Snapshot:
    entries = snapshot.entries
    for folded in snapshot.replay.take_run(records):
        snapshot.hashes.note(folded)
        entries += size_of(folded)[2]
    return snapshot._replace(entries=entries)
