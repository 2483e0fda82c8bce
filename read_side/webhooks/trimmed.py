"""Places in a log whose beginning was trimmed away: which block is the first that is there, what of a lane is really missing, and
what is said of that."""

from __future__ import annotations

from write_side.contract.log.block_offsets import BlockOffsets
from write_side.contract.words.position import Position


def first_there(offsets: BlockOffsets, begin: int) -> int:
    """The first block whose place in the log is known and not before this offset, which is the first that is there. Of old blocks
    one in `EVERY` is known."""
    low, high = 0, len(offsets)
    while low < high:
        middle = (low + high) // 2
        if offsets.nearest(middle)[1] < begin:
            low = middle + 1
        else:
            high = middle
    return low


def trimmed_away(hook_id: str, partition: int, done: int | None, first: int) -> str:
    """done: the last block that is delivered whole; None: the webhook begins at a time from which on nothing is there."""
    begins = Position(partition, first)
    missing = (
        f"what is from {Position(partition, done + 1)} to {Position(partition, first - 1)}, and was not delivered yet,"
        if done is not None
        else "what was before, from the time on at which this webhook begins,"
    )
    return (
        f"The log begins at block {begins} by now: {missing} was trimmed away once it lay in the log's archive. No money is "
        "concerned. Name the archive (FANFOLD_LOG_ARCHIVE, as it was when the log was trimmed), and it is delivered. Or leave it "
        f"out: `fanfold webhook replay {hook_id} --from {begins}`; then the receiver is never told of it."
    )
