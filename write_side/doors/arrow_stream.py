"""An Arrow IPC stream from outside: read without ever taking much more memory than its bytes.

Compressed buffers are refused before they are opened: a few kilobytes can say that they are gigabytes. So are texts behind a
dictionary that are longer than any text asked for: each row would get a copy.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from fanfold.api.malformed import Malformed

_U16: Final = struct.Struct("<H")
_I32: Final = struct.Struct("<i")
_U32: Final = struct.Struct("<I")


def is_text(kind: pa.DataType) -> bool:
    """utf8, large_utf8, or a dictionary of them."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def read_columns(body: bytes, fields: Mapping[str, tuple[pa.DataType, ...]], rows_max: int) -> pa.Table:
    """The one stream of a body, with exactly these columns, of one of the types beside each or text where utf8 is one of them.

    Raises Malformed.
    """
    _refuse_compressed(body)
    source = pa.BufferReader(pa.py_buffer(body))
    try:
        with pa.ipc.open_stream(source) as reader:
            _check_schema(reader.schema, fields)
            batches, rows = [], 0
            for batch in reader:
                rows += batch.num_rows
                if rows > rows_max:
                    raise Malformed("body_too_large", "body", f"must not have more than {rows_max} rows")
                batch.validate(full=True)
                if batch.num_rows:
                    batches.append(batch)
            table = pa.Table.from_batches(batches, reader.schema)
    except Malformed:
        raise
    except (pa.ArrowException, OSError, EOFError, ValueError):
        raise _no_stream() from None
    if source.tell() < source.size():
        raise _no_stream()
    return table


def text_column(column: pa.ChunkedArray, bytes_max: int) -> pa.Array:
    """As utf8 without a dictionary; a text of one that is longer than `bytes_max` has become empty."""
    chunks = []
    for chunk in column.chunks:
        if pa.types.is_dictionary(chunk.type):
            words = chunk.dictionary
            short = pc.if_else(pc.less_equal(pc.binary_length(words), bytes_max), words, "")
            chunk = short.take(chunk.indices)
        chunks.append(chunk.cast(pa.utf8()))
    return pa.concat_arrays(chunks)


def _check_schema(schema: pa.Schema, fields: Mapping[str, tuple[pa.DataType, ...]]) -> None:
    known = ", ".join(fields)
    for name in fields:
        if name not in schema.names:
            raise Malformed("field_missing", name, f"is needed; the columns are {known}")
    if len(schema.names) > len(fields):
        raise Malformed("field_unknown", "body", f"has a column that is unknown or there twice; known here: {known}")
    for name, kinds in fields.items():
        kind = schema.field(name).type
        if kind not in kinds and not (pa.utf8() in kinds and is_text(kind)):
            raise Malformed("body_malformed", name, f"must be a column of {' or '.join(map(str, kinds))}")


def _refuse_compressed(body: bytes) -> None:
    try:
        for message in pa.ipc.MessageReader.open_stream(pa.py_buffer(body)):
            if message.type != "schema" and _is_compressed(message.metadata.to_pybytes(), message.type):
                raise Malformed("body_malformed", "body", "must not have compressed buffers")
    except Malformed:
        raise
    except (pa.ArrowException, OSError, EOFError, ValueError, struct.error):
        raise _no_stream() from None


def _is_compressed(metadata: bytes, kind: str) -> bool:
    """Whether the flatbuffer of a message (Arrow's format/Message.fbs) has `Message.header.compression`."""
    batch = _table(metadata, _table(metadata, 0), 2)
    if kind == "dictionary":
        batch = _table(metadata, batch, 1)
    return _offset(metadata, batch, 3) > 0


def _table(data: bytes, table: int, field: int | None = None) -> int:
    """Where the table begins that a field of a table refers to; of the first four bytes the root's."""
    at = table if field is None else table + _offset(data, table, field)
    return at + int(_U32.unpack_from(data, at)[0])


def _offset(data: bytes, table: int, field: int) -> int:
    """Where a field lies behind the begin of its table, 0 when it has its default."""
    fields = table - int(_I32.unpack_from(data, table)[0])
    at = 4 + 2 * field
    return int(_U16.unpack_from(data, fields + at)[0]) if at < _U16.unpack_from(data, fields)[0] else 0


def _no_stream() -> Malformed:
    return Malformed("body_malformed", "body", "must be one Arrow IPC stream")
