"""The limits of a story: the usual ones, or those of a log so small that an ordinary story comes up against them all the time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.simulation.faults import Chaos
from write_side.contract.block import limits
from write_side.contract.block.limits import ROWS_MAX
from write_side.owner.writer import WriterLimits

SMALL_LOGS = 0.15
FLOOD = 120
"""Transfers of many legs in one request: more than a small log takes in one block."""
_SMALL = {"RECORD_BYTES_MAX": 12 * 1024, "DUE_BYTES_MAX": 8 * 1024, "DUE_MAX": 4, "COMMANDS_BYTES_MAX": 24 * 1024}
"""What one command or message of the most legs may weigh (some 20 KiB) still fits. Weights are bounds: blocks of a story take a
fifth of theirs (4.5 KiB at most in 40 stories, and 14 to 16 when a request of many legs is one record), so that a record of the
log is smaller here than the budget of its commands."""


@contextmanager
def limits_of(chaos: Chaos, small: bool | None) -> Iterator[bool]:
    """Whether the log is a small one, while the story lasts. small: None when the seed is to choose."""
    dice = chaos.random.random()
    if not (dice < SMALL_LOGS if small is None else small):
        yield False
        return
    chaos.count("small log")
    usual = {name: getattr(limits, name) for name in _SMALL}
    try:
        for name, value in _SMALL.items():
            setattr(limits, name, value)
        yield True
    finally:
        for name, value in usual.items():
            setattr(limits, name, value)


def writer_limits(chaos: Chaos, ids_max: int) -> WriterLimits:
    """Settings at their ends, and between."""
    return WriterLimits(chaos.random.choice((1, 4, 8_192, ROWS_MAX)), ids_max)


def commands_max(chaos: Chaos, floods: bool) -> int:
    """How many requests may wait in a queue in memory: more than there ever are, or hardly more than one client sends."""
    return chaos.random.choice((131_072, FLOOD + 10 if floods else 10))
