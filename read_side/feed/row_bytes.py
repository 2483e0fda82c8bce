"""The rows of a batch as bytes, each in as many: any of them can be had without the others.

First the rows: name (`marks.padded`), place of the asset among the batch's (uint32), then the columns of `rows.NUMBERS` (int64).
Behind them the changes of phase: key and transfer (16 bytes each), and one byte for the phase (its place in `phases.WORDS`). All
numbers little endian.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from read_side.contract.feed import Places
from read_side.contract.marks import Names
from read_side.contract.phases import WORDS, PhaseRows
from read_side.contract.rows import NUMBERS, AccountRows
from read_side.contract.word_column import WordColumn

_WORD_NUMBERS: Final = {word: number for number, word in enumerate(WORDS)}
_PHASE: Final = np.dtype([("key", "V16"), ("transfer", "V16"), ("word", "u1")])


class RepeatedWords(WordColumn):
    """words[which[i]] at place i: few words, many places. which: uint32[n]."""

    def __init__(self, words: Sequence[str], which: npt.NDArray[np.uint32]) -> None:
        self._words, self._which = words, which

    def __len__(self) -> int:
        return len(self._which)

    def at(self, places: npt.NDArray[np.int64]) -> list[str]:
        return [self._words[which] for which in self._which[places].tolist()]

    def one(self, place: int) -> str:
        return self._words[int(self._which[place])]


@lru_cache(maxsize=16)
def _row(width: int) -> np.dtype[np.void]:
    return np.dtype([("name", f"S{width}"), ("asset", "<u4"), *((name, "<i8") for name in NUMBERS)])


class Shape(NamedTuple):
    """Of all rows of a batch. width: bytes of a name."""

    rows: int
    phases: int
    width: int

    @property
    def size(self) -> int:
        return self.rows * _row(self.width).itemsize + self.phases * _PHASE.itemsize


class Picked(NamedTuple):
    """Some of a batch's rows and phases, by their places."""

    rows: Places
    phases: Places

    def __bool__(self) -> bool:
        return len(self.rows) > 0 or len(self.phases) > 0

    def ranges(self, shape: Shape) -> list[tuple[int, int]]:
        """Where their bytes are, first and behind the last, those that touch as one."""
        size = _row(shape.width).itemsize
        begins = np.concatenate((self.rows * size, shape.rows * size + self.phases * _PHASE.itemsize))
        ends = np.concatenate((self.rows * size + size, begins[len(self.rows) :] + _PHASE.itemsize))
        apart = begins[1:] != ends[:-1]
        firsts = begins[np.concatenate(([True], apart))] if len(begins) else begins
        lasts = ends[np.concatenate((apart, [True]))] if len(ends) else ends
        return list(zip(firsts.tolist(), lasts.tolist(), strict=True))

    def shape(self, of: Shape) -> Shape:
        return Shape(len(self.rows), len(self.phases), of.width)


def row_bytes(names: Names, assets: npt.NDArray[np.uint32], rows: AccountRows, phases: PhaseRows) -> bytes:
    made = np.empty(len(rows), _row(names.itemsize))
    made["name"], made["asset"] = names, assets
    for name in NUMBERS:
        made[name] = getattr(rows, name)
    words = bytes(map(_WORD_NUMBERS.__getitem__, phases.phases))
    return made.tobytes() + b"".join(
        b"%b%b%c" % each for each in zip(phases.keys, phases.transfers, words, strict=True)
    )


def rows_of(data: bytes | memoryview, shape: Shape, asset_names: Sequence[str]) -> tuple[AccountRows, PhaseRows]:
    """The inverse, of whatever rows and phases these are. Raises ValueError."""
    if len(data) != shape.size:
        raise ValueError("not as many bytes as the rows of a feed batch have")
    made = np.frombuffer(data, _row(shape.width), shape.rows)
    told = np.frombuffer(data, _PHASE, shape.phases, made.nbytes)
    if (shape.rows and int(made["asset"].max()) >= len(asset_names)) or int(told["word"].max(initial=0)) >= len(WORDS):
        raise ValueError("a row of a feed batch names an asset or a phase that is none")
    names = [str(name, "ascii") for name in made["name"].tolist()]
    numbers = (made[name].astype(np.int64) for name in NUMBERS)
    rows = AccountRows(names, RepeatedWords(asset_names, made["asset"].copy()), *numbers)
    keys, transfers = (told[name].tolist() for name in ("key", "transfer"))
    return rows, PhaseRows(keys, transfers, [WORDS[word] for word in told["word"].tolist()])
