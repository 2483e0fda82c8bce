"""A store over a file system of `pyarrow.fs` that others run: written aside, looked at, moved. What is S3's or HDFS's own is in
`store_s3.py` and `store_hdfs.py`.

Arrow completes an upload when its stream is closed or forgotten, and cannot abort one. So nothing is ever written under the name
that counts: what is completed in the middle is a file aside, which is deleted, or swept when nobody was left to do it.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

from pyarrow.fs import FileSelector, FileSystem, FileType

from write_side.contract.snapshots.waiting import GoesOn, Waiting

ASIDE: Final = ".new"
SWEPT_S: Final = 3_600.0
"""A file aside that nobody has written to for so long was left. Two clocks say so: where they differ by more, a put fails, and is
tried again."""
SILENT_S: Final = 3.0
"""What clients wait for a sign of life, twice. A stop has 10 s, of which 4 are for a snapshot."""
CONNECT_S: Final = 2.0
MOVE_SILENT_S: Final = 20.0
"""S3 copies a file to move it, and some servers say nothing meanwhile."""
MOVE_LIMIT_S: Final = 60.0
STEP_BYTES: Final = 1 << 22
"""Read at once."""
SLOWEST: Final = 2 << 20
"""Bytes a second. A snapshot that comes slower, after the first 30 s, is not waited for: the log is folded instead."""
READ_BEGINS_S: Final = 30.0

Connect = Callable[[float], FileSystem]
"""How long it may be silent -> the file system; it makes no connection, or is called like one that does."""


class RemoteSource:
    def __init__(self, store: RemoteStore, path: str) -> None:
        self._store = store
        self._path = path
        self._stream = store.call("open_input_file", path)
        self.size: int = store.waiting.call(self._stream.size)
        self._mark = self._mark_of(self._stream)
        self._at = 0
        self._until_s = time.monotonic() + READ_BEGINS_S + self.size / SLOWEST

    def readinto(self, buffer: memoryview, /) -> int:
        wanted = min(len(buffer), STEP_BYTES, self.size - self._at)
        if wanted == 0:
            return 0
        if time.monotonic() > self._until_s:
            raise TimeoutError(f"{self._store.place} gives less than {SLOWEST >> 20} MiB/s: it is not waited for")
        # Not into the buffer itself: a call that nobody waits for any more would write there later.
        data = self._store.waiting.call(self._stream.read, wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        if self._at == self.size:
            self._expect_the_same()
        return len(data)

    def close(self) -> None:
        with suppress(Exception):
            self._stream.close()

    def _expect_the_same(self) -> None:
        """Parts are asked for by name, so those of a file put meanwhile may be among them."""
        again = self._store.call("open_input_file", self._path)
        try:
            if (self._store.waiting.call(again.size), self._mark_of(again)) != (self.size, self._mark):
                raise OSError(f"it was replaced in {self._store.place} while it was being read")
        finally:
            with suppress(Exception):
                again.close()

    def _mark_of(self, stream: Any) -> object:
        """Another one for every file put under a name: S3 has a hash, its times are whole seconds; HDFS has milliseconds."""
        return stream.metadata().get("ETag") or self._store.call("get_file_info", self._path).mtime_ns


def _drop(streams: list[Any], files: FileSystem, aside: str) -> None:
    with suppress(Exception):
        streams.pop().close()
    with suppress(Exception):
        files.delete_file(aside)


class RemoteStore:
    """The files of one folder. place: for people, without what is secret. root: the folder, as the file system names it.
    container: must be there, because the file system makes none and tells a missing one from an empty one by that alone."""

    def __init__(self, place: str, root: str, connect: Connect, container: str | None = None) -> None:
        self.waiting = Waiting(place)
        self._place = place
        self._root = root
        self._connect = connect
        self._container = container
        self._connected: dict[float, FileSystem] = {}
        self._connecting = threading.Lock()

    @property
    def place(self) -> str:
        return self._place

    def put(self, name: str, pieces: Iterable[bytes | memoryview]) -> None:
        self._sweep()
        aside = f"{self._root}/{name}.{secrets.token_hex(8)}{ASIDE}"
        stream: Any = self.call("open_output_stream", aside)
        try:
            written = 0
            for piece in pieces:
                self.waiting.call(stream.write, piece)
                written += memoryview(piece).nbytes
            self.waiting.call(stream.close)
            kept = self.call("get_file_info", aside).size
            if kept != written:
                raise OSError(f"{self._place} has kept {kept} of {written} bytes")
            self.call("move", aside, f"{self._root}/{name}", silent_s=MOVE_SILENT_S, limit_s=MOVE_LIMIT_S)
        except GoesOn:
            raise  # the call has the stream; what it leaves aside is swept
        except BaseException:
            files = self._file_system(SILENT_S)
            dropped = [stream]
            del stream  # forgetting it completes the upload, which takes as long as any call
            self.waiting.tidy(_drop, dropped, files, aside)
            raise

    def names(self, prefix: str) -> list[str]:
        names = [info.base_name for info in self._files()]
        return sorted((name for name in names if name.startswith(prefix) and not name.endswith(ASIDE)), reverse=True)

    @contextmanager
    def open(self, name: str) -> Iterator[RemoteSource]:
        source = RemoteSource(self, f"{self._root}/{name}")
        try:
            yield source
        finally:
            source.close()

    def delete(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self.call("delete_file", f"{self._root}/{name}")

    def give_up(self) -> None:
        self.waiting.give_up()

    def call(self, method: str, *arguments: Any, silent_s: float = SILENT_S, limit_s: float | None = None) -> Any:
        """Of the file system. Raises FileNotFoundError, TimeoutError, OSError, all in words."""
        return self.waiting.call(
            lambda: getattr(self._file_system(silent_s), method)(*arguments),
            limit_s=limit_s,
        )

    def _file_system(self, silent_s: float) -> FileSystem:
        """Made when it is needed: to make one may ask the machine who it is, which is as slow as any other call."""
        with self._connecting:
            if silent_s not in self._connected:
                self._connected[silent_s] = self._connect(silent_s)
            return self._connected[silent_s]

    def _files(self) -> list[Any]:
        found = self.call("get_file_info", FileSelector(self._root, allow_not_found=True))
        files = [info for info in found if info.type == FileType.File]
        container = self._container
        if not files and container is not None and self.call("get_file_info", container).type == FileType.NotFound:
            raise OSError(f"{self._place} does not exist: there is no {container}, and none is made")
        return files

    def _sweep(self) -> None:
        """Remove what processes that ended in the middle have left."""
        now = datetime.now(UTC)
        for info in self._files():
            if info.base_name.endswith(ASIDE) and (now - info.mtime).total_seconds() > SWEPT_S:
                with suppress(OSError):
                    self.call("delete_file", info.path)
