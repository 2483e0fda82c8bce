"""The words and numbers of the model."""

from __future__ import annotations

from typing import NamedTuple

from blake3 import blake3

from write_side.ledger.commands.commands import Command, Leg, Mode, Transfer

TEN_TO_18 = 1_000_000_000_000_000_000
NO_FLOOR_IN_COLUMN = -9_223_372_036_854_775_808
SEVEN_DAYS_US = 604_800_000_000
FIVE_MINUTES_US = 300_000_000
TEN_SECONDS_US = 10_000_000
HOUR_US = 3_600_000_000


class Entry(NamedTuple):
    """An account after one change of it."""

    account: str
    posted: int
    version: int
    held: int = 0


class Unasked(NamedTuple):
    """Why there is an outcome that answers no client: `expire`, `timeout`, `step`, `answer`; of which id."""

    why: str
    id: bytes


class Outcome(NamedTuple):
    """word; entries, sorted; available of the leg that refused; of a repeat, the number of the outcome it repeats."""

    word: str
    entries: tuple[Entry, ...] = ()
    available: int | None = None
    first: int | None = None
    unasked: Unasked | None = None


class Refused(Exception):
    """A rule forbids it. Nothing has moved."""

    def __init__(self, word: str, available: int | None = None) -> None:
        super().__init__(word)
        self.word, self.available = word, available


class Chain(NamedTuple):
    """Commands that hang together."""

    mode: Mode
    commands: tuple[Command, ...]


def partition_of(name: str, partitions: int) -> int:
    return int.from_bytes(blake3(name.encode()).digest()[:8], "little") % partitions


def legs_of(command: Transfer) -> tuple[Leg, ...]:
    debit, credit, asset = command.debit, command.credit, command.asset
    return Leg(debit, -command.amount, asset), Leg(credit, command.amount, asset)


def turned(legs: tuple[Leg, ...]) -> tuple[Leg, ...]:
    """The other way round, unconditionally."""
    return tuple(Leg(leg.account, -leg.amount, leg.asset) for leg in legs)


def time_of(id: bytes, at_us: int) -> int:
    """The time in an id; of one without a time, now."""
    return int.from_bytes(id[:6], "big") * 1000 if has_time(id) else at_us


def has_time(id: bytes) -> bool:
    """Of version 7."""
    return id[6] >> 4 == 7 and id[8] >> 6 == 2
