"""Replay: records of a partition's log in, folded blocks out. The one loop of every reader, live or from the beginning."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from write_side.contract.block.block import Block
from write_side.contract.block.chain import Skip, judge
from write_side.contract.log.block_offsets import BlockOffsets
from write_side.contract.log.log import START, Record
from write_side.contract.state.fold import Fingerprints, fold
from write_side.contract.state.state import State


class Folded(NamedTuple):
    """An accepted block and where it lies in the log."""

    block: Block
    offset: int


class Replay:
    """Applies the chain rule and folds what is accepted.

    offsets: where the accepted blocks lie.  skipped: how many records did not count, by reason.
    `fingerprints`: see `fold.fold`; given by writers, left out by readers.
    """

    def __init__(self, state: State, fingerprints: Fingerprints | None = None) -> None:
        self.state = state
        self.offsets = BlockOffsets()
        self.last_offset = START
        self.skipped: Counter[Skip] = Counter()
        self._fingerprints = fingerprints

    def take(self, record: Record) -> Folded | None:
        """Fold the record's block, or None when the chain rule skips it. Raises ChainBroken, CheckFailed."""
        verdict = judge(self.state.partition, self.state.chained.head, record.data)
        if isinstance(verdict, Skip):
            self.skip(record.offset, verdict)
            return None
        fold(self.state, verdict, self._fingerprints)
        self.decided(record.offset)
        return Folded(verdict, record.offset)

    def skip(self, offset: int, reason: Skip) -> None:
        """Note a record that does not count."""
        self.last_offset = offset
        self.skipped[reason] += 1

    def decided(self, offset: int) -> None:
        """Note a block whose state is already there, only its place is new: one that this process decided itself."""
        self.last_offset = offset
        self.offsets.append(offset)
