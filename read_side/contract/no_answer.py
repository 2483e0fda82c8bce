"""The words between queries and their doors: what may be wanted, and how a question can fail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, NamedTuple

from fanfold.api.malformed import Malformed
from fanfold.api.questions import ManyBalances, Waiting
from write_side.contract.words.position import parse_positions


class Wanted(NamedTuple):
    """positions: partition -> least sequence; version: least version of the account; wait_s: how long to wait for them."""

    positions: Mapping[int, int]
    version: int | None
    wait_s: float


def wanted(asked: Waiting | ManyBalances, version: int | None = None) -> Wanted:
    """Who wants nothing waits for nothing. Raises Malformed."""
    positions = {} if asked.min_position is None else parse_positions(asked.min_position)
    return Wanted(positions, version, asked.wait_ms / 1000 if positions or version is not None else 0.0)


NOTHING_WANTED: Final = Wanted({}, None, 0.0)


class Unanswerable(Exception):
    """Nothing is said rather than something old or guessed. partitions: whose; reason: for a person, where more is known.

    word: the code in `write_side/contract/words/codes.py`.
    """

    word: ClassVar[str]

    def __init__(self, *partitions: int, reason: str | None = None) -> None:
        super().__init__(reason or self.word)
        self.partitions: Sequence[int] = partitions
        self.reason = reason


class Rebuilding(Unanswerable):
    """The view is not there, older than what was shown, or not caught up."""

    word = "view_rebuilding"


class Starting(Unanswerable):
    """The log is being folded since the start of this process."""

    word = "starting"


class Elsewhere(Unanswerable):
    """Another process projects these partitions, and only it knows the answer."""

    word = "partition_elsewhere"


class PartitionUnavailable(Unanswerable):
    """The partition's log or view fails, for the reason that is told."""

    word = "partition_unavailable"


class NotReached(Exception):
    """The wait ended before the wanted position or version was there. `word` says which; what is held is told."""

    def __init__(self, word: str, position: str | None, version: int | None = None) -> None:
        super().__init__(word)
        self.word = word
        self.position = position
        self.version = version


class NotFound(Exception):
    """There is no such thing, as of `positions`. forgotten_before_us: an id of that time or older may be forgotten; None: not
    this one."""

    def __init__(self, positions: str | None, forgotten_before_us: int | None = None) -> None:
        super().__init__("not found")
        self.positions = positions
        self.forgotten_before_us = forgotten_before_us


class Ambiguous(Exception):
    """Two partitions hold a transfer with this id."""


def check_partitions(positions: Mapping[int, int], partitions: int) -> None:
    """Raises Malformed for a position of a partition that the log does not have."""
    if any(partition >= partitions for partition in positions):
        raise Malformed("position_malformed", "min_position", "names a partition that does not exist")
