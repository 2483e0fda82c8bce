"""A page of an account's entries: which rows of history it has, and where the next one begins. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import Final, NamedTuple

import numpy as np

from read_side.history.past import entries_of, sums_before
from read_side.history.segment import Entries, Int64s, Segment

LOOKED_AT_MAX: Final = 65_536
"""Entries that one page looks at, where few are of the direction asked for: some milliseconds."""
_PIECE: Final = 4_096


class Line(NamedTuple):
    """One entry. amount, held_change: what posted and held changed by; posted, held: after it; flags: after a change of them,
    else `FLAGS_AS_BEFORE`; segment, number: its outcome."""

    version: int
    amount: int
    posted: int
    held_change: int
    held: int
    flags: int
    sequence: int
    at_us: int
    segment: Segment
    number: int

    @property
    def id16(self) -> bytes:
        """The id of the command that made it."""
        return self.segment.id_of(self.number)


class Page(NamedTuple):
    """behind: the last version that was looked at, where the next page goes on; None when nothing is left."""

    lines: list[Line]
    behind: int | None


def page_of(
    parts: Sequence[Segment],
    account: int,
    versions: range,
    limit: int,
    *,
    newest_first: bool,
    direction: str | None = None,
) -> Page:
    """The first `limit` entries of these versions, in the order asked for. direction: `in` or `out`, None for both."""
    lines: list[Line] = []
    looked_at = 0
    left = versions
    while len(left) and len(lines) < limit and looked_at < LOOKED_AT_MAX:
        size = min(len(left), limit - len(lines) if direction is None else _PIECE)
        piece = range(left.stop - size, left.stop) if newest_first else range(left.start, left.start + size)
        found = list(_lines(parts, account, piece, direction, newest_first))
        taken = found[: limit - len(lines)]
        lines += taken
        looked_at += size
        at = taken[-1].version if len(taken) < len(found) else piece[0 if newest_first else -1]
        left = range(left.start, at) if newest_first else range(at + 1, left.stop)
    behind = None if not len(left) else (left.stop if newest_first else left.start - 1)
    return Page(lines, behind)


def _lines(
    parts: Sequence[Segment], account: int, versions: range, direction: str | None, newest_first: bool
) -> Iterator[Line]:
    pieces = [*entries_of(parts, account, versions)]
    for at in range(len(pieces)) if newest_first else reversed(range(len(pieces))):
        each = pieces[at]
        older = pieces[at + 1] if at + 1 < len(pieces) else None
        before = None if older is None else (int(older.posted[-1]), int(older.held[-1]))
        yield from _of_piece(parts, account, each, before, direction, newest_first)


def _of_piece(
    parts: Sequence[Segment],
    account: int,
    entries: Entries,
    before: tuple[int, int] | None,
    direction: str | None,
    newest_first: bool,
) -> Iterator[Line]:
    """before: posted and held before the first of them, None where that is to be looked up."""
    posted, held = sums_before(parts, account, int(entries.version[0])) if before is None else before
    amount, held_change = _changes(entries.posted, posted), _changes(entries.held, held)
    wanted = np.arange(len(amount))
    if direction is not None:
        wanted = np.flatnonzero(amount > 0 if direction == "in" else amount < 0)
    if newest_first:
        wanted = wanted[::-1]
    told = (
        entries.version, amount, entries.posted, held_change, entries.held, entries.flags, entries.sequence, entries.at_us
    )  # fmt: skip
    columns = [column[wanted].tolist() for column in told]
    yield from map(Line, *columns, repeat(entries.segment), entries.number[wanted].tolist())


def _changes(after: Int64s, before: int) -> Int64s:
    """By how much each differs from the one before it."""
    changes = after.copy()
    changes[1:] -= after[:-1]
    changes[0] -= before
    return changes
