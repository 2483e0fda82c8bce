"""The file log: one folder, one writing process, one fdatasync a block.

Segments, frames and recovery are in `log_file_frames.py` and `log_file_partition.py`, the folder and its lock in
`log_file_folder.py`; this is the port over them. Offsets are byte addresses in the partition. Decisions and their figures
are in this folder's DECISIONS.md.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from write_side.contract.block.block import Undecodable, frame_length
from write_side.contract.log.in_thread import through
from write_side.contract.log.log import (
    START,
    LogDamaged,
    LogFailed,
    LogMissing,
    LogUnsynced,
    NotThere,
    Record,
    Trimmed,
    Unit,
)
from write_side.contract.log.log_file_folder import (
    lock_folder,
    log_folder,
    partition_folder,
    prepare_folder,
    recorded_partitions,
    sync_folder,
    trimmed_to,
)
from write_side.contract.log.log_file_frames import RUN_BYTES, read_frame, read_run
from write_side.contract.log.log_file_partition import SEGMENT_BYTES, PartitionFiles

FOLLOW_POLL_MS: Final = 10
"""How often a read-only log looks for new blocks: two `stat` calls a time, well below what a person notices."""
READ_ON_LOOP_BYTES: Final = 256 * 1024
"""A read up to this long is done on the event loop: mostly of what was just written, 0.02 ms, less than a thread's turn."""

_log = logging.getLogger(__name__)

T = TypeVar("T")


class _Partition(NamedTuple):
    files: PartitionFiles
    thread: ThreadPoolExecutor
    """One thread, so appends of a partition never overlap, and follow never meets itself."""


