"""Does the archive of a log have what the log has? Records are compared byte by byte, and every file's hash is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress

import numpy as np

from write_side.contract.archive.archived_log import ArchivedLog
from write_side.contract.archive.archived_run import Piece, joined
from write_side.contract.block.run import first_bad
from write_side.contract.log.log import LogDamaged, NotThere, Record

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
    `before` or behind, and look at the hash of every block; how many bytes that were. Raises LogFailed, ArchiveDiffers."""
    compared = 0
    async with aclosing(log.archive.read(partition, begin - 1, before, fresh=True)) as runs:
        async for copies in runs:
            compared += await _compare_run(log, partition, copies)
            on_progress(partition, compared)
    return compared


async def _compare_run(log: ArchivedLog, partition: int, copies: Sequence[Record]) -> int:
    copied = await asyncio.to_thread(Piece.of, copies)
    first, last = int(copied.offsets[0]), int(copied.offsets[-1])
    own: list[Piece] = []
    with suppress(NotThere):  # the log ends before: it lost what the archive has
        own.append(Piece.of([Record(first, await log.log.fetch(partition, first))]))
        async with aclosing(log.log.read(partition, first)) as runs:
            while own[-1].offsets[-1] < last and (run := await anext(runs, None)) is not None:
                own.append(await asyncio.to_thread(_until, run, last))
    differs = await asyncio.to_thread(_first_difference, own, copied)
    if differs is not None:
        raise ArchiveDiffers(
            f"The log and its archive in {log.archive.store.place} differ at offset {differs} of partition {partition}. Nothing "
            "was changed. If `fanfold verify` finds the log good, the archive is wrong: put its files of this partition aside "
            "from there on, and the process that writes makes them again within ten minutes. A log that ends before its archive "
            "has lost blocks: restore it."
        )
    await asyncio.to_thread(_check_blocks, partition, copied)
    return len(copied.data)


def _check_blocks(partition: int, copied: Piece) -> None:
    """What was damaged in the log before it was copied is alike in both. Raises LogDamaged."""
    bad = first_bad(bytes(copied.data), np.concatenate(([0], copied.ends)))
    if bad is not None:
        raise LogDamaged(
            f"The block at offset {int(copied.offsets[bad])} of partition {partition} is damaged in the log, and was copied into "
            "its archive like that. Nothing was changed. Restore the log from a replica or a backup, put the archive's files of "
            "this partition aside from there on (the process that writes makes them again within ten minutes), and run "
            "`fanfold verify`."
        )


def _until(run: Sequence[Record], last: int) -> Piece:
    piece = Piece.of(run)
    return piece.cut(int(np.searchsorted(piece.offsets, last, side="right")))[0]


def _first_difference(own: Sequence[Piece], copied: Piece) -> int | None:
    """The offset of the first record that is not in both alike."""
    if not own:
        return int(copied.offsets[0])
    ours = joined(own)
    if (
        ours.data == copied.data
        and np.array_equal(ours.offsets, copied.offsets)
        and np.array_equal(ours.ends, copied.ends)
    ):
        return None
    n = min(len(ours.offsets), len(copied.offsets))
    for at in range(n):
        begin = int(ours.ends[at - 1]) if at else 0
        end = int(ours.ends[at])
        same = (ours.offsets[at], end) == (copied.offsets[at], copied.ends[at])
        if not same or ours.data[begin:end] != copied.data[begin:end]:
            return int(min(ours.offsets[at], copied.offsets[at]))
    return int(copied.offsets[min(n, len(copied.offsets) - 1)])
