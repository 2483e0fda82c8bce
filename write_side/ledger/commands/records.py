"""A record of the command queue as bytes: Arrow IPC streams of one batch each, one behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.contract.block.limits import ROWS_MAX


class BatchMalformed(ValueError):
    """The bytes of a record are not a batch that a service of this version made."""


class Stream(NamedTuple):
    """The custom metadata of a stream's schema, and its one batch."""

    metadata: dict[bytes, bytes]
    batch: pa.RecordBatch

    def expect(self, schema: pa.Schema, *, empty: bool = False) -> None:
        """Raises BatchMalformed when it has other columns or another number of rows than a record can have."""
        if not self.batch.schema.equals(schema):
            raise BatchMalformed("another schema")
        if not (empty or 0 < self.batch.num_rows <= ROWS_MAX):
            raise BatchMalformed("no rows, or too many")


def write_streams(parts: Sequence[tuple[pa.Schema, Sequence[pa.Array]]]) -> bytes:
    """The bytes of a record: one stream a part."""
    sink = pa.BufferOutputStream()
    for schema, arrays in parts:
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays(list(arrays), schema=schema))
    return bytes(sink.getvalue())


def read_mark(data: bytes | memoryview) -> bytes:
    """What sort of record this is: the entry `fanfold` of its first schema. Raises BatchMalformed."""
    try:
        with pa.ipc.open_stream(pa.py_buffer(data)) as reader:
            mark: bytes = (reader.schema.metadata or {}).get(b"fanfold", b"")
            return mark
    except (pa.ArrowException, OSError, EOFError, ValueError) as error:
        raise BatchMalformed("not an Arrow stream") from error


def read_streams(data: bytes | memoryview, streams_max: int) -> list[Stream]:
    """The inverse of `write_streams`; nothing is null. Raises BatchMalformed."""
    source = pa.BufferReader(pa.py_buffer(data))
    found: list[Stream] = []
    try:
        while source.tell() < source.size() and len(found) <= streams_max:
            with pa.ipc.open_stream(source) as reader:
                batch = reader.read_next_batch()
                batch.validate(full=True)
                if next(iter(reader), None) is not None:
                    raise BatchMalformed("a stream has more than one batch")
                if any(column.null_count for column in batch.columns):
                    raise BatchMalformed("a value is null")
                found.append(Stream(reader.schema.metadata or {}, batch))
    except (pa.ArrowException, OSError, EOFError, StopIteration, ValueError) as error:
        # A ValueError of Python's own, too: pyarrow decodes the names of columns only when they are looked at.
        raise BatchMalformed("not Arrow streams of one batch each") from error
    if not 0 < len(found) <= streams_max:
        raise BatchMalformed("another number of streams")
    return found


def numbers_of(column: pa.Array) -> npt.NDArray[np.int64]:
    """A copy: for read-only arrays numba would compile the decision once more, in the middle of the traffic."""
    return np.array(column.to_numpy())


def id_array(ids: npt.NDArray[np.uint8]) -> pa.Array:
    """uint8[n, 16] as a column."""
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(ids), [None, pa.py_buffer(np.ascontiguousarray(ids))]
    )


def id_bytes(column: pa.Array) -> npt.NDArray[np.uint8]:
    """The inverse of `id_array`, a copy."""
    if len(column) == 0:
        return np.empty((0, 16), np.uint8)
    raw = np.frombuffer(column.buffers()[1], np.uint8)
    return np.array(raw[column.offset * 16 : (column.offset + len(column)) * 16].reshape(-1, 16))


def legs_bounds(sizes: npt.NDArray[np.int64], legs: int, legs_max: int) -> npt.NDArray[np.int64]:
    """Where each row's legs begin and the last's end, int64[n + 1]. Raises BatchMalformed when they are not `legs` in all."""
    if sizes.min() < 0 or sizes.max() > legs_max or sizes.sum() != legs:
        raise BatchMalformed("the legs are not those of their rows")
    return np.concatenate(([0], np.cumsum(sizes)))
