"""A run of blocks decoded side by side, without a Python object a block: the columns of all of them behind each other.

Only what most blocks of a wallet are is taken so: *plain* blocks of format 3, each the next of the one before it by the chain
rule, of one epoch, that forget no ids and open no system accounts. What comes behind them whoever reads takes block by block
(`block.decode`, `chain.judge`), which knows what to say of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from write_side.contract.block.block import HEADER_BYTES, MAGIC, PLAIN_COLUMNS_SINCE
from write_side.contract.block.columns import ACCOUNTS, ENTRIES, OUTCOMES, SECTIONS, Column, ColumnType, Section
from write_side.contract.block.limits import ACCOUNT_BYTES_MAX, BODY_BYTES_MAX, PARTITIONS_MAX, SECTION_ROWS_MAX
from write_side.contract.block.sections import CONSTANT, HEAD, ID_BYTES
from write_side.contract.compiled.blake3_lanes import CHUNK_BYTES, hash_chunks
from write_side.contract.compiled.compiled import njit, njit_inlined

Int64s = npt.NDArray[np.int64]

_HASH_AT: Final = HEADER_BYTES - 32
_MAGIC: Final = np.int64(int.from_bytes(MAGIC, "little"))
_VERSION: Final = PLAIN_COLUMNS_SINCE
_HEAD_BYTES: Final = HEAD.size
_NUMBERS: Final = len(SECTIONS) + 1
_ACCOUNTS: Final = ACCOUNTS.number
_ACCOUNT_COLUMNS: Final = len(ACCOUNTS.columns)
_ENTRIES: Final = ENTRIES.number
_UNSIGNED, _SIGNED, _TEXT, _ID = 1, 2, 3, 4
_KIND: Final = {ColumnType.UNSIGNED: _UNSIGNED, ColumnType.SIGNED: _SIGNED, ColumnType.TEXT: _TEXT, ColumnType.ID: _ID}


def _widest(column: Column) -> int:
    """The largest width code that the column may have."""
    if column.kind is ColumnType.ID:
        return -1
    return 2 if column.dtype is None else np.dtype(column.dtype).itemsize.bit_length() - 1


def _table() -> Int64s:
    """int64[sections + 1, 1 + 2 * most columns]: how many columns a section has, then kind and widest code of each."""
    table = np.zeros((_NUMBERS, 1 + 2 * max(len(section.columns) for section in SECTIONS)), np.int64)
    for section in SECTIONS:
        table[section.number, 0] = len(section.columns)
        for at, column in enumerate(section.columns):
            table[section.number, 1 + 2 * at] = _KIND[column.kind]
            table[section.number, 2 + 2 * at] = _widest(column)
    return table


_COLUMNS: Final = _table()
_PLACES: Final = {
    section.number: {
        column.name: at for at, column in enumerate(c for c in section.columns if _KIND[c.kind] <= _SIGNED)
    }
    for section in SECTIONS
}
"""By section, where a column of numbers is among those."""


def place_of(section: Section, column: str) -> int:
    """Which of `Rows.numbers` a column is."""
    return _PLACES[section.number][column]


class Follows(NamedTuple):
    """What a plain block must fit to: the head before it, and what does not change from one to the next."""

    partitions: int
    partition: int
    epoch: int
    sequence: int
    block_hash: bytes
    consumed_to: int
    created_at_us: int
    refuse_ids_before_us: int
    forgets_at_us: int
    """A block of this time or later forgets ids, and is none of these."""


class Rows(NamedTuple):
    """A section of a run: its numbers int64[columns, rows], its ids uint64[rows, 2], and where its texts begin and end in the
    run's data, int64[columns, rows, 2]; each kind of columns in the order of `columns.py`, empty where the section has none."""

    numbers: Int64s
    ids: npt.NDArray[np.uint64]
    texts: Int64s


