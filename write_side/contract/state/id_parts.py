"""What parts of the id table hold, so that many ids are forgotten without looking at each.

A part is 1,024 rows that came one after the other. Of its remembered ids with a time, and of those without, it knows the earliest
and the latest time, how many there are, and what they are in the digest. Most parts lie below a cut-off as a whole, or not at
all: only the rows of the others are looked at.

    parts  uint64[parts, PART_WIDTH]: FIRST_US, LAST_US, COUNT, LANE_A and LANE_B of ids with a time, and OF_TIMELESS words behind
           them those of ids without
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from write_side.contract.compiled.compiled import njit_inlined, njit_inner
from write_side.contract.state.digest import mix_id

ID_A: Final = 0
ID_B: Final = 1
TIME_US: Final = 5
"""Where a row of the id table has these (`ids.py`)."""

PART_ROWS: Final = 1024
FIRST_US: Final = 0
LAST_US: Final = 1
COUNT: Final = 2
LANE_A: Final = 3
LANE_B: Final = 4
OF_TIMELESS: Final = 8
PART_WIDTH: Final = 16


@njit_inlined
def has_time(id_a, id_b):  # type: ignore[no-untyped-def]
    """Whether an id is a UUIDv7 (RFC 9562, 5.7), the version that carries its time. id_a, id_b: its words, uint64."""
    return ((id_a >> np.uint64(52)) & np.uint64(15)) == 7 and ((id_b >> np.uint64(6)) & np.uint64(3)) == 2


def have_time(ids: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """`has_time` of n ids, uint64[n, at least 2]."""
    a, b = ids[:, 0], ids[:, 1]
    timed: npt.NDArray[np.bool_] = ((a >> np.uint64(52)) & np.uint64(15) == 7) & (
        (b >> np.uint64(6)) & np.uint64(3) == 2
    )
    return timed


@njit_inlined
def count_in(parts, rows, row):  # type: ignore[no-untyped-def]
    """Count a row in its part; its two lanes of the digest."""
    part, of = row // PART_ROWS, 0 if has_time(rows[row, ID_A], rows[row, ID_B]) else OF_TIMELESS
    time_us = rows[row, TIME_US]
    if parts[part, of + COUNT] == 0 or time_us < parts[part, of + FIRST_US]:
        parts[part, of + FIRST_US] = time_us
    if parts[part, of + COUNT] == 0 or time_us > parts[part, of + LAST_US]:
        parts[part, of + LAST_US] = time_us
    a, b = mix_id(rows[row, ID_A], rows[row, ID_B], time_us)
    parts[part, of + COUNT] += np.uint64(1)
    parts[part, of + LANE_A] += a
    parts[part, of + LANE_B] += b
    return a, b


@njit_inlined
def is_whole(parts, part, rows):  # type: ignore[no-untyped-def]
    """Whether all of so many rows in a part are remembered."""
    return parts[part, COUNT] + parts[part, OF_TIMELESS + COUNT] == np.uint64(rows)


@njit_inner
def forget_in_part(ids, part, first, last, kind, before_us, digest):  # type: ignore[no-untyped-def]
    """Forget a part's ids of one kind (0: with a time) below what is kept now, those below `before_us` being forgotten; how many.

    Rows [first, last) are the part's. ids: `IdArrays`.
    """
    parts, rows, from_us = ids.parts, ids.rows, ids.kept_from_us[kind]
    of = kind * OF_TIMELESS
    count = parts[part, of + COUNT]
    if count == 0 or parts[part, of + FIRST_US] >= from_us:
        return np.int64(0)
    lane_a, lane_b = parts[part, of + LANE_A], parts[part, of + LANE_B]
    earliest, latest, kept = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0), np.uint64(0)
    kept_a, kept_b = np.uint64(0), np.uint64(0)
    if parts[part, of + LAST_US] >= from_us:
        kept_a, kept_b, kept = lane_a, lane_b, count
        for row in range(first, last):
            time_us = rows[row, TIME_US]
            if time_us < before_us or has_time(rows[row, ID_A], rows[row, ID_B]) != (kind == 0):
                continue
            if time_us < from_us:
                a, b = mix_id(rows[row, ID_A], rows[row, ID_B], time_us)
                kept_a -= a
                kept_b -= b
                kept -= np.uint64(1)
            else:
                earliest, latest = min(earliest, time_us), max(latest, time_us)
    digest[0] -= lane_a - kept_a
    digest[1] -= lane_b - kept_b
    parts[part, of + FIRST_US] = earliest
    parts[part, of + LAST_US] = latest
    parts[part, of + COUNT] = kept
    parts[part, of + LANE_A] = kept_a
    parts[part, of + LANE_B] = kept_b
    return np.int64(count - kept)


def median_time_us(
    parts: npt.NDArray[np.uint64], kind: int, times_in: Callable[[npt.NDArray[np.intp]], npt.NDArray[np.uint64]]
) -> int | None:
    """The median time of all ids of one kind (0: with a time), halves cut off; None when there are none. times_in: those of some
    parts.

    Bounds of it follow from what the parts know; only parts that reach between the bounds are looked at.
    """
    of = kind * OF_TIMELESS
    filled = np.flatnonzero(parts[:, of + COUNT])
    if filled.size == 0:
        return None
    first_us, last_us, counts = (parts[filled, of + column] for column in (FIRST_US, LAST_US, COUNT))
    total = int(counts.sum())
    middle = ((total - 1) // 2, total // 2)
    from_us = _reached(first_us, counts, middle[0])
    to_us = _reached(last_us, counts, middle[1])
    below = int(counts[last_us < from_us].sum())
    between = filled[(last_us >= from_us) & (first_us <= to_us)]
    places = [place - below for place in middle]
    times = np.partition(times_in(between), places)[places]
    return int(times.sum()) // 2


def _reached(times_us: npt.NDArray[np.uint64], counts: npt.NDArray[np.uint64], place: int) -> np.uint64:
    """The first of these times at which parts in their order have more than `place` ids."""
    order = np.argsort(times_us, kind="stable")
    return np.uint64(times_us[order[np.searchsorted(np.cumsum(counts[order]), place, side="right")]])
