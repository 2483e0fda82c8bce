"""The columns of a block's body, and how a batch of columns becomes bytes and comes back.

A section is an Arrow record batch without its schema: the format version names the columns, and one width code a column
says how narrow its integers are stored (the narrowest type that holds every value of the column).  In memory every column
has the one dtype given here.

Bytes of a section, little endian, each part padded with zeros to 8 bytes:
    u8 section, u8 columns, u16 zero, u32 message length | u8 width code per column | Arrow IPC message
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import Enum
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Columns = Mapping[str, Any]
"""Column name to numpy array (integers, ids as uint8[n, 16]) or list of str (text)."""


class ColumnType(Enum):
    """UNSIGNED and SIGNED integers are narrowed; TEXT is UTF-8; ID is 16 raw bytes."""

    UNSIGNED = "unsigned"
    SIGNED = "signed"
    TEXT = "text"
    ID = "id"


class Column(NamedTuple):
    name: str
    kind: ColumnType
    dtype: type[np.generic] | None = None
    """The dtype in memory; None for text and ids."""


class Section(NamedTuple):
    """One of a block's batches: its number in the bytes and its columns, in order."""

    number: int
    name: str
    columns: tuple[Column, ...]


_U, _S, _T, _I = ColumnType.UNSIGNED, ColumnType.SIGNED, ColumnType.TEXT, ColumnType.ID

ACCOUNTS: Final = Section(
    1,
    "accounts",
    (
        Column("number", _U, np.int64),  # dense per partition, given at opening
        Column("id", _T),
        Column("asset", _T),
        Column("owner", _T),  # "" for none
        Column("floor", _S, np.int64),  # NO_FLOOR for none
        Column("flags", _U, np.int64),
    ),
)
OUTCOMES: Final = Section(
    2,
    "outcomes",
    (
        Column("id", _I),  # the transfer id; of an opening, the account key
        Column("kind", _U, np.uint8),
        Column("code", _U, np.uint8),
        Column("back", _U, np.int64),  # consumed_to - offset of the command record, so that it stays narrow
        Column("row", _U, np.int64),  # the command's row in its record
    ),
)
ENTRIES: Final = Section(
    3,
    "entries",
    (
        Column("outcome", _U, np.int64),  # row in outcomes, never falling
        Column("account", _U, np.int64),
        Column("posted", _S, np.int64),  # after
        Column("version", _U, np.int64),  # after
    ),
)
REPEATS: Final = Section(
    4,
    "repeats",
    (
        Column("outcome", _U, np.int64),
        Column("sequence", _U, np.int64),  # where the first outcome is: block
        Column("row", _U, np.int64),  # and row in its outcomes
    ),
)
LEGS: Final = Section(
    5,
    "legs",
    (
        Column("outcome", _U, np.int64),
        Column("account", _T),
        Column("amount", _S, np.int64),
        Column("asset", _T),
        Column("available", _S, np.int64),  # of this account when refused; NOT_TOLD where it does not matter
    ),
)
HELD: Final = Section(
    6,
    "held",
    (
        Column("entry", _U, np.int64),  # row in entries, rising: where the held sum is not zero or moves
        Column("held", _U, np.int64),  # after
    ),
)
FLAGS: Final = Section(
    7,
    "flags",
    (
        Column("entry", _U, np.int64),  # row in entries, rising: only where the flags change
        Column("flags", _U, np.int64),  # after
    ),
)
PENDING: Final = Section(
    8,
    "pending",
    (
        Column("outcome", _U, np.int64),  # row in outcomes, never falling
        Column("id", _I),
        Column("what", _U, np.int64),  # `pending.py`: hold, process, step of a home partition, or reversal
        Column("state", _U, np.int64),  # after; 0: the row is gone
        Column("option", _U, np.int64),
        Column("deadline_us", _U, np.int64),  # 0 for none
        Column("begun", _U, np.int64),  # process and step: sequence of the home partition's block that began it
        Column("low", _U, np.int64),  # process and step: home has no open process begun in a block below
        Column("debits", _U, np.int64),  # process: steps that give, which come first
        Column("steps", _U, np.int64),
        Column("cursor", _S, np.int64),
        Column("mask", _U, np.int64),
        Column("code", _U, np.int64),
        Column("available", _S, np.int64),
        Column("legs", _U, np.int64),  # rows in pending_legs: all legs again, or none when they are as before
    ),
)
PENDING_LEGS: Final = Section(
    9,
    "pending_legs",
    (
        Column("pending", _U, np.int64),  # row in pending, never falling
        Column("key", _I),  # of the account, also of one in another partition
        Column("asset", _S, np.int64),  # hash of the asset, as a signed word
        Column("amount", _S, np.int64),  # of a hold: what is left
        Column("step", _U, np.int64),
        Column("partition", _U, np.int64),
        Column("if_version", _S, np.int64),
        Column("if_available", _S, np.int64),
    ),
)
STEPS: Final = Section(
    10,
    "steps",
    (
        Column("outcome", _U, np.int64),  # of the home partition; its last outcome has all steps of the transfer again
        Column("step", _U, np.int64),
        Column("partition", _U, np.int64),
        Column("action", _U, np.int64),
        Column("code", _U, np.int64),
        Column("sequence", _U, np.int64),  # where the step's own outcome is
        Column("at_us", _U, np.int64),
    ),
)
LINKS: Final = Section(
    11,
    "links",
    (
        Column("outcome", _U, np.int64),
        Column("id", _I),  # the hold that is captured or voided, the transfer that is reversed
    ),
)
DETAILS: Final = Section(
    12,
    "details",
    (
        Column("outcome", _U, np.int64),  # of commands with more to them than two legs
        Column("fingerprint", _I),
        Column("deadline_us", _U, np.int64),
        Column("option", _U, np.int64),
        Column("amount", _S, np.int64),  # capture: what was asked, 0 for everything left
        Column("reference", _T),
        Column("metadata", _T),
    ),
)
CONDITIONS: Final = Section(
    13,
    "conditions",
    (
        Column("leg", _U, np.int64),  # row in legs, rising
        Column("if_version", _S, np.int64),  # -1 for none
        Column("if_available", _S, np.int64),  # NOT_TOLD for none
    ),
)
FLAGS_MASK: Final = np.int64(0xFFFFFFFF)
"""Flags in the low half of their word, this process's asset number in the high half."""

