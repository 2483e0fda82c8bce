"""Records of a log that follow each other, as one file for ever: its name and its bytes, which this folder's README tells."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from write_side.contract.block.block import HASH_BYTES
from write_side.contract.log.frames import Frames
from write_side.contract.log.log import Record

MAGIC: Final = b"fanfarch"
FORMAT: Final = 1
"""Files of every format that was ever written are read for ever: the log that they were copied from may be trimmed."""
SUFFIX: Final = ".records"
_START: Final = struct.Struct("<8sII")
_NUMBER: Final = "<i8"
_NAME: Final = re.compile(rf"p([0-9]{{5}})-([0-9]{{20}})-([0-9]{{20}}){re.escape(SUFFIX)}")


class ArchiveDamaged(Exception):
    """The bytes of a file are not those that were written."""


class RunName(NamedTuple):
    """Of what a file holds: all records of a partition behind offset `after` (-1: from the first on), up to the one at `last`."""

    partition: int
    after: int
    last: int

    @property
    def text(self) -> str:
        return f"{prefix(self.partition)}{self.after + 1:020d}-{self.last:020d}{SUFFIX}"


def prefix(partition: int) -> str:
    """How the names of all files of a partition begin."""
    return f"p{partition:05d}-"


def name_of(text: str) -> RunName | None:
    """None for what is no name of a file here."""
    found = _NAME.fullmatch(text)
    return None if found is None else RunName(int(found[1]), int(found[2]) - 1, int(found[3]))


class ArchivedRun(NamedTuple):
    """What a file holds. offsets: of its records, int64[n], rising."""

    offsets: npt.NDArray[np.int64]
    frames: Frames

    def behind(self, offset: int) -> Frames:
        """The records with a greater offset."""
        return self.frames[int(np.searchsorted(self.offsets, offset, side="right")) :]

    def at(self, offset: int) -> Record | None:
        place = int(np.searchsorted(self.offsets, offset))
        return self.frames[place] if place < len(self.offsets) and self.offsets[place] == offset else None


class Piece(NamedTuple):
    """Records that lie one behind the other in memory. offsets: of each in the log; ends: of each in `data`; int64[n]."""

    data: bytes | memoryview
    offsets: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    @classmethod
    def of(cls, records: Sequence[Record]) -> Piece:
        """Of any run that a log yields."""
        if isinstance(records, Frames):
            first, last = int(records.starts[0]), int(records.starts[-1])
            return cls(memoryview(records.data)[first:last], records.offset_column, records.starts[1:] - first)
        offsets = np.array([record.offset for record in records], np.int64)
        ends = np.cumsum([len(record.data) for record in records], dtype=np.int64)
        return cls(b"".join(record.data for record in records), offsets, ends)

    def cut(self, at: int) -> tuple[Piece, Piece]:
        """The first records, so many, and the others."""
        size = int(self.ends[at - 1]) if at else 0
        data = memoryview(self.data)
        return (
            Piece(data[:size], self.offsets[:at], self.ends[:at]),
            Piece(data[size:], self.offsets[at:], self.ends[at:] - size),
        )


def joined(pieces: Sequence[Piece]) -> Piece:
    """Pieces that follow each other, as one."""
    before = np.cumsum([0, *(len(piece.data) for piece in pieces)])
    return Piece(
        b"".join(piece.data for piece in pieces),
        np.concatenate([piece.offsets for piece in pieces]),
        np.concatenate([piece.ends + before[number] for number, piece in enumerate(pieces)]),
    )


def written(name: RunName, partitions: int, records: Piece) -> Iterator[bytes | memoryview]:
    """The bytes of a file in pieces. partitions: how many the log has."""
    said = name._asdict() | {"partitions": partitions, "records": len(records.offsets)}
    text = json.dumps(said, separators=(",", ":")).encode()
    hasher = blake3()
    for piece in (
        _START.pack(MAGIC, FORMAT, len(text)) + text,
        records.offsets.astype(_NUMBER).tobytes(),
        records.ends.astype(_NUMBER).tobytes(),
        records.data,
    ):
        hasher.update(piece)
        yield piece
    yield hasher.digest()


def read(data: bytes, name: RunName, partitions: int) -> ArchivedRun:
    """What a file holds, every byte checked. Raises ArchiveDamaged, also where it is another file than its name says."""
    if blake3(data[:-HASH_BYTES], max_threads=blake3.AUTO).digest() != data[-HASH_BYTES:]:
        raise ArchiveDamaged("its bytes have another hash than they were written with")
    magic, version, length = _START.unpack_from(data)
    if magic != MAGIC or version != FORMAT:
        raise ArchiveDamaged(f"it is no file of an archive in format {FORMAT}; a newer version of fanfold may read it")
    said: dict[str, Any] = json.loads(data[_START.size : _START.size + length])
    if said != name._asdict() | {"partitions": partitions, "records": said.get("records")}:
        raise ArchiveDamaged(f"it says of itself that it is {said}: somebody renamed it, or it is of another log")
    count, at = int(said["records"]), _START.size + length
    offsets, ends = (np.frombuffer(data, _NUMBER, count, at + 8 * count * column) for column in range(2))
    starts = np.concatenate(([0], ends)) + (at + 16 * count)
    return ArchivedRun(offsets, Frames(data, starts, offsets))
