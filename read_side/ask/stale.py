"""What is said of an answer that lacks what came behind a damaged place of the log: since when it does.

An answer of one partition says `stale_since`, one of several names those of them that are (`stale`). It is looked at after the
answer was made: a partition that stops in between is told as old, and never an old answer as new.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from read_side.ask.balances import Projected
from write_side.contract.words.times import format_time


def stale_since(projected: Projected | None) -> dict[str, str]:
    """The member that an answer of this partition has for it; none while the partition is followed, or is projected elsewhere."""
    since_us = None if projected is None else projected.stale_since_us
    return {} if since_us is None else {"stale_since": format_time(since_us)}


def stale_partitions(projected: Iterable[Projected | None]) -> list[dict[str, Any]]:
    """Those of them whose log is damaged, as documents."""
    return [
        {"partition": each.partition, **stale_since(each), "reason": each.stopped}
        for each in projected
        if each is not None and each.stale_since_us is not None
    ]
