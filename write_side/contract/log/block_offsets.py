"""Where the blocks of a partition lie in its log, without eight bytes a block for ever: of the last ones exactly, of the others
one in `EVERY`, from which the log is read on."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from contextlib import aclosing
from typing import Final

import numpy as np
import numpy.typing as npt

from write_side.contract.block.block import read_header
from write_side.contract.log.log import Log, LogFailed

EXACT: Final = 65_536
"""Half a MiB. Whoever asks for an outcome mostly asks for a recent one."""
EVERY: Final = 64
"""Of an older block at most so many are read to find it: some ms, and one bit a block is kept."""


class BlockOffsets:
    """The offsets of blocks 0, 1, 2, ... in the order of `append`."""

    def __init__(self, offsets: Iterable[int] = ()) -> None:
        self._exact = array("q", bytes(8 * EXACT))
        self._marks = array("q")
        self._count = 0
        for offset in offsets:
            self.append(offset)

    def __len__(self) -> int:
        return self._count

    def append(self, offset: int) -> None:
        self._exact[self._count % EXACT] = offset
        if self._count % EVERY == 0:
            self._marks.append(offset)
        self._count += 1

    def extend(self, offsets: Sequence[int]) -> None:
        """As `append` of each."""
        first, self._count = self._count, self._count + len(offsets)
        self._marks.extend(offsets[-first % EVERY :: EVERY])
        kept = offsets[-EXACT:]
        at = (self._count - len(kept)) % EXACT
        until_end = min(len(kept), EXACT - at)
        self._exact[at : at + until_end] = array("q", kept[:until_end])
        self._exact[: len(kept) - until_end] = array("q", kept[until_end:])

    def columns(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """All that is known: the offsets of the last blocks, and of one block in `EVERY`."""
        kept = min(self._count, EXACT)
        exact = np.frombuffer(self._exact, np.int64)[np.arange(self._count - kept, self._count) % EXACT]
        return exact, np.array(self._marks, np.int64)

    @classmethod
    def of(cls, count: int, exact: npt.NDArray[np.int64], marks: npt.NDArray[np.int64]) -> BlockOffsets:
        """As `columns` told of so many blocks. Raises ValueError."""
        if (len(exact), len(marks)) != (min(count, EXACT), -(-count // EVERY)):
            raise ValueError("offsets of another number of blocks")
        offsets = cls()
        offsets._count = count
        offsets._marks = array("q", marks.tobytes())
        np.frombuffer(offsets._exact, np.int64)[np.arange(count - len(exact), count) % EXACT] = exact
        return offsets

    def nearest(self, sequence: int) -> tuple[int, int]:
        """The last block at or before this one whose place is known, and that place. Raises IndexError."""
        if not 0 <= sequence < self._count:
            raise IndexError(sequence)
        if sequence >= self._count - EXACT:
            return sequence, self._exact[sequence % EXACT]
        return sequence // EVERY * EVERY, self._marks[sequence // EVERY]


async def fetch_block(log: Log, partition: int, offsets: BlockOffsets, sequence: int) -> bytes | memoryview:
    """The bytes of an accepted block; what a writer that lost its partition left between is passed by. Raises LogFailed."""
    at, offset = offsets.nearest(sequence)
    data = await log.fetch(partition, offset)
    if at == sequence:
        return data
    held = read_header(data)
    async with aclosing(log.read(partition, offset)) as runs:
        async for records in runs:
            for record in records:
                # The chain rule of `chain.py`: all of this was judged before, so nothing else can be here.
                header = read_header(record.data)
                if header.epoch < held.epoch or header.previous_hash != held.block_hash:
                    continue
                held = header
                if held.sequence == sequence:
                    return record.data
    raise LogFailed(
        f"Partition {partition} has no block {sequence} any more, which was read before. Run `fanfold verify`."
    )
