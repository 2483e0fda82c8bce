"""The sealed segments of a partition: files in a folder, mapped; each is whole and follows the one before it.

    history-00003-00000000000000000000-00000000000000249999    partition, first and last block

All of it is made from the log and can be deleted at any time: what is missing is read from the log again. A file is written
aside, synced and renamed (`store_file.py`). They are joined by tiers, so that there are few of them and each byte is written some
three times; a crash between joining and deleting leaves files whose blocks are in a longer one: the next start deletes them.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from read_side.history.gathering import joined
from read_side.history.segment import Segment
from read_side.history.segment_bytes import segment_bytes, segment_of
from write_side.contract.block.block import ZERO_HASH
from write_side.contract.snapshots.store import SnapshotStore
from write_side.contract.state.snapshot_bytes import SnapshotDamaged, SnapshotRefused, check

SEALED_BYTES: Final = 8 << 20
"""Of what is not sealed so much stays in memory, and is read from the log again after a crash."""
JOINED: Final = 4
"""So many of one tier are joined."""
JOINED_BYTES_MAX: Final = 160 << 20
"""Of a file: joining takes some three times as much memory."""
_NAME: Final = re.compile(r"history-([0-9]{5})-([0-9]{20})-([0-9]{20})")
_MEANS: Final = "No money is affected: history is made again from the log."

_log = structlog.get_logger(__name__)


class Sealed(NamedTuple):
    """A segment and its file."""

    name: str
    segment: Segment
    data: memoryview

    @property
    def tier(self) -> int:
        return max(0, len(self.data) // SEALED_BYTES).bit_length() // 2


class SegmentFolder:
    """The files of one partition, in order from the first block on. One process writes it at a time; every method blocks.

    refused: why a file that lies there is not used, by its name.
    """

    def __init__(self, folder: Path, store: SnapshotStore, partition: int) -> None:
        """store: of this folder."""
        self.partition = partition
        self.place = store.place
        self.sealed: tuple[Sealed, ...] = ()
        self.refused: dict[str, str] = {}
        self._folder = folder
        self._store = store
        self._checked: set[str] = set()

    def open(self) -> None:
        """Find what is there. Files that cannot be used, and those behind them, are left out. Changes nothing. Raises OSError."""
        longest: dict[int, tuple[int, str]] = {}
        for name, first, last in self._names():
            longest[first] = max(longest.get(first, (-1, "")), (last, name))
        found: list[Sealed] = []
        place = (-1, ZERO_HASH)
        while (each := longest.get(place[0] + 1)) is not None:
            try:
                sealed = self._map(each[1])
            except (SnapshotRefused, OSError, ValueError) as refused:
                self._refuse(each[1], refused)
                break
            if (sealed.segment.before.sequence, sealed.segment.before.block_hash) != place:
                self._refuse(each[1], "it does not follow the file before it")
                break
            found.append(sealed)
            place = sealed.segment.end[:2]
        self.sealed = tuple(found)
        self._checked.clear()

    def sweep(self) -> None:
        """Delete files whose blocks are all in others: what was joined, when a process ended in between. Raises OSError."""
        used = {each.name for each in self.sealed}
        last_sealed = self.sealed[-1].segment.last if self.sealed else -1
        for name, _, last in self._names():
            if name not in used and last <= last_sealed:
                self._store.delete(name)

    def left_out(self) -> dict[str, int]:
        """The files that are not used, and the first block of each. Raises OSError."""
        used = {each.name for each in self.sealed}
        return {name: first for name, first, _ in self._names() if name not in used}

    def drop_damaged(self) -> None:
        """Look at every byte, of each file once. The first file that is not as it was written, and those behind it, are left out
        from now on: they are written again."""
        for at, each in enumerate(self.sealed):
            if each.name in self._checked:
                continue
            try:
                check(each.data)
            except SnapshotDamaged as damaged:
                self._refuse(each.name, damaged)
                self.sealed = self.sealed[:at]
                return
            self._checked.add(each.name)

    def seal(self, segments: Sequence[Segment]) -> None:
        """Keep segments that follow what is there, as one file. Raises OSError."""
        self.sealed += (self._write(joined(segments)),)

    def join(self) -> bool:
        """Make one file of the last ones, where that is due; whether it was. Raises OSError."""
        last = self.sealed[-JOINED:]
        if len(last) < JOINED or len({each.tier for each in last}) > 1:
            return False
        if sum(len(each.data) for each in last) > JOINED_BYTES_MAX:
            return False
        whole = self._write(joined([each.segment for each in last]))
        self.sealed = (*self.sealed[:-JOINED], whole)
        for each in last:
            self._store.delete(each.name)
        return True

    def _write(self, segment: Segment) -> Sealed:
        name = f"history-{self.partition:05d}-{segment.first:020d}-{segment.last:020d}"
        self._store.put(name, segment_bytes(segment, self.partition))
        self._checked.discard(name)
        return self._map(name)

    def _map(self, name: str) -> Sealed:
        with (self._folder / name).open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        return Sealed(name, segment_of(data, self.partition), data)

    def _names(self) -> list[tuple[str, int, int]]:
        found = map(_NAME.fullmatch, self._store.names(f"history-{self.partition:05d}-"))
        return [(each[0], int(each[2]), int(each[3])) for each in found if each is not None]

    def _refuse(self, name: str, reason: object) -> None:
        self.refused[name] = str(reason)
        _log.warning("history file not used", name=name, place=self.place, reason=str(reason), means=_MEANS)
