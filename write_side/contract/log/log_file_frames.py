"""Frames in a segment file: reading runs of them, and finding where the good ones end.

A frame is a block, nothing around it: its header says its length and its hash. Frames lie one after the other, none
crosses the end of a segment.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from write_side.contract.block.block import HEADER_BYTES, MAGIC, Undecodable, frame_length, is_newer, read_header
from write_side.contract.block.chain import START_NEWER
from write_side.contract.block.run import first_bad, frame_starts
from write_side.contract.log.frames import Frames
from write_side.contract.log.log import LogDamaged, Record

RUN_BYTES: Final = 4 * 1024 * 1024
"""One read of the file: long enough that the system call costs nothing, short enough to stay in the processor's cache."""
HASHED_AT_OPEN_BYTES: Final = 8 * 1024 * 1024
"""Hashes are checked this far back from the end when a log is opened (60 ms where each block is a transfer); lengths in the whole
last segment. What lies further back was good when it was acknowledged, and whoever reads it checks its hash."""


class SegmentDamaged(LogDamaged):
    """good_to: the byte of the segment before which all is good."""

    def __init__(self, message: str, good_to: int) -> None:
        super().__init__(message)
        self.good_to = good_to


class SegmentEnd(NamedTuple):
    """Where the good frames of a segment end: `last` is where the last of them begins (None: there is none), `torn` the bytes
    behind `end`. All count from the start of the file."""

    end: int
    last: int | None
    torn: int


def read_run(descriptor: int, first_offset: int, at: int, limit: int) -> Sequence[Record]:
    """Whole frames from byte `at` of a segment, some MB of them, none reaching past byte `limit`; empty when none fits.

    Records carry log offsets (`first_offset` is the segment's) and views of one buffer. Hashes are not looked at. Raises
    Undecodable when what lies at `at` is no frame, and OSError.
    """
    data = os.pread(descriptor, min(RUN_BYTES, limit - at), at)
    if len(data) < HEADER_BYTES:
        return []
    length = frame_length(data)
    if length > len(data):
        if at + length > limit:
            return []
        data = _pread_whole(descriptor, length, at)
        if len(data) < length:
            return []
    if length == len(data):  # what was just appended
        return [Record(first_offset + at, memoryview(data))]
    # Where something is no frame, those before it are good; the next read begins there and says so.
    return Frames(data, frame_starts(data), first_offset + at)


def read_frame(descriptor: int, at: int, limit: int) -> memoryview:
    """The one frame at byte `at`, its hash checked. Raises Undecodable and OSError."""
    length = frame_length(os.pread(descriptor, min(HEADER_BYTES, limit - at), at))
    if at + length > limit:
        raise Undecodable("the frame is cut")
    frame = memoryview(_pread_whole(descriptor, length, at))
    read_header(frame)
    return frame


def is_good(frame: bytes | memoryview) -> bool:
    try:
        read_header(frame)
    except Undecodable:
        return False
    return True


def find_segment_end(path: Path, descriptor: int, size: int) -> SegmentEnd:
    """Walk the first `size` bytes of a segment. Raises LogFailed when something good lies behind something bad.

    One append at a time is in flight, so a crash can tear one frame, the last. Anything else was acknowledged, and is never cut.
    """
    at, last = 0, None
    while at < size:
        try:
            run = read_run(descriptor, 0, at, size)
        except Undecodable:
            run = ()
        starts = _starts_of(run) if run else [at]
        good = _good_of(run, starts, size)
        last = starts[good - 1] if good else last
        at = starts[good]
        if good == 0 or good < len(run):
            _refuse_unless_torn(path, descriptor, at, size)
            return SegmentEnd(at, last, size - at)
    return SegmentEnd(at, last, 0)


def _starts_of(run: Sequence[Record]) -> list[int]:
    """Where each frame begins, and where the last one ends: bytes of the segment."""
    last = run[-1]
    offsets = run.offsets if isinstance(run, Frames) else [record.offset for record in run]
    return [*offsets, last.offset + len(last.data)]


def _good_of(run: Sequence[Record], starts: list[int], size: int) -> int:
    """How many frames from the first on are good, as far as their hashes are looked at. size: of the segment."""
    hashed = range(bisect_left(starts, size - HASHED_AT_OPEN_BYTES, hi=len(run)), len(run))
    if run and starts[-1] == size and not hashed:  # one frame may be longer than what is hashed
        hashed = range(len(run) - 1, len(run))
    if isinstance(run, Frames) and hashed:  # together, and by itself only what may be bad, or is the last one
        bad = first_bad(run.data, run.starts[hashed[0] :])
        hashed = hashed[-1:] if bad is None else hashed[bad:]
    return next((at for at in hashed if not is_good(run[at].data)), len(run))


def _refuse_unless_torn(path: Path, descriptor: int, bad: int, size: int) -> None:
    data = memoryview(_pread_whole(descriptor, size - bad, bad))
    if is_newer(data):
        raise SegmentDamaged(
            f"{path}, byte {bad}: a block is of a later format than this release of fanfold knows. Nothing was changed, and what "
            f"was acknowledged is there. {START_NEWER}",
            bad,
        )
    behind = _frame_behind(data)
    if behind is not None:
        raise SegmentDamaged(
            f"{path}, byte {bad}: a block is damaged, and another one begins behind it at byte {bad + behind}. A crash cannot do "
            "that, so blocks that were acknowledged are damaged: money may be missing if they were left out. Nothing was "
            "changed. Restore this file from a backup or a copy, run `fanfold verify`, then start again.",
            bad,
        )


def _frame_behind(data: memoryview) -> int | None:
    """Where a later append shows: a good frame anywhere behind the bad one at 0, or the start of one where that ends."""
    try:
        end = frame_length(data)
    except Undecodable:
        end = len(data)
    if end < len(data) and MAGIC.startswith(bytes(data[end : end + len(MAGIC)])):
        return end
    raw = data.obj
    assert isinstance(raw, bytes)
    at = raw.find(MAGIC, 1)
    while at >= 0:
        try:
            length = frame_length(data, at)
        except Undecodable:
            length = len(data)
        if at + length <= len(data) and is_good(data[at : at + length]):
            return at
        at = raw.find(MAGIC, at + 1)
    return None


def _pread_whole(descriptor: int, length: int, at: int) -> bytes:
    """`length` bytes, fewer only at the end of the file: one system call gives at most 2 GB, and may give less."""
    data = os.pread(descriptor, length, at)
    while len(data) < length:
        more = os.pread(descriptor, length - len(data), at + len(data))
        if not more:
            break
        data += more
    return data
