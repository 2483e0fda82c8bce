"""A snapshot's bytes: a head that says what it is, columns of numbers as they lie in memory, and a hash over all of it.

    magic | format version | length of the head | head, JSON | BLAKE3 of all of this
    | each column, little endian, from a multiple of 64 on | BLAKE3 of everything before

Columns are read straight into the arrays that will be used; nothing of them counts before the last hash was right. What is
allocated for them is bounded by the length of the file, which the head is held to first.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from write_side.contract.block.block import HASH_BYTES

MAGIC: Final = b"fanfsnap"
FORMAT: Final = 1
"""Raised with every change of what a column means. A snapshot is made again from the log, so older formats are not read."""
HEAD_BYTES_MAX: Final = 1 << 20
ALIGNED: Final = 64
PIECE_BYTES: Final = 1 << 22
"""Read, hashed and handed over at once: it is hashed while it is in the cache, and whoever writes can stop between two pieces."""
_START: Final = struct.Struct("<8sII")

Array = npt.NDArray[Any]
ReadInto = Callable[[memoryview], int | None]
"""Fills a buffer from where it is, as far as there is something; how many bytes, 0 at the end."""
InPlace = Callable[[int, int, int], npt.NDArray[np.uint8] | None]
"""start, length, room: uint8[room] that begins with these bytes where they lie, as one's own. None where that cannot be had."""
IN_PLACE_BYTES: Final = 1 << 20
"""What is smaller is as well copied."""


class SnapshotRefused(Exception):
    """A snapshot that is not used, and why."""


class SnapshotDamaged(SnapshotRefused):
    """Its bytes are not those that were written: nobody will ever read it."""


