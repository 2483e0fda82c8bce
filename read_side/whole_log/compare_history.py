"""Does the sealed history say what the log says? Every byte of its files, every block, and everything sorted, made again."""

from __future__ import annotations

import asyncio

import numpy as np

from read_side.history.accepted import Accepted, header_at
from read_side.history.folder import Sealed, SegmentFolder
from read_side.history.gathering import Gathering
from write_side.contract.block.block import Header, Undecodable
from write_side.contract.block.chain import ChainBroken
from write_side.contract.block.run import frame_starts
from write_side.contract.log.frames import Frames
from write_side.contract.log.log import Log, LogFailed
from write_side.contract.state.snapshot_bytes import SnapshotDamaged, check

_MEANS = "No balance is wrong: delete the history files of this partition, and they are made again from the log."


async def compare_history(folder: SegmentFolder, log: Log) -> str | None:
    """What is wrong with the history of a partition, None when nothing is; `folder.sealed` has what was compared then. Changes
    nothing. Raises LogFailed."""
    await asyncio.to_thread(folder.open)
    for name, reason in folder.refused.items():
        return f"history file {name}: {reason}. {_MEANS}"
    last = folder.sealed[-1].segment.last if folder.sealed else -1
    for name, first in sorted(folder.left_out().items(), key=lambda each: each[1]):
        if first > last + 1:
            return f"history file {name} is there, and none that has block {last + 1}, before it. {_MEANS}"
    before: Header | None = None
    for sealed in folder.sealed:
        wrong, before = await asyncio.to_thread(_wrong, sealed, folder.partition, before)
        if wrong is None:
            end = sealed.segment.end
            try:
                header_at(end, bytes(await log.fetch(folder.partition, end.offset)))
            except (ValueError, LogFailed):
                wrong = f"its last block, {end.sequence}, is not in the log"
        if wrong is not None:
            return f"history file {sealed.name}: {wrong}. {_MEANS}"
    return None


def _wrong(sealed: Sealed, partition: int, before: Header | None) -> tuple[str | None, Header | None]:
    """What is wrong with a file, and the header of its last block."""
    segment = sealed.segment
    try:
        check(sealed.data)
        data = segment.blocks.tobytes()
        starts = frame_starts(data)
        made = Gathering(segment.before)
        made.take_all(Accepted(partition, before).take_run(Frames(data, starts, 0), segment.last))
        if made.end[:2] != segment.end[:2]:
            return "its blocks do not follow each other to its end", None
        columns = made.segment().columns
        for name, column in segment.columns.items():
            if not np.array_equal(column, columns[name]):
                return f"its column {name!r} is not what its blocks say", None
        return None, header_at(segment.end, segment.block(segment.last))
    except (SnapshotDamaged, ChainBroken, Undecodable, ValueError) as wrong:
        return str(wrong), None
