"""Many names of accounts as one text, for who looks for few of them: none is made a string of its own until it is asked for.

Which may be among some names is told by marks, numbers made of a name's bytes, of all names at once: equal names have equal
marks, and other names seldom do, so whoever finds a mark looks at the name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from read_side.contract.word_column import WordColumn

Marks = npt.NDArray[np.uint64]

FEW: Final = 128
"""So many names cost less as strings of their own."""
ROOM: Final = 8
"""Bytes of a word."""
_ODD: Final = tuple(np.uint64(0x9E3779B97F4A7C15 * odd % 2**64) for odd in (1, 3, 5, 7, 9, 11, 13, 15))
"""One for each word of the longest name."""
NAME_MAX: Final = ROOM * len(_ODD)
_MIX: Final = np.uint64(0xFF51AFD7ED558CCD)


class PackedNames(WordColumn):
    """data: from `begin` on all names in ASCII, one behind the other, with `ROOM` bytes at least before them and behind them,
    whatever they are; lengths: uint8[n], 1 at least."""

    def __init__(self, data: bytes | memoryview, begin: int, lengths: npt.NDArray[np.uint8]) -> None:
        self._data = data
        self._lengths = lengths.astype(np.int64)
        self._ends = self._lengths.cumsum() + begin

    def __len__(self) -> int:
        return len(self._ends)

    def one(self, place: int) -> str:
        return self.at(np.array([place]))[0]

    def at(self, places: npt.NDArray[np.int64]) -> list[str]:
        ends, data = self._ends[places], self._data
        begins = (ends - self._lengths[places]).tolist()
        return [str(data[begin:end], "ascii") for begin, end in zip(begins, ends.tolist(), strict=True)]

    def marks(self) -> Marks:
        """uint64[n]."""
        return _marks(self._data, self._lengths, self._ends)


def marks_of(names: Sequence[str]) -> Marks:
    """uint64[n], as `PackedNames` has them."""
    lengths = np.fromiter(map(len, names), np.int64, len(names))
    return _marks(
        b"".join((bytes(ROOM), "".join(names).encode("ascii"), bytes(ROOM))), lengths, lengths.cumsum() + ROOM
    )


def _marks(data: bytes | memoryview, lengths: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]) -> Marks:
    words: Marks = np.ndarray((len(data) - ROOM + 1,), "<u8", data, 0, (1,))
    begins = ends - lengths
    last = np.maximum(lengths - ROOM, 0)
    # Of a short name its only word has bytes of its neighbours: they are shifted out.
    mixed: Marks = (words[begins] << (8 * np.maximum(ROOM - lengths, 0)).astype(np.uint64)) * _ODD[0]
    for number in range(1, -(-int(lengths.max(initial=0)) // ROOM)):
        word = words[begins + np.minimum(number * ROOM, last)] * _ODD[number]
        mixed ^= np.where(lengths > number * ROOM, word, np.uint64(0))
    found: Marks = (mixed ^ mixed >> np.uint64(29)) * _MIX
    return found
