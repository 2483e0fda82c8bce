"""Export: the events of the log as Parquet files by day, for whoever asks with SQL (`export_folder.py`).

A day that is over is written once. What has come since is written beside it by the next export, so files of the day that is not
over yet have as many parts as there were exports on it.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import structlog

from read_side.whole_log.event_runs import BlockEvents, EventRuns, events_of_log
from read_side.whole_log.export_folder import CannotExport, Exported, ExportFolder, Part
from write_side.contract.block.block import Undecodable, read_header
from write_side.contract.block.chain import ChainBroken
from write_side.contract.log.log import Log, LogDamaged, LogFailed
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.state.fold import CheckFailed
from write_side.contract.words.position import Position

AT_ONCE: Final = 2
"""Partitions exported side by side: each keeps a core busy."""
_DAY_US: Final = 86_400_000_000
_EPOCH: Final = datetime.date(1970, 1, 1)
_log = structlog.get_logger(__name__)

OnEvents = Callable[[int], None]


class Span(NamedTuple):
    """Which blocks are exported: those of these times (UTC microseconds; None for no bound), from these blocks on."""

    since_us: int | None = None
    before_us: int | None = None
    first: Mapping[int, int] = {}


EVERYTHING: Final = Span()


@dataclass
class PartitionExported:
    """What became of a partition. files, events: written now; position: of the last block that the folder goes up to.

    problem: why it does not go on. unread: the log does not answer, or the folder takes nothing; else the log is damaged, or
    they do not go together.
    """

    partition: int
    files: int = 0
    events: int = 0
    position: str | None = None
    problem: str | None = None
    unread: bool = False


async def export(
    log: Log,
    folder: ExportFolder,
    snapshots: Snapshots | None,
    span: Span = EVERYTHING,
    *,
    on_events: OnEvents = lambda events: None,
) -> list[PartitionExported]:
    """Export what is missing, to the end of the log as it is now. What stops a partition keeps nothing from the others.

    Raises CannotExport where the folder is none, OSError.
    """
    found = [PartitionExported(partition) for partition in range(log.partitions)]
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(result: PartitionExported) -> None:
        async with slots:
            try:
                await _PartitionExport(log, folder, snapshots, span, result, on_events).run()
            except (ChainBroken, CheckFailed, LogDamaged, CannotExport) as stopped:
                result.problem = str(stopped)
            except LogFailed as failed:
                result.problem, result.unread = str(failed), True
            except OSError as failed:
                result.unread = True
                result.problem = (
                    f"partition {result.partition}: {folder.folder} does not take it ({failed.strerror or failed}). The files "
                    "that are there are whole; once there is room, the same command goes on behind them."
                )

    with folder.held():
        await asyncio.to_thread(folder.require_log, log.partitions, await _first_hashes(log))
        async with asyncio.TaskGroup() as tasks:
            for result in found:
                tasks.create_task(one(result))
    return found


async def _first_hashes(log: Log) -> dict[int, str]:
    """The hash of the first block of each partition that has one and can be read: which log it is."""
    found: dict[int, str] = {}
    for partition in range(log.partitions):
        with suppress(LogFailed, Undecodable):
            async with aclosing(log.read(partition)) as runs:
                records = await anext(runs, None)
                if records:
                    found[partition] = read_header(records[0].data).block_hash.hex()
    return found


class _Group(NamedTuple):
    """Blocks of one day that follow each other."""

    day: str
    first: int
    last: int
    blocks: slice


class _PartitionExport:
    def __init__(
        self,
        log: Log,
        folder: ExportFolder,
        snapshots: Snapshots | None,
        span: Span,
        result: PartitionExported,
        on_events: OnEvents,
    ) -> None:
        self._log = log
        self._folder = folder
        self._snapshots = snapshots
        self._span = span
        self._result = result
        self._on_events = on_events
        self._part: Part | None = None
        self._group: _Group | None = None
        self._hash = b""

    async def run(self) -> None:
        """Raises LogFailed, ChainBroken, CheckFailed, CannotExport, OSError."""
        partition = self._result.partition
        files = await asyncio.to_thread(self._folder.files, partition)
        runs = EventRuns(partition)
        begun = False
        for first, last in _missing(files, self._span.first.get(partition, 0)):
            if begun:
                await runs.skip(self._log, first - 1)
            else:
                await runs.begin(self._log, self._snapshots, first - 1)
            begun = True
            before = next((each for each in files if each.last == first - 1), None)
            if before is not None:
                await self._require_same(runs, before)
            if runs.sequence < first - 1:
                return  # of what the log does not have yet
            await self._export(runs, last)

    async def _require_same(self, runs: EventRuns, before: Exported) -> None:
        if runs.sequence < before.last or runs.block_hash != await asyncio.to_thread(before.block_hash):
            raise CannotExport(
                f"partition {self._result.partition}: {before.path} goes up to block {before.last} of another log, or this log "
                "has lost blocks. Nothing more was written. Export into another folder; if this is the right log, run "
                "`fanfold verify`."
            )
        self._result.position = str(Position(self._result.partition, before.last))

    async def _export(self, runs: EventRuns, until: int | None) -> None:
        try:
            async with aclosing(runs.follow(events_of_log(self._log, runs, follow=False), until)) as found:
                async for blocks in found:
                    if not await asyncio.to_thread(self._take, blocks):
                        break
        except (LogFailed, ChainBroken, CheckFailed):
            await asyncio.to_thread(self._finish)  # what lies before it is good
            raise
        except BaseException:
            if self._part is not None:
                self._part.drop()
            raise
        await asyncio.to_thread(self._finish)

    def _take(self, blocks: BlockEvents) -> bool:
        """Whether later blocks may be asked for too."""
        try:
            return self._write(blocks)
        except BaseException:
            if self._part is not None:
                self._part.drop()
            self._part = self._group = None
            raise

    def _write(self, blocks: BlockEvents) -> bool:
        first, end = self._within(blocks)
        sequence = np.asarray(blocks.events["sequence"].combine_chunks())
        for group in _days(blocks, first, end):
            if self._group is not None and self._group.day != group.day:
                self._finish()
            begin = group.first if self._group is None else self._group.first
            self._group, self._hash = group._replace(first=begin), blocks.hashes[group.blocks.stop - 1].tobytes()
            at, stop = np.searchsorted(sequence, [group.first, group.last + 1]).tolist()
            if at < stop:
                self._part = self._part or self._folder.new_part(self._result.partition)
                self._part.write(blocks.events.slice(at, stop - at))
                self._on_events(stop - at)
        return end == len(blocks.at_us)

    def _within(self, blocks: BlockEvents) -> tuple[int, int]:
        """Which of the blocks are of the times asked for. The times of a partition's blocks rise."""
        since_us, before_us = self._span.since_us, self._span.before_us
        first = 0 if since_us is None else int(blocks.at_us.searchsorted(np.int64(since_us)))
        end = len(blocks.at_us) if before_us is None else int(blocks.at_us.searchsorted(np.int64(before_us)))
        return first, max(first, end)

    def _finish(self) -> None:
        """The day is over, or nothing more is known of it."""
        group, part, self._group, self._part = self._group, self._part, None, None
        if group is None:
            return
        if part is not None:
            try:
                part.finish(group.day, group.first, group.last, self._hash)
            except BaseException:
                part.drop()
                raise
            self._result.files += 1
            self._result.events += part.rows
        self._result.position = str(Position(self._result.partition, group.last))


def _missing(files: Sequence[Exported], first: int) -> Iterator[tuple[int, int | None]]:
    """First and last of the blocks from `first` on that no file has, None for those behind all."""
    for each in files:
        if each.last >= first:
            if each.first > first:
                yield first, each.first - 1
            first = each.last + 1
    yield first, None


def _days(blocks: BlockEvents, first: int, end: int) -> Iterator[_Group]:
    """The blocks from place `first` up to `end` by day."""
    days = blocks.at_us[first:end] // _DAY_US
    starts = np.flatnonzero(np.diff(days, prepend=-1)).tolist()
    for start, stop in pairwise([*starts, len(days)]):
        day = _EPOCH + datetime.timedelta(days=int(days[start]))
        places = slice(first + start, first + stop)
        yield _Group(day.isoformat(), blocks.first + places.start, blocks.first + places.stop - 1, places)
