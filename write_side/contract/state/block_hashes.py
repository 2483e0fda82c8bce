"""The hashes of a partition's first and last blocks: whether what somebody has stored lies on our own chain."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from write_side.contract.block.block import HASH_BYTES
from write_side.contract.block.run_bytes import SEQUENCE
from write_side.contract.state.replay import Folded, FoldedBlocks

HASHES_KEPT: Final = 65_536
"""Of the last blocks, 2 MiB: a store that was set back to one of them, or a rebuilt view beside us, gets only what changed."""

Hashes = npt.NDArray[np.uint8]


class BlockHashes:
    """Of blocks 0, 1, 2, ... as they are folded; the last `HASHES_KEPT` of them are known, and the first: it names the log.

    first: 32 bytes; empty before the first block.
    """

    def __init__(self) -> None:
        self.first = b""
        self._ring: Hashes = np.zeros((HASHES_KEPT, HASH_BYTES), np.uint8)
        self._count = 0

    def note(self, folded: Folded | FoldedBlocks) -> tuple[int, Hashes]:
        """Remember what was folded: the sequence of its first block, and the hash of each, uint8[blocks, 32]."""
        if isinstance(folded, FoldedBlocks):
            first, hashes = int(folded.run.headers[0, SEQUENCE]), folded.run.hashes
        else:
            header = folded.block.header
            first, hashes = header.sequence, np.frombuffer(header.block_hash, np.uint8).reshape(1, -1)
        if first == 0:
            self.first = hashes[0].tobytes()
        self._ring[np.arange(first, first + len(hashes)) % HASHES_KEPT] = hashes
        self._count = first + len(hashes)
        return first, hashes

    def find(self, sequence: int) -> bytes | None:
        """The hash of a block; None when it is not known."""
        if not max(0, self._count - HASHES_KEPT) <= sequence < self._count:
            return None
        found: bytes = self._ring[sequence % HASHES_KEPT].tobytes()
        return found

    def column(self) -> Hashes:
        """All that are known, in their order."""
        kept = min(self._count, HASHES_KEPT)
        known: Hashes = self._ring[np.arange(self._count - kept, self._count) % HASHES_KEPT]
        return known

    @classmethod
    def of(cls, count: int, known: Hashes, first: bytes) -> BlockHashes:
        """As `column` told of so many blocks. Raises ValueError."""
        if len(known) != min(count, HASHES_KEPT):
            raise ValueError("hashes of another number of blocks")
        hashes = cls()
        hashes._count, hashes.first = count, first
        hashes._ring[np.arange(count - len(known), count) % HASHES_KEPT] = known
        return hashes
