"""A folder of exported events: Parquet files by day, each with the events of some blocks of a partition.

    day=2026-01-31/part-0-17-42.parquet    partition, first and last block

The names say what is there, so an export goes on where files are missing, and writes none again. A file is written aside, synced
and renamed: whoever reads the folder meanwhile sees whole files, and no event twice.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from read_side.whole_log.event_table import EVENTS

ROWS_AT_ONCE: Final = 131_072
"""Of a row group: what readers skip or take whole; 20 MB in memory while it is gathered."""
_BLOCK_HASH: Final = "fanfold.block_hash"
_NAME: Final = re.compile(r"part-(0|[1-9][0-9]*)-(0|[1-9][0-9]*)-(0|[1-9][0-9]*)\.parquet")
_LOG: Final = ".log.json"
"""Which log the events are of: how many partitions it has, and the hash of the first block of each."""
_DAY: Final = re.compile(r"day=[0-9]{4}-[0-9]{2}-[0-9]{2}")


class CannotExport(Exception):
    """The folder cannot take the events of this log. The message says what to do."""


class Exported(NamedTuple):
    """A file that is there, and the blocks whose events it has."""

    first: int
    last: int
    path: Path

    def block_hash(self) -> bytes:
        """Of its last block. Raises CannotExport."""
        try:
            from pyarrow import parquet  # as much memory as a small service: for who exports alone

            told = parquet.read_metadata(self.path).metadata or {}
            return bytes.fromhex(told[_BLOCK_HASH.encode()].decode())
        except (OSError, ValueError, KeyError, pa.ArrowException) as wrong:
            raise CannotExport(
                f"{self.path} cannot be read, or is no file of an export ({type(wrong).__name__}). Move it away: its blocks are "
                "exported again."
            ) from wrong


class ExportFolder:
    """One process writes into it at a time; every method blocks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def held(self) -> Iterator[None]:
        """Make it where it is missing, and keep others from writing. Raises CannotExport, OSError."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise CannotExport(f"{self.folder} is no folder, or lies in a file. Name a folder.") from None
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise CannotExport(f"another export writes into {self.folder} now.") from None
        finally:
            os.close(descriptor)

    def require_log(self, partitions: int, first_hashes: Mapping[int, str]) -> None:
        """That nothing here is of another log, in whatever partition; noted for who comes next. Raises CannotExport, OSError."""
        note = self.folder / _LOG
        known: dict[str, Any] = {}
        with suppress(FileNotFoundError, ValueError):
            known = json.loads(note.read_text())
        first = {int(partition): text for partition, text in known.get("first_blocks", {}).items()}
        same = all(first[each] == text for each, text in first_hashes.items() if each in first)
        if known and (known.get("partitions") != partitions or not same):
            raise CannotExport(
                f"{self.folder} has events of another log. Nothing was written. Export into another folder."
            )
        told = {
            "partitions": partitions,
            "first_blocks": {str(each): text for each, text in (first | dict(first_hashes)).items()},
        }
        if told != known:
            aside = note.with_suffix(".writing")
            aside.write_text(json.dumps(told))
            aside.rename(note)

    def files(self, partition: int) -> list[Exported]:
        """Those of a partition, in the order of its blocks. Raises CannotExport, OSError."""
        found = []
        for day in self.folder.iterdir():
            for path in day.iterdir() if _DAY.fullmatch(day.name) else ():
                named = _NAME.fullmatch(path.name)
                if named is not None and int(named[1]) == partition:
                    found.append(Exported(int(named[2]), int(named[3]), path))
        found.sort()
        for before, each in pairwise(found):
            if each.first <= before.last:
                raise CannotExport(
                    f"{before.path} and {each.path} both have block {each.first}, so events are there twice. Move one away."
                )
        return found

    def new_part(self, partition: int) -> Part:
        """A file to be written. Raises OSError."""
        return Part(self.folder, partition)


class Part:
    """A file aside, in which rows are gathered; `finish` puts it in its place, `drop` takes it away. rows: how many it has."""

    def __init__(self, folder: Path, partition: int) -> None:
        self._folder = folder
        self._partition = partition
        self._aside = folder / f".part-{partition}.writing"
        self._file = self._aside.open("wb")
        from pyarrow import parquet

        self._writer = parquet.ParquetWriter(self._file, EVENTS, compression="zstd")
        self.rows = 0
        self._gathered: list[Any] = []
        self._count = 0

    def write(self, events: pa.Table) -> None:
        """Raises OSError."""
        self._gathered.append(events)
        self._count += len(events)
        self.rows += len(events)
        if self._count >= ROWS_AT_ONCE:
            self._flush()

    def finish(self, day: str, first: int, last: int, block_hash: bytes) -> None:
        """It has all events of these blocks. Raises OSError."""
        self._flush()
        self._writer.add_key_value_metadata({_BLOCK_HASH: block_hash.hex()})
        self._writer.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        place = self._folder / f"day={day}"
        place.mkdir(exist_ok=True)
        self._aside.rename(place / f"part-{self._partition}-{first}-{last}.parquet")
        for folder in (place, self._folder):
            _sync(folder)

    def drop(self) -> None:
        """Nothing of it stays."""
        for end in (self._writer.close, self._file.close, self._aside.unlink):
            with suppress(OSError, ValueError, pa.ArrowException):
                end()

    def _flush(self) -> None:
        if self._gathered:
            table = pa.concat_tables(self._gathered).combine_chunks()
            self._gathered, self._count = [], 0
            self._writer.write_table(table, row_group_size=ROWS_AT_ONCE)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
