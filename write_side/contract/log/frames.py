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
    """Record i of them lies in `data` from starts[i] to starts[i + 1].

    offsets: of the records, int64[n]; or, where they are byte addresses, the log offset at which `data` begins.
    """

    def __init__(self, data: bytes, starts: npt.NDArray[np.int64], offsets: int | npt.NDArray[np.int64]) -> None:
        self.data = data
        self.starts = starts
        self._offsets = offsets

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
            stop = max(first, stop)
            offsets = self._offsets if isinstance(self._offsets, int) else self._offsets[first:stop]
            return Frames(self.data, self.starts[first : stop + 1], offsets)
        at = range(len(self))[at]
        start, end = int(self.starts[at]), int(self.starts[at + 1])
        offset = self._offsets + start if isinstance(self._offsets, int) else int(self._offsets[at])
        return Record(offset, memoryview(self.data)[start:end])

    @property
    def offsets(self) -> list[int]:
        """Of each record."""
        found: list[int] = self.offset_column.tolist()
        return found

    @property
    def offset_column(self) -> npt.NDArray[np.int64]:
        """As `offsets`, int64[n]."""
        return self.starts[:-1] + self._offsets if isinstance(self._offsets, int) else self._offsets
