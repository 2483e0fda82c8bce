"""Room for more rows, without a stop that grows with the table.

An array that is outgrown is copied, and the writer stops meanwhile: a millisecond for 4 MiB, a second for some gigabytes. So a
larger array has addresses for far more rows than there are; those cost nothing until they are written. Where the machine does
not give so many (strict overcommit, a limit on addresses), it is twice as large as it was, and is copied again later.

The system gives a large array its memory by large pages. One that begins on such a page has at most one of them that it fills in
part; one that begins anywhere has small pages before the first, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

COPIED_BYTES_MAX: Final = 1 << 22
"""A smaller array is just made twice as large: most partitions are small, and pages come by 2 MiB."""

_LINE_BYTES: Final = 64
_LARGE_PAGE_BYTES: Final = 1 << 21

Word = TypeVar("Word", bound=np.integer[Any])


def empty_rows(count: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """dtype[count, *shape], uninitialised, from a cache line on; a large one from a large page on."""
    octets = count * math.prod(shape) * np.dtype(dtype).itemsize
    boundary = _LINE_BYTES if octets < COPIED_BYTES_MAX else _LARGE_PAGE_BYTES
    raw = np.empty(octets + boundary, np.uint8)
    start = -raw.ctypes.data % boundary
    return raw[start : start + octets].view(dtype).reshape(count, *shape)


def larger(
    rows: npt.NDArray[Word], used: int, needed: int, room: int, make: Callable[[int], npt.NDArray[Word]] | None = None
) -> npt.NDArray[Word]:
    """An array with the first `used` rows and room for `needed`, mostly for `room`. make: an empty one of so many rows."""

    def empty(count: int) -> npt.NDArray[Word]:
        return empty_rows(count, rows.shape[1:], rows.dtype)

    wanted = max(needed, 2 * len(rows))
    array = with_addresses(wanted, 0 if rows.nbytes < COPIED_BYTES_MAX else room, make or empty)
    array[:used] = rows[:used]
    return array


def with_room_for(count: int, room: int, make: Callable[[int], npt.NDArray[Word]]) -> npt.NDArray[Word]:
    """`make` for `count` rows that are there already and as many again, with addresses for `room` where a copy would be long."""
    row_bytes = make(1).nbytes
    return with_addresses(2 * count, 0 if count * row_bytes < COPIED_BYTES_MAX else room, make)


def with_addresses(wanted: int, room: int, make: Callable[[int], npt.NDArray[Word]]) -> npt.NDArray[Word]:
    """`make` of `room` rows, or of fewer where the machine has not so many addresses; of those wanted at least."""
    count = max(room, wanted)
    while True:
        try:
            return make(count)
        except MemoryError:
            if count <= wanted:
                raise
            count = max(count // 2, wanted)
