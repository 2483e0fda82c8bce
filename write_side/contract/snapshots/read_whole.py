"""Snapshots of a store as folds, whole: each is hashed, but one side of a process need not do so again for the other; and the
newest ones read ahead, while a start still opens its log: then one side indexes the ids, and the other gets a copy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from typing import Final, NamedTuple
from weakref import WeakValueDictionary

from write_side.contract.snapshots.store import LiesHere, SnapshotStore
from write_side.contract.state.fold_run import Prints
from write_side.contract.state.ids import IdIndex
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


class _Ahead(NamedTuple):
    """read: for one side; ids: as it indexed them, for the next side; of the file that `identity` tells."""

    read: WholeRead
    ids: IdIndex | None
    identity: tuple[int, ...]


class WholeReader:
    """Of one store."""

    def __init__(self, store: SnapshotStore, now_s: Callable[[], float] = time.monotonic) -> None:
        self.store = store
        self._now_s = now_s
        self._whole: dict[str, tuple[tuple[int, ...], float]] = {}
        """By its name the file whose hash was right when somebody read it last, until somebody else has relied on that, and until
        when that may be."""
        self._hashing: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._ahead: dict[tuple[str, bool], Future[_Ahead]] = {}

    def read(self, name: str, prints: Prints | None, *, starts: bool = False) -> WholeRead:
        """starts: as a side of a process whose other side may have read it just now. Blocks. Raises SnapshotRefused, OSError,
        MemoryError."""
        read, _ = self._columns(name, starts)
        return WholeRead(read.head, fold_of(read, prints))

    def _columns(self, name: str, starts: bool) -> tuple[SnapshotRead, tuple[int, ...]]:
        """And the file's identity, () where it has none."""
        with self.store.open(name) as source:
            if not isinstance(source, LiesHere):
                return read_columns(Reader(source.readinto, source.size)), ()
            if not starts:
                return read_columns(Reader(source.readinto, source.size, source.in_place)), ()
            return self._read_once(name, source)

    def _read_once(self, name: str, source: LiesHere) -> tuple[SnapshotRead, tuple[int, ...]]:
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
            return read, identity

    def begin_ahead(self, names: Iterable[str], sides: Sequence[Prints | None]) -> None:
        """Begin to read these, once for each side, which `taken_ahead` gives then; until `end_ahead`. Returns at once."""
        threads = ThreadPoolExecutor(AT_ONCE, "snapshot-ahead")
        for name in names:
            before: Future[_Ahead] | None = None
            for number, prints in enumerate(sides, 1):
                before = threads.submit(self._read_ahead, name, prints, before, number < len(sides))
                self._ahead[name, prints is not None] = before
        threads.shutdown(wait=False)

    def _read_ahead(self, name: str, prints: Prints | None, before: Future[_Ahead] | None, is_followed: bool) -> _Ahead:
        """before: of the side that was begun before this one; whether another one is begun behind it."""
        read, identity = self._columns(name, starts=True)
        index = None if before is None else _index_of(before, identity)
        snapshot = fold_of(read, prints, index)
        copied = snapshot.replay.state.ids.index_copied() if is_followed and identity else None
        return _Ahead(WholeRead(read.head, snapshot), copied, identity)

    def taken_ahead(self, name: str, prints: Prints | None) -> WholeRead | None:
        """What was read ahead for this side, once; None where nothing was. Blocks, and raises as `read`."""
        reading = self._ahead.pop((name, prints is not None), None)
        return None if reading is None or reading.cancel() else reading.result().read

    def end_ahead(self) -> None:
        """The start is over: what nobody has taken goes."""
        while self._ahead:
            self._ahead.popitem()[1].cancel()


def _index_of(before: Future[_Ahead], identity: tuple[int, ...]) -> IdIndex | None:
    """What was found of the same file for another side; None where that failed or was not begun: then all is looked at again.
    Blocks, but never for what waits in the same line: `before` was begun, or given up, before who asks."""
    try:
        found = before.result()
    except (Exception, CancelledError):
        return None
    return found.ids if identity and found.identity == identity else None
