"""What became of the commands of a partition, counted a run of blocks at a time: by kind and outcome. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from write_side.contract.words.codes import REFUSALS, Code, Kind

_CODES: Final = max(Code) + 1
_CELLS: Final = (max(Kind) + 1) * _CODES

Words = tuple[str, str]
"""The kind of a command, and what became of it: a refusal's stable word, or `done`, `exists`, `repeated`, `pending`, `stale`."""


class OutcomeCounts:
    """Since it was made. One call a run, whatever the run holds; who reads beside it sees whole numbers, if not of one moment."""

    def __init__(self) -> None:
        self._counts = np.zeros(_CELLS, np.int64)

    def note(self, kind: npt.NDArray[np.uint8], code: npt.NDArray[np.uint8]) -> None:
        """Columns of outcomes that were folded: their checks say that each is a kind and a code."""
        if not len(kind):
            return
        first = int(kind[0]) * _CODES + int(code[0])
        # One alone, or all alike: most blocks and runs are, and it is a tenth of the time.
        if len(kind) == 1 or ((kind == kind[0]).all() and (code == code[0]).all()):
            self._counts[first] += len(kind)
        else:
            self._counts += np.bincount(kind.astype(np.int64) * _CODES + code, minlength=_CELLS)

    def told(self) -> Iterator[tuple[Words, int]]:
        """Those that there were."""
        for cell in np.flatnonzero(self._counts).tolist():
            kind, code = divmod(cell, _CODES)
            yield (Kind(kind).name.lower(), outcome_word(Code(code))), int(self._counts[cell])


def outcome_word(code: Code) -> str:
    return REFUSALS.get(code, code.name.lower())
