"""Snapshots of a store as folds, whole: each is hashed, but one side of a process need not do so again for the other; and the
newest ones read ahead, while a start still opens its log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from write_side.contract.snapshots.store import LiesHere, SnapshotStore
from write_side.contract.state.fold_run import Prints
from write_side.contract.state.snapshot import Snapshot, SnapshotHead, SnapshotRead, fold_of, read_columns
from write_side.contract.state.snapshot_bytes import Reader

AT_ONCE: Final = 2
"""Read ahead side by side: the sides of a process, and mostly without the interpreter."""
WHOLE_MAX: Final = 4_096
"""Files that were found whole and that nobody has relied on yet: more than partitions. Beyond it they are hashed again."""

WHOLE_S: Final = 60.0
"""So long one side relies on the other's hash: they start together. Who starts again later, maybe for the disk, hashes again."""


class WholeRead(NamedTuple):
    """What the file says of itself, and the fold."""

    head: SnapshotHead
    snapshot: Snapshot


class WholeReader:
    """Of one store."""

    def __init__(self, store: SnapshotStore, now_s: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._now_s = now_s
        self._whole: dict[str, tuple[tuple[int, ...], float]] = {}
        """By its name the file whose hash was right when somebody read it last, until somebody else has relied on that, and until
        when that may be."""
        self._hashing: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._ahead: dict[tuple[str, bool], Future[WholeRead]] = {}

    def read(self, name: str, prints: Prints | None, *, starts: bool = False) -> WholeRead:
        """starts: as a side of a process whose other side may have read it just now. Blocks. Raises SnapshotRefused, OSError,
        MemoryError."""
        with self.store.open(name) as source:
            if not isinstance(source, LiesHere):
                read = read_columns(Reader(source.readinto, source.size))
            elif not starts:
                read = read_columns(Reader(source.readinto, source.size, source.in_place))
            else:
                read = self._read_once(name, source)
        return WholeRead(read.head, fold_of(read, prints))

    def _read_once(self, name: str, source: LiesHere) -> SnapshotRead:
        """Of two that start together one hashes the file, and the other, which waits for that, relies on it."""
        with self._hashing.setdefault(name, threading.Lock()):
            identity = source.identity
            hashed, until_s = self._whole.pop(name, ((), 0.0))
            is_whole = hashed == identity and self._now_s() < until_s
            read = read_columns(Reader(source.readinto, source.size, source.in_place, is_whole=is_whole))
            if not is_whole:
                if len(self._whole) >= WHOLE_MAX:
                    self._whole.clear()
                self._whole[name] = identity, self._now_s() + WHOLE_S
            return read

    def begin_ahead(self, names: Iterable[str], sides: Sequence[Prints | None]) -> None:
        """Begin to read these, once for each side, which `taken_ahead` gives then; until `end_ahead`. Returns at once."""
        threads = ThreadPoolExecutor(AT_ONCE, "snapshot-ahead")
        for name in names:
            for prints in sides:
                self._ahead[name, prints is not None] = threads.submit(self.read, name, prints, starts=True)
        threads.shutdown(wait=False)

    def taken_ahead(self, name: str, prints: Prints | None) -> WholeRead | None:
        """What was read ahead for this side, once; None where nothing was. Blocks, and raises as `read`."""
        reading = self._ahead.pop((name, prints is not None), None)
        return None if reading is None or reading.cancel() else reading.result()

    def end_ahead(self) -> None:
        """The start is over: what nobody has taken goes."""
        while self._ahead:
            self._ahead.popitem()[1].cancel()
