"""Copies of a log put into its archive while it is written, a file whenever there is enough for one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Final

import numpy as np
import structlog

from write_side.contract.archive.archived_run import Piece, RunName, joined
from write_side.contract.archive.log_archive import ArchiveBroken, ArchiveGap, LogArchive
from write_side.contract.log.log import START, Log, LogFailed, NotThere, Record

SEALED_BYTES: Final = 16 * 1024 * 1024
"""A file: large enough for a store elsewhere (some 50,000 blocks of a transfer, 350,000 transfers in blocks of thousands), small
enough to be read for one old outcome (5 ms from a disk)."""
LOOK_S: Final = 5.0
AGAIN_S: Final = 60.0
FIND_AGAIN_S: Final = 600.0
"""How often it is looked what the archive has: somebody may have put a file aside that was damaged, to be made again."""
_FIRST_LOOK_RECORDS: Final = 256
"""How large the records of a log in Kafka are is known once some were read."""
_MEANS: Final = (
    "No money is affected: the log has it all, and is not trimmed before the archive has. It is tried again."
)

_log = structlog.get_logger(__name__)


class Archiver:
    """Of some partitions of one log. `run` for ever.

    folded: by partition the offset of the last record that its owner has read.  put, failures: how many files were put, and not.
    failing: why not, by partition.
    """

    def __init__(
        self,
        log: Log,
        archive: LogArchive,
        folded: Mapping[int, Callable[[], int]],
        sealed_bytes: int = SEALED_BYTES,
    ) -> None:
        self.put = 0
        self.failures = 0
        self.failing: dict[int, str] = {}
        self._log = log
        self._archive = archive
        self._folded = folded
        self._sealed_bytes = sealed_bytes
        self._last: dict[int, int] = {}
        self._found_s: dict[int, float] = {}
        self._mean_bytes: dict[int, float] = {}
        self._not_before_s: dict[int, float] = {}

    async def run(self) -> None:
        """Put what is enough for a file, until this is cancelled. Raises nothing else."""
        loop = asyncio.get_running_loop()
        while True:
            for partition in self._folded:
                if loop.time() >= self._not_before_s.get(partition, 0.0):
                    await self._archive_what_is_due(partition)
            await asyncio.sleep(LOOK_S)

    async def archive(self, partition: int) -> bool:
        """Put all that is enough for files; whether that went well. What fails is told, and no reason to end."""
        return await self._told(partition, self._archive_all(partition))

    async def _archive_what_is_due(self, partition: int) -> None:
        found_s, now_s = self._found_s.get(partition), asyncio.get_running_loop().time()
        if (found_s is None or now_s - found_s >= FIND_AGAIN_S) and not await self._told(
            partition, self._find_last(partition)
        ):
            return
        if self._is_due(partition):
            await self.archive(partition)

    async def _find_last(self, partition: int) -> None:
        last = self._last[partition] = await self._archive.last(partition)
        self._found_s[partition] = asyncio.get_running_loop().time()
        await self._require_no_gap(partition, last)

    async def _require_no_gap(self, partition: int, last: int) -> None:
        """Raises ArchiveGap where the log was trimmed and the archive ends before it begins."""
        if last < (begin := await self._log.begin(partition)) and begin > 0:
            raise self._archive.ends_before(partition, last)

    async def _told(self, partition: int, work: Awaitable[None]) -> bool:
        """Whether it went well; what fails is told."""
        try:
            await work
        except Exception as failure:
            self.failures += 1
            self._not_before_s[partition] = asyncio.get_running_loop().time() + AGAIN_S
            reason = str(failure) or type(failure).__name__
            if not isinstance(failure, ArchiveGap):
                reason = f"{reason}. {_MEANS}"
            if self.failing.get(partition) != reason:
                _log.error("log not archived", partition=partition, place=self._archive.store.place, reason=reason)
            self.failing[partition] = reason
            return False
        self.failing.pop(partition, None)
        return True

    def _is_due(self, partition: int) -> bool:
        ahead = self._folded[partition]() - self._last[partition]
        if self._log.unit == "bytes":
            return ahead >= self._sealed_bytes
        mean = self._mean_bytes.get(partition)
        return ahead >= _FIRST_LOOK_RECORDS if mean is None else ahead * mean >= self._sealed_bytes

    async def _archive_all(self, partition: int) -> None:
        runs = await self._archive.runs(partition)
        await self._require_no_gap(partition, runs[-1].last if runs else START)
        if runs and not await self._is_same(runs[-1]):
            del runs[-1]
        last = self._last[partition] = runs[-1].last if runs else START
        await self._require_no_gap(partition, last)
        gathering = _Gathering(partition, last, self._sealed_bytes)
        async with aclosing(self._log.read(partition, last)) as reading:
            async for run in reading:
                for name, records in await asyncio.to_thread(gathering.take, run):
                    await self._archive.put(name, records)
                    await self._archive.records(name, fresh=True)  # a store may say that it has what it has not
                    self._last[partition] = name.last
                    self.put += 1
                    _log.info("log archived", partition=partition, file=name.text, records=len(records.offsets))
        if gathering.count:
            self._mean_bytes[partition] = gathering.size / gathering.count

    async def _is_same(self, newest: RunName) -> bool:
        """Whether the last file is whole: one that is not is put again, while the log has its records. Raises LogFailed where the
        log does not have its last record."""
        partition, last = newest.partition, newest.last
        try:
            copy = (await self._archive.records(newest, fresh=True)).frames[-1]
        except ArchiveBroken:
            return False
        try:
            own = await self._log.fetch(partition, last)
        except NotThere:
            own = b""
        if own != copy.data:
            raise LogFailed(
                f"The archive in {self._archive.store.place} ends with a record at offset {last} of partition {partition} that "
                "this log does not have: it is the archive of another log, or this one lost what it had (`fanfold verify` tells "
                "which). Nothing is put there. FANFOLD_LOG_ARCHIVE must name an archive of its own for each log"
            )
        return True


class _Gathering:
    """Records behind an offset, gathered until there are enough for a file. count, size: of all that were taken."""

    def __init__(self, partition: int, after: int, sealed_bytes: int) -> None:
        self.count = self.size = 0
        self._partition = partition
        self._after = after
        self._sealed_bytes = sealed_bytes
        self._pieces: list[Piece] = []
        self._bytes = 0

    def take(self, run: Sequence[Record]) -> list[tuple[RunName, Piece]]:
        """The files that are full now. Cut by the records alone, so that two processes cut alike."""
        full, rest = [], Piece.of(run)
        self.count, self.size = self.count + len(rest.offsets), self.size + len(rest.data)
        while len(rest.offsets):
            # Up to the record with which there is enough, and with it.
            at = int(np.searchsorted(rest.ends, self._sealed_bytes - self._bytes)) + 1
            piece, rest = rest.cut(min(at, len(rest.offsets)))
            self._pieces.append(piece)
            self._bytes += len(piece.data)
            if self._bytes >= self._sealed_bytes:
                records = joined(self._pieces)
                full.append((RunName(self._partition, self._after, int(records.offsets[-1])), records))
                self._pieces, self._bytes, self._after = [], 0, full[-1][0].last
        return full