class Column(NamedTuple):
    """parts: arrays that make up the column, one after the other; dtype as numpy writes it, `<i8`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    parts: Iterable[Array]

    @classmethod
    def of(cls, name: str, array: Array) -> Column:
        return cls(name, array.dtype.newbyteorder("<").str, array.shape, (array,))


def written(head: Mapping[str, Any], columns: Sequence[Column]) -> Iterator[bytes | memoryview]:
    """The bytes of a snapshot in pieces. The arrays must not change meanwhile."""
    said = dict(head) | {"columns": [[column.name, column.dtype, list(column.shape)] for column in columns]}
    text = json.dumps(said, separators=(",", ":")).encode()
    assert len(text) <= HEAD_BYTES_MAX
    start = _START.pack(MAGIC, FORMAT, len(text)) + text
    start += blake3(start).digest()
    hasher, at = blake3(start), len(start)
    yield start
    for column in columns:
        padding = bytes(-at % ALIGNED)
        hasher.update(padding)
        yield padding
        at += len(padding)
        for part in column.parts:
            for piece in _pieces(np.ascontiguousarray(part, column.dtype)):
                hasher.update(piece)
                yield piece
                at += len(piece)
    yield hasher.digest()


def _pieces(array: Array) -> Iterator[memoryview]:
    octets = array.reshape(-1).view(np.uint8).data
    for first in range(0, len(octets), PIECE_BYTES):
        yield octets[first : first + PIECE_BYTES]


def mapped(data: memoryview) -> tuple[dict[str, Any], dict[str, Array]]:
    """The head, and each column where it lies in `data`, which is a whole file, mapped or not. The head is checked, of the
    columns only that they are there: `check` is for the rest. Raises SnapshotRefused."""
    at = 0

    def read_into(buffer: memoryview) -> int:
        nonlocal at
        taken = data[at : at + len(buffer)]
        buffer[: len(taken)] = taken
        at += len(taken)
        return len(taken)

    reader = Reader(read_into, len(data))
    head = reader.head()
    columns: dict[str, Array] = {}
    for name, dtype, shape, start in reader.places(head):
        count = int(np.prod(shape, dtype=object))
        columns[name] = np.frombuffer(data, dtype, count, start).reshape(shape)
    return head, columns


def check(data: memoryview) -> None:
    """That these are the bytes that were written, on one core: others are answered beside it. Raises SnapshotDamaged."""
    if blake3(data[:-HASH_BYTES]).digest() != data[-HASH_BYTES:]:
        raise SnapshotDamaged("it is damaged: its bytes have another hash than they were written with")


class Reader:
    """Reads a snapshot from its beginning: `head` first, then `columns`. size: of the whole, in bytes.

    in_place: how large columns are had without a copy. is_whole: somebody has read these very bytes just now, and their hash
    was right; the head's is looked at all the same.
    """

    def __init__(
        self, read_into: ReadInto, size: int, in_place: InPlace | None = None, *, is_whole: bool = False
    ) -> None:
        self._read_into = read_into
        self._size = size
        self._in_place = in_place
        self._is_whole = is_whole
        self._at = 0
        self._hashes = True
        self._hasher = blake3(max_threads=blake3.AUTO)

    def head(self) -> dict[str, Any]:
        """What the snapshot says of itself. Raises SnapshotRefused, OSError."""
        magic, version, length = _START.unpack(self._take(_START.size))
        if magic != MAGIC:
            raise SnapshotDamaged("it is damaged, or no snapshot: it does not begin like one")
        if version != FORMAT:
            raise SnapshotRefused(f"it has format version {version}, and this version of fanfold reads {FORMAT} alone")
        if length > HEAD_BYTES_MAX:
            raise SnapshotDamaged("it is damaged: its head is longer than any")
        text = self._take(length)
        wanted = self._hasher.digest()
        if self._take(HASH_BYTES) != wanted:
            raise SnapshotDamaged("it is damaged: its head has another hash than it was written with")
        self._hashes = not self._is_whole
        head: dict[str, Any] = json.loads(text)
        return head

    def columns(self, head: Mapping[str, Any], room: Callable[[str, np.dtype[Any], tuple[int, ...]], Array]) -> None:
        """Read every column into the array that `room` has for it: name, dtype, shape. Raises SnapshotRefused, OSError."""
        for name, dtype, shape, start in self.places(head):
            self._take(start - self._at)
            array = room(name, dtype, shape)
            if array.shape != shape or array.dtype != dtype or not array.flags.c_contiguous:
                raise SnapshotRefused(f"its column {name!r} has another form than this version of fanfold gives it")
            if self._at == start:  # else it is there already
                for piece in _pieces(array):
                    self._fill(piece)
        wanted = self._hasher.digest()
        if self._take(HASH_BYTES) != wanted and self._hashes:
            raise SnapshotDamaged("it is damaged: its bytes have another hash than they were written with")

    def in_place(self, dtype: np.dtype[Any], shape: tuple[int, ...], rows: int) -> Array | None:
        """For `room`: the column that is asked for where it lies, as the first of so many rows in memory of one's own; None where
        it is to be copied. Raises MemoryError, SnapshotDamaged, OSError."""
        row_bytes = dtype.itemsize * int(np.prod(shape[1:], dtype=object))
        length = row_bytes * shape[0]
        if self._in_place is None or length < IN_PLACE_BYTES:
            return None
        octets = self._in_place(self._at, length, row_bytes * rows)
        if octets is None:
            return None
        # Read all the same: what a disk cannot read is an error here, and would end the process where it is looked at first.
        passed = memoryview(bytearray(min(length, PIECE_BYTES)))
        end = self._at + length
        while self._at < end:
            self._fill(passed[: end - self._at])
        return octets.view(dtype).reshape(rows, *shape[1:])

    def places(self, head: Mapping[str, Any]) -> list[tuple[str, np.dtype[Any], tuple[int, ...], int]]:
        """Name, dtype, shape and first byte of every column, once the head is read. Raises SnapshotDamaged."""
        places, end = [], self._at
        for name, dtype, shape in head["columns"]:
            start = end + -end % ALIGNED
            places.append((name, np.dtype(dtype), tuple(shape), start))
            end = start + np.dtype(dtype).itemsize * int(np.prod(shape, dtype=object))
        if end + HASH_BYTES != self._size:
            raise SnapshotDamaged(f"it is damaged: it has {self._size} bytes instead of {end + HASH_BYTES}")
        return places

    def _take(self, count: int) -> bytes:
        taken = bytearray(count)
        self._fill(memoryview(taken))
        return bytes(taken)

    def _fill(self, buffer: memoryview) -> None:
        filled = 0
        while filled < len(buffer):
            more = self._read_into(buffer[filled:])
            if not more:
                raise SnapshotDamaged("it is damaged: it ends in the middle")
            filled += more
        self._hash(buffer)
        self._at += filled

    def _hash(self, octets: memoryview) -> None:
        if self._hashes:
            self._hasher.update(octets)