class PlainRun(NamedTuple):
    """n blocks. headers: int64[n, HEADER_WORDS]; digests: uint64[n, 2]; hashes: uint8[n, 32]; kind and code: uint8[outcomes].

    Rows of block i from `of[section.number][i]` to `[i + 1]`; rows that name rows of another section count from the block's own
    first.
    """

    headers: Int64s
    digests: npt.NDArray[np.uint64]
    hashes: npt.NDArray[np.uint8]
    of: Int64s
    kind: npt.NDArray[np.uint8]
    code: npt.NDArray[np.uint8]
    sections: tuple[Rows, ...]
    data: bytes

    def rows(self, section: Section) -> Rows:
        return self.sections[section.number - 1]

    def numbers(self, section: Section, column: str) -> Int64s:
        """int64[rows], of all blocks."""
        found: Int64s = self.rows(section).numbers[place_of(section, column)]
        return found

    def texts(self, section: Section, column: int) -> list[str]:
        """The texts of a section's n-th column of texts."""
        return [self.data[start:end].decode() for start, end in self.rows(section).texts[column].tolist()]

    def outcomes_of(self, section: Section) -> Int64s:
        """The outcome that each row of a section names, among those of all blocks."""
        first: Int64s = np.repeat(self.of[OUTCOMES.number][:-1], np.diff(self.of[section.number]))
        return self.numbers(section, "outcome") + first

    def first(self, blocks: int) -> PlainRun:
        """The first blocks of these."""
        ends = self.of[:, blocks].tolist()
        rows = tuple(
            Rows(each.numbers[:, : ends[number]], each.ids[: ends[number]], each.texts[:, : ends[number]])
            for number, each in enumerate(self.sections, 1)
        )
        return self._replace(
            headers=self.headers[:blocks], digests=self.digests[:blocks], hashes=self.hashes[:blocks],
            of=self.of[:, : blocks + 1], kind=self.kind[: ends[OUTCOMES.number]], code=self.code[: ends[OUTCOMES.number]],
            sections=rows,
        )  # fmt: skip


SEQUENCE, CONSUMED_TO, CREATED_AT_US, HEADER_WORDS = 0, 1, 2, 3
"""The columns of `PlainRun.headers`."""


@njit_inlined
def _unsigned(data, at, width):  # type: ignore[no-untyped-def]
    value = np.int64(0)
    for i in range(width):
        value |= np.int64(data[at + i]) << np.int64(8 * i)
    return value


@njit_inlined
def _word(data, at):  # type: ignore[no-untyped-def]
    return _unsigned(data, at, 8)


@njit(cache=True, nogil=True)
def _frame_starts(data, starts):  # type: ignore[no-untyped-def]
    at = n = 0
    while at + HEADER_BYTES <= data.size:
        version, partitions, partition = (
            _unsigned(data, at + 8, 2), _unsigned(data, at + 10, 2), _unsigned(data, at + 12, 4),
        )  # fmt: skip
        body = _word(data, at + 104)
        if _word(data, at) != _MAGIC or not 1 <= version <= _VERSION or not 0 <= body <= BODY_BYTES_MAX:
            break
        if partitions and not partition < partitions <= PARTITIONS_MAX:
            break
        at += HEADER_BYTES + body
        if at > data.size:
            break
        n += 1
        starts[n] = at
    return n + 1


