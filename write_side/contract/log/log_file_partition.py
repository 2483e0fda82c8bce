"""One partition's segments: open, append, follow. All of it blocks, so it runs in the partition's own thread.

`end` is the durable end: frames before it are whole and synced. It only grows, and only here, so other threads may read it and
whatever lies before it without a lock. Of a partition that is damaged it is where the damage begins, as far as an open looks.
"""

from __future__ import annotations

import logging
import os
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from write_side.contract.block.block import Undecodable, is_named
from write_side.contract.log.log import LogDamaged, LogFailed, LogUnsynced, Trimmed
from write_side.contract.log.log_file_folder import (
    keep_spare,
    note_named,
    record_trimmed,
    segment_offsets,
    segment_path,
    segments_of,
    sync_folder,
    trimmed_to,
    write_durably,
)
from write_side.contract.log.log_file_frames import SegmentDamaged, SegmentEnd, find_segment_end, is_good, read_run

SEGMENT_BYTES: Final = 256 * 1024 * 1024
"""Bounds what is walked when a log is opened (0.1 s), and what is copied or lost with one file."""

_log = logging.getLogger(__name__)


class OpenSegment(NamedTuple):
    """first: the log offset at which it begins. limit: where it ends, as far as it was durable when it was opened."""

    descriptor: int
    first: int
    limit: int


