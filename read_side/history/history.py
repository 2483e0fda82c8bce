"""The history of a partition: what is sealed, and behind it what came since, in memory.

Whoever follows the partition tells it every block that was folded (`note`), in its own thread. What lies between the sealed files
and the first of those is read from the log (`fill`), however long that takes: a start waits for nothing of it. Until then, and
wherever it cannot go on, `unavailable` says why: nothing of the past is told in part. Nothing waits for history: a full disk, a
damaged file is told, and tried again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final

from read_side.history.accepted import Accepted, header_at
from read_side.history.folder import SEALED_BYTES, SegmentFolder
from read_side.history.gathering import Gathering, joined
from read_side.history.segment import Chained, Segment
from write_side.contract.block.block import ZERO_HASH, read_header
from write_side.contract.block.run_bytes import SEQUENCE
from write_side.contract.log.log import START, Log, LogFailed
from write_side.contract.state.replay import Folded, FoldedBlocks

FRESH_ROWS: Final = 1_024
"""Entries or blocks that are not sorted yet: whoever asks sorts them first, in a third of a millisecond."""
PARTS_MAX: Final = 16
"""Sorted parts in memory; with one more they are joined."""
TAIL_BYTES_MAX: Final = 64 << 20
"""While the folder takes nothing, or the log is still being read, what comes is forgotten at this size and read from the log
again: memory is bounded, however much comes meanwhile."""
NOWHERE: Final = Chained(-1, ZERO_HASH, START)
BEING_READ: Final = "its history is being read from the log"

Sleep = Callable[[float], Awaitable[None]]


class History:
    """One partition. `begin_at` once, before `note`; both and `parts` may be called in any thread.

    unavailable: why nothing of the past is told, None while it is. failing: why it could not be filled, sealed or joined when
    that was tried last (`keeping.py`), None when it could; what is there is told all the same.
    """

    def __init__(self, folder: SegmentFolder) -> None:
        self.folder = folder
        self.unavailable: str | None = BEING_READ
        self.failing: str | None = None
        self._lock = threading.Lock()
        self._filled: tuple[Segment, ...] = ()
        self._tail: tuple[Segment, ...] = ()
        self._fresh: Gathering | None = None
        self._sorted: Segment | None = None
        self._noted_from = NOWHERE
        self._tail_bytes = 0
        self._times_forgotten = 0

    @property
    def sealed_end(self) -> Chained:
        sealed = self.folder.sealed
        return sealed[-1].segment.end if sealed else NOWHERE

    @property
    def end(self) -> Chained:
        """How far it goes."""
        fresh = self._fresh
        return self._noted_from if fresh is None else fresh.end

    def open(self) -> None:
        """Find what is sealed, before anything is noted. Blocks. A folder that cannot be read is told when it is to be filled: no
        start fails for it."""
        try:
            self.folder.open()
            self.folder.sweep()
        except OSError as failure:
            self.unavailable = f"its history in {self.folder.place} cannot be read ({failure.strerror or failure})"
            return
        self._start_over(self.sealed_end)

    def begin_at(self, sequence: int, block_hash: bytes, offset: int) -> None:
        """The fold goes on behind this block: of what lies before, nothing will be noted."""
        place = Chained(sequence, block_hash, offset)
        with self._lock:
            self._start_over(max(place, self.sealed_end, key=lambda each: each.sequence))

    def note(self, folded: Folded | FoldedBlocks) -> None:
        """Blocks that were folded, in order; those that are sealed already are passed over."""
        with self._lock:
            if self._fresh is None:
                self._fresh = Gathering(self._noted_from)
            behind = self._fresh.end.sequence
            first = folded.block.header.sequence if isinstance(folded, Folded) else int(folded.run.headers[0, SEQUENCE])
            if isinstance(folded, FoldedBlocks):
                known = behind + 1 - first
                if known >= len(folded.records):
                    return
                if known > 0:
                    folded = FoldedBlocks(folded.run.behind(known), folded.records[known:])
            elif first <= behind:
                return
            if first > behind + 1:
                # Whoever folds went on from further: what lies between is read from the log, as after a start.
                before = folded.block.header if isinstance(folded, Folded) else read_header(folded.records[0].data)
                self._start_over(Chained(first - 1, before.previous_hash, START))
                self._fresh = Gathering(self._noted_from)
            self._fresh.take(folded)
            self._sorted = None
            if max(self._fresh.entries.count, self._fresh.times.count, self._fresh.outcomes.count) >= FRESH_ROWS:
                self._tail += (segment := self._fresh.segment(),)
                self._fresh = Gathering(self._fresh.end)
                self._tail_bytes += _bytes_of((segment,))
                if self._tail_bytes > TAIL_BYTES_MAX:
                    self._start_over(self._fresh.end)

    def parts(self) -> list[Segment]:
        """All of it in segments that follow each other, the newest first."""
        with self._lock:
            return self._parts()

    def whole(self) -> list[Segment] | str:
        """The same; or why it is not whole, of one moment: what came since may be forgotten between two looks."""
        with self._lock:
            return self._parts() if self.unavailable is None else self.unavailable

    async def fill(self, log: Log, rest: Sleep | None = None) -> None:
        """Check what is sealed, then read what is missing before the blocks that were noted. Raises LogFailed, ChainBroken,
        OSError, Undecodable; `unavailable` is as it was then.

        rest: sleeps so many seconds, after each piece of work as long as that took, so that who is answered meanwhile has half of
        the interpreter at least.
        """
        await self._require_log(log)
        await asyncio.to_thread(self.folder.drop_damaged)
        sealed = self.sealed_end
        header = None
        if sealed.sequence >= 0:
            header = header_at(sealed, self.folder.sealed[-1].segment.block(sealed.sequence))
        accepted, gathering = Accepted(self.folder.partition, header), Gathering(sealed)
        # What is noted may have been forgotten while what lies before it was read.
        while not await asyncio.to_thread(self._joins, gathering):
            gathering = await self._read(log, accepted, gathering, self._noted_from, rest)

    def _joins(self, read: Gathering) -> bool:
        """Whether what was read reaches what is noted; then the past can be told."""
        filled = (read.segment(),) if read.times.count else ()
        with self._lock:
            if read.end.sequence < self._noted_from.sequence:
                return False
            self._filled = filled
            self.unavailable = None
            return True

    async def _require_log(self, log: Log) -> None:
        """That the last sealed block is in the log. Raises LogFailed."""
        sealed = self.sealed_end
        if sealed.sequence < 0:
            return
        try:
            header_at(sealed, bytes(await log.fetch(self.folder.partition, sealed.offset)))
        except (LogFailed, ValueError) as other:
            raise LogFailed(
                f"the history in {self.folder.place} is of another log, or of blocks that this one has lost, or the log is away "
                f"({other}). If it stays so, run `fanfold verify`; if the log is the right one, delete the history of this "
                "partition there, and it is made again"
            ) from other

    def tidy(self) -> None:
        """Seal and join what is due. Blocks; for one thread at a time. Raises OSError."""
        with self._lock:
            due, filled, forgotten = (*self._filled, *self._tail), len(self._filled), self._times_forgotten
            if self.unavailable is not None:
                return
        if _bytes_of(due) >= SEALED_BYTES:
            self.folder.seal(due)
            with self._lock:
                if forgotten == self._times_forgotten:  # what was noted meanwhile lies behind these
                    self._keep((), self._tail[len(due) - filled :])
                    self._noted_from = due[-1].end
            while self.folder.join():
                pass
        elif len(due) > PARTS_MAX:
            whole = joined(due)
            with self._lock:
                if forgotten == self._times_forgotten:
                    self._keep((), (whole, *self._tail[len(due) - filled :]))

    async def _read(
        self, log: Log, accepted: Accepted, gathering: Gathering, until: Chained, rest: Sleep | None
    ) -> Gathering:
        """Read on behind what is gathered, to `until`; what is not sealed of it by then."""
        now_s = asyncio.get_running_loop().time
        async with aclosing(log.read(self.folder.partition, gathering.end.offset)) as runs:
            async for records in runs:
                began_s = now_s()
                await asyncio.to_thread(gathering.take_all, accepted.take_run(records, until.sequence))
                if gathering.times.count and len(gathering.bytes) >= SEALED_BYTES:
                    await asyncio.to_thread(self._seal_read, gathering)
                    gathering = Gathering(gathering.end)
                if gathering.end.sequence >= until.sequence:
                    break
                if rest is not None:
                    await rest(now_s() - began_s)
        if gathering.end[:2] != until[:2]:
            raise LogFailed(
                f"Partition {self.folder.partition}: the log has no way to block {until.sequence} as it was folded; it ends at "
                f"{gathering.end.sequence} or goes on otherwise. Run `fanfold verify`."
            )
        return gathering

    def _seal_read(self, gathering: Gathering) -> None:
        self.folder.seal([gathering.segment()])
        while self.folder.join():
            pass

    def _parts(self) -> list[Segment]:
        if self._sorted is None and self._fresh is not None and self._fresh.times.count:
            self._sorted = self._fresh.segment()
        newest = () if self._sorted is None else (self._sorted,)
        sealed = tuple(each.segment for each in self.folder.sealed)
        return [*reversed((*sealed, *self._filled, *self._tail, *newest))]

    def _start_over(self, place: Chained) -> None:
        """Forget what came since: it is in the log."""
        self.unavailable = BEING_READ
        self._noted_from, self._fresh, self._sorted = place, None, None
        self._keep((), ())
        self._times_forgotten += 1

    def _keep(self, filled: tuple[Segment, ...], tail: tuple[Segment, ...]) -> None:
        self._filled, self._tail, self._tail_bytes = filled, tail, _bytes_of(tail)


def _bytes_of(segments: Sequence[Segment]) -> int:
    return sum(array.nbytes for each in segments for array in each.columns.values())
