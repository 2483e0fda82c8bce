"""The words between queries and their doors: what may be wanted, and how a question can fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from write_side.contract.atoms import Malformed


class Wanted(NamedTuple):
    """positions: partition -> least sequence; version: least version of the account; wait_s: how long to wait for them."""

    positions: Mapping[int, int]
    version: int | None
    wait_s: float


NOTHING_WANTED: Final = Wanted({}, None, 0.0)


class Rebuilding(Exception):
    """The view is not there, older than what was shown, or not caught up: nothing is said rather than something old."""


class NotReached(Exception):
    """The wait ended before the wanted position or version was there. `word` says which; what is held is told."""

    def __init__(self, word: str, position: str | None, version: int | None = None) -> None:
        super().__init__(word)
        self.word = word
        self.position = position
        self.version = version


class NotFound(Exception):
    """There is no such thing, as of `positions`."""

    def __init__(self, positions: str | None) -> None:
        super().__init__("not found")
        self.positions = positions


class Ambiguous(Exception):
    """Two partitions hold a transfer with this id."""


def check_partitions(positions: Mapping[int, int], partitions: int) -> None:
    """Raises Malformed for a position of a partition that the log does not have."""
    if any(partition >= partitions for partition in positions):
        raise Malformed("position_malformed", "min_position", "names a partition that does not exist")