class FileLog:
    """The log port over a folder; made by `open` (the one writer) or `open_read_only` (beside it, in any number)."""

    def __init__(self, partitions: list[PartitionFiles], *, lock: int | None, poll_ms: float) -> None:
        self._partitions = [
            _Partition(files, ThreadPoolExecutor(1, thread_name_prefix=f"log-p{number}"))
            for number, files in enumerate(partitions)
        ]
        self._lock = lock
        self._follows = lock is None
        self._poll_ms = poll_ms
        self._loop = asyncio.get_running_loop()
        self._grown = [asyncio.Event() for _ in partitions]
        self._closed = asyncio.Event()
        self._failures: dict[int, LogFailed] = {}

    @classmethod
    async def open(
        cls,
        data: Path,
        partitions: int | None = None,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        sync: Callable[[int], None] = os.fdatasync,
        lock: int | None = None,
    ) -> FileLog:
        """Open for writing, made new where there is none. `partitions` must be what the log was made with, or None.

        A partition whose files cannot be opened, or are damaged, is no trouble of others: it is in `failures`, and `resume` tries
        it again. `sync` makes a descriptor's data durable. lock: of `lock_folder`, where the folder was taken before; it is the
        log's now, and closed where this raises. Raises LogFailed: another process has the folder, or it cannot be used.
        """

        def prepare() -> tuple[int, list[PartitionFiles], dict[int, LogFailed]]:
            taken = lock
            opened: list[PartitionFiles] = []
            try:
                data.mkdir(parents=True, exist_ok=True)
                sync_folder(data.parent)
                taken = lock_folder(data) if taken is None else taken
                for number in range(prepare_folder(data, partitions)):
                    opened.append(
                        PartitionFiles(partition_folder(data, number), segment_bytes=segment_bytes, sync=sync)
                    )
                failures = _open_each(opened, PartitionFiles.open_to_write)
            except BaseException:
                _release(opened, taken)
                raise
            return taken, opened, failures

        held, opened, failures = await asyncio.to_thread(_told, data, prepare, _START_AGAIN)
        log = cls(opened, lock=held, poll_ms=FOLLOW_POLL_MS)
        log._failures |= failures
        return log

    @classmethod
    async def open_read_only(
        cls, data: Path, *, poll_ms: float = FOLLOW_POLL_MS, sync: Callable[[int], None] = os.fdatasync
    ) -> FileLog:
        """Open beside a writer (or without one), taking no lock and changing nothing. Raises LogFailed, but not for damage: what
        lies before it can be read, and `read` says where it is.

        What of it cannot be opened now is opened when it is read; until then a read of it raises.
        """

        def prepare() -> tuple[list[PartitionFiles], dict[int, LogFailed]]:
            count = recorded_partitions(data)
            if count is None:
                raise LogMissing(
                    f"There is no log in {log_folder(data)}. Start fanfold with this folder first, or name another one."
                )
            opened: list[PartitionFiles] = []
            try:
                for number in range(count):
                    opened.append(PartitionFiles(partition_folder(data, number), sync=sync))
                failures = _open_each(opened, PartitionFiles.open_to_follow)
            except BaseException:
                _release(opened, None)
                raise
            return opened, failures

        opened, failures = await asyncio.to_thread(_told, data, prepare, _START_AGAIN)
        log = cls(opened, lock=None, poll_ms=poll_ms)
        log._failures |= failures
        return log

    @staticmethod
    async def forget(data: Path, partition: int, before: int) -> int:
        """`trim` of a log that no process writes. The folder is taken for a moment; nothing else is written, so that a full disk,
        or a last block that was torn by one, is no reason not to make room. Raises LogFailed."""
        folder = partition_folder(data, partition)

        def forget() -> int:
            lock, files = lock_folder(data, trims=True), PartitionFiles(folder)
            try:
                files.open_to_follow()
                begin = files.trim(before)
            finally:
                _release([files], lock)
            if begin > 0:
                files.remove_trimmed(begin)
            return begin

        return await asyncio.to_thread(_told, folder, forget, "Then run the command again.")

    @property
    def partitions(self) -> int:
        return len(self._partitions)

    @property
    def unit(self) -> Unit:
        return "bytes"

    @property
    def failures(self) -> Mapping[int, LogFailed]:
        """Why partitions take no more appends, or could not be opened: those of this log that failed."""
        return self._failures

    async def append(self, partition: int, block: bytes) -> int:
        """As the port says. A frame is a block, so `block` must be one: ValueError otherwise, before anything is written."""
        if self._closed.is_set():
            raise LogFailed(_CLOSED)
        if self._follows:
            raise LogFailed(
                "This log is open for reading only, beside the process that writes it. Nothing was appended."
            )
        if frame_length(block) != len(block):
            raise ValueError("these bytes are not one block")
        files, thread = self._partitions[partition]
        done: asyncio.Future[int] = self._loop.create_future()
        thread.submit(self._append, partition, files, block, done)
        return await done

    async def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        files, at = await self._begin(partition, after)
        async with aclosing(self._runs(partition, at, files.end)) as runs:
            async for run in runs:
                yield run
        self._raise_damage(partition)

    async def tail(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        files, at = await self._begin(partition, after)
        while True:
            grown, end = self._grown[partition], files.end
            if at < end:
                async with aclosing(self._runs(partition, at, end)) as runs:
                    async for run in runs:
                        yield run
                        if self._closed.is_set():
                            return
                at = end
            elif self._closed.is_set():
                return
            elif isinstance(self._failures.get(partition), LogDamaged):
                self._raise_damage(partition)
            elif not self._follows:
                await grown.wait()
            else:
                await self._pause()
                if not self._closed.is_set():
                    await self._follow(partition)

    async def fetch(self, partition: int, offset: int) -> bytes | memoryview:
        files = self._opened(partition)

        def read() -> memoryview:
            if not 0 <= offset < files.end:
                raise Undecodable("the log has no such offset")
            descriptor, first, limit = files.open_at(offset)
            try:
                return read_frame(descriptor, offset - first, limit - first)
            finally:
                os.close(descriptor)

        try:
            return await asyncio.to_thread(_told, files.folder, read)
        except Undecodable as error:
            raise NotThere(
                f"{files.folder}: there is no good block at offset {offset} ({error}). {_NOT_THERE}"
            ) from None

    async def resume(self, partition: int) -> None:
        """Opens the partition's files anew, as a start does; what was damaged or not synced needs a person, and then a start."""
        failure = self._failures.get(partition)
        if failure is None:
            return
        if self._closed.is_set() or isinstance(failure, LogDamaged | LogUnsynced):
            raise failure
        files, thread = self._partitions[partition]

        def open_again() -> None:
            files.close()
            files.open_to_write()

        try:
            await self._loop.run_in_executor(thread, _told, files.folder, open_again)
        except LogFailed as still:
            self._failures[partition] = still  # what keeps it shut by now, not what did at first
            raise
        del self._failures[partition]
        self._wake(partition)

    async def end(self, partition: int) -> int:
        return self._opened(partition).end

    async def begin(self, partition: int) -> int:
        folder = self._opened(partition).folder
        return await asyncio.to_thread(_told, folder, partial(trimmed_to, folder))

    async def trim(self, partition: int, before: int) -> int:
        if self._closed.is_set() or self._follows:
            raise LogFailed("This log is closed, or open for reading only. Nothing was trimmed.")
        self._raise_damage(partition)  # whoever mends it may need all that is left
        files, thread = self._opened(partition), self._partitions[partition].thread
        begin = await self._loop.run_in_executor(thread, _told, files.folder, partial(files.trim, before))
        if begin > 0:
            await asyncio.to_thread(_told, files.folder, partial(files.remove_trimmed, begin))
        return begin

    async def troubles(self) -> Mapping[int, str]:
        return {partition: str(failure) for partition, failure in self._failures.items()}

    async def close(self) -> None:
        already = self._closed.is_set()
        self._closed.set()
        for partition in range(len(self._partitions)):
            self._wake(partition)
        if not already:
            lock, self._lock = self._lock, None
            for _, thread in self._partitions:
                await asyncio.to_thread(thread.shutdown)
            _release([files for files, _ in self._partitions], lock)

    def _append(self, partition: int, files: PartitionFiles, block: bytes, done: asyncio.Future[int]) -> None:
        """In the partition's thread. The loop is woken once, for whoever appends and for tails alike."""
        try:
            offset = self._written(partition, files, block)
        except Exception as failure:
            self._loop.call_soon_threadsafe(self._not_appended, done, failure)
        else:
            self._loop.call_soon_threadsafe(self._appended, partition, done, offset)

    def _appended(self, partition: int, done: asyncio.Future[int], offset: int) -> None:
        self._wake(partition)
        if not done.done():  # whoever appended may have left; the block is there all the same
            done.set_result(offset)

    def _not_appended(self, done: asyncio.Future[int], failure: Exception) -> None:
        if not done.done():
            done.set_exception(failure)

    def _written(self, partition: int, files: PartitionFiles, block: bytes) -> int:
        if partition in self._failures:
            raise self._failures[partition]
        try:
            return files.append(block)
        except LogFailed as failure:
            self._failures[partition] = failure
            raise
        except OSError as error:
            self._failures[partition] = LogFailed(
                f"Writing the log in {files.folder} failed ({error.strerror}), so it is not known whether the last block is "
                "there. Nothing that was answered is lost, and nothing more is taken here until the last block is checked. Free "
                "space or mend the disk."
            )
            raise self._failures[partition] from error

    def _wake(self, partition: int) -> None:
        self._grown[partition].set()
        self._grown[partition] = asyncio.Event()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll_ms / 1000):
                await self._closed.wait()

    async def _follow(self, partition: int) -> None:
        """In a read-only log, look how far the writer is."""
        files, thread = self._partitions[partition]
        if not self._follows or isinstance(self._failures.get(partition), LogDamaged):
            return
        try:
            await self._loop.run_in_executor(thread, _told, files.folder, files.follow)
            self._failures.pop(partition, None)
        except LogDamaged as damage:
            self._failures[partition] = damage  # behind what is good, which is read first

    def _opened(self, partition: int) -> PartitionFiles:
        """The files, once they could be opened. Raises why they could not."""
        files = self._partitions[partition].files
        if not files.known:
            raise self._failures[partition]
        return files

    async def _begin(self, partition: int, after: int) -> tuple[PartitionFiles, int]:
        """The files, and the offset behind the record at `after`."""
        if self._closed.is_set():
            raise LogFailed("The log is closed. Nothing was read.")
        await self._follow(partition)
        files = self._opened(partition)
        if after < 0:
            if (begin := files.firsts[0]) > 0:
                raise Trimmed(str(files.folder), begin)
            return files, 0
        if after >= files.end:
            self._raise_damage(partition)
        return files, after + len(await self.fetch(partition, after))

    def _raise_damage(self, partition: int) -> None:
        if isinstance(damage := self._failures.get(partition), LogDamaged):
            raise damage

    async def _runs(self, partition: int, at: int, end: int) -> AsyncGenerator[Sequence[Record], None]:
        """Every frame in [at, end), segment by segment. Raises LogDamaged, with what the open has found where that is it."""
        try:
            async with aclosing(self._frames(self._partitions[partition].files, at, end)) as runs:
                async for run in runs:
                    yield run
        except LogDamaged:
            self._raise_damage(partition)
            raise

    async def _frames(self, files: PartitionFiles, at: int, end: int) -> AsyncGenerator[Sequence[Record], None]:
        is_first = True
        while at < end:
            descriptor, first, limit = _told(files.folder, partial(files.open_at, at))
            limit = min(end, limit)
            try:
                while at < limit:
                    run = await self._run(
                        files, partial(read_run, descriptor, first, at - first, limit - first), limit - at, at, is_first
                    )
                    is_first = False
                    at = run[-1].offset + len(run[-1].data)
                    yield run
                    if self._closed.is_set() and at < end:
                        raise LogFailed("The log was closed while it was being read. What was read so far is good.")
            finally:
                os.close(descriptor)

    async def _run(
        self, files: PartitionFiles, read: Callable[[], Sequence[Record]], size: int, at: int, is_first: bool
    ) -> Sequence[Record]:
        try:
            if min(size, RUN_BYTES) <= READ_ON_LOOP_BYTES:
                if not is_first:
                    await asyncio.sleep(0)  # many short reads must not keep the loop from everyone else
                run = _told(files.folder, read)
            else:
                run = await through(_told, files.folder, read)  # it uses the descriptor that is about to be closed
        except Undecodable:
            run = ()
        if not run:
            raise LogDamaged(
                f"{files.folder}: no block begins at offset {at}, where one was acknowledged. {_NOT_THERE}"
            )
        return run


