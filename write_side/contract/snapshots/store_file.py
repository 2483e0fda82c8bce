"""The store in a folder: written aside, synced, renamed, the folder synced."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from write_side.contract.log.log_file_folder import sync_folder
from write_side.contract.snapshots.file_in_place import memory_of

ASIDE: Final = ".new"
SYNCED_BYTES: Final = 16 << 20
"""Written between two syncs. What the system gathers and writes at once would stand before the next block of a log here."""


class FileSource:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.size = os.fstat(descriptor).st_size

    def readinto(self, buffer: memoryview, /) -> int:
        return os.readv(self._descriptor, [buffer])


class FileInPlace(FileSource):
    """One that may be used where it lies: see `LiesHere`."""

    @property
    def identity(self) -> tuple[int, ...]:
        found = os.fstat(self._descriptor)
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def in_place(self, start: int, length: int, room: int) -> npt.NDArray[np.uint8] | None:
        return memory_of(self._descriptor, start, length, room)


class FileStore:
    """The files of a folder, which is made when something is put there.

    synced: whether what was put there outlives a power cut. Else the system writes it when it likes, and nobody's log waits for
    that; such a file may be damaged then, and whoever reads it must be able to tell, and to do without.

    in_place: the folder is on a disk of this machine, so who reads a file may use it where it lies (`file_in_place.py`). One over
    the network could go away later, and with it the process.
    """

    def __init__(self, folder: Path, *, synced: bool = True, in_place: bool = False) -> None:
        self._folder = folder
        self._synced = synced
        self._source = FileInPlace if in_place else FileSource

    @property
    def place(self) -> str:
        return str(self._folder)

    def put(self, name: str, pieces: Iterable[bytes | memoryview]) -> None:
        if not self._folder.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True)
            sync_folder(self._folder.parent)
        self._sweep()
        aside, descriptor = self._aside(name)
        try:
            unsynced = 0
            for piece in pieces:
                unsynced += _write(descriptor, piece)
                if self._synced and unsynced >= SYNCED_BYTES:
                    os.fdatasync(descriptor)
                    unsynced = 0
            if self._synced:
                os.fsync(descriptor)
            aside.rename(self._folder / name)
        except BaseException:
            with suppress(OSError):
                aside.unlink()
            raise
        finally:
            os.close(descriptor)
        if self._synced:
            sync_folder(self._folder)

    def names(self, prefix: str) -> list[str]:
        self._sweep()  # also at a start: what a killed process left on a full disk may be what keeps the log from going on
        try:
            found = os.listdir(self._folder)
        except FileNotFoundError:
            return []
        return sorted((name for name in found if name.startswith(prefix) and not name.endswith(ASIDE)), reverse=True)

    @contextmanager
    def open(self, name: str) -> Iterator[FileSource]:
        descriptor = os.open(self._folder / name, os.O_RDONLY)
        try:
            yield self._source(descriptor)
        finally:
            os.close(descriptor)

    def delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            (self._folder / name).unlink()

    def give_up(self) -> None:
        """A disk is not waited for: between two pieces of a file a put can end."""

    def _aside(self, name: str) -> tuple[Path, int]:
        """A file of nobody else (in two containers two processes have one number), locked: as long as it is, nobody sweeps it."""
        while True:
            aside = self._folder / f"{name}.{secrets.token_hex(8)}{ASIDE}"
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return aside, descriptor
            os.close(descriptor)  # somebody has swept it before it was locked

    def _sweep(self) -> None:
        """Remove what processes that ended in the middle have left: its lock went with them."""
        for path in self._folder.glob(f"*{ASIDE}"):
            with suppress(OSError):
                descriptor = os.open(path, os.O_WRONLY)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                finally:
                    os.close(descriptor)


def _write(descriptor: int, piece: bytes | memoryview) -> int:
    written = 0
    while written < len(piece):
        written += os.write(descriptor, memoryview(piece)[written:])
    return written
