"""Replay: records of a partition's log in, folded blocks out. The one loop of every reader, live or from the beginning."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.block.block import Block
from write_side.contract.block.chain import Skip, judge
from write_side.contract.block.columns import ACCOUNTS, ENTRIES
from write_side.contract.block.run import PlainRun, RunReader
from write_side.contract.log.block_offsets import BlockOffsets
from write_side.contract.log.frames import Frames
from write_side.contract.log.log import START, Record
from write_side.contract.state.fold import fold
from write_side.contract.state.fold_run import Prints, fold_run, follows
from write_side.contract.state.state import State

Int64s = npt.NDArray[np.int64]


class Folded(NamedTuple):
    """An accepted block, where it lies in the log, and its bytes."""

    block: Block
    offset: int
    data: bytes | memoryview


class FoldedBlocks(NamedTuple):
    """Plain blocks that were folded together, and their records."""

    run: PlainRun
    records: Sequence[Record]


def size_of(folded: Folded | FoldedBlocks) -> tuple[int, int, int]:
    """How many blocks, outcomes and entries."""
    if isinstance(folded, FoldedBlocks):
        return len(folded.records), len(folded.run.kind), int(folded.run.of[ENTRIES.number, -1])
    return 1, len(folded.block.outcomes["kind"]), len(folded.block.entries["account"])


def read_together(records: Sequence[Record]) -> tuple[RunReader, list[int]]:
    """What reads runs of these blocks, and the offset of each."""
    if isinstance(records, Frames):
        return RunReader(records.data, records.starts), records.offsets
    return RunReader.of([each.data for each in records]), [each.offset for each in records]


class Replay:
    """Applies the chain rule and folds what is accepted.

    offsets: where the accepted blocks lie.  passed: how many records were taken; skipped: how many of them
    did not count, by reason.  began_after: the last block of the snapshot that it began at, -1 when it began at the beginning.
    `prints`: see `fold.fold`; given by writers, left out by readers. before_change: called with the accounts that the next blocks
    change, int64[...], each maybe often and none to be relied on, before they are folded.
    """

    def __init__(self, state: State, prints: Prints | None = None) -> None:
        self.state = state
        self.offsets = BlockOffsets()
        self.last_offset = START
        self.passed = 0
        self.skipped: Counter[Skip] = Counter()
        self.began_after = -1
        self.before_change: Callable[[Int64s], None] | None = None
        self.prints = prints

    def begin_at(self, other: Replay) -> None:
        """Be where another replay of this partition is, which nobody uses from now on. Whoever holds this one keeps it."""
        self.state.become(other.state)
        self.offsets, self.last_offset = other.offsets, other.last_offset
        self.passed, self.skipped = other.passed, other.skipped
        self.began_after = self.state.chained.sequence

    def take_run(
        self, records: Sequence[Record], entries_max: int = 2**62, until: int | None = None
    ) -> Iterator[Folded | FoldedBlocks]:
        """Fold records in their order, as many as have `entries_max` entries, one at least, and no further than block `until`.

        Those that the chain rule skips are passed over; what was folded together is yielded so. Raises ChainBroken, CheckFailed.
        """
        reader, offsets = read_together(records)
        at = entries = 0
        while at < len(records) and (entries < entries_max or at == 0):
            if until is not None and self.state.chained.sequence >= until:
                return
            head = follows(self.state)
            run = None
            if head is not None:
                more = entries_max - entries
                run = reader.plain(at, head, more, until)
            if run is not None:
                if self.before_change is not None:
                    self.before_change(run.numbers(ENTRIES, "account"))
                run = fold_run(self.state, run, None if self.prints is None else self.prints.of_run)
            if run is not None and len(run.headers):
                taken = offsets[at : at + len(run.headers)]
                self.offsets.extend(taken)
                self.last_offset = taken[-1]
                self.passed += len(taken)
                at, entries = at + len(taken), entries + int(run.of[ENTRIES.number, -1] + run.of[ACCOUNTS.number, -1])
                yield FoldedBlocks(run, records[at - len(taken) : at])
                continue
            folded = self.take(records[at])
            at += 1
            if folded is not None:
                entries += len(folded.block.entries["account"]) + len(folded.block.accounts["number"])
                yield folded

    def take_all(self, records: Sequence[Record]) -> None:
        """As `take_run`, where nobody looks at what was folded."""
        for _ in self.take_run(records):
            pass

    def take(self, record: Record) -> Folded | None:
        """Fold the record's block, or None when the chain rule skips it. Raises ChainBroken, CheckFailed."""
        verdict = judge(self.state.partition, self.state.chained.head, record.data)
        if isinstance(verdict, Skip):
            self.skip(record.offset, verdict)
            return None
        if self.before_change is not None:
            self.before_change(verdict.entries["account"])
        fold(self.state, verdict, None if self.prints is None else self.prints.of_block)
        self.decided(record.offset)
        return Folded(verdict, record.offset, record.data)

    def skip(self, offset: int, reason: Skip) -> None:
        """Note a record that does not count."""
        self.last_offset = offset
        self.passed += 1
        self.skipped[reason] += 1

    def decided(self, offset: int) -> None:
        """Note a block whose state is already there, only its place is new: one that this process decided itself."""
        self.last_offset = offset
        self.passed += 1
        self.offsets.append(offset)