def frame_starts(data: bytes) -> Int64s:
    """Where blocks begin that lie one behind the other from the beginning on, and where the last of them ends: up to the first
    that is cut or is none (`block.frame_length`). Nothing but their headers' lengths is looked at."""
    starts = np.zeros(len(data) // HEADER_BYTES + 1, np.int64)
    return starts[: _frame_starts(np.frombuffer(data, np.uint8), starts)]


@njit(cache=True, nogil=True)
def _is_utf8(data, at, end):  # type: ignore[no-untyped-def]
    """RFC 3629, 4: the well-formed byte sequences."""
    while at < end:
        first = data[at]
        if first < 0x80:
            at += 1
            continue
        more = 1 if 0xC2 <= first <= 0xDF else 2 if 0xE0 <= first <= 0xEF else 3 if 0xF0 <= first <= 0xF4 else 0
        if more == 0 or at + more >= end:
            return False
        low = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
        high = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
        if not low <= data[at + 1] <= high:
            return False
        for k in range(2, more + 1):
            if not 0x80 <= data[at + k] <= 0xBF:
                return False
        at += more + 1
    return True


@njit(cache=True, nogil=True)
def _section_end(data, at, end, number, rows, columns):  # type: ignore[no-untyped-def]
    """Behind a section whose codes begin at `at`, its columns looked at; -1 when it is none."""
    place = at + columns[number, 0]
    for column in range(columns[number, 0]):
        if place > end:
            return np.int64(-1)
        kind, widest, code = (
            columns[number, 1 + 2 * column],
            columns[number, 2 + 2 * column],
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
                ends = _unsigned(data, place + row * width, width)
                if ends < last or texts + ends > end or not _is_utf8(data, texts + last, texts + ends):
                    return np.int64(-1)
                last = ends
            place += last
        place += stored * width
    return place if place <= end else np.int64(-1)


@njit_inlined
def _size_of_numbers(code, rows):  # type: ignore[no-untyped-def]
    return (np.int64(1) if code & CONSTANT else rows) << (code & 3)


@njit_inlined
def _is_name_byte(byte, is_first):  # type: ignore[no-untyped-def]
    if 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122:
        return True
    return not is_first and (byte == 95 or byte == 46 or byte == 58 or byte == 45)


@njit(cache=True, nogil=True)
def _are_names(data, codes, rows):  # type: ignore[no-untyped-def]
    """Whether all accounts of a section, looked at before, have the ids of accounts that a client may open (`atoms.py`)."""
    at = codes + _ACCOUNT_COLUMNS + _size_of_numbers(np.int64(data[codes]), rows)
    code = np.int64(data[codes + 1])
    width, stored = np.int64(1) << (code & 3), np.int64(1) if code & CONSTANT else rows
    start, texts = np.int64(0), at + stored * width
    for row in range(stored):
        end = _unsigned(data, at + row * width, width)
        if not 1 <= end - start <= ACCOUNT_BYTES_MAX:
            return False
        for place in range(start, end):
            if not _is_name_byte(data[texts + place], place == start):
                return False
        start = end
    return True


@njit(cache=True, nogil=True)
def _read_texts(data, at, code, rows, places):  # type: ignore[no-untyped-def]
    """Write where each text of a column begins and ends, int64[rows, 2]; behind the column."""
    width, stored = np.int64(1) << (code & 3), np.int64(1) if code & CONSTANT else rows
    start, texts = np.int64(0), at + stored * width
    for row in range(stored):
        end = _unsigned(data, at + row * width, width)
        places[row, 0], places[row, 1] = texts + start, texts + end
        start = end
    for row in range(stored, rows):
        places[row, :] = places[0, :]
    return texts + start


@njit(cache=True, nogil=True)
def _scan(data, starts, columns, follows, previous, entries_max, sections, rows):  # type: ignore[no-untyped-def]
    """How many blocks from the first on are plain and follow each other, hashes of long ones apart.

    data: uint8[...]; block i from starts[i] to starts[i + 1]. follows: int64[...], as `Follows`; previous: uint8[32].
    sections, rows: int64[n, sections + 1], written: where a section's codes begin, 0 for none, and its rows.
    """
    sequence, consumed_to, created_at_us = follows[3], follows[4], follows[5]
    entries = 0
    for i in range(starts.size - 1):
        start, end = starts[i], starts[i + 1]
        sections[i, :], rows[i, :] = 0, 0
        if entries >= entries_max or end - start < HEADER_BYTES:
            return i
        if _word(data, start) != _MAGIC or _unsigned(data, start + 8, 2) != _VERSION:
            return i
        if _unsigned(data, start + 10, 2) != follows[0] or _unsigned(data, start + 12, 4) != follows[1]:
            return i
        if _word(data, start + 16) != follows[2] or _word(data, start + 24) != sequence + 1:
            return i
        for k in range(32):
            if data[start + 32 + k] != (previous[k] if i == 0 else data[starts[i - 1] + _HASH_AT + k]):
                return i
        if _word(data, start + 64) < consumed_to or _word(data, start + 72) <= created_at_us:
            return i
        if _word(data, start + 80) != follows[6] or _word(data, start + 72) >= follows[7]:
            return i
        if _word(data, start + 104) != end - start - HEADER_BYTES or end - start - HEADER_BYTES > BODY_BYTES_MAX:
            return i
        at, last = start + HEADER_BYTES, np.int64(0)
        while at < end:
            if at + _HEAD_BYTES > end:
                return i
            number, count = np.int64(data[at]), _unsigned(data, at + 2, 4)
            if number <= last or number >= columns.shape[0] or columns[number, 0] == 0:
                return i
            if data[at + 1] != columns[number, 0] or count < 1 or count > SECTION_ROWS_MAX:
                return i
            if at + _HEAD_BYTES + columns[number, 0] > end:
                return i
            sections[i, number], rows[i, number] = at + _HEAD_BYTES, count
            at = _section_end(data, at + _HEAD_BYTES, end, number, count, columns)
            if at < 0:
                return i
            last = number
        if rows[i, _ACCOUNTS] and not _are_names(data, sections[i, _ACCOUNTS], rows[i, _ACCOUNTS]):
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
            out[row] = _unsigned(data, at + row * step, 2)
    elif width == 4:
        for row in range(rows):
            out[row] = _unsigned(data, at + row * step, 4)
    else:
        for row in range(rows):
            out[row] = _unsigned(data, at + row * step, 8)
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
def _read(data, sections, rows, number, columns, ids, out, places):  # type: ignore[no-untyped-def]
    """Write a section of n blocks into `out`, `ids` and `places` (see `Rows`); False when a number is out of range."""
    first = 0
    for i in range(sections.shape[0]):
        count, codes = rows[i, number], sections[i, number]
        if count == 0:
            continue
        end, at, written, text = first + count, codes + columns[number, 0], 0, 0
        for column in range(columns[number, 0]):
            kind, code = columns[number, 1 + 2 * column], np.int64(data[codes + column])
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
def _read_headers(data, starts, headers, digests, hashes):  # type: ignore[no-untyped-def]
    for i in range(headers.shape[0]):
        start = starts[i]
        headers[i, SEQUENCE] = _word(data, start + 24)
        headers[i, CONSUMED_TO] = _word(data, start + 64)
        headers[i, CREATED_AT_US] = _word(data, start + 72)
        digests[i, 0] = np.uint64(_word(data, start + 88))
        digests[i, 1] = np.uint64(_word(data, start + 96))
        for k in range(32):
            hashes[i, k] = data[start + _HASH_AT + k]


class RunReader:
    """Reads a run of records: `plain` from wherever the last one ended, or a record was taken by itself.

    data: record i lies from starts[i] to starts[i + 1].
    """

    def __init__(self, data: bytes, starts: Int64s) -> None:
        self._joined = data
        self._data = np.frombuffer(data, np.uint8)
        self._starts = starts
        self._sections = np.empty((len(starts) - 1, _NUMBERS), np.int64)
        self._rows = np.empty((len(starts) - 1, _NUMBERS), np.int64)

    @classmethod
    def of(cls, records: Sequence[bytes | memoryview]) -> RunReader:
        """Of records that lie apart."""
        starts = np.zeros(len(records) + 1, np.int64)
        np.cumsum([len(record) for record in records], out=starts[1:])
        return cls(b"".join(records), starts)

    def plain(self, at: int, follows: Follows, entries_max: int = 2**62, until: int | None = None) -> PlainRun | None:
        """The records from number `at` on that are plain, good and follow each other; None when that one is not.

        entries_max: no more are taken once the taken have so many entries and accounts. until: none is taken behind the block of
        this sequence.
        """
        end = len(self._rows) if until is None else min(len(self._rows), at + until - follows.sequence)
        starts, sections, rows = self._starts[at : end + 1], self._sections[at:end], self._rows[at:end]
        head = np.array(
            [
                follows.partitions, follows.partition, follows.epoch, follows.sequence, follows.consumed_to,
                follows.created_at_us, follows.refuse_ids_before_us, follows.forgets_at_us,
            ],
            np.int64,
        )  # fmt: skip
        previous = np.frombuffer(follows.block_hash, np.uint8)
        n = int(_scan(self._data, starts, _COLUMNS, head, previous, entries_max, sections, rows))
        n = _hashed(self._data, starts[: n + 1])
        return self._decoded(starts[: n + 1], sections[:n], rows[:n]) if n else None

    def _decoded(self, starts: Int64s, sections: Int64s, rows: Int64s) -> PlainRun | None:
        n = len(sections)
        of = np.zeros((_NUMBERS, n + 1), np.int64)
        np.cumsum(rows, axis=0, out=of[:, 1:].T)
        read = []
        for section in SECTIONS:
            count, kinds = int(of[section.number, -1]), [column.kind for column in section.columns]
            texts, ids = kinds.count(ColumnType.TEXT), kinds.count(ColumnType.ID)
            numbers = np.empty((len(kinds) - texts - ids, count), np.int64)
            found = Rows(
                numbers,
                np.empty((count if ids else 0, 2), np.uint64),
                np.empty((texts, count if texts else 0, 2), np.int64),
            )
            if count and not _read(
                self._data, sections, rows, section.number, _COLUMNS, found.ids, found.numbers, found.texts
            ):
                return None
            read.append(found)
        headers, digests = np.empty((n, HEADER_WORDS), np.int64), np.empty((n, 2), np.uint64)
        hashes = np.empty((n, 32), np.uint8)
        _read_headers(self._data, starts, headers, digests, hashes)
        kind, code = read[OUTCOMES.number - 1].numbers[:2].astype(np.uint8)
        return PlainRun(headers, digests, hashes, of, kind, code, tuple(read), self._joined)


def _hashed(data: npt.NDArray[np.uint8], starts: Int64s) -> int:
    """How many blocks from the first on have the hash that they say."""
    good = hash_chunks(data, starts, _HASH_AT)
    view = data.data
    for i in np.flatnonzero(starts[1:] - starts[:-1] - 32 > CHUNK_BYTES).tolist():
        start, end = int(starts[i]), int(starts[i + 1])
        hasher = blake3(view[start : start + _HASH_AT]).update(view[start + HEADER_BYTES : end])
        good[i] = hasher.digest() == view[start + _HASH_AT : start + HEADER_BYTES]
    return len(good) if good.all() else int(np.argmin(good))
