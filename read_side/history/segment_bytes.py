"""A segment as a file: the columns of `snapshot_bytes.py` (a head in JSON, columns from multiples of 64 on, BLAKE3 of all of it),
mapped where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from read_side.history.segment import Chained, Segment
from write_side.contract.state.snapshot_bytes import Column, SnapshotDamaged, SnapshotRefused, mapped, written

WHAT: Final = "history"
FORMAT: Final = 1
"""Raised with every change of what a column means. A segment is made again from the log, so older formats are not read."""


def segment_bytes(segment: Segment, partition: int) -> Iterator[bytes | memoryview]:
    """The file's bytes, in pieces."""
    head = {
        "what": WHAT,
        "history": FORMAT,
        "partition": partition,
        "before": _told(segment.before),
        "end": _told(segment.end),
        "opened_first": segment.opened_first,
    }
    return written(head, [Column.of(name, array) for name, array in segment.columns.items()])


def segment_of(data: memoryview, partition: int) -> Segment:
    """The segment in a file that lies in memory, or is mapped. Its head is checked, its columns are not (`snapshot_bytes.check`).
    Raises SnapshotRefused."""
    head, columns = mapped(data)
    try:
        if (head["what"], head["history"], head["partition"]) != (WHAT, FORMAT, partition):
            raise SnapshotRefused("it is the history of another partition, or of another version of fanfold")
        before, end = _chained(head["before"]), _chained(head["end"])
        return Segment(before, end, int(head["opened_first"]), **columns)
    except (KeyError, TypeError, ValueError) as wrong:
        raise SnapshotDamaged(f"it is damaged: its parts do not fit together ({wrong})") from wrong


def _told(place: Chained) -> dict[str, Any]:
    return {"sequence": place.sequence, "hash": place.block_hash.hex(), "offset": place.offset}


def _chained(said: dict[str, Any]) -> Chained:
    return Chained(int(said["sequence"]), bytes.fromhex(said["hash"]), int(said["offset"]))
