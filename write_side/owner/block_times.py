"""When the last blocks of a partition were decided and accepted. Noted a block, and only where traces are exported."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

KEPT_MAX: Final = 1_024
"""Blocks of a partition: whoever waits for one is answered within the next few."""


class BlockTime(NamedTuple):
    """Unix time in ns: of the begin of its decision, of its append, and of its acceptance."""

    sequence: int
    decided_ns: int
    appended_ns: int
    accepted_ns: int
    outcomes: int


class BlockTimes:
    """Of one partition. `decide` and `append` are called in the order of its blocks, each before that is done."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._deciding: deque[int] = deque(maxlen=8)
        self._appending = (0, 0)
        self._kept: deque[BlockTime] = deque(maxlen=KEPT_MAX)

    def begin_life(self) -> None:
        """Another writer owns the partition: what the last one was about to append is not told of."""
        self._deciding.clear()

    def decide(self) -> None:
        self._deciding.append(self._now_ns())

    def append(self) -> None:
        now_ns = self._now_ns()
        self._appending = (self._deciding.popleft() if self._deciding else now_ns, now_ns)

    def accepted(self, sequence: int, outcomes: int) -> None:
        """The block that was appended last counts."""
        self._kept.append(BlockTime(sequence, *self._appending, self._now_ns(), outcomes))

    def of(self, sequence: int) -> BlockTime | None:
        """None where it is not known, or long ago."""
        return next((each for each in reversed(self._kept) if each.sequence == sequence), None)
