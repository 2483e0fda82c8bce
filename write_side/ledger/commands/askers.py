"""Who asked for the commands of a batch, by runs: nothing is kept or done for a command by itself.

A batch of one principal is one run. In a batch where somebody is named, `""` stands for the commands of nobody; a batch of nobody
has none of this at all (`CommandColumns.askers` is None), so that it costs nothing.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from fanfold.api.grammar import PRINCIPAL
from write_side.contract.block.limits import ASKER_BYTES_MAX, ASKER_ROW
from write_side.ledger.commands.records import BatchMalformed

Int64s = npt.NDArray[np.int64]

RUN_BYTES_MAX: Final = ASKER_ROW + ASKER_BYTES_MAX
"""What a run can add to a block at most. A part of a batch may begin in the middle of one, and have it once more."""
_NAME: Final = re.compile(rf"{PRINCIPAL}\Z", re.ASCII)
_FIRST: Final = re.compile(r"(?:0|[1-9][0-9]{0,8})\Z", re.ASCII)
_FROM_0: Final = np.zeros(1, np.int64)


class Askers(NamedTuple):
    """first: the row at which each run begins, int64[runs], rising from 0; names: whose, those side by side differ."""

    first: Int64s
    names: tuple[str, ...]

    @staticmethod
    def one(name: str) -> Askers | None:
        """All of them asked for by one; by nobody for `""`."""
        return Askers(_FROM_0, (name,)) if name else None

    @staticmethod
    def each(names: Sequence[str]) -> Askers | None:
        """One name for each command."""
        return _runs(enumerate(names)) if any(names) else None

    @staticmethod
    def joined(parts: Iterable[tuple[int, Askers | None]]) -> Askers | None:
        """Of batches behind each other. parts: how many commands each has, and who asked for them."""
        found: list[tuple[int, str]] = []
        above = 0
        for size, askers in parts:
            if size:
                runs = [(0, "")] if askers is None else zip(askers.first.tolist(), askers.names, strict=True)
                found += [(above + row, name) for row, name in runs]
            above += size
        return _runs(found)

    def slice(self, start: int, stop: int) -> Askers | None:
        """Of rows start to stop."""
        if start == stop:
            return None
        if len(self.names) == 1:
            return self
        begin = int(self.first.searchsorted(start, "right")) - 1
        end = int(self.first.searchsorted(stop))
        first = np.maximum(self.first[begin:end] - start, 0)
        names = self.names[begin:end]
        return Askers(first, names) if any(names) else None

    def take(self, rows: npt.NDArray[np.intp]) -> Askers | None:
        """Of these rows, in this order."""
        if len(self.names) == 1:
            return self if len(rows) else None
        which = self.first.searchsorted(rows, "right") - 1
        begins = np.flatnonzero(np.diff(which, prepend=-1))
        return _runs((row, self.names[run]) for row, run in zip(begins.tolist(), which[begins].tolist(), strict=True))

    def weights(self) -> Int64s:
        """Bytes that each run adds to a block at most."""
        return np.array([ASKER_ROW + len(name) for name in self.names], np.int64)

    def encode(self) -> bytes:
        """Lines of a run each: row, blank, name."""
        runs = zip(self.first.tolist(), self.names, strict=True)
        return "\n".join([f"{row} {name}" for row, name in runs]).encode()

    @staticmethod
    def decode(data: bytes, size: int) -> Askers:
        """The inverse, of a batch of so many commands. Raises BatchMalformed: a queue is an entrance too."""
        rows, names = [], []
        try:
            for line in data.decode("ascii").split("\n"):
                row, _, name = line.partition(" ")
                if not _FIRST.match(row) or (name and not _NAME.match(name)):
                    raise ValueError
                rows.append(int(row))
                names.append(name)
        except ValueError as error:
            raise BatchMalformed("who asked is malformed") from error
        first = np.array(rows, np.int64)
        if rows[0] or rows[-1] >= size or np.any(first[1:] <= first[:-1]) or not any(names):
            raise BatchMalformed("who asked is not told of its commands, in order")
        if any(one == other for one, other in itertools.pairwise(names)):
            raise BatchMalformed("who asked is told twice")
        return Askers(first, tuple(names))


def _runs(found: Iterable[tuple[int, str]]) -> Askers | None:
    """Of rows and names, where those side by side may be the same; None where nobody is named."""
    rows, names = list[int](), list[str]()
    for row, name in found:
        if not names or names[-1] != name:
            rows.append(row)
            names.append(name)
    return Askers(np.array(rows, np.int64), tuple(names)) if any(names) else None
