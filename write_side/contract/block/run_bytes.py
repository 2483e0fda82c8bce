"""The bytes of blocks of formats 3 and 4, passed over in compiled loops: where frames, sections and columns lie, what is in them.

Nothing is trusted: no length, width or end of a text is used before it was compared with where the block ends. `run.py` says
what is made of it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from write_side.contract.block.block import FORMAT_VERSION_MAX, HASH_BYTES, HEADER_BYTES, MAGIC, PLAIN_COLUMNS_SINCE
from write_side.contract.block.columns import (
    ACCOUNTS,
    ASKERS,
    ENTRIES,
    SECTIONS,
    SECTIONS_OF_VERSION,
    Column,
    ColumnType,
)
from write_side.contract.block.limits import BODY_BYTES_MAX, PARTITIONS_MAX, SECTION_ROWS_MAX
from write_side.contract.block.run_texts import are_askers, are_names, is_utf8, unsigned
from write_side.contract.block.sections import CONSTANT, HEAD, ID_BYTES
from write_side.contract.compiled.compiled import njit, njit_inlined

Int64s = npt.NDArray[np.int64]

HASH_AT: Final = HEADER_BYTES - HASH_BYTES
_MAGIC: Final = np.int64(int.from_bytes(MAGIC, "little"))
_PLAIN_SINCE: Final = PLAIN_COLUMNS_SINCE
_VERSION_MAX: Final = FORMAT_VERSION_MAX
_LAST_SECTION: Final = np.array([SECTIONS_OF_VERSION.get(version, 0) for version in range(_VERSION_MAX + 1)], np.int64)
"""By version the last section that a block may have."""
_HEAD_BYTES: Final = HEAD.size
NUMBERS: Final = len(SECTIONS) + 1
_ACCOUNTS: Final = ACCOUNTS.number
_ENTRIES: Final = ENTRIES.number
_ASKERS: Final = ASKERS.number
_UNSIGNED, _SIGNED, _TEXT, _ID = 1, 2, 3, 4
_KIND: Final = {ColumnType.UNSIGNED: _UNSIGNED, ColumnType.SIGNED: _SIGNED, ColumnType.TEXT: _TEXT, ColumnType.ID: _ID}
_HOW_MANY, _KIND_AT, _WIDEST_AT = range(3)
"""Of `COLUMNS`; the last two every other word."""
BEGINS, ENDS = range(2)
"""Of where a text lies."""


def _widest(column: Column) -> int:
    """The largest width code that the column may have."""
    if column.kind is ColumnType.ID:
        return -1
    return 2 if column.dtype is None else np.dtype(column.dtype).itemsize.bit_length() - 1


def _table() -> Int64s:
    """int64[sections + 1, _KIND_AT + 2 * most columns]: how many columns a section has, then kind and widest code of each."""
    table = np.zeros((NUMBERS, _KIND_AT + 2 * max(len(section.columns) for section in SECTIONS)), np.int64)
    for section in SECTIONS:
        table[section.number, _HOW_MANY] = len(section.columns)
        for at, column in enumerate(section.columns):
            table[section.number, _KIND_AT + 2 * at] = _KIND[column.kind]
            table[section.number, _WIDEST_AT + 2 * at] = _widest(column)
    return table


COLUMNS: Final = _table()
SEQUENCE, CONSUMED_TO, CREATED_AT_US, HEADER_WORDS = 0, 1, 2, 3
"""What `read_headers` reads of each."""


@njit_inlined
def _word(data, at):  # type: ignore[no-untyped-def]
    return unsigned(data, at, 8)


@njit(cache=True, nogil=True)
def find_frames(data, starts):  # type: ignore[no-untyped-def]
    at = n = 0
    while at + HEADER_BYTES <= data.size:
        version, partitions, partition, forgets = (
            unsigned(data, at + 8, 2), unsigned(data, at + 10, 2), unsigned(data, at + 12, 2), unsigned(data, at + 14, 2),
        )  # fmt: skip
        body = _word(data, at + 104)
        if _word(data, at) != _MAGIC or not 1 <= version <= _VERSION_MAX or not 0 <= body <= BODY_BYTES_MAX:
            break
        if forgets > 1 or (partitions and not partition < partitions <= PARTITIONS_MAX):
            break
        at += HEADER_BYTES + body
        if at > data.size:
            break
        n += 1
        starts[n] = at
    return n + 1


@njit(cache=True, nogil=True)
def _section_end(data, at, end, number, rows, columns):  # type: ignore[no-untyped-def]
    """Behind a section whose codes begin at `at`, its columns looked at; -1 when it is none."""
    place = at + columns[number, _HOW_MANY]
    for column in range(columns[number, _HOW_MANY]):
        if place > end:
            return np.int64(-1)
        kind, widest, code = (
            columns[number, _KIND_AT + 2 * column],
            columns[number, _WIDEST_AT + 2 * column],
            np.int64(data[at + column]),
        )
        if kind == _ID:
            if code != 0:
                return np.int64(-1)
            place += ID_BYTES * rows
            continue
        if code > 7 or (code & 3) > widest:
            return np.int64(-1)
        width, stored = np.int64(1) << (code & 3), np.int64(1) if code & CONSTANT else rows
        if place + stored * width > end:
            return np.int64(-1)
        if kind == _TEXT:
            last, texts = np.int64(0), place + stored * width
            for row in range(stored):
                ends = unsigned(data, place + row * width, width)
                if ends < last or texts + ends > end or not is_utf8(data, texts + last, texts + ends):
                    return np.int64(-1)
                last = ends
            place += last
        place += stored * width
    return place if place <= end else np.int64(-1)


@njit(cache=True, nogil=True)
def _read_texts(data, at, code, rows, places):  # type: ignore[no-untyped-def]
    """Write where each text of a column begins and ends, int64[rows, 2]; behind the column."""
    width, stored = np.int64(1) << (code & 3), np.int64(1) if code & CONSTANT else rows
    start, texts = np.int64(0), at + stored * width
    for row in range(stored):
        end = unsigned(data, at + row * width, width)
        places[row, BEGINS], places[row, ENDS] = texts + start, texts + end
        start = end
    for row in range(stored, rows):
        places[row, :] = places[0, :]
    return texts + start


@njit(cache=True, nogil=True)
def scan(data, starts, columns, follows, entries_max, sections, rows):  # type: ignore[no-untyped-def]
    """How many blocks from the first on are plain and follow each other, hashes of long ones apart.

    data: uint8[...]; block i from starts[i] to starts[i + 1]. follows: `Follows`.
    sections, rows: int64[n, sections + 1], written: where a section's codes begin, 0 for none, and its rows.
    """
    sequence, consumed_to, created_at_us = follows.sequence, follows.consumed_to, follows.created_at_us
    entries = 0
    for i in range(starts.size - 1):
        start, end = starts[i], starts[i + 1]
        sections[i, :], rows[i, :] = 0, 0
        if entries >= entries_max or end - start < HEADER_BYTES:
            return i
        version = unsigned(data, start + 8, 2)
        if _word(data, start) != _MAGIC or version < _PLAIN_SINCE or version > _VERSION_MAX:
            return i
        if unsigned(data, start + 10, 2) != follows.partitions or unsigned(data, start + 12, 4) != follows.partition:
            return i
        if _word(data, start + 16) != follows.epoch or _word(data, start + 24) != sequence + 1:
            return i
        for k in range(HASH_BYTES):
            if data[start + 32 + k] != (follows.block_hash[k] if i == 0 else data[starts[i - 1] + HASH_AT + k]):
                return i
        if _word(data, start + 64) < consumed_to or _word(data, start + 72) <= created_at_us:
            return i
        if _word(data, start + 80) != follows.refuse_ids_before_us or _word(data, start + 72) >= follows.forgets_at_us:
            return i
        if _word(data, start + 104) != end - start - HEADER_BYTES or end - start - HEADER_BYTES > BODY_BYTES_MAX:
            return i
        at, last = start + HEADER_BYTES, np.int64(0)
        while at < end:
            if at + _HEAD_BYTES > end:
                return i
            number, count = np.int64(data[at]), unsigned(data, at + 2, 4)
            if number <= last or number > _LAST_SECTION[version] or columns[number, _HOW_MANY] == 0:
                return i
            if data[at + 1] != columns[number, _HOW_MANY] or count < 1 or count > SECTION_ROWS_MAX:
                return i
            if at + _HEAD_BYTES + columns[number, _HOW_MANY] > end:
                return i
            sections[i, number], rows[i, number] = at + _HEAD_BYTES, count
            at = _section_end(data, at + _HEAD_BYTES, end, number, count, columns)
            if at < 0:
                return i
            last = number
        if rows[i, _ACCOUNTS] and not are_names(data, sections[i, _ACCOUNTS], rows[i, _ACCOUNTS]):
            return i
        if rows[i, _ASKERS] and not are_askers(data, sections[i, _ASKERS], rows[i, _ASKERS]):
            return i
        entries += rows[i, _ENTRIES] + rows[i, _ACCOUNTS]
        sequence, consumed_to, created_at_us = sequence + 1, _word(data, start + 64), _word(data, start + 72)
    return starts.size - 1


@njit(cache=True, nogil=True)
def _read_column(data, at, kind, code, rows, out):  # type: ignore[no-untyped-def]
    """Write a column of numbers into `out`; behind it, or -1 when a number is out of range."""
    width, step = np.int64(1) << (code & 3), np.int64(0) if code & CONSTANT else np.int64(1) << (code & 3)
    if width == 1:
        for row in range(rows):
            out[row] = np.int64(data[at + row * step])
    elif width == 2:
        for row in range(rows):
            out[row] = unsigned(data, at + row * step, 2)
    elif width == 4:
        for row in range(rows):
            out[row] = unsigned(data, at + row * step, 4)
    else:
        for row in range(rows):
            out[row] = unsigned(data, at + row * step, 8)
    if kind == _SIGNED and width < 8:
        shift = np.int64(64 - 8 * width)
        for row in range(rows):
            out[row] = (out[row] << shift) >> shift
    elif kind == _UNSIGNED and width == 8:
        for row in range(rows):
            if out[row] < 0:
                return np.int64(-1)
    return at + (width if code & CONSTANT else rows * width)


@njit(cache=True, nogil=True)
def read_section(data, sections, rows, number, columns, ids, out, places):  # type: ignore[no-untyped-def]
    """Write a section of n blocks into `out`, `ids` and `places` (see `Rows`); False when a number is out of range."""
    first = 0
    for i in range(sections.shape[0]):
        count, codes = rows[i, number], sections[i, number]
        if count == 0:
            continue
        end, at, written, text = first + count, codes + columns[number, _HOW_MANY], 0, 0
        for column in range(columns[number, _HOW_MANY]):
            kind, code = columns[number, _KIND_AT + 2 * column], np.int64(data[codes + column])
            if kind == _ID:
                for row in range(count):
                    ids[first + row, 0] = np.uint64(_word(data, at + ID_BYTES * row))
                    ids[first + row, 1] = np.uint64(_word(data, at + ID_BYTES * row + 8))
                at += ID_BYTES * count
            elif kind == _TEXT:
                at = _read_texts(data, at, code, count, places[text, first:end])
                text += 1
            else:
                at = _read_column(data, at, kind, code, count, out[written, first:end])
                if at < 0:
                    return False
                written += 1
        first = end
    return True


@njit(cache=True, nogil=True)
def read_headers(data, starts, headers, digests, hashes):  # type: ignore[no-untyped-def]
    for i in range(headers.shape[0]):
        start = starts[i]
        headers[i, SEQUENCE] = _word(data, start + 24)
        headers[i, CONSUMED_TO] = _word(data, start + 64)
        headers[i, CREATED_AT_US] = _word(data, start + 72)
        digests[i, 0] = np.uint64(_word(data, start + 88))
        digests[i, 1] = np.uint64(_word(data, start + 96))
        for k in range(HASH_BYTES):
            hashes[i, k] = data[start + HASH_AT + k]
