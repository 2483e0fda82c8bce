"""A moment of the past: what names it, which block of a partition is the last one of it, and what an account was then."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from fanfold.api.malformed import Malformed
from read_side.contract.how_far import check_partitions
from read_side.contract.no_answer import NotReached
from read_side.contract.rows import AccountRow
from read_side.history import past
from read_side.history.segment import Segment
from write_side.contract.block.block import HASH_BYTES, HEADER_BYTES
from write_side.contract.words.position import Position, parse_positions
from write_side.contract.words.times import time_us


class Moment(NamedTuple):
    """A time, UTC microseconds, or where that is None a position of each partition that is named."""

    at_us: int | None
    positions: Mapping[int, int]


class Cut(NamedTuple):
    """The last block of a moment, -1 where there was none by then. final: whether a later one is known, so that nothing can come
    any more that belongs to the moment; always so of a position."""

    sequence: int
    final: bool


def moment_of(text: str, partitions: int) -> Moment:
    """partitions: how many the log has. Raises Malformed."""
    if "T" in text:
        return Moment(time_of(text, "as_of"), {})
    positions = parse_positions(text, "as_of")
    check_partitions(positions, partitions, "as_of")
    return Moment(None, positions)


def check_named(moment: Moment, asked: Iterable[int], why: str) -> None:
    """Raises Malformed where a partition that is asked has no position. why: it is."""
    lacking = next((each for each in asked if moment.at_us is None and each not in moment.positions), None)
    if lacking is not None:
        raise Malformed("position_malformed", "as_of", f"has none of partition {lacking}, {why}")


def cut(moment: Moment, partition: int, parts: Sequence[Segment], shown: int) -> Cut:
    """shown: the last block that may be told. Raises NotReached for a position behind it."""
    if moment.at_us is not None:
        found = past.last_block(parts, moment.at_us)
        return Cut(min(found, shown), found < shown)
    sequence = moment.positions[partition]
    if sequence > shown:
        raise NotReached("position_not_reached", str(Position(partition, shown)) if shown >= 0 else None)
    return Cut(sequence, True)


def row_at(parts: Sequence[Segment], row: AccountRow, number: int, sequence: int) -> AccountRow | None:
    """The account of this row as of a block; None where it was not open then."""
    version = past.last_version(parts, number, sequence)
    if version is None:
        return None
    was = past.state_at(parts, number, version)
    assert was is not None, "a version that was made is there"
    return row_of(row, was)


def row_of(row: AccountRow, was: past.Was) -> AccountRow:
    """The account of this row as it was."""
    return row._replace(posted=was.posted, held=was.held, version=was.version, at_us=was.at_us, flags=was.flags)


def block_hash(parts: Sequence[Segment], sequence: int) -> str:
    """Of a block that is there, as documents have it."""
    return past.block_bytes(parts, sequence)[HEADER_BYTES - HASH_BYTES : HEADER_BYTES].hex()


def time_of(text: str, field: str) -> int:
    """UTC microseconds. Raises Malformed for no time that there is."""
    try:
        return time_us(datetime.datetime.fromisoformat(text))
    except ValueError:
        raise Malformed(
            "parameter_malformed", field, "must be a time that there is, such as 2026-01-31T12:00:00Z"
        ) from None
