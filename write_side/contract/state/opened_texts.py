"""The texts of accounts that a run of blocks opens, told apart without a Python string each: most assets and owners repeat."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from write_side.contract.block.columns import ACCOUNTS
from write_side.contract.block.run import PlainRun
from write_side.contract.compiled.blake3_lanes import hash_places
from write_side.contract.state.state import word_hash

Int64s = npt.NDArray[np.int64]
NAME, ASSET, OWNER = range(3)
"""The columns of texts, in their order."""


class Repeated(NamedTuple):
    """n texts: the different ones in the order in which they came first, which of them each is (int64[n]), and `first`, where
    each of the different ones came first."""

    texts: list[str]
    which: Int64s
    first: Int64s

    def hashes(self) -> npt.NDArray[np.uint64]:
        """`word_hash` of each of the n."""
        found: npt.NDArray[np.uint64] = np.array([word_hash(text) for text in self.texts], np.uint64)[self.which]
        return found

    def until(self, count: int) -> Repeated:
        """The first `count` of the n."""
        return Repeated(self.texts[: int(np.searchsorted(self.first, count))], self.which[:count], self.first)


def repeated(run: PlainRun, column: int) -> Repeated:
    """A column of texts of the accounts section."""
    places = run.rows(ACCOUNTS).texts[column]
    if np.all(places[:1] == places):  # a column of one text has it once, with the same place for all
        first = np.zeros(min(1, len(places)), np.int64)
        return Repeated(_decoded(run, places[first]), np.zeros(len(places), np.int64), first)
    try:
        keys = hash_places(places, run.data)
    except ValueError:  # longer than what is hashed at once
        return _by_text(run.texts(ACCOUNTS, column))
    first, which = _told_apart(keys[0])
    if not np.array_equal(keys[1], keys[1, first][which]):
        return _by_text(run.texts(ACCOUNTS, column))
    return Repeated(_decoded(run, places[first]), which, first)


def _decoded(run: PlainRun, places: Int64s) -> list[str]:
    return [run.data[start:end].decode() for start, end in places.tolist()]


def _told_apart(words: npt.NDArray[np.uint64]) -> tuple[Int64s, Int64s]:
    _, first, which = np.unique(words, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return first[order], place[which]


def _by_text(texts: list[str]) -> Repeated:
    numbers: dict[str, int] = {}
    which = np.array([numbers.setdefault(text, len(numbers)) for text in texts], np.int64)
    return Repeated(list(numbers), which, np.unique(which, return_index=True)[1])
