"""Does the archive of a log have what the log has? Records are compared byte by byte, and every file's hash is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress

from write_side.contract.archive.archived_log import ArchivedLog
from write_side.contract.log.log import NotThere, Record

Progress = Callable[[int, int], None]
"""Told a partition, and how many bytes of it were compared so far."""


class ArchiveDiffers(Exception):
    """The archive does not say what the log says. The message is for a person."""


async def compare_with_log(
    log: ArchivedLog,
    partition: int,
    begin: int,
    before: int,
    on_progress: Progress = lambda partition, compared: None,
) -> int:
    """Compare the archive of a partition with its log, from offset `begin` on, where the log begins or later, until a record at
    `before` or behind; how many bytes that were. Raises LogFailed, ArchiveDiffers."""
    compared = 0
    async with aclosing(log.archive.read(partition, begin - 1, before)) as runs:
        async for copies in runs:
            compared += await _compare_run(log, partition, copies)
            on_progress(partition, compared)
    return compared


async def _compare_run(log: ArchivedLog, partition: int, copies: Sequence[Record]) -> int:
    first, last = copies[0], copies[-1].offset
    own: list[Record] = []
    with suppress(NotThere):  # the log ends before: it lost what the archive has
        own.append(Record(first.offset, await log.log.fetch(partition, first.offset)))
        async with aclosing(log.log.read(partition, first.offset)) as runs:
            async for run in runs:
                own += await asyncio.to_thread(_until, run, last)
                if own[-1].offset >= last:
                    break
    differs = await asyncio.to_thread(_first_difference, own, copies)
    if differs is not None:
        raise ArchiveDiffers(
            f"The log and its archive in {log.archive.store.place} differ at offset {differs} of partition {partition}. Nothing "
            "was changed. If `fanfold verify` finds the log good, the archive is wrong: put its files of this partition aside "
            "from there on, and they are made again from the log. A log that ends before its archive has lost blocks: restore it."
        )
    return sum(len(record.data) for record in own)


def _until(run: Sequence[Record], last: int) -> list[Record]:
    return [record for record in run if record.offset <= last]


def _first_difference(own: Sequence[Record], copies: Sequence[Record]) -> int | None:
    for ours, copy in zip(own, copies, strict=False):
        if ours.offset != copy.offset or ours.data != copy.data:
            return min(ours.offset, copy.offset)
    return None if len(own) == len(copies) else copies[min(len(own), len(copies) - 1)].offset
