"""What an outcome brings along in a section of its block, read where the block lies, without decoding the rest of it.

A page of a statement asks this of a thousand outcomes, in blocks of thousands of them. Sections lie one behind the other, so
where each begins is found by passing over those before it by their lengths: some dozens of steps, however many rows they have
(`sections.py`, FORMAT.md). The block was decoded whole and checked before it came here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from write_side.contract.block.block import HEADER_BYTES, PLAIN_COLUMNS_SINCE, decode
from write_side.contract.block.columns import SECTIONS, ColumnType, Section
from write_side.contract.block.sections import CONSTANT, HEAD, ID_BYTES

_VERSION: Final = slice(8, 10)
"""The format of a block, behind its magic."""
_KINDS: Final = [tuple(column.kind for column in section.columns) for section in SECTIONS]
_PLACES: Final = [{column.name: at for at, column in enumerate(section.columns)} for section in SECTIONS]


class BlockRows:
    """One block. Sections are asked for whose first column names outcomes."""

    def __init__(self, block: memoryview) -> None:
        self._block = block
        self._is_plain = int.from_bytes(block[_VERSION], "little") >= PLAIN_COLUMNS_SINCE
        self._sections = _sections(block) if self._is_plain else {}

    def of(self, section: Section, outcome: int, names: Sequence[str]) -> list[tuple[Any, ...]]:
        """The columns of these names, of each row that outcome number `outcome` brings along; numbers are ints, texts str, ids 16
        bytes."""
        if not self._is_plain:
            return self._decoded(section, outcome, names)
        found = self._sections.get(section.number)
        if found is None:
            return []
        rows, columns = found
        first, end = self._range(*columns[0], rows, outcome)
        places, kinds = _PLACES[section.number - 1], _KINDS[section.number - 1]
        wanted = [(kinds[place], *columns[place]) for place in map(places.__getitem__, names)]
        return [tuple(self._value(*column, rows, row) for column in wanted) for row in range(first, end)]

    def _range(self, at: int, code: int, rows: int, outcome: int) -> tuple[int, int]:
        """The rows of this outcome: a column that never falls."""
        width = 1 << (code & 3)
        if code & CONSTANT:
            is_it = int.from_bytes(self._block[at : at + width], "little") == outcome
            return 0, rows if is_it else 0
        column = np.frombuffer(self._block, f"<u{width}", rows, at)
        first, end = column.searchsorted(np.array((outcome, outcome + 1), np.uint64)).tolist()
        return first, end

    def _value(self, kind: ColumnType, at: int, code: int, rows: int, row: int) -> Any:
        block = self._block
        if kind is ColumnType.ID:
            return bytes(block[at + row * ID_BYTES : at + (row + 1) * ID_BYTES])
        width = 1 << (code & 3)
        stored, row = (1, 0) if code & CONSTANT else (rows, row)
        place = at + width * row
        number = int.from_bytes(block[place : place + width], "little", signed=kind is ColumnType.SIGNED)
        if kind is not ColumnType.TEXT:
            return number
        texts = at + width * stored
        begin = int.from_bytes(block[place - width : place], "little") if row else 0
        return str(block[texts + begin : texts + number], "utf-8")

    def _decoded(self, section: Section, outcome: int, names: Sequence[str]) -> list[tuple[Any, ...]]:
        """The same of a block of before columns were written one behind the other."""
        columns = getattr(decode(self._block), section.name)
        told = columns[section.columns[0].name]
        first, end = np.searchsorted(told, np.array((outcome, outcome + 1))).tolist() if len(told) else (0, 0)
        found = [[_plain(columns[name][row]) for row in range(first, end)] for name in names]
        return [*zip(*found, strict=True)]


def _sections(block: memoryview) -> dict[int, tuple[int, list[tuple[int, int]]]]:
    """By the number of a section how many rows it has, and where each of its columns begins, with its code."""
    found = {}
    at, end = HEADER_BYTES, len(block)
    while at < end:
        number, count, rows = HEAD.unpack_from(block, at)
        codes = block[at + HEAD.size : at + HEAD.size + count]
        at += HEAD.size + count
        columns = []
        for kind, code in zip(_KINDS[number - 1], codes, strict=True):
            columns.append((at, code))
            if kind is ColumnType.ID:
                at += rows * ID_BYTES
                continue
            width = 1 << (code & 3)
            at += width if code & CONSTANT else width * rows
            if kind is ColumnType.TEXT:
                at += int.from_bytes(block[at - width : at], "little")
        found[number] = rows, columns
    return found


def _plain(value: Any) -> Any:
    """As a value of Python."""
    if isinstance(value, np.ndarray):
        return value.tobytes()
    return value.item() if isinstance(value, np.generic) else str(value)
