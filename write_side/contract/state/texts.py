"""Texts by number in one piece of memory: two bytes each beside their own, and nothing that the collector would walk.

A million Python strings in a list are 70 MB and as many objects. Here the octets of all lie behind each other; where a text ends
is counted from the beginning of its group of 64. What was put in never changes or moves: whoever has a number may read its text
while more are being put in, so that several folds of one log may keep them together.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from write_side.contract.compiled.compiled import njit
from write_side.contract.state.room import larger

GROUP_BITS: Final = 6
GROUP: Final = 1 << GROUP_BITS
FEW: Final = 24
"""So many texts are made one by one sooner than by Arrow."""
AT_ONCE: Final = 16_384
"""Texts that one call makes, which no other thread of Python can run beside: a millisecond or two."""
_START_BYTES: Final = 1 << 14
_START_TEXTS: Final = 1024
_ROOM_BYTES: Final = 1 << 28
_ROOM_TEXTS: Final = 1 << 23
"""From 4 MiB on there are addresses for so much, which cost nothing until they are written."""

Int64s = npt.NDArray[np.int64]
Octets = npt.NDArray[np.uint8]


@njit(cache=True, nogil=True)
def _gather(octets, starts, ends, out):  # type: ignore[no-untyped-def]
    """Copy texts behind each other."""
    to = 0
    for i in range(starts.size):
        for at in range(starts[i], ends[i]):
            out[to] = octets[at]
            to += 1


class Joined(NamedTuple):
    """n texts behind each other: where each ends, int64[n], and the octets of all, uint8[...]."""

    ends: Int64s
    octets: Octets

    @staticmethod
    def of(texts: Sequence[str]) -> Joined:
        array = pa.array(texts, pa.utf8())
        _, offsets, data = array.buffers()
        if not len(array) or data is None:
            return Joined(np.zeros(len(array), np.int64), NO_TEXTS.octets)
        ends = np.frombuffer(offsets, np.int32)[1 : len(array) + 1].astype(np.int64)
        return Joined(ends, np.frombuffer(data, np.uint8)[: ends[-1]])

    @staticmethod
    def at(places: Int64s, data: Octets) -> Joined:
        """Texts that lie anywhere in `data`. places: int64[n, 2], where each begins and ends."""
        starts, stops = np.ascontiguousarray(places.T)
        ends = np.cumsum(stops - starts)
        octets = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
        _gather(data, starts, stops, octets)
        return Joined(ends, octets)

    def first(self, count: int) -> Joined:
        """The first `count` of them."""
        return Joined(self.ends[:count], self.octets[: int(self.ends[count - 1]) if count else 0])

    def behind(self, count: int) -> Joined:
        """All but the first `count`."""
        start = int(self.ends[count - 1]) if count else 0
        return Joined(self.ends[count:] - start, self.octets[start:])


NO_TEXTS: Final = Joined(np.empty(0, np.int64), np.empty(0, np.uint8))


class Texts(Sequence[str]):
    """ends: the type that says where a text ends, which bounds 64 of them together: uint16 for those of 1,023 bytes at most."""

    def __init__(self, ends: type[np.uint16] | type[np.uint32] = np.uint16) -> None:
        self._count = 0
        self._used = 0
        self._lock = threading.Lock()
        self._keep(
            np.empty(_START_BYTES, np.uint8), np.empty(_START_TEXTS, ends), np.empty(_START_TEXTS // GROUP, np.int64)
        )

    def _keep(self, octets: Octets, ends: npt.NDArray[Any], groups: Int64s) -> None:
        """Groups: where each begins in the octets."""
        self._octets, self._ends, self._groups = octets, ends, groups
        self._views = octets.data, ends.data, groups.data  # one number of a view is read in a third of an array's time

    def extend(self, texts: Sequence[str]) -> None:
        """Put these behind the last."""
        self.put(Joined.of(texts))

    def put_at(self, first: int, texts: Joined) -> bool:
        """Have these from number `first` on, which is the next one at most: those that are there already stay. False, and nothing
        has changed, where one of those is another text."""
        with self._lock:
            there = min(self._count - first, len(texts.ends))
            mine = self._joined(np.arange(first, first + there))
            if not (
                np.array_equal(mine.ends, texts.ends[:there]) and np.array_equal(mine.octets, texts.first(there).octets)
            ):
                return False
            self._put(texts.behind(there))
            return True

    def put(self, texts: Joined) -> None:
        """As `extend`."""
        with self._lock:
            self._put(texts)

    def _put(self, texts: Joined) -> None:
        ends, octets = texts
        if not len(ends):
            return
        first, count, used = self._count, self._count + len(ends), self._used + len(octets)
        arrays = self._octets, self._ends, self._groups
        if used > len(self._octets):
            arrays = larger(self._octets, self._used, used, _ROOM_BYTES), *arrays[1:]
        if count > len(self._ends):
            room = max(count, 2 * len(self._ends))
            room = -(-room // GROUP) * GROUP
            grown = larger(self._ends, first, room, _ROOM_TEXTS)
            arrays = arrays[0], grown, larger(self._groups, -(-first // GROUP), len(grown) // GROUP + 1, 0)
        if arrays[0] is not self._octets or arrays[1] is not self._ends:
            self._keep(*arrays)
        self._octets[self._used : used] = octets
        numbers = np.arange(first, count)
        starts = np.empty(len(ends), np.int64)
        starts[0], starts[1:] = 0, ends[:-1]
        begins = numbers % GROUP == 0
        self._groups[numbers[begins] >> GROUP_BITS] = starts[begins] + self._used
        told = ends + self._used - self._groups[numbers >> GROUP_BITS]
        if np.any(told > np.iinfo(self._ends.dtype).max):
            raise ValueError("a text is too long")
        self._ends[first:count] = told
        self._count, self._used = count, used

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, number: int) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> list[str]: ...
    def __getitem__(self, number: int | slice) -> str | list[str]:
        if isinstance(number, slice):
            return self.take(np.arange(self._count)[number])
        if not 0 <= number < self._count:
            raise IndexError(number)
        octets, ends, groups = self._views
        group = groups[number >> GROUP_BITS]
        start = group + ends[number - 1] if number % GROUP else group
        return str(octets[start : group + ends[number]], "utf-8")

    def __iter__(self) -> Iterator[str]:
        for first in range(0, self._count, AT_ONCE):
            yield from self[first : first + AT_ONCE]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Texts):
            return NotImplemented
        mine, theirs = self.joined(), other.joined()
        return np.array_equal(mine.ends, theirs.ends) and np.array_equal(mine.octets, theirs.octets)

    def take(self, numbers: Int64s) -> list[str]:
        """The texts of these numbers, each of them one there is."""
        if len(numbers) <= FEW:
            return [self[number] for number in numbers.tolist()]
        octets, (starts, ends) = self._octets, self._places(numbers)
        offsets = np.zeros(len(numbers) + 1, np.int32)
        np.cumsum(ends - starts, out=offsets[1:])
        data = np.empty(int(offsets[-1]), np.uint8)
        _gather(octets, starts, ends, data)
        array = pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(data))
        found: list[str] = array.to_numpy(zero_copy_only=False).tolist()
        return found

    def _places(self, numbers: Int64s) -> tuple[Int64s, Int64s]:
        """Where texts begin and end in the octets."""
        groups = self._groups[numbers >> GROUP_BITS]
        starts = groups + np.where(numbers % GROUP == 0, 0, self._ends[numbers - 1])
        return starts, groups + self._ends[numbers]

    def joined(self, count: int | None = None) -> Joined:
        """The first `count` of them, or all."""
        return self._joined(np.arange(self._count if count is None else count))

    def _joined(self, numbers: Int64s) -> Joined:
        """Of numbers that follow each other."""
        if not len(numbers):
            return NO_TEXTS
        starts, ends = self._places(numbers)
        return Joined(ends - starts[0], self._octets[starts[0] : ends[-1]])
