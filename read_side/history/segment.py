"""A segment of a partition's history: blocks that follow each other, and sorted beside them what can be asked of them.

Nothing in it ever changes, so it is read without a lock, from memory or from a mapped file alike. Everything is found by binary
search: an account's entries lie together by version, and versions have no gaps, so that a version is a place. An outcome is
known by its number in the segment; the block that has it, and its row there, follow from where each block's outcomes begin.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.state.state import Place

Int64s = npt.NDArray[np.int64]
UInt32s = npt.NDArray[np.uint32]
UInt64s = npt.NDArray[np.uint64]


FLAGS_AS_BEFORE: Final = -1


class Chained(NamedTuple):
    """A place in a partition's chain: the last block before it (-1 for none, and 32 zero bytes), and the log offset behind which
    the next one is read."""

    sequence: int
    block_hash: bytes
    offset: int


class Entries(NamedTuple):
    """Entries of one account side by side, versions rising without a gap: n of each.

    version, posted, held (after it, minor units), flags (after a change of them, else `FLAGS_AS_BEFORE`), sequence (of
    the block), outcome (row in the block), at_us (the block's time). segment, number: the outcome, for who asks more of it.
    """

    version: Int64s
    posted: Int64s
    held: Int64s
    flags: Int64s
    sequence: Int64s
    outcome: Int64s
    at_us: Int64s
    segment: Segment
    number: Int64s


@dataclass(frozen=True, eq=False)
class Segment:
    """Blocks `first` to `last`. b blocks, e entries, o outcomes, a accounts that changed, n accounts that were opened.

    before, end: the chain before the first block, and after the last. blocks: their bytes, block i from starts[i] on.
    at_us: int64[b]. entry_of, outcome_of: int64[b + 1], the first entry and outcome of each block.
    In the order of the log: account uint32[e] (its number), outcome uint32[e], id_high and id_low uint64[o] (the id's two words,
    little endian), kind and code uint8[o].
    By account and version: accounts uint32[a], rows int64[a + 1], versions int64[a] (the first one), posted int64[e], entry
    uint32[e] (its place in the log's order); held_rows, held int64: rows whose held sum is not zero; flag_rows, flags int64: rows
    that changed the flags.
    opened uint32[n]: the block that opened account `opened_first` + i.
    By word: by_id uint64[..] with by_id_outcome uint32[..]: the second words of ids, openings left out; by_link, by_link_high,
    by_link_outcome: of the hold or transfer that an outcome is about; by_reference, by_reference_outcome: the reference's hash.
    noted uint32[k]: outcomes with a reference or metadata, in order; note_ends int64[2 k]: where the one and the other end in
    note_texts (UTF-8).
    """

    before: Chained
    end: Chained
    opened_first: int
    starts: Int64s
    blocks: npt.NDArray[np.uint8]
    at_us: Int64s
    entry_of: Int64s
    outcome_of: Int64s
    account: UInt32s
    outcome: UInt32s
    id_high: UInt64s
    id_low: UInt64s
    kind: npt.NDArray[np.uint8]
    code: npt.NDArray[np.uint8]
    accounts: UInt32s
    rows: Int64s
    versions: Int64s
    posted: Int64s
    entry: UInt32s
    held_rows: Int64s
    held: Int64s
    flag_rows: Int64s
    flags: Int64s
    opened: UInt32s
    by_id: UInt64s
    by_id_outcome: UInt32s
    by_link: UInt64s
    by_link_high: UInt64s
    by_link_outcome: UInt32s
    by_reference: UInt64s
    by_reference_outcome: UInt32s
    noted: UInt32s
    note_ends: Int64s
    note_texts: npt.NDArray[np.uint8]

    @property
    def first(self) -> int:
        return self.before.sequence + 1

    @property
    def last(self) -> int:
        return self.end.sequence

    @property
    def columns(self) -> Mapping[str, npt.NDArray[Any]]:
        """Every array by its name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in NO_COLUMNS}

    def block(self, sequence: int) -> bytes:
        """The bytes of a block."""
        start, end = self.starts[sequence - self.first : sequence - self.first + 2].tolist()
        return self.blocks[start:end].tobytes()

    def block_view(self, sequence: int) -> memoryview:
        """The same where they lie."""
        start, end = self.starts[sequence - self.first : sequence - self.first + 2].tolist()
        return self.blocks[start:end].data

    def last_block_at(self, at_us: int) -> int:
        """The last block of this time or earlier; `first` - 1 when there is none."""
        return self.first - 1 + int(self.at_us.searchsorted(np.int64(at_us), "right"))

    def time_of(self, sequence: int) -> int:
        return int(self.at_us[sequence - self.first])

    def versions_of(self, account: int) -> range:
        """The versions of the account that were made in these blocks."""
        at = self._place(account)
        if at is None:
            return range(0)
        first, end = self.rows[at : at + 2].tolist()
        version = int(self.versions[at])
        return range(version, version + end - first)

    def entries(self, account: int, versions: range) -> Entries:
        """Those of these versions, which must be among `versions_of`."""
        at = self._place(account)
        assert at is not None, "only what is here is asked for"
        begin = int(self.rows[at]) + versions.start - int(self.versions[at])
        rows = slice(begin, begin + len(versions))
        entry = self.entry[rows].astype(np.int64)
        blocks = self.entry_of.searchsorted(entry, "right") - 1
        number = self.outcome[entry].astype(np.int64)
        return Entries(
            np.arange(versions.start, versions.stop), self.posted[rows], self._held(rows), self._flags(rows),
            self.first + blocks, number - self.outcome_of[blocks], self.at_us[blocks], self, number,
        )  # fmt: skip

    def version_at(self, account: int, sequence: int) -> int | None:
        """The account's last version in blocks up to this one; None when there is none in this segment."""
        at = self._place(account)
        if at is None:
            return None
        first, end = self.rows[at : at + 2].tolist()
        limit = self.entry_of[min(sequence, self.last) - self.first + 1] if sequence >= self.first else 0
        made = int(self.entry[first:end].searchsorted(np.uint32(limit)))
        return int(self.versions[at]) + made - 1 if made else None

    def flags_at(self, account: int, version: int) -> int | None:
        """The flags as the last change of them up to this version left them; None when that is not in this segment."""
        at = self._place(account)
        if at is None or not len(self.flag_rows):
            return None
        row = int(self.rows[at]) + min(version - int(self.versions[at]), int(self.rows[at + 1] - self.rows[at]) - 1)
        found = int(self.flag_rows.searchsorted(np.int64(row), "right")) - 1
        return int(self.flags[found]) if found >= 0 and self.flag_rows[found] >= self.rows[at] else None

    def opened_in(self, account: int) -> int | None:
        """The block that opened the account; None when it is not one of these."""
        at = account - self.opened_first
        return self.first + int(self.opened[at]) if 0 <= at < len(self.opened) else None

    def accounts_of(self, number: int) -> Iterator[int]:
        """The accounts that outcome `number` changed, in order, each once."""
        block = int(self.outcome_of.searchsorted(np.int64(number), "right")) - 1
        first, end = self.entry_of[block : block + 2].tolist()
        at, stop = np.searchsorted(self.outcome[first:end], np.array([number, number + 1], np.uint32)).tolist()
        return iter(dict.fromkeys(self.account[first + at : first + stop].tolist()))

    def id_of(self, number: int) -> bytes:
        """The 16 bytes of the id of outcome `number`."""
        return bytes(self.id_high[number].tobytes() + self.id_low[number].tobytes())

    def place_of(self, number: int) -> Place:
        """Where outcome `number` is."""
        block = int(self.outcome_of.searchsorted(np.int64(number), "right")) - 1
        return Place(self.first + block, number - int(self.outcome_of[block]))

    def of_id(self, id16: bytes) -> list[int]:
        """The outcomes of commands of this id, in order."""
        high, low = np.frombuffer(id16, "<u8")
        found = self.by_id_outcome[_equal(self.by_id, low)]
        return sorted(found[self.id_high[found] == high].tolist())

    def about(self, id16: bytes) -> list[int]:
        """The outcomes of commands about this hold or transfer, in order."""
        high, low = np.frombuffer(id16, "<u8")
        same = _equal(self.by_link, low)
        return sorted(self.by_link_outcome[same][self.by_link_high[same] == high].tolist())

    def with_reference(self, word: np.uint64) -> UInt32s:
        """The outcomes with a reference of this hash, in order: of one word they are sorted so."""
        return self.by_reference_outcome[_equal(self.by_reference, word)]

    def note_of(self, number: int) -> tuple[str, str]:
        """Reference and metadata (JSON) of outcome `number`, "" where there is none."""
        at = int(self.noted.searchsorted(np.uint32(number)))
        if at == len(self.noted) or self.noted[at] != number:
            return "", ""
        ends = self.note_ends[2 * at : 2 * at + 2].tolist()
        begin = int(self.note_ends[2 * at - 1]) if at else 0
        text = self.note_texts[begin : ends[1]].tobytes()
        return text[: ends[0] - begin].decode(), text[ends[0] - begin :].decode()

    def _place(self, account: int) -> int | None:
        at = int(self.accounts.searchsorted(np.uint32(account)))
        return at if at < len(self.accounts) and self.accounts[at] == account else None

    def _held(self, rows: slice) -> Int64s:
        held = np.zeros(rows.stop - rows.start, np.int64)
        first, end = np.searchsorted(self.held_rows, np.array([rows.start, rows.stop])).tolist()
        held[self.held_rows[first:end] - rows.start] = self.held[first:end]
        return held

    def _flags(self, rows: slice) -> Int64s:
        flags = np.full(rows.stop - rows.start, FLAGS_AS_BEFORE, np.int64)
        if len(self.flag_rows):
            first, end = np.searchsorted(self.flag_rows, np.array([rows.start, rows.stop])).tolist()
            flags[self.flag_rows[first:end] - rows.start] = self.flags[first:end]
        return flags


NO_COLUMNS = ("before", "end", "opened_first")


def _equal(words: UInt64s, word: np.uint64) -> slice:
    """Where this word stands in a sorted column."""
    first, end = words.searchsorted(np.array([word]), "left")[0], words.searchsorted(np.array([word]), "right")[0]
    return slice(int(first), int(end))
