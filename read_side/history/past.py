"""What an account was, by version, block or time, and what moved it: asked of segments that follow each other, the newest first.

Pure. Segments may overlap (one that was just sealed, and the parts it was made of): whatever is in two is the same in both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from read_side.history.segment import Entries, Segment
from write_side.contract.state.state import Place, word_hash
from write_side.contract.words.codes import NOT_REMEMBERED, REMEMBERED_KINDS, Code, Kind


class Was(NamedTuple):
    """An account after one of its versions. posted, held: minor units; sequence, at_us: of the block that made the version."""

    version: int
    posted: int
    held: int
    flags: int
    sequence: int
    at_us: int


def last_version(parts: Sequence[Segment], account: int, sequence: int) -> int | None:
    """The version as of block `sequence`; None when the account was not open then."""
    for part in parts:
        if part.first > sequence:
            continue
        version = part.version_at(account, sequence)
        if version is not None:
            return version
        opened = part.opened_in(account)
        if opened is not None:
            return 0 if opened <= sequence else None
    return None


def accounts_at(parts: Sequence[Segment], sequence: int) -> int:
    """How many accounts had been opened as of block `sequence`: those of the lower numbers, system accounts among them."""
    for part in parts:
        opened = int(part.opened.searchsorted(np.int64(sequence - part.first), "right"))
        if opened:
            return part.opened_first + opened
    return 0


def last_block(parts: Sequence[Segment], at_us: int) -> int:
    """The last block of this time or earlier; -1 when there is none."""
    for part in parts:
        sequence = part.last_block_at(at_us)
        if sequence >= part.first:
            return sequence
    return -1


def time_of(parts: Sequence[Segment], sequence: int) -> int:
    """Of a block that is there."""
    part = part_with(parts, sequence)
    assert part is not None
    return part.time_of(sequence)


def block_bytes(parts: Sequence[Segment], sequence: int) -> bytes:
    """Of a block that is there."""
    part = part_with(parts, sequence)
    assert part is not None
    return part.block(sequence)


def state_at(parts: Sequence[Segment], account: int, version: int) -> Was | None:
    """The account at one of its versions; None for one that it has not had."""
    if version == 0:
        opened = next((each for part in parts if (each := part.opened_in(account)) is not None), None)
        return None if opened is None else Was(0, 0, 0, 0, opened, time_of(parts, opened))
    for entries in entries_of(parts, account, range(version, version + 1)):
        flags = next((each for part in parts if (each := part.flags_at(account, version)) is not None), 0)
        columns = (entries.posted, entries.held, entries.sequence, entries.at_us)
        posted, held, sequence, at_us = (int(column[0]) for column in columns)
        return Was(version, posted, held, flags, sequence, at_us)
    return None


def entries_of(parts: Sequence[Segment], account: int, versions: range) -> Iterator[Entries]:
    """The entries of these versions as far as there are any, from the last ones back; each piece by rising version."""
    end = versions.stop
    for part in parts:
        if end <= versions.start:
            return
        here = part.versions_of(account)
        wanted = range(max(here.start, versions.start), min(here.stop, end))
        if len(wanted):
            yield part.entries(account, wanted)
            end = wanted.start


def sums_before(parts: Sequence[Segment], account: int, version: int) -> tuple[int, int]:
    """Posted and held before a version that is there."""
    was = None if version <= 1 else state_at(parts, account, version - 1)
    return (0, 0) if was is None else (was.posted, was.held)


class Found(NamedTuple):
    """An outcome: its place in the log, and the segment and number where it is."""

    place: Place
    segment: Segment
    number: int

    @property
    def id16(self) -> bytes:
        return self.segment.id_of(self.number)

    @property
    def kind(self) -> Kind:
        return Kind(int(self.segment.kind[self.number]))

    @property
    def code(self) -> Code:
        return Code(int(self.segment.code[self.number]))

    @property
    def at_us(self) -> int:
        return self.segment.time_of(self.place.sequence)


def outcomes_of(parts: Sequence[Segment], id16: bytes) -> list[Found]:
    """Every outcome of commands of this id, in the order of the log."""
    return _placed((part, number) for part in parts for number in part.of_id(id16))


def about(parts: Sequence[Segment], id16: bytes) -> list[Found]:
    """Every outcome of a command about this hold or transfer."""
    return _placed((part, number) for part in parts for number in part.about(id16))


def with_reference(parts: Sequence[Segment], reference: str, most: int) -> list[Found]:
    """The last outcomes with this reference, so many at most, the newest first."""
    found: dict[Place, Found] = {}
    for part in parts:
        for number in reversed(part.with_reference(word_hash(reference))):
            if len(found) == most:
                return [*found.values()]
            if part.note_of(int(number))[0] == reference:
                place = part.place_of(int(number))
                found.setdefault(place, Found(place, part, int(number)))
    return [*found.values()]


def telling(parts: Sequence[Segment], id16: bytes) -> Place | None:
    """The outcome that tells what became of the command of this id: its first one, and of a transfer across partitions the one
    that ended it; None where no command of this id ever counted."""
    for each in outcomes_of(parts, id16):
        if each.kind in REMEMBERED_KINDS and each.code not in NOT_REMEMBERED:
            return end_of(parts, each).place
    return None


def end_of(parts: Sequence[Segment], begun: Found) -> Found:
    """The outcome that ended what this one began; itself when nothing was to come, or nothing came yet."""
    if begun.code is not Code.PENDING:
        return begun
    ends = [
        each
        for each in outcomes_of(parts, begun.id16)
        if each.kind in (Kind.ANSWER, Kind.TIMEOUT) and each.code not in (Code.PENDING, Code.STALE)
    ]
    return ends[-1] if ends else begun


def _placed(found: Iterable[tuple[Segment, int]]) -> list[Found]:
    """In the order of the log, each once."""
    placed = {part.place_of(number): Found(part.place_of(number), part, number) for part, number in found}
    return [placed[place] for place in sorted(placed)]


def part_with(parts: Sequence[Segment], sequence: int) -> Segment | None:
    """The segment that has a block; None where none has."""
    return next((part for part in parts if part.first <= sequence <= part.last), None)
