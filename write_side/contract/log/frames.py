"""Records that lie one behind the other in one piece of memory, as a file log reads them: a record is made when asked for.

Who folds runs of blocks looks at the memory itself; twenty thousand records of a transfer each take longer to make than to fold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from write_side.contract.log.log import Record


class Frames(Sequence[Record]):
    """Record i of them lies in `data` from starts[i] to starts[i + 1]. first: the log offset at which `data` begins."""

    def __init__(self, data: bytes, starts: npt.NDArray[np.int64], first: int) -> None:
        self.data = data
        self.starts = starts
        self._first = first

    def __len__(self) -> int:
        return len(self.starts) - 1

    @overload
    def __getitem__(self, at: int) -> Record: ...
    @overload
    def __getitem__(self, at: slice) -> Frames: ...
    def __getitem__(self, at: int | slice) -> Record | Frames:
        if isinstance(at, slice):
            first, stop, step = at.indices(len(self))
            assert step == 1, "records lie behind each other"
            return Frames(self.data, self.starts[first : max(first, stop) + 1], self._first)
        at = range(len(self))[at]
        start, end = int(self.starts[at]), int(self.starts[at + 1])
        return Record(self._first + start, memoryview(self.data)[start:end])

    @property
    def offsets(self) -> list[int]:
        """Of each record."""
        found: list[int] = (self.starts[:-1] + self._first).tolist()
        return found
