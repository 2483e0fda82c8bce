"""The runs of a partition as files in a folder, mapped; each follows the one before it.

    ids-00003-00000000000000000000-00000000000000249999    partition, first and last block

All of it is made from the log, and made again when it is missing or damaged. A file is written aside and renamed
(`store_file.py`): nothing of a run that is half written is ever read. Sixteen of one size are joined, so that a question asks
few files and each id is written two or three times. A crash between joining and deleting leaves files whose blocks are in a
longer one, which the next start deletes.
"""

from __future__ import annotations

import mmap
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import structlog

from write_side.contract.block.block import ZERO_HASH
from write_side.contract.snapshots.store import SnapshotStore
from write_side.contract.state.block_hashes import HASHES_KEPT
from write_side.contract.state.snapshot_bytes import Column, SnapshotDamaged, SnapshotRefused, check, mapped, written
from write_side.id_runs.run import JOINED, IdRun, Merged
from write_side.ledger.rules.ran_before import ROW_WIDTH

SEALED_ROWS: Final = 1 << 18
"""A run in memory is written when it has so many, 10 MiB."""
SEALED_BLOCKS: Final = HASHES_KEPT // 2
"""And when it is of so many blocks: a snapshot knows the hash of the block that the files end at, or the log behind it has that
block, so a start looks for it in nothing that may have been trimmed."""
JOINED_ROWS_MAX: Final = 1 << 26
"""Of a file, 2.6 GiB: joining needs so much room beside what it joins."""
_WHAT: Final = "ids"
_FORMAT: Final = 1
_NAME: Final = re.compile(r"ids-([0-9]{5})-([0-9]{20})-([0-9]{20})")

_log = structlog.get_logger(__name__)


class Mark(NamedTuple):
    """A place in a partition's chain, and which ids its state remembers there: cut-offs of those with and without a time, and
    whether a transfer is under way whose id it may have forgotten."""

    sequence: int
    block_hash: bytes
    cut_off_us: int
    timeless_from_us: int
    strays: bool

    @property
    def remembers(self) -> tuple[int, int]:
        return self.cut_off_us, self.timeless_from_us


BEGINNING: Final = Mark(-1, ZERO_HASH, 0, 0, False)


class Sealed(NamedTuple):
    """A run and its file; it has the ids of the blocks behind `before`, up to `end`."""

    name: str
    before: Mark
    end: Mark
    run: IdRun

    @property
    def tier(self) -> int:
        return len(self.run.rows).bit_length() // (JOINED - 1).bit_length()


class RunFolder:
    """The files of one partition, from the first block on. Every method blocks; one thread uses it at a time."""

    def __init__(self, folder: Path, store: SnapshotStore, partition: int) -> None:
        """store: of this folder."""
        self.partition = partition
        self.place = store.place
        self.sealed: tuple[Sealed, ...] = ()
        self.secret = np.uint64(secrets.randbits(64))
        self._folder = folder
        self._store = store

    @property
    def end(self) -> Mark:
        return self.sealed[-1].end if self.sealed else BEGINNING

    def open(self) -> None:
        """Find what is there, and check each byte of it. A file that cannot be used, and those behind it, are left out. Raises
        OSError."""
        longest: dict[int, tuple[int, str]] = {}
        for name, first, last in self._names():
            longest[first] = max(longest.get(first, (-1, "")), (last, name))
        found: list[Sealed] = []
        end = BEGINNING
        while (each := longest.get(end.sequence + 1)) is not None:
            try:
                sealed = self._map(each[1], checked=True)
            except (SnapshotRefused, OSError, ValueError) as refused:
                self._tell(each[1], str(refused))
                break
            if sealed.before != end or (found and sealed.run.secret != self.secret):
                self._tell(each[1], "it does not follow the file before it")
                break
            found.append(sealed)
            end, self.secret = sealed.end, sealed.run.secret
        self.sealed = tuple(found)

    def sweep(self) -> None:
        """Delete what is not used. Raises OSError."""
        used = {each.name for each in self.sealed}
        for name, _, _ in self._names():
            if name not in used:
                self._store.delete(name)

    def seal(self, before: Mark, end: Mark, run: IdRun) -> None:
        """Keep a run that follows what is there. Raises OSError."""
        columns = [Column.of("rows", run.rows), Column.of("filter", run.filter)]
        self.sealed += (self._write(before, end, run.secret, columns),)

    def join(self) -> bool:
        """Make one file of the last ones, where that is due; whether it was. Raises OSError."""
        last = self._due()
        if not last:
            return False
        merged = Merged([each.run for each in last])
        columns = [
            Column("rows", "<u8", (merged.count, ROW_WIDTH), merged.rows()),
            Column.of("filter", merged.filter),  # filled while the rows are written
        ]
        whole = self._write(last[0].before, last[-1].end, last[0].run.secret, columns)
        self.sealed = (*self.sealed[: -len(last)], whole)
        for each in last:
            self._store.delete(each.name)
        return True

    def _due(self) -> tuple[Sealed, ...]:
        """The last `JOINED` files, where so many of one size or smaller stand at the end."""
        last = self.sealed[-JOINED:]
        if sum(len(each.run.rows) for each in last) > JOINED_ROWS_MAX:
            return ()
        for tier in sorted({each.tier for each in self.sealed}):
            larger = [at for at, each in enumerate(self.sealed) if each.tier > tier]
            if len(self.sealed) - (larger[-1] + 1 if larger else 0) >= JOINED:
                return last
        return ()

    def _write(self, before: Mark, end: Mark, secret: np.uint64, columns: list[Column]) -> Sealed:
        name = f"ids-{self.partition:05d}-{before.sequence + 1:020d}-{end.sequence:020d}"
        head = {
            "what": _WHAT,
            "ids": _FORMAT,
            "partition": self.partition,
            "before": _told(before),
            "end": _told(end),
            "secret": f"{int(secret):016x}",
        }
        self._store.put(name, written(head, columns))
        return self._map(name)

    def _map(self, name: str, *, checked: bool = False) -> Sealed:
        with (self._folder / name).open("rb") as file:
            data = memoryview(mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ))
        if checked:
            check(data)
        head, columns = mapped(data)
        try:
            if (head["what"], head["ids"], head["partition"]) != (_WHAT, _FORMAT, self.partition):
                raise SnapshotRefused("it is of another partition, or of another version of fanfold")
            run = IdRun(columns["rows"], columns["filter"], np.uint64(int(head["secret"], 16)))
            return Sealed(name, _mark(head["before"]), _mark(head["end"]), run)
        except (KeyError, TypeError, ValueError) as wrong:
            raise SnapshotDamaged(f"it is damaged: its parts do not fit together ({wrong})") from wrong

    def _names(self) -> Iterator[tuple[str, int, int]]:
        for found in map(_NAME.fullmatch, self._store.names(f"ids-{self.partition:05d}-")):
            if found is not None:
                yield found[0], int(found[2]), int(found[3])

    def _tell(self, name: str, reason: str) -> None:
        _log.warning(
            "ids not used",
            name=name,
            place=self.place,
            reason=reason,
            means="No money is affected: they are read from the log again.",
        )


def _told(mark: Mark) -> dict[str, Any]:
    return mark._asdict() | {"block_hash": mark.block_hash.hex()}


def _mark(said: dict[str, Any]) -> Mark:
    return Mark(**(said | {"block_hash": bytes.fromhex(said["block_hash"])}))
