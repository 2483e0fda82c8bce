"""Blocks gathered in the order of the log until a segment is made of them, and segments made one.

What is done here for each block of a run is done in one go; a block by itself costs a few dozen numpy calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from read_side.history.segment import Chained, Segment
from write_side.contract.block.block import Block
from write_side.contract.block.columns import ACCOUNTS, DETAILS, ENTRIES, FLAGS, HELD, LINKS, OUTCOMES
from write_side.contract.block.run import PlainRun
from write_side.contract.block.run_bytes import CREATED_AT_US
from write_side.contract.log.frames import Frames
from write_side.contract.log.log import Record
from write_side.contract.state.replay import Folded, FoldedBlocks
from write_side.contract.state.state import word_hash
from write_side.contract.words.codes import Kind

Int64s = npt.NDArray[np.int64]

_AT_FIRST: Final = 1_024
"""Rows of a table; it grows by doubling."""


class Table:
    """Rows of one dtype that are added at the end: columns by place, rows by order."""

    def __init__(self, width: int, dtype: Any = np.int64) -> None:
        self._columns = np.empty((width, _AT_FIRST), dtype)
        self.count = 0

    def __getitem__(self, column: int) -> npt.NDArray[Any]:
        """What is there of a column now; more may be added behind it meanwhile, and this stays."""
        found: npt.NDArray[Any] = self._columns[column, : self.count]
        return found

    def add(self, *columns: Any) -> None:
        more = len(columns[0])
        if not more:
            return
        end = self.count + more
        if end > self._columns.shape[1]:
            grown = np.empty((len(self._columns), max(end, 2 * self._columns.shape[1])), self._columns.dtype)
            grown[:, : self.count] = self._columns[:, : self.count]
            self._columns = grown
        for at, column in enumerate(columns):
            self._columns[at, self.count : end] = column
        self.count = end


class Gathering:
    """Blocks behind `before`, one after the other. `take` is called in one thread at a time.

    What follows is numbered here, in the log's order.
    """

    def __init__(self, before: Chained) -> None:
        self.before = before
        self.end = before
        self.bytes = bytearray()
        self.blocks = Table(3)  # first byte, first entry, first outcome
        self.times = Table(1)
        self.entries = Table(4)  # account, version, posted, outcome
        self.held = Table(2)  # entry, held after
        self.flags = Table(2)
        self.opened = Table(2)  # account, block
        self.outcomes = Table(2, np.uint64)  # the id's two words
        self.words = Table(2, np.uint8)  # kind, code
        self.links = Table(2, np.uint64)
        self.linked = Table(1)  # outcome
        self.references = Table(1, np.uint64)
        self.referred = Table(1)
        self.noted = Table(3)  # outcome, end of its reference, of its metadata
        self.texts = bytearray()

    def take(self, folded: Folded | FoldedBlocks) -> None:
        """The next blocks."""
        if isinstance(folded, FoldedBlocks):
            self._take_run(folded.run, folded.records)
        else:
            self._take_block(folded.block, folded.offset, folded.data)

    def take_all(self, several: Iterable[Folded | FoldedBlocks]) -> None:
        """As `take` of each."""
        for folded in several:
            self.take(folded)

    def _take_run(self, run: PlainRun, records: Sequence[Record]) -> None:
        n, first_byte = len(run.headers), len(self.bytes)
        if isinstance(records, Frames):
            starts = records.starts[: n + 1] - records.starts[0]
            self.bytes += memoryview(records.data)[int(records.starts[0]) : int(records.starts[n])]
        else:
            starts = np.concatenate(([0], np.cumsum([len(record.data) for record in records])))
            for record in records:
                self.bytes += record.data
        entry, outcome, block = self.entries.count, self.outcomes.count, self.times.count
        self.blocks.add(
            first_byte + starts[:-1], entry + run.of[ENTRIES.number][:-1], outcome + run.of[OUTCOMES.number][:-1]
        )
        self.times.add(run.headers[:, CREATED_AT_US])
        held_of = np.repeat(run.of[ENTRIES.number][:-1], np.diff(run.of[HELD.number]))
        flags_of = np.repeat(run.of[ENTRIES.number][:-1], np.diff(run.of[FLAGS.number]))
        self.held.add(entry + run.numbers(HELD, "entry") + held_of, run.numbers(HELD, "held"))
        self.flags.add(entry + run.numbers(FLAGS, "entry") + flags_of, run.numbers(FLAGS, "flags"))
        self.entries.add(
            *(run.numbers(ENTRIES, name) for name in ("account", "version", "posted")),
            outcome + run.outcomes_of(ENTRIES),
        )
        self.opened.add(
            run.numbers(ACCOUNTS, "number"), block + np.repeat(np.arange(n), np.diff(run.of[ACCOUNTS.number]))
        )
        self.outcomes.add(*run.rows(OUTCOMES).ids.T)
        self.words.add(run.kind, run.code)
        self.links.add(*run.rows(LINKS).ids.T)
        self.linked.add(outcome + run.outcomes_of(LINKS))
        if run.rows(DETAILS).numbers.shape[1]:
            self._note(run.texts(DETAILS, 0), run.texts(DETAILS, 1), outcome + run.outcomes_of(DETAILS))
        last = run.headers[-1]
        self.end = Chained(self.end.sequence + n, run.hashes[-1].tobytes(), records[n - 1].offset)
        assert int(last[0]) == self.end.sequence, "blocks are taken in order"

    def _take_block(self, block: Block, offset: int, data: bytes | memoryview) -> None:
        entry, outcome, number = self.entries.count, self.outcomes.count, self.times.count
        self.blocks.add([len(self.bytes)], [entry], [outcome])
        self.bytes += data
        self.times.add([block.header.created_at_us])
        self.held.add(entry + block.held["entry"], block.held["held"])
        self.flags.add(entry + block.flags["entry"], block.flags["flags"])
        entries = block.entries
        self.entries.add(entries["account"], entries["version"], entries["posted"], outcome + entries["outcome"])
        self.opened.add(block.accounts["number"], np.full(len(block.accounts["number"]), number))
        self.outcomes.add(*np.ascontiguousarray(block.outcomes["id"]).view("<u8").T)
        self.words.add(block.outcomes["kind"], block.outcomes["code"])
        self.links.add(*np.ascontiguousarray(block.links["id"]).view("<u8").T)
        self.linked.add(outcome + block.links["outcome"])
        if len(block.details["outcome"]):
            details = block.details
            self._note(list(details["reference"]), list(details["metadata"]), outcome + details["outcome"])
        self.end = Chained(block.header.sequence, block.header.block_hash, offset)

    def _note(self, references: list[str], metadata: list[str], outcomes: Int64s) -> None:
        for reference, more, outcome in zip(references, metadata, outcomes.tolist(), strict=True):
            if reference or more:
                self.texts += reference.encode()
                end = len(self.texts)
                self.texts += more.encode()
                self.noted.add([outcome], [end], [len(self.texts)])
            if reference:
                self.references.add([word_hash(reference)])
                self.referred.add([outcome])

    def segment(self) -> Segment:
        """Everything that was taken so far."""
        entries = self.entries
        account = entries[0].astype(np.uint32)
        order = _order(account)
        accounts, rows = _groups(account[order])
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        held, flags = self.held, self.flags
        held_rows, flag_rows = place[held[0]], place[flags[0]]
        by_held, by_flags = np.argsort(held_rows), np.argsort(flag_rows)
        low, high = self.outcomes[1], self.outcomes[0]
        asked = np.flatnonzero(self.words[0] != Kind.OPEN)
        by_id = asked[np.argsort(low[asked], kind="stable")]
        by_link, by_reference = np.argsort(self.links[1], kind="stable"), np.argsort(self.references[0], kind="stable")
        opened = self.opened
        return Segment(
            before=self.before, end=self.end, opened_first=int(opened[0][0]) if opened.count else 0,
            starts=np.append(self.blocks[0], len(self.bytes)), blocks=np.frombuffer(bytes(self.bytes), np.uint8),
            at_us=self.times[0].copy(), entry_of=np.append(self.blocks[1], entries.count),
            outcome_of=np.append(self.blocks[2], self.outcomes.count), account=account, outcome=entries[3].astype(np.uint32),
            id_high=high.copy(), id_low=low.copy(), kind=self.words[0].copy(), code=self.words[1].copy(), accounts=accounts,
            rows=rows, versions=entries[1][order[rows[:-1]]], posted=entries[2][order], entry=order.astype(np.uint32),
            held_rows=held_rows[by_held], held=held[1][by_held], flag_rows=flag_rows[by_flags], flags=flags[1][by_flags],
            opened=opened[1].astype(np.uint32), by_id=low[by_id], by_id_outcome=by_id.astype(np.uint32),
            by_link=self.links[1][by_link], by_link_high=self.links[0][by_link],
            by_link_outcome=self.linked[0][by_link].astype(np.uint32), by_reference=self.references[0][by_reference],
            by_reference_outcome=self.referred[0][by_reference].astype(np.uint32), noted=self.noted[0].astype(np.uint32),
            note_ends=np.stack((self.noted[1], self.noted[2]), axis=1).reshape(-1),
            note_texts=np.frombuffer(bytes(self.texts), np.uint8),
        )  # fmt: skip


def joined(segments: Sequence[Segment]) -> Segment:
    """One segment of several that follow each other."""
    if len(segments) == 1:
        return segments[0]
    of_blocks = _firsts([len(each.at_us) for each in segments])
    of_entries = _firsts([len(each.account) for each in segments])
    of_outcomes = _firsts([len(each.kind) for each in segments])
    of_bytes = _firsts([len(each.blocks) for each in segments])

    def all_of(name: str, firsts: Int64s | None = None) -> npt.NDArray[Any]:
        """A column of all of them, the numbers in it counted on."""
        parts = [getattr(each, name) for each in segments]
        if firsts is not None:
            parts = [part + part.dtype.type(first) for part, first in zip(parts, firsts.tolist(), strict=True)]
        found: npt.NDArray[Any] = np.concatenate(parts)
        return found

    def of_each_block(name: str, firsts: Int64s, total: int) -> Int64s:
        parts = [getattr(each, name)[:-1] + first for each, first in zip(segments, firsts.tolist(), strict=True)]
        return np.append(np.concatenate(parts), total)

    account = all_of("account")
    order = _order(account)
    accounts, rows = _groups(account[order])
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    in_log = [place[each.entry + np.uint32(first)] for each, first in zip(segments, of_entries.tolist(), strict=True)]
    posted = np.empty(len(order), np.int64)
    versions = np.empty(len(order), np.int64)
    for each, rows_now in zip(segments, in_log, strict=True):
        posted[rows_now] = each.posted
        versions[rows_now] = np.arange(len(each.posted)) + np.repeat(each.versions - each.rows[:-1], np.diff(each.rows))

    def moved(name: str) -> Int64s:
        return np.concatenate([at[getattr(each, name)] for each, at in zip(segments, in_log, strict=True)])

    held_rows, flag_rows = moved("held_rows"), moved("flag_rows")
    by_held, by_flags = np.argsort(held_rows), np.argsort(flag_rows)
    by_id, by_link, by_reference = (
        np.argsort(all_of(name), kind="stable") for name in ("by_id", "by_link", "by_reference")
    )
    opened_first = next((each.opened_first for each in segments if len(each.opened)), 0)
    return Segment(
        before=segments[0].before, end=segments[-1].end, opened_first=opened_first,
        starts=of_each_block("starts", of_bytes, int(sum(len(each.blocks) for each in segments))), blocks=all_of("blocks"),
        at_us=all_of("at_us"), entry_of=of_each_block("entry_of", of_entries, len(account)),
        outcome_of=of_each_block("outcome_of", of_outcomes, int(sum(len(each.kind) for each in segments))), account=account,
        outcome=all_of("outcome", of_outcomes), id_high=all_of("id_high"), id_low=all_of("id_low"), kind=all_of("kind"),
        code=all_of("code"), accounts=accounts, rows=rows, versions=versions[rows[:-1]], posted=posted,
        entry=order.astype(np.uint32), held_rows=held_rows[by_held], held=all_of("held")[by_held], flag_rows=flag_rows[by_flags],
        flags=all_of("flags")[by_flags], opened=all_of("opened", of_blocks), by_id=all_of("by_id")[by_id],
        by_id_outcome=all_of("by_id_outcome", of_outcomes)[by_id], by_link=all_of("by_link")[by_link],
        by_link_high=all_of("by_link_high")[by_link], by_link_outcome=all_of("by_link_outcome", of_outcomes)[by_link],
        by_reference=all_of("by_reference")[by_reference],
        by_reference_outcome=all_of("by_reference_outcome", of_outcomes)[by_reference], noted=all_of("noted", of_outcomes),
        note_ends=all_of("note_ends", _firsts([len(each.note_texts) for each in segments])), note_texts=all_of("note_texts"),
    )  # fmt: skip


def _firsts(counts: Sequence[int]) -> Int64s:
    return np.concatenate(([0], np.cumsum(counts)[:-1])).astype(np.int64)


def _order(account: npt.NDArray[np.uint32]) -> Int64s:
    """The places of entries by account, those of one account in their order: two passes of a radix sort, which numpy has for
    words of 16 bits only."""
    order = np.argsort((account & np.uint32(0xFFFF)).astype(np.uint16), kind="stable")
    if len(account) and int(account.max()) > 0xFFFF:
        order = order[np.argsort((account[order] >> np.uint32(16)).astype(np.uint16), kind="stable")]
    return order


def _groups(account: npt.NDArray[np.uint32]) -> tuple[npt.NDArray[np.uint32], Int64s]:
    """Of sorted accounts each once, and where its rows begin, and at last where they end."""
    firsts = np.flatnonzero(np.diff(account, prepend=np.uint32(0)) if len(account) else account)
    if len(account) and (not len(firsts) or firsts[0] != 0):
        firsts = np.concatenate(([0], firsts))
    return account[firsts], np.append(firsts, len(account)).astype(np.int64)
