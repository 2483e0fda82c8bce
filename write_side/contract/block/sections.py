"""The sections of a block, as they are written (format version 3): columns one behind the other, each as narrow as it can be.

Little endian, nothing padded:
    section  u8 number | u8 columns | u32 rows | u8 code a column | the columns
    code     bits 0-1: bytes of a number, 1 << code; bit 2: all rows are the same, and one of them is stored
    column   numbers; ids: 16 bytes each; texts: where each ends, as numbers, then their UTF-8
`FORMAT.md` says the same of a whole log, byte by byte.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.contract.block.columns import (
    SECTIONS,
    Column,
    Columns,
    ColumnType,
    Section,
    SectionMalformed,
    empty_columns,
)
from write_side.contract.block.limits import SECTION_ROWS_MAX

HEAD: Final = struct.Struct("<BBI")
CONSTANT: Final = 4
"""The bit of a code that says that one row is stored for all."""
ID_BYTES: Final = 16
_WIDTH: Final = 3
_STORED: Final = {
    ColumnType.UNSIGNED: ("<u1", "<u2", "<u4", "<u8"),
    ColumnType.SIGNED: ("<i1", "<i2", "<i4", "<i8"),
    ColumnType.TEXT: ("<u1", "<u2", "<u4"),
}
_BITS: Final = {ColumnType.UNSIGNED: 8, ColumnType.TEXT: 8, ColumnType.SIGNED: 7}
_CODES: Final = {
    kind: tuple(next(code for code in range(4) if bits <= first + 8 * ((1 << code) - 1)) for bits in range(first + 57))
    for kind, first in _BITS.items()
}
"""Of numbers of so many bits."""
FEW: Final = 4
"""So many numbers are written and read by Python sooner than by numpy: most blocks have a row or two."""


def encode_sections(sections: Mapping[str, Columns]) -> bytes:
    """The bytes of a body; sections that are absent or without rows are left out."""
    return b"".join(
        part for section in SECTIONS if section.name in sections for part in _encoded(section, sections[section.name])
    )


def _encoded(section: Section, columns: Columns) -> Sequence[bytes]:
    rows = len(columns[section.columns[0].name])
    if rows == 0:
        return ()
    if rows > SECTION_ROWS_MAX:
        raise ValueError(f"{rows} rows in a section are over the limit: whoever made them has not kept `limits.py`")
    codes, parts = bytearray(), []
    for column in section.columns:
        values = columns[column.name]
        if column.kind is ColumnType.ID:
            code, data = 0, np.ascontiguousarray(values).tobytes()
        elif column.kind is ColumnType.TEXT:
            code, data = _texts(values)
        else:
            code, data = _numbers(column, values)
        codes.append(code)
        parts.append(data)
    return HEAD.pack(section.number, len(codes), rows), bytes(codes), *parts


def _numbers(column: Column, values: npt.NDArray[Any]) -> tuple[int, bytes]:
    few = values.tolist() if len(values) <= FEW else None
    low, high = (int(values.min()), int(values.max())) if few is None else (min(few), max(few))
    is_signed = column.kind is ColumnType.SIGNED
    assert low >= 0 or is_signed, column.name
    code = _code(column.kind, low, high)
    is_constant = low == high and len(values) > 1
    if few is not None or is_constant:
        width = 1 << code
        stored = b"".join(
            [each.to_bytes(width, "little", signed=is_signed) for each in ([low] if is_constant else few or ())]
        )
    else:
        stored = values.astype(_STORED[column.kind][code]).tobytes()
    return code | (CONSTANT if is_constant else 0), stored


def _code(kind: ColumnType, low: int, high: int) -> int:
    """How many bytes hold these, as a code."""
    bits = max((low if low >= 0 else ~low).bit_length(), (high if high >= 0 else ~high).bit_length())
    return _CODES[kind][bits]


def _texts(values: Any) -> tuple[int, bytes]:
    texts = [text.encode() for text in (values.to_pylist() if isinstance(values, pa.Array) else values)]
    is_constant = len(texts) > 1 and texts.count(texts[0]) == len(texts)
    if is_constant:
        texts = texts[:1]
    ends = np.cumsum([len(text) for text in texts])
    code = _code(ColumnType.TEXT, 0, int(ends[-1]))
    stored = ends.astype(_STORED[ColumnType.TEXT][code]).tobytes() + b"".join(texts)
    return code | (CONSTANT if is_constant else 0), stored


def decode_sections(body: memoryview, sections_max: int = len(SECTIONS)) -> dict[str, dict[str, Any]]:
    """Every section of a body by name; those left out are empty. Raises SectionMalformed."""
    found = {section.name: empty_columns(section) for section in SECTIONS}
    reader, last = _Reader(body), 0
    while reader.at < len(body):
        number, columns, rows = HEAD.unpack(reader.take(HEAD.size))
        if not last < number <= sections_max:
            raise SectionMalformed("a section is unknown, out of order or there twice")
        section, last = SECTIONS[number - 1], number
        if columns != len(section.columns) or not 0 < rows <= SECTION_ROWS_MAX:
            raise SectionMalformed("a section has no rows, too many, or other columns than its own")
        codes = bytes(reader.take(columns))
        found[section.name] = {
            column.name: reader.column(column, code, rows) for column, code in zip(section.columns, codes, strict=True)
        }
    return found


class _Reader:
    """Reads a body from its beginning to its end, and nothing behind it."""

    def __init__(self, body: memoryview) -> None:
        self._body = body
        self.at = 0

    def take(self, size: int) -> memoryview:
        start, self.at = self.at, self.at + size
        if self.at > len(self._body):
            raise SectionMalformed("a section is longer than the body")
        return self._body[start : self.at]

    def column(self, column: Column, code: int, rows: int) -> Any:
        if column.kind is ColumnType.ID:
            if code:
                raise SectionMalformed("ids have no width")
            return np.frombuffer(self.take(rows * ID_BYTES), np.uint8).reshape(-1, ID_BYTES)
        stored, constant = _STORED[column.kind], code & CONSTANT
        widest = len(stored) if column.dtype is None else np.dtype(column.dtype).itemsize.bit_length()
        if code > (_WIDTH | CONSTANT) or code & _WIDTH >= widest:
            raise SectionMalformed("a width code is unknown or too wide")
        if column.kind is not ColumnType.TEXT and (constant or rows == 1):
            return self._same(column, 1 << (code & _WIDTH), rows)
        values = self._numbers(stored[code & _WIDTH], 1 if constant else rows)
        if column.kind is ColumnType.TEXT:
            texts = self._texts(values)
            return texts * rows if constant else texts
        if stored[code & _WIDTH] == "<u8" and int(values.max()) >= 2**63:
            raise SectionMalformed("a value is out of range")
        # Always a copy: for a read-only or unaligned array numba would compile its loops once more, in the middle of the traffic.
        return values.astype(column.dtype)

    def _same(self, column: Column, width: int, rows: int) -> npt.NDArray[Any]:
        """So many rows of the one number that is stored."""
        value = int.from_bytes(self.take(width), "little", signed=column.kind is ColumnType.SIGNED)
        if value >= 2**63:
            raise SectionMalformed("a value is out of range")
        return np.array((value,), column.dtype) if rows == 1 else np.full(rows, value, column.dtype)

    def _numbers(self, dtype: str, rows: int) -> npt.NDArray[Any]:
        return np.frombuffer(self.take(rows * int(dtype[-1])), dtype)

    def _texts(self, ends: npt.NDArray[Any]) -> list[str]:
        bounds = [0, *ends.tolist()]
        if sorted(bounds) != bounds:
            raise SectionMalformed("the ends of texts fall")
        raw = bytes(self.take(bounds[-1]))
        try:
            return [raw[start:end].decode() for start, end in itertools.pairwise(bounds)]
        except UnicodeDecodeError as error:
            raise SectionMalformed("a text is not UTF-8") from error
