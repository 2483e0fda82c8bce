"""Which lines of a block hung together, from what became of them: only refused batches have left a trace.

One that went well, or went on, is decided as its lines are. An atomic one that was refused shows `BATCH_REFUSED` beside the line
that was refused, one that stopped `NOT_RUN` behind it. Nothing of either moved anything, so that a line more or less in it, which
would have become the same, is no difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from write_side.contract.words.codes import NOT_REMEMBERED, Code, Kind
from write_side.ledger.again.untold import CannotTell, Untold

_WENT_ON: Final = (Code.DONE, Code.PENDING)
_ID_REFUSED: Final = frozenset(NOT_REMEMBERED) - {Code.REPEATED, Code.NOT_RUN}


def told_chains(kind: Sequence[int], code: Sequence[int], back: Sequence[int]) -> npt.NDArray[np.int32]:
    """The chain of each command, int32[n], as in `batch_columns.py`.

    kind, code, back: of each, in their order. Raises CannotTell where two batches cannot be told apart.
    """
    chain = np.zeros(len(code), np.int32)
    numbers = iter(range(1, len(code) + 1))
    for first, last in _runs(code, back):
        of_run = code[first:last]
        atomic = Code.BATCH_REFUSED in of_run
        if atomic and Code.NOT_RUN in of_run:
            raise CannotTell(Untold.CHAINS)
        if atomic:
            start, end = _atomic(of_run)
            chain[first + start : first + end] = next(numbers)
        elif Code.NOT_RUN in of_run:
            for start, end in _stopped(kind[first:last], of_run):
                chain[first + start : first + end] = -next(numbers)
    for row, each in enumerate(code):  # what lies in several partitions is refused so in an atomic batch alone
        if each == Code.PARTITIONS_DIFFER and kind[row] == Kind.TRANSFER and chain[row] == 0:
            chain[row] = next(numbers, len(code) + 1)
    return chain


def _runs(code: Sequence[int], back: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Commands of one record side by side none of which went on."""
    first = 0
    for row in range(len(code) + 1):
        ends = row == len(code) or code[row] in _WENT_ON
        if ends or back[row] != back[first]:
            if first < row:
                yield first, row
            first = row + 1 if ends else row


def _atomic(code: Sequence[int]) -> tuple[int, int]:
    """The one refused atomic batch in a run: from its first line that shows it to the last."""
    shown = [row for row, each in enumerate(code) if each == Code.BATCH_REFUSED]
    first, last = shown[0], shown[-1]
    causes = [
        row
        for row, each in enumerate(code)
        if each not in (Code.BATCH_REFUSED, Code.REPEATED, Code.EXISTS) and each not in _ID_REFUSED
    ]
    if not causes:  # the line that was refused had been refused before, or its id was
        causes = [row for row, each in enumerate(code) if each in _ID_REFUSED or each == Code.REPEATED]
        if len(causes) != 1:
            raise CannotTell(Untold.CHAINS)
    before = [row for row in causes if row < first]
    behind = [row for row in causes if row > last]
    if len(before) == len(causes):
        cause = before[-1]
    elif len(behind) == len(causes):
        cause = behind[0]
    elif len(causes) == 1:
        cause = causes[0]
    else:
        raise CannotTell(Untold.CHAINS)
    start, end = min(first, cause), max(last, cause) + 1
    if any(each != Code.BATCH_REFUSED for each in code[start:cause]):
        raise CannotTell(Untold.CHAINS)  # whether that line was the cause is not told
    return start, end


def _stopped(kind: Sequence[int], code: Sequence[int]) -> Iterator[tuple[int, int]]:
    """The batches of a run that stopped, each from the last line that was refused by itself to the last that was not run."""
    starts = [0]
    for row, each in enumerate(code):
        refused = each not in (Code.REPEATED, Code.EXISTS, Code.NOT_RUN)
        if refused and kind[row] != Kind.OPEN and row > 0:
            starts.append(row)
    for start, end in zip(starts, [*starts[1:], len(code)], strict=True):
        not_run = [row for row in range(start, end) if code[row] == Code.NOT_RUN]
        if not_run:
            yield start, not_run[-1] + 1
