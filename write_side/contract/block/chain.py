"""The chain rule: which records of a partition's log count. Every reader applies it, so all agree on what won.

Tested in this order: undecodable or own hash wrong: stop the partition loudly; epoch below the held one: skip; sequence
below the next: skip; the next sequence with another previous hash: skip; sequence above the next: stop; else accept.
A writer that lost its partition may go on appending for a while: its blocks are skipped, by everyone.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

from write_side.contract.block.block import (
    ZERO_HASH,
    Block,
    Header,
    NewerFormat,
    Undecodable,
    decode,
    read_header,
)

T = TypeVar("T")


class Head(NamedTuple):
    """The last accepted block as the chain rule sees it; before the first, `NO_HEAD`."""

    epoch: int
    sequence: int
    block_hash: bytes


NO_HEAD = Head(0, -1, ZERO_HASH)


class Skip(StrEnum):
    """Why a record does not count."""

    OLD_EPOCH = "old_epoch"
    OLD_SEQUENCE = "old_sequence"
    OTHER_PREVIOUS = "other_previous"


_RESTORE: Final = "Restore the log from a replica or a backup, run `fanfold verify`, then start again."
START_NEWER: Final = (
    "A newer release has written it, and most likely nothing is damaged: start that release again, for no release before it can "
    "go on with this log."
)


class ChainBroken(Exception):
    """The log itself is damaged or has a hole: nothing behind this record can be trusted, so the partition stops here."""

    def __init__(self, partition: int, sequence: int, what: str, then: str = _RESTORE) -> None:
        super().__init__(
            f"partition {partition} stops before block {sequence}: {what}. Blocks before it are good; no balance that was "
            f"shown is wrong. {then}"
        )
        self.partition = partition
        self.sequence = sequence


def rule(partition: int, head: Head, header: Header) -> Skip | None:
    """None when a block with this header is the next one. Raises ChainBroken."""
    if header.partition != partition:
        raise ChainBroken(partition, head.sequence + 1, "a block of another partition lies in this one's log")
    if header.epoch < head.epoch:
        return Skip.OLD_EPOCH
    if header.sequence <= head.sequence:
        return Skip.OLD_SEQUENCE
    if header.sequence == head.sequence + 1 and header.previous_hash != head.block_hash:
        return Skip.OTHER_PREVIOUS
    if header.sequence > head.sequence + 1:
        raise ChainBroken(partition, head.sequence + 1, f"the log goes on with block {header.sequence}")
    return None


def judge(partition: int, head: Head, data: bytes | memoryview) -> Block | Skip:
    """The block when the record is the next one, else why it is skipped. Raises ChainBroken."""
    return _judged(partition, head, data, decode, lambda block: block.header)


def judge_header(partition: int, head: Head, data: bytes | memoryview) -> Header | Skip:
    """As `judge`, for who has the block's columns already and only asks whether these bytes are accepted."""
    return _judged(partition, head, data, read_header, lambda header: header)


def _judged(
    partition: int,
    head: Head,
    data: bytes | memoryview,
    read: Callable[[bytes | memoryview], T],
    header_of: Callable[[T], Header],
) -> T | Skip:
    try:
        found = read(data)
    except NewerFormat as newer:
        what = f"a record cannot be read ({newer})"
        raise ChainBroken(partition, head.sequence + 1, what, START_NEWER) from newer
    except Undecodable as error:
        raise ChainBroken(partition, head.sequence + 1, f"a record cannot be read ({error})") from error
    return rule(partition, head, header_of(found)) or found
