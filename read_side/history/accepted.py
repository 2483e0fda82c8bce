"""The blocks of a log that count, without folding them: for what lies behind the sealed history and was folded before.

They were folded by whoever took the snapshot that the fold began at, so their digests are not compared again; their hashes and
the chain are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from read_side.history.segment import Chained
from write_side.contract.block.block import Header, read_header
from write_side.contract.block.chain import NO_HEAD, Head, Skip, judge
from write_side.contract.block.run import Follows
from write_side.contract.block.run_bytes import CONSUMED_TO, CREATED_AT_US
from write_side.contract.log.log import Record
from write_side.contract.state.replay import Folded, FoldedBlocks, read_together

_NEVER_US = 2**62
"""When a block would forget ids is nothing to history."""


class Accepted:
    """Takes the records of a partition in order, from behind `header` on, the header of the last block that counted (None: from
    the beginning). Every block but the first epoch's first is judged by the chain rule."""

    def __init__(self, partition: int, header: Header | None) -> None:
        self._partition = partition
        self._head = NO_HEAD if header is None else Head(header.epoch, header.sequence, header.block_hash)
        self._follows = None if header is None else _follows(header)

    @classmethod
    def beginning_with(cls, partition: int, header: Header) -> Accepted:
        """With the block of this header, which is known to count: of what is before it nothing may be there any more."""
        accepted = cls(partition, None)
        accepted._head = Head(header.epoch, header.sequence - 1, header.previous_hash)
        return accepted

    def take_run(self, records: Sequence[Record], until: int) -> Iterator[Folded | FoldedBlocks]:
        """Those of the records that count, up to block `until`. Raises ChainBroken."""
        reader, offsets = read_together(records)
        at = 0
        while at < len(records) and self._head.sequence < until:
            follows = self._follows
            run = None if follows is None else reader.plain(at, follows, until=until)
            if run is not None and follows is not None:
                n = len(run.headers)
                last, block_hash = run.headers[-1], run.hashes[-1].tobytes()
                self._head = Head(follows.epoch, follows.sequence + n, block_hash)
                self._follows = follows._replace(
                    sequence=follows.sequence + n, block_hash=block_hash, consumed_to=int(last[CONSUMED_TO]),
                    created_at_us=int(last[CREATED_AT_US]),
                )  # fmt: skip
                at += n
                yield FoldedBlocks(run, records[at - n : at])
                continue
            record = records[at]
            at += 1
            verdict = judge(self._partition, self._head, record.data)
            if not isinstance(verdict, Skip):
                header = verdict.header
                self._head = Head(header.epoch, header.sequence, header.block_hash)
                self._follows = _follows(header)
                yield Folded(verdict, offsets[at - 1], record.data)


def header_at(place: Chained, data: bytes) -> Header:
    """The header of the block that a place in the chain names. Raises Undecodable, ValueError when it is another block."""
    header = read_header(data)
    if (header.sequence, header.block_hash) != (place.sequence, place.block_hash):
        raise ValueError("another block than the one that was sealed")
    return header


def _follows(header: Header) -> Follows | None:
    if not header.partitions:
        return None
    return Follows(
        header.partitions, header.partition, header.epoch, header.sequence,
        np.frombuffer(header.block_hash, np.uint8), header.consumed_to, header.created_at_us,
        header.refuse_ids_before_us, _NEVER_US,
    )  # fmt: skip
