"""Which history of its log a partition has: named by the block that began the life of the writer that writes it now.

A log that was put back to an earlier moment, or replaced by another one, can only go on with a new writer's life, whose first
block has another hash than any that was there before. So versions and positions of one history can be compared, and those of two
cannot. A writer that starts again without any of that begins a history too: whoever resumes is told the state once more.

What it cannot tell: a log that was put back and that no writer has begun to write again. It only ends too early.
"""

from __future__ import annotations

from typing import Final

from write_side.contract.block.block import read_header
from write_side.contract.log.block_offsets import fetch_block
from write_side.contract.log.log import Log
from write_side.contract.state.replay import Folded, FoldedBlocks, Replay

NAME_BYTES: Final = 8
"""Of the hash: two histories of one partition have the same name once in 10^19."""


class LogHistory:
    """Of one partition. epoch: the life's number."""

    def __init__(self) -> None:
        self.epoch = -1
        self.name: str | None = None
        """None before the first block, and while it is not known."""

    def note(self, folded: Folded | FoldedBlocks) -> None:
        """What was folded. Blocks that are folded together are of the epoch before them."""
        if isinstance(folded, Folded) and folded.block.header.epoch != self.epoch:
            self.epoch, self.name = folded.block.header.epoch, _name(folded.block.header.block_hash)

    def begin_at(self, epoch: int) -> None:
        """A snapshot is taken in the middle of a life, and does not say which block began it (`find`)."""
        self.epoch, self.name = epoch, None

    async def find(self, log: Log, partition: int, replay: Replay) -> None:
        """Look for the block that began the life, in some twenty blocks of the log. Raises LogFailed, Undecodable."""
        low, high = 0, len(replay.offsets) - 1
        epoch, name = self.epoch, self.name
        while low <= high:
            middle = (low + high) // 2
            header = read_header(await fetch_block(log, partition, replay.offsets, middle))
            if header.epoch < epoch:
                low = middle + 1
            else:
                high, name = middle - 1, _name(header.block_hash) if header.epoch == epoch else name
        if self.epoch == epoch and self.name is None:  # else another life has begun meanwhile
            self.name = name


def _name(began_by: bytes) -> str:
    return began_by[:NAME_BYTES].hex()
