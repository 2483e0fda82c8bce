"""The archive of a log: copies of its records in files of a store (a folder, S3, HDFS), to be read when the log was trimmed.

A file is put once and never changed. What is archived of a partition is the longest chain of files from its first record on, each
beginning where the one before it ends; whatever else lies there (a copy that was cut otherwise by another process) is left alone.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Final

from write_side.contract.archive.archived_run import (
    ArchiveDamaged,
    ArchivedRun,
    Piece,
    RunName,
    name_of,
    prefix,
    read,
    written,
)
from write_side.contract.log.log import START, LogFailed, NotThere, Record
from write_side.contract.snapshots.store import SnapshotStore

KEPT_RUNS: Final = 2
"""Files that stay in memory after they were read (16 MiB each): whoever asks for one old outcome asks for its neighbours."""


class ArchiveUnreadable(LogFailed):
    """A file of the archive is not there, is damaged, or the store does not answer."""


class ArchiveGap(ArchiveUnreadable):
    """The log begins behind where its archive ends."""


class ArchiveBroken(ArchiveUnreadable):
    """A file of the archive is damaged, or is another one than its name says. A store that gave half of it once may give it whole
    the next time, so whoever runs tries again."""


_OUT: Final = (
    "If it stays so, restore the file from a copy. While the log still has its records (`fanfold trim --dry-run` tells where it "
    "begins), move the file out of there instead: the process that writes makes it again within ten minutes."
)


class LogArchive:
    """Of one log. partitions: how many that has."""

    def __init__(self, store: SnapshotStore, partitions: int) -> None:
        self.store = store
        self._partitions = partitions
        self._runs: dict[int, list[RunName]] = {}
        self._read: OrderedDict[RunName, ArchivedRun] = OrderedDict()
        self._reading = asyncio.Lock()

    async def runs(self, partition: int) -> list[RunName]:
        """The files that are there now, in order. Raises ArchiveUnreadable."""
        try:
            names = await asyncio.to_thread(self.store.names, prefix(partition))
        except OSError as failure:
            raise self._unreadable("is not reached", failure) from failure
        self._runs[partition] = _chain(name_of(name) for name in names)
        return self._runs[partition]

    async def last(self, partition: int) -> int:
        """The offset of the last record that is archived; START for none. Raises ArchiveUnreadable."""
        runs = await self.runs(partition)
        return runs[-1].last if runs else START

    async def records(self, name: RunName, *, fresh: bool = False) -> ArchivedRun:
        """What a file holds, every byte checked. fresh: as the store has it now, whatever memory has of it. Raises
        ArchiveUnreadable."""
        async with self._reading:
            kept = self._read.pop(name, None)
            if kept is not None and not fresh:
                self._read[name] = kept
                return kept
            del kept
            try:
                found = await asyncio.to_thread(self._load, name)
            except OSError as failure:
                raise self._unreadable(f"has a file that cannot be read, {name.text}", failure) from failure
            except ArchiveDamaged as failure:
                raise ArchiveBroken(
                    f"{self._told(f'has a file that is damaged, {name.text}', str(failure))} {_OUT}"
                ) from failure
            self._read[name] = found
            if len(self._read) > KEPT_RUNS:
                self._read.popitem(last=False)
            return found

    async def read(
        self, partition: int, after: int, to: int, *, fresh: bool = False
    ) -> AsyncGenerator[Sequence[Record]]:
        """Records with offset > after, until one at or behind `to` was yielded. fresh: as `records`. Raises ArchiveUnreadable,
        NotThere."""
        while after < to:
            records = await self.records(await self._run_behind(partition, after), fresh=fresh)
            found = records.behind(after)
            after = found[-1].offset
            yield found

    async def fetch(self, partition: int, offset: int) -> memoryview | bytes:
        """The one record at an offset. Raises ArchiveUnreadable, NotThere."""
        records = await self.records(await self._run_behind(partition, offset - 1))
        if (record := records.at(offset)) is None:
            raise NotThere(
                f"The archive in {self.store.place} has no record at offset {offset} of partition {partition}."
            )
        return record.data

    async def put(self, name: RunName, records: Piece) -> None:
        """Store a file of these records, which are all behind `name.after` up to `name.last`. Raises OSError."""
        pieces = written(name, self._partitions, records)
        await asyncio.to_thread(self.store.put, name.text, pieces)

    async def _run_behind(self, partition: int, after: int) -> RunName:
        """The file that holds the first record with offset > after."""
        for runs in (self._runs.get(partition, []), await self.runs(partition)):
            at = bisect_left(runs, after + 1, key=lambda run: run.last)
            if at < len(runs):
                return runs[at]
        raise self.ends_before(partition, runs[-1].last if runs else START)

    def ends_before(self, partition: int, last: int) -> ArchiveGap:
        """That the log begins behind the last record that is archived: what is between the two is in neither."""
        ends = "has nothing" if last == START else f"ends at offset {last}"
        return ArchiveGap(
            f"The archive in {self.store.place} {ends} of partition {partition}, and what comes behind that was trimmed from the "
            "log: it is missing. Nothing is changed. Name the archive that was there when the log was trimmed "
            "(FANFOLD_LOG_ARCHIVE), or restore the file that is missing there."
        )

    def _load(self, name: RunName) -> ArchivedRun:
        with self.store.open(name.text) as source:
            data = bytearray(source.size)
            filled = 0
            while filled < len(data):
                more = source.readinto(memoryview(data)[filled:])
                if not more:
                    raise ArchiveDamaged("it ends in the middle")
                filled += more
        return read(bytes(data), name, self._partitions)

    def _unreadable(self, what: str, failure: OSError) -> ArchiveUnreadable:
        return ArchiveUnreadable(self._told(what, failure.strerror or str(failure) or type(failure).__name__))

    def _told(self, what: str, reason: str) -> str:
        return (
            f"The log's archive in {self.store.place} {what}: {reason}. Records that were trimmed from the log lie there alone; "
            "what the log still has goes on. Nothing is changed. A service that runs tries it again by itself."
        )


def _chain(found: Iterable[RunName | None]) -> list[RunName]:
    """The files that follow each other from the first record on; of several that begin alike the longest."""
    longest: dict[int, RunName] = {}
    for name in found:
        if name is not None and (name.after not in longest or longest[name.after].last < name.last):
            longest[name.after] = name
    chain: list[RunName] = []
    while (name := longest.pop(chain[-1].last if chain else START, None)) is not None:
        chain.append(name)
    return chain