class PartitionFiles:
    """`open_to_write` once, then `append`; or `open_to_follow` once, then `follow`; `close` in the end.

    known: its end was found once, so what lies before it may be read, whatever becomes of the files later.
    `sync` makes a descriptor's data durable (`os.fdatasync`, or what a test puts in its place to see a disk fail).
    """

    def __init__(
        self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, sync: Callable[[int], None] = os.fdatasync
    ) -> None:
        self.folder = folder
        self.firsts: list[int] = []
        self.end = 0
        self.known = False
        self._segment_bytes = segment_bytes
        self._sync = sync
        self._descriptor = -1
        self._noted = False

    def open_at(self, offset: int) -> OpenSegment:
        """The segment that an offset lies in, the last one for `end` and beyond, to be read and closed. From any thread, beside a
        trim too. Raises Trimmed, OSError, LogDamaged."""
        end, firsts = self.end, self.firsts
        at = bisect_right(firsts, offset)
        if at == 0:
            raise Trimmed(str(self.folder), firsts[0])
        try:
            descriptor = os.open(segment_path(self.folder, firsts[at - 1]), os.O_RDONLY)
        except FileNotFoundError:
            if (begin := trimmed_to(self.folder)) <= offset:
                raise  # it is missing
            raise Trimmed(str(self.folder), begin) from None
        return OpenSegment(descriptor, firsts[at - 1], firsts[at] if at < len(firsts) else end)

    def trim(self, before: int) -> int:
        """Forget the segments that end at or before an offset, durably; returns where the first one left begins. Raises OSError.

        Their files are there until `remove_trimmed`. What a crash or a refusal leaves of them the next trim or start of the
        writer removes.
        """
        begin = self.firsts[max(0, bisect_right(self.firsts, before) - 1)]
        if begin > self.firsts[0]:
            record_trimmed(self.folder, begin)
            self.firsts = [first for first in self.firsts if first >= begin]  # replaced: others read the list beside
        return begin

    def remove_trimmed(self, begin: int) -> None:
        """Remove the files of what was forgotten before an offset. From any thread: it takes a disk a tenth of a second a file,
        and no append waits. Who reads one of them goes on to its end. Raises OSError."""
        for first in segment_offsets(self.folder):
            if first < begin:
                segment_path(self.folder, first).unlink(missing_ok=True)
        sync_folder(self.folder)
        keep_spare(self.folder)

    def open_to_write(self) -> None:
        """Check the segments, cut a torn last frame, write the last good one again and sync it. Raises LogFailed, OSError.

        Again, because a frame that was written and not synced (the crash came between, or the sync failed and the kernel
        dropped the pages) looks the same as a durable one, and is about to be answered from. Called a second time after an
        append that failed, or after an opening that failed, beside readers: `end` moves over that frame only once it is synced.
        """
        with self._looked_for():
            self.end = self._end_to_write()

    @contextmanager
    def _looked_for(self) -> Iterator[None]:
        """The end. Where that fails nothing stays open; of what is damaged the end is where the damage begins."""
        try:
            yield
        except LogDamaged:
            self.known = True
            self.firsts = self.firsts or [self.end]  # not even where it begins is known: nothing before the damage is
            self.close()
            raise
        except BaseException:
            self.close()
            raise
        self.known = True

    def _end_to_write(self) -> int:
        self._open_last(os.O_RDWR)
        found = self._segment_end(self.firsts[-1], self._descriptor, os.fstat(self._descriptor).st_size)
        end = self.firsts[-1] + found.end
        if end < self.end:
            raise LogDamaged(
                f"{self._path} ends at byte {found.end}, and blocks up to byte {self.end - self.firsts[-1]} were acknowledged. "
                "The file was damaged or replaced. Nothing was changed. Restore it from a backup or a copy."
            )
        if found.torn:
            self._cut(found.end, found.torn)
        if found.last is not None:
            self._write_again(self._descriptor, self._path, found.last, found.end)
        elif len(self.firsts) > 1:
            self._check_last_of(self.firsts[-2])
        sync_folder(self.folder)
        keep_spare(self.folder)
        return end

    def append(self, frame: bytes) -> int:
        """Write and sync one frame; returns its offset. Raises OSError, LogUnsynced; then nothing more may be appended."""
        if not self._noted and is_named(frame):
            note_named(self.folder.parent)
            self._noted = True
        if self.end > self.firsts[-1] and self.end + len(frame) > self.firsts[-1] + self._segment_bytes:
            self._begin_segment()
        offset, place = self.end, self.end - self.firsts[-1]
        written = os.pwrite(self._descriptor, frame, place)
        while written < len(frame):
            written += os.pwrite(self._descriptor, memoryview(frame)[written:], place + written)
        with self._unsynced():
            self._sync(self._descriptor)
        self.end = offset + len(frame)
        return offset

    @contextmanager
    def _unsynced(self) -> Iterator[None]:
        """Whatever fails in here leaves unknown what the disk has: a block, or the name of its file."""
        try:
            yield
        except OSError as error:
            raise LogUnsynced(
                f"Writing the log in {self.folder} failed ({error.strerror}): the disk did not take the last block, so it is not "
                "known whether it is there. Nothing that was answered is lost, and nothing more is taken until somebody has "
                "looked. Free space or mend the disk, then start again: the start writes the last block again and goes on."
            ) from error

    def open_to_follow(self) -> None:
        """Find the end beside a live writer, or without one; nothing is changed. Raises LogFailed, OSError."""
        with self._looked_for():
            self._open_last(os.O_RDONLY)
            size = os.fstat(self._descriptor).st_size
            self._sync(self._descriptor)
            self.end = self.firsts[-1] + self._segment_end(self.firsts[-1], self._descriptor, size).end

    def follow(self) -> None:
        """Move `end` over what the writer has appended since. Synced here first: the writer may be about to. Raises as above.

        Opens what could not be opened before."""
        if (
            self._descriptor >= 0 and os.fstat(self._descriptor).st_nlink == 0
        ):  # trimmed away before it was read to its end
            self.close()
        if not self.known or self._descriptor < 0:
            self.open_to_follow()
        while True:
            size = self._follow_segment()
            first = self.firsts[-1]
            behind = first < self.end and segment_path(self.folder, self.end).exists()
            damaged = self.end < first + size and segment_offsets(self.folder)[-1] > first
            if not behind and not damaged:
                return
            if os.fstat(self._descriptor).st_size != size:
                continue  # the segment grew between the two looks
            if damaged:
                raise LogDamaged(
                    f"{self._path}, byte {self.end - first}: this segment ends in a damaged block, and the next one was begun. "
                    "Blocks before it are good. Restore the file from a backup or a copy, run `fanfold verify`, "
                    "then start again."
                )
            # Opened before the old one is closed: what cannot be opened now is tried again at the next look.
            descriptor = os.open(segment_path(self.folder, self.end), os.O_RDONLY)
            self.close()
            self._descriptor = descriptor
            self.firsts.append(self.end)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @property
    def _path(self) -> Path:
        return segment_path(self.folder, self.firsts[-1])

    def _open_last(self, flags: int) -> None:
        begin = trimmed_to(self.folder)
        try:
            firsts = self._segments_from(begin)
            self._descriptor = os.open(segment_path(self.folder, firsts[-1]), flags)
        except (LogDamaged, FileNotFoundError):
            if trimmed_to(self.folder) == begin:
                raise
            self._open_last(flags)  # they were trimmed between two looks, and begin never falls
            return
        self.firsts = firsts
        if flags == os.O_RDWR and begin:
            self._sweep(begin)

    def _sweep(self, begin: int) -> None:
        """Segments that are not read any more take room, and stop nobody."""
        try:
            self.remove_trimmed(begin)
        except OSError as failure:
            _log.warning(
                "%s holds segments that were trimmed away and cannot be removed (%s). They only take room",
                self.folder,
                failure.strerror or failure,
            )

    def _segments_from(self, begin: int) -> list[int]:
        """The first offsets of all segments from that offset on. Raises LogDamaged where one is missing, OSError."""
        found, strays = segments_of(self.folder)
        if strays:
            _log.warning(
                "%s holds files that are no segments of this log: %s. They are left alone, and nothing is read from them",
                self.folder,
                ", ".join(strays),
            )
        firsts = [first for first in found if first >= begin]
        sizes = [segment_path(self.folder, first).stat().st_size for first in firsts]
        ends = [first + size for first, size in zip(firsts, sizes, strict=True)]
        if [begin, *ends[:-1]] != firsts:
            whole = next(
                at for at, (end, first) in enumerate(zip([begin, *ends], [*firsts, -1], strict=True)) if end != first
            )
            self.firsts, self.end = firsts[:whole] or [begin], self.end or ([begin, *ends])[whole]
            raise LogDamaged(
                f"The segments in {self.folder} do not follow one another without a gap: a file is missing or has another size. "
                "Blocks that were acknowledged are not there. Nothing was changed. Restore the folder from a backup or a copy."
            )
        return firsts

    def _segment_end(self, first: int, descriptor: int, size: int) -> SegmentEnd:
        try:
            return find_segment_end(segment_path(self.folder, first), descriptor, size)
        except SegmentDamaged as damage:
            self.end = self.end or first + damage.good_to
            raise

    def _begin_segment(self) -> None:
        path = segment_path(self.folder, self.end)
        # What cannot be made is not there, and the last block is: that may be tried again, when descriptors or room are back.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
        with self._unsynced():
            os.fsync(descriptor)
            sync_folder(self.folder)
        os.close(self._descriptor)
        self._descriptor = descriptor
        self.firsts.append(self.end)

    def _cut(self, at: int, torn: int) -> None:
        """A frame that was never acknowledged; it is kept aside all the same, for whoever wants to look."""
        aside = self.folder / f"{self.firsts[-1] + at:020d}.torn"
        write_durably(aside, os.pread(self._descriptor, torn, at))
        os.ftruncate(self._descriptor, at)
        os.fsync(self._descriptor)
        _log.warning(
            "%s: the last write was torn by a crash; %d bytes from byte %d on moved to %s", self._path, torn, at, aside
        )

    def _write_again(self, descriptor: int, path: Path, at: int, end: int) -> None:
        frame = os.pread(descriptor, end - at, at)
        if len(frame) != end - at or os.pwrite(descriptor, frame, at) != len(frame):
            raise LogFailed(f"{path}: the last block could not be written again. Check the disk, then start again.")
        self._sync(descriptor)

    def _check_last_of(self, first: int) -> None:
        """The last segment is empty, so the last frame ends the one before; it was synced before the last one was begun."""
        path = segment_path(self.folder, first)
        descriptor = os.open(path, os.O_RDWR)
        try:
            found = self._segment_end(first, descriptor, os.fstat(descriptor).st_size)
            if found.torn or found.last is None:
                self.end = self.end or first + found.end
                raise LogDamaged(
                    f"{path}, byte {found.end}: a block is damaged, and the next segment was begun. A crash cannot do that. "
                    "Nothing was changed. Restore the file from a backup or a copy, run `fanfold verify`, "
                    "then start again."
                )
            self._write_again(descriptor, path, found.last, found.end)
        finally:
            os.close(descriptor)

    def _follow_segment(self) -> int:
        """Move `end` over the whole frames behind it; returns the size that was looked at.

        Looks again at what was no whole frame before, changed or not: a restarted writer may have cut it and written
        something else of the same size. The frame that ends the file is believed only with its hash.
        """
        first, size = self.firsts[-1], os.fstat(self._descriptor).st_size
        if first + size > self.end:
            self._sync(self._descriptor)
        while self.end < first + size:
            try:
                run = read_run(self._descriptor, first, self.end - first, size)
            except Undecodable:
                break
            if not run:
                break
            last = run[-1]
            whole = last.offset + len(last.data)
            if whole == first + size and not is_good(last.data):
                self.end = last.offset
                break
            self.end = whole
        return size
