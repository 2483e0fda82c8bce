"""The sections of blocks of format versions 1 and 2, which are read for ever: Arrow record batches without their schema.

The version names the columns, and one width code a column says how narrow its integers are stored. Little endian, each part
padded with zeros to 8 bytes:
    u8 section, u8 columns, u16 zero, u32 message length | u8 width code per column | Arrow IPC message
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa

from write_side.contract.block.columns import SECTIONS, Column, ColumnType, Section, SectionMalformed, empty_columns

_UNSIGNED_TYPES: Final = (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
_SIGNED_TYPES: Final = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
_ID_TYPE: Final = pa.binary(16)
_HEAD: Final = struct.Struct("<BBHI")


def _padding(size: int) -> int:
    return -size % 8


def _arrow_type(column: Column, code: int) -> pa.DataType:
    if column.kind is ColumnType.TEXT:
        return pa.utf8()
    if column.kind is ColumnType.ID:
        return _ID_TYPE
    return (_UNSIGNED_TYPES if column.kind is ColumnType.UNSIGNED else _SIGNED_TYPES)[code]


@lru_cache(maxsize=1024)
def _schema(number: int, codes: bytes) -> pa.Schema:
    """The schema of a section's batch by its width codes, which repeat from block to block. Raises SectionMalformed."""
    columns = list(zip(SECTIONS[number - 1].columns, codes, strict=True))
    if any(1 << code > (1 if column.dtype is None else np.dtype(column.dtype).itemsize) for column, code in columns):
        raise SectionMalformed("a width code is unknown or too wide")
    return pa.schema([(column.name, _arrow_type(column, code)) for column, code in columns])


def _column_values(column: Column, array: pa.Array) -> Any:
    if column.kind is ColumnType.TEXT:
        return array.to_pylist()
    if column.kind is ColumnType.ID:
        raw = np.frombuffer(array.buffers()[1], np.uint8)
        return raw[: len(array) * 16].reshape(-1, 16)
    stored = array.to_numpy(zero_copy_only=True)
    if stored.dtype == np.uint64 and int(stored.max()) >= 2**63:
        raise SectionMalformed("a value is out of range")
    # Always a copy: for a read-only or unaligned array numba would compile its loops once more, in the middle of the traffic.
    return stored.astype(column.dtype)


def decode_arrow_sections(body: memoryview, sections_max: int) -> dict[str, dict[str, Any]]:
    """Every section of a body by name; those left out are empty. Raises SectionMalformed."""
    found = {section.name: empty_columns(section) for section in SECTIONS}
    at, last = 0, 0
    while at < len(body):
        if len(body) - at < _HEAD.size:
            raise SectionMalformed("a section's head is cut")
        number, columns, zero, size = _HEAD.unpack_from(body, at)
        if not last < number <= sections_max or zero:
            raise SectionMalformed("a section is unknown, out of order or there twice")
        section = SECTIONS[number - 1]
        codes_at = at + _HEAD.size
        message_at = codes_at + columns + _padding(columns)
        end = message_at + size + _padding(size)
        if columns != len(section.columns) or end > len(body):
            raise SectionMalformed("a section is longer than the body")
        found[section.name] = _decode_batch(
            section, bytes(body[codes_at : codes_at + columns]), body[message_at : message_at + size]
        )
        at, last = end, number
    return found


def _decode_batch(section: Section, codes: bytes, message: memoryview) -> dict[str, Any]:
    schema = _schema(section.number, codes)
    try:
        batch = pa.ipc.read_record_batch(pa.py_buffer(message), schema)
        batch.validate(full=True)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise SectionMalformed(f"Arrow cannot read the {section.name} batch") from error
    if batch.num_rows == 0 or any(array.null_count for array in batch.columns):
        raise SectionMalformed(f"the {section.name} batch is empty or has nulls")
    return {
        column.name: _column_values(column, array) for column, array in zip(section.columns, batch.columns, strict=True)
    }