_CLOSED: Final = "The log is closed. Nothing was appended."
_START_AGAIN: Final = "Then start again."
_MENDED: Final = {
    errno.ENOSPC: "Free space.",
    errno.EDQUOT: "Free space, or raise the quota.",
    errno.EMFILE: "Raise the limit of open files, or let clients go.",
    errno.ENFILE: "Raise the limit of open files, or let clients go.",
}
_NOT_THERE: Final = (
    "Blocks before it are good. The file was damaged or replaced: restore it from a backup or a copy, then run "
    "`fanfold verify`."
)


def _told(folder: Path, work: Callable[[], T], then: str = "A service that runs tries it again by itself.") -> T:
    """What the system refuses, said for a person. then: what follows once the cause is gone."""
    try:
        return work()
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise LogFailed(
            f"The log in {folder} cannot be used: {error.strerror or error}{where}. Nothing was answered from it and nothing is "
            f"lost. {_MENDED.get(error.errno or 0, 'Mend the disk or the permissions.')} {then}"
        ) from error


def _open_each(files: Sequence[PartitionFiles], how: Callable[[PartitionFiles], None]) -> dict[int, LogFailed]:
    """Open all; returns why some could not be opened, which is nobody else's trouble."""
    failures: dict[int, LogFailed] = {}
    for number, each in enumerate(files):
        try:
            _told(each.folder, partial(how, each))
        except LogFailed as failure:
            failures[number] = failure
            if not isinstance(failure, LogDamaged):
                _log.error("partition %d cannot be opened: %s", number, failure)
    return failures


def _release(files: list[PartitionFiles], lock: int | None) -> None:
    for each in files:
        each.close()
    if lock is not None:
        os.close(lock)
