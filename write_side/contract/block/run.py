"""A run of blocks decoded side by side, without a Python object a block: the columns of all of them behind each other.

Only what most blocks of a wallet are is taken so: *plain* blocks of formats 3 and 4, each the next of the one before it by the
chain rule, of one epoch, that forget no ids and open no system accounts. What comes behind them whoever reads takes block by
block (`block.decode`, `chain.judge`), which knows what to say of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from blake3 import blake3

from write_side.contract.block.block import HASH_BYTES, HEADER_BYTES
from write_side.contract.block.columns import OUTCOMES, SECTIONS, ColumnType, Section
from write_side.contract.block.run_bytes import (
    COLUMNS,
    HASH_AT,
    HEADER_WORDS,
    NUMBERS,
    find_frames,
    read_headers,
    read_section,
    scan,
)
from write_side.contract.compiled.blake3_lanes import CHUNK_BYTES, hash_chunks

Int64s = npt.NDArray[np.int64]

_NUMBERS_OF: Final = {
    section.number: [
        column.name for column in section.columns if column.kind in (ColumnType.UNSIGNED, ColumnType.SIGNED)
    ]
    for section in SECTIONS
}
"""The names of a section's columns of numbers."""


def place_of(section: Section, column: str) -> int:
    """Which of `Rows.numbers` a column is."""
    return _NUMBERS_OF[section.number].index(column)


class Follows(NamedTuple):
    """What a plain block must fit to: the head before it (hash: uint8[32]), and what does not change from one to the next."""

    partitions: int
    partition: int
    epoch: int
    sequence: int
    block_hash: npt.NDArray[np.uint8]
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

    def behind(self, blocks: int) -> PlainRun:
        """All but the first blocks of these."""
        firsts = self.of[:, blocks].tolist()
        rows = tuple(
            Rows(each.numbers[:, firsts[number] :], each.ids[firsts[number] :], each.texts[:, firsts[number] :])
            for number, each in enumerate(self.sections, 1)
        )
        return self._replace(
            headers=self.headers[blocks:], digests=self.digests[blocks:], hashes=self.hashes[blocks:],
            of=self.of[:, blocks:] - self.of[:, blocks, None], kind=self.kind[firsts[OUTCOMES.number] :],
            code=self.code[firsts[OUTCOMES.number] :], sections=rows,
        )  # fmt: skip


def frame_starts(data: bytes) -> Int64s:
    """Where blocks begin that lie one behind the other from the beginning on, and where the last of them ends: up to the first
    that is cut or is none (`block.frame_length`). Nothing but their headers' lengths is looked at."""
    starts = np.zeros(len(data) // HEADER_BYTES + 1, np.int64)
    return starts[: find_frames(np.frombuffer(data, np.uint8), starts)]


class RunReader:
    """Reads a run of records: `plain` from wherever the last one ended, or a record was taken by itself.

    data: record i lies from starts[i] to starts[i + 1].
    """

    def __init__(self, data: bytes, starts: Int64s) -> None:
        self._joined = data
        self._data = np.frombuffer(data, np.uint8)
        self._starts = starts
        self._sections = np.empty((len(starts) - 1, NUMBERS), np.int64)
        self._rows = np.empty((len(starts) - 1, NUMBERS), np.int64)

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
        n = int(scan(self._data, starts, COLUMNS, follows, entries_max, sections, rows))
        n = _hashed(self._data, starts[: n + 1])
        return self._decoded(starts[: n + 1], sections[:n], rows[:n]) if n else None

    def _decoded(self, starts: Int64s, sections: Int64s, rows: Int64s) -> PlainRun | None:
        n = len(sections)
        of = np.zeros((NUMBERS, n + 1), np.int64)
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
            if count and not read_section(
                self._data, sections, rows, section.number, COLUMNS, found.ids, found.numbers, found.texts
            ):
                return None
            read.append(found)
        headers, digests = np.empty((n, HEADER_WORDS), np.int64), np.empty((n, 2), np.uint64)
        hashes = np.empty((n, HASH_BYTES), np.uint8)
        read_headers(self._data, starts, headers, digests, hashes)
        kind, code = read[OUTCOMES.number - 1].numbers[:2].astype(np.uint8)
        return PlainRun(headers, digests, hashes, of, kind, code, tuple(read), self._joined)


def first_bad(data: bytes, starts: Int64s) -> int | None:
    """The number of the first record that has not the hash which it says, or is too short for one; None where all are good.
    starts: as RunReader."""
    long_enough = np.diff(starts) >= HEADER_BYTES
    n = len(long_enough) if long_enough.all() else int(np.argmin(long_enough))
    good = _hashed(np.frombuffer(data, np.uint8), starts[: n + 1])
    return None if good == len(long_enough) else good


def _hashed(data: npt.NDArray[np.uint8], starts: Int64s) -> int:
    """How many blocks from the first on have the hash that they say."""
    good = hash_chunks(data, starts, HASH_AT)
    view = data.data
    for i in np.flatnonzero(starts[1:] - starts[:-1] - HASH_BYTES > CHUNK_BYTES).tolist():
        start, end = int(starts[i]), int(starts[i + 1])
        hasher = blake3(view[start : start + HASH_AT]).update(view[start + HEADER_BYTES : end])
        good[i] = hasher.digest() == view[start + HASH_AT : start + HEADER_BYTES]
    return len(good) if good.all() else int(np.argmin(good))