NOT_TOLD: Final = -(2**63)
SECTIONS: Final = (
    ACCOUNTS,
    OUTCOMES,
    ENTRIES,
    REPEATS,
    LEGS,
    HELD,
    FLAGS,
    PENDING,
    PENDING_LEGS,
    STEPS,
    LINKS,
    DETAILS,
    CONDITIONS,
)
SECTIONS_OF_VERSION: Final = {1: 5, 2: len(SECTIONS)}
"""How many of them a block of a format version may have."""

_UNSIGNED_TYPES: Final = (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())
_SIGNED_TYPES: Final = (pa.int8(), pa.int16(), pa.int32(), pa.int64())
_UNSIGNED_MAX: Final = (2**8 - 1, 2**16 - 1, 2**32 - 1)
_SIGNED_MAX: Final = (2**7 - 1, 2**15 - 1, 2**31 - 1)
_ID_TYPE: Final = pa.binary(16)
_HEAD: Final = struct.Struct("<BBHI")


class SectionMalformed(ValueError):
    """Bytes that no encoder of this format wrote."""


def _padding(size: int) -> int:
    return -size % 8


def _width_code(column: Column, values: npt.NDArray[Any]) -> int:
    if column.kind is ColumnType.UNSIGNED:
        assert int(values.min()) >= 0, column.name
        largest = int(values.max())
        return next((code for code, bound in enumerate(_UNSIGNED_MAX) if largest <= bound), 3)
    low, high = int(values.min()), int(values.max())
    return next((code for code, bound in enumerate(_SIGNED_MAX) if -bound - 1 <= low and high <= bound), 3)


def _arrow_type(column: Column, code: int) -> pa.DataType:
    if column.kind is ColumnType.TEXT:
        return pa.utf8()
    if column.kind is ColumnType.ID:
        return _ID_TYPE
    return (_UNSIGNED_TYPES if column.kind is ColumnType.UNSIGNED else _SIGNED_TYPES)[code]


def _arrow_array(column: Column, values: Any, code: int) -> pa.Array:
    if column.kind is ColumnType.TEXT:
        return values if isinstance(values, pa.Array) else pa.array(values, pa.utf8())
    if column.kind is ColumnType.ID:
        return pa.FixedSizeBinaryArray.from_buffers(
            _ID_TYPE, len(values), [None, pa.py_buffer(np.ascontiguousarray(values))]
        )
    dtype = _arrow_type(column, code).to_pandas_dtype()
    return pa.array(np.ascontiguousarray(values, dtype))


def encode_section(section: Section, columns: Columns) -> bytes:
    """The bytes of one batch; b"" when it has no rows."""
    rows = len(columns[section.columns[0].name])
    if rows == 0:
        return b""
    codes, arrays = bytearray(), []
    for column in section.columns:
        values = columns[column.name]
        code = 0 if column.kind in (ColumnType.TEXT, ColumnType.ID) else _width_code(column, values)
        codes.append(code)
        arrays.append(_arrow_array(column, values, code))
    message = pa.RecordBatch.from_arrays(arrays, names=[column.name for column in section.columns]).serialize()
    head = _HEAD.pack(section.number, len(codes), 0, message.size)
    return b"".join(
        (head, bytes(codes), bytes(_padding(len(codes))), memoryview(message), bytes(_padding(message.size)))
    )


@cache
def _blank(number: int) -> dict[str, Any]:
    blank: dict[ColumnType, Any] = {ColumnType.TEXT: [], ColumnType.ID: np.empty((0, 16), np.uint8)}
    return {
        column.name: np.empty(0, column.dtype) if column.dtype is not None else blank[column.kind]
        for column in SECTIONS[number - 1].columns
    }


def empty_columns(section: Section) -> dict[str, Any]:
    """A batch of no rows. Most sections of most blocks are empty, so that making arrays for them would be a third of decoding."""
    return _blank(section.number).copy()


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


def decode_sections(body: memoryview, sections_max: int = len(SECTIONS)) -> dict[str, dict[str, Any]]:
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
