"""What can be away, how, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final, NamedTuple

SECONDS: Final = (5, 70, 300)
"""Shorter than any time-out; longer than an append waits (60 s); longer than anything that is kept open."""


class What(StrEnum):
    ONE_BROKER = "one-broker"
    TWO_BROKERS = "two-brokers"
    ALL_BROKERS = "all-brokers"
    REDIS = "redis"
    ALL_SERVERS = "all-brokers+redis"
    WRITE_SIDE = "write-side"
    READ_SIDE = "read-side"
    GATEWAY = "gateway"


class How(StrEnum):
    KILLED = "killed"
    """SIGKILL, and started again. The Redis keeps nothing."""
    PAUSED = "paused"
    """SIGSTOP: its connections stay open and nobody answers, as with a machine that hangs."""


class Case(NamedTuple):
    what: What
    how: How
    seconds: int

    @property
    def brokers(self) -> int:
        return {What.ONE_BROKER: 1, What.TWO_BROKERS: 2, What.ALL_BROKERS: 3, What.ALL_SERVERS: 3}.get(self.what, 0)

    @property
    def redis(self) -> bool:
        return self.what in (What.REDIS, What.ALL_SERVERS)

    @property
    def side(self) -> str | None:
        sides = {What.WRITE_SIDE: "write side", What.READ_SIDE: "read side", What.GATEWAY: "gateway"}
        return sides.get(self.what)

    def __str__(self) -> str:
        return f"{self.what}:{self.how}:{self.seconds}"


def case_of(text: str) -> Case:
    """Of `what:how:seconds`. Raises ValueError."""
    what, how, seconds = text.split(":")
    return Case(What(what), How(how), int(seconds))


def matrix(seconds: Sequence[int] = SECONDS) -> list[Case]:
    """Every combination, the longest first."""
    return [Case(what, how, s) for s in sorted(seconds, reverse=True) for what in What for how in How]


def shares(cases: Sequence[Case], stands: int) -> list[list[Case]]:
    """Cases for so many stands beside each other, about equally long, each in the order given."""
    found: list[list[Case]] = [[] for _ in range(stands)]
    for case in cases:
        min(found, key=lambda share: sum(each.seconds + 30 for each in share)).append(case)
    return found
