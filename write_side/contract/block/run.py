"""A run of blocks decoded side by side, without a Python object a block: the columns of all of them behind each other.

Only what most blocks of a wallet are is taken so: *plain* blocks of format 3, each the next of the one before it by the chain
rule, of one epoch, with accounts, outcomes, entries, repeats, legs, held sums and flags alone, no system accounts among them.
What comes behind them whoever reads takes block by block (`block.decode`, `chain.judge`), which knows what to say of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from write_side.contract.block.block import HEADER_BYTES, MAGIC, PLAIN_COLUMNS_SINCE
from write_side.contract.block.columns import (
    ACCOUNTS,
    ENTRIES,
    FLAGS,
    HELD,
    LEGS,
    OUTCOMES,
    REPEATS,
    SECTIONS,
    Column,
    ColumnType,
    Section,
)
from write_side.contract.block.limits import ACCOUNT_BYTES_MAX, BODY_BYTES_MAX, PARTITIONS_MAX, SECTION_ROWS_MAX
from write_side.contract.block.sections import CONSTANT, HEAD, ID_BYTES
from write_side.contract.compiled.blake3_lanes import CHUNK_BYTES, hash_chunks
from write_side.contract.compiled.compiled import njit, njit_inlined

Int64s = npt.NDArray[np.int64]

PLAIN: Final = (OUTCOMES, ENTRIES, REPEATS, LEGS, HELD, FLAGS)
"""Read as columns of numbers; accounts have a reader of their own."""
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
    """int64[sections + 1, 1 + 2 * most columns]: how many columns a plain section has, then kind and widest code of each."""
    table = np.zeros((_NUMBERS, 1 + 2 * max(len(section.columns) for section in (ACCOUNTS, *PLAIN))), np.int64)
    for section in (ACCOUNTS, *PLAIN):
        table[section.number, 0] = len(section.columns)
        for at, column in enumerate(section.columns):
            table[section.number, 1 + 2 * at] = _KIND[column.kind]
            table[section.number, 2 + 2 * at] = _widest(column)
    return table


_COLUMNS: Final = _table()
_WITHOUT_LEGS: Final = _COLUMNS.copy()
_WITHOUT_LEGS[LEGS.number] = 0


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


class Opened(NamedTuple):
    """The accounts of a run: number, floor and flags int64[n], and their texts."""

    number: Int64s
    floor: Int64s
    flags: Int64s
    names: list[str]
    assets: list[str]
    owners: list[str]

    def first(self, accounts: int) -> Opened:
        """The first accounts of these."""
        number, floor, flags, names, assets, owners = self
        return Opened(
            number[:accounts],
            floor[:accounts],
            flags[:accounts],
            names[:accounts],
            assets[:accounts],
            owners[:accounts],
        )


class PlainRun(NamedTuple):
    """n blocks. headers: int64[n, HEADER_WORDS]; digests: uint64[n, 2]; hashes: uint8[n, 32].

    Rows of block i from `of[section.number][i]` to `[i + 1]`; rows that name rows of another section count from the block's own
    first. ids: uint64[outcomes, 2]; kind and code: uint8[outcomes]; the other columns of numbers, in their order in `columns.py`:
    int64[columns, rows], of legs only those before their texts.
    """

    headers: Int64s
    digests: npt.NDArray[np.uint64]
    hashes: npt.NDArray[np.uint8]
    of: Int64s
    opened: Opened
    ids: npt.NDArray[np.uint64]
    kind: npt.NDArray[np.uint8]
    code: npt.NDArray[np.uint8]
    outcomes: Int64s
    entries: Int64s
    repeats: Int64s
    legs: Int64s
    held: Int64s
    flags: Int64s

    def first(self, blocks: int) -> PlainRun:
        """The first blocks of these."""
        ends = self.of[:, blocks].tolist()
        outcomes, entries, repeats, legs, held, flags = (ends[section.number] for section in PLAIN)
        return PlainRun(
            self.headers[:blocks], self.digests[:blocks], self.hashes[:blocks], self.of[:, : blocks + 1],
            self.opened.first(ends[ACCOUNTS.number]),
            self.ids[:outcomes], self.kind[:outcomes], self.code[:outcomes], self.outcomes[:, :outcomes],
            self.entries[:, :entries], self.repeats[:, :repeats], self.legs[:, :legs], self.held[:, :held], self.flags[:, :flags],
        )  # fmt: skip


SEQUENCE, CONSUMED_TO, CREATED_AT_US, HEADER_WORDS = 0, 1, 2, 3
"""The columns of `PlainRun.headers`."""
ACCOUNT: Final = 1
"""The row of `PlainRun.entries` that has their accounts."""


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
            last = np.int64(0)
            for row in range(stored):
                ends = _unsigned(data, place + row * width, width)
                if ends < last:
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
def _read_accounts(data, sections, rows, numbers, places):  # type: ignore[no-untyped-def]
    """Write the accounts of n blocks: number, floor and flags, int64[3, accounts], and where their three texts lie, int64[3,
    accounts, 2]; False when a number is out of range."""
    first = 0
    for i in range(sections.shape[0]):
        count, codes = rows[i, _ACCOUNTS], sections[i, _ACCOUNTS]
        if count == 0:
            continue
        end = first + count
        at = codes + _ACCOUNT_COLUMNS
        at = _read_column(data, at, _UNSIGNED, np.int64(data[codes]), count, numbers[0, first:end])
        for text in range(3):
            if at >= 0:
                at = _read_texts(data, at, np.int64(data[codes + 1 + text]), count, places[text, first:end])
        if at >= 0:
            at = _read_column(data, at, _SIGNED, np.int64(data[codes + 4]), count, numbers[1, first:end])
        if at >= 0:
            at = _read_column(data, at, _UNSIGNED, np.int64(data[codes + 5]), count, numbers[2, first:end])
        if at < 0:
            return False
        first = end
    return True


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
def _read(data, sections, rows, number, columns, ids, out):  # type: ignore[no-untyped-def]
    """Write a section of n blocks into `out`, int64[columns of numbers, rows of all]; False when a number is out of range.

    The first section of texts ends what is read: what lies behind it is nobody's here.
    """
    first = 0
    for i in range(sections.shape[0]):
        count, codes = rows[i, number], sections[i, number]
        if count == 0:
            continue
        at, written = codes + columns[number, 0], 0
        for column in range(columns[number, 0]):
            kind = columns[number, 1 + 2 * column]
            if kind == _TEXT:
                break
            if kind == _ID:
                for row in range(count):
                    ids[first + row, 0] = np.uint64(_word(data, at + ID_BYTES * row))
                    ids[first + row, 1] = np.uint64(_word(data, at + ID_BYTES * row + 8))
                at += ID_BYTES * count
                continue
            at = _read_column(
                data, at, kind, np.int64(data[codes + column]), count, out[written, first : first + count]
            )
            if at < 0:
                return False
            written += 1
        first += count
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


_NO_IDS: Final = np.empty((0, 2), np.uint64)


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

    def plain(
        self, at: int, follows: Follows, *, legs: bool, entries_max: int = 2**62, until: int | None = None
    ) -> PlainRun | None:
        """The records from number `at` on that are plain, good and follow each other; None when that one is not.

        legs: whether blocks that have some are taken; their texts are not looked at. entries_max: no more are taken once the
        taken have so many. until: none is taken behind the block of this sequence.
        """
        end = len(self._rows) if until is None else min(len(self._rows), at + until - follows.sequence)
        data, starts, sections, rows = (
            self._data,
            self._starts[at : end + 1],
            self._sections[at:end],
            self._rows[at:end],
        )
        head = np.array(
            [
                follows.partitions, follows.partition, follows.epoch, follows.sequence, follows.consumed_to,
                follows.created_at_us, follows.refuse_ids_before_us, follows.forgets_at_us,
            ],
            np.int64,
        )  # fmt: skip
        columns = _COLUMNS if legs else _WITHOUT_LEGS
        previous = np.frombuffer(follows.block_hash, np.uint8)
        n = int(_scan(data, starts, columns, head, previous, entries_max, sections, rows))
        n = _hashed(data, starts[: n + 1])
        if n == 0:
            return None
        opened = self._opened(sections[:n], rows[:n])
        return None if opened is None else _decoded(data, starts[: n + 1], sections[:n], rows[:n], columns, opened)

    def _opened(self, sections: Int64s, rows: Int64s) -> Opened | None:
        count = int(rows[:, _ACCOUNTS].sum())
        numbers, places = np.empty((3, count), np.int64), np.empty((3, count, 2), np.int64)
        if count and not _read_accounts(self._data, sections, rows, numbers, places):
            return None
        try:
            texts = [[self._joined[start:end].decode() for start, end in each.tolist()] for each in places]
        except UnicodeDecodeError:
            return None
        return Opened(*numbers, *texts)


def _decoded(
    data: npt.NDArray[np.uint8], starts: Int64s, sections: Int64s, rows: Int64s, columns: Int64s, opened: Opened
) -> PlainRun | None:
    n = len(sections)
    of = np.zeros((_NUMBERS, n + 1), np.int64)
    np.cumsum(rows, axis=0, out=of[:, 1:].T)
    ids = np.empty((int(of[OUTCOMES.number, -1]), 2), np.uint64)
    read: list[Int64s] = []
    for section in PLAIN:
        out = np.empty((_numbers_of(section), int(of[section.number, -1])), np.int64)
        if not _read(data, sections, rows, section.number, columns, ids if section is OUTCOMES else _NO_IDS, out):
            return None
        read.append(out)
    headers, digests = np.empty((n, HEADER_WORDS), np.int64), np.empty((n, 2), np.uint64)
    hashes = np.empty((n, 32), np.uint8)
    _read_headers(data, starts, headers, digests, hashes)
    outcomes, *others = read
    kind, code = outcomes[:2].astype(np.uint8)
    return PlainRun(headers, digests, hashes, of, opened, ids, kind, code, outcomes[2:], *others)


def _numbers_of(section: Section) -> int:
    """How many columns of numbers a section has before its first texts."""
    kinds = [column.kind for column in section.columns]
    until = kinds.index(ColumnType.TEXT) if ColumnType.TEXT in kinds else len(kinds)
    return sum(kind is not ColumnType.ID for kind in kinds[:until])


def _hashed(data: npt.NDArray[np.uint8], starts: Int64s) -> int:
    """How many blocks from the first on have the hash that they say."""
    good = hash_chunks(data, starts, _HASH_AT)
    view = data.data
    for i in np.flatnonzero(starts[1:] - starts[:-1] - 32 > CHUNK_BYTES).tolist():
        start, end = int(starts[i]), int(starts[i + 1])
        hasher = blake3(view[start : start + _HASH_AT]).update(view[start + HEADER_BYTES : end])
        good[i] = hasher.digest() == view[start + _HASH_AT : start + HEADER_BYTES]
    return len(good) if good.all() else int(np.argmin(good))
