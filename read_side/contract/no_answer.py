"""Why a question gets no answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar


class Unanswerable(Exception):
    """Nothing is said rather than something old or guessed. partitions: whose; reason: for a person, where more is known;
    position: what is held, where that is older than what was answered.

    word: the code in `write_side/contract/words/codes.py`.
    """

    word: ClassVar[str]

    def __init__(self, *partitions: int, reason: str | None = None, position: str | None = None) -> None:
        super().__init__(reason or self.word)
        self.partitions: Sequence[int] = partitions
        self.reason = reason
        self.position = position


class Rebuilding(Unanswerable):
    """The view is not there, older than what was shown, or not caught up."""

    word = "view_rebuilding"


class Behind(Rebuilding):
    """The view is older than a write that was answered through the gateway that asks, and stayed so for as long as one may wait.

    An older balance would say that the write was lost, and whoever believes it sends the money again under another id.
    """


class Starting(Unanswerable):
    """The log is being folded since the start of this process."""

    word = "starting"


class Elsewhere(Unanswerable):
    """Another process projects these partitions, and only it knows the answer."""

    word = "partition_elsewhere"


class PartitionUnavailable(Unanswerable):
    """The partition's log or view fails, for the reason that is told."""

    word = "partition_unavailable"


class HistoryUnavailable(Unanswerable):
    """What is so now can be told, and the past cannot, for the reason that is told."""

    word = "history_unavailable"


def of_several(failures: Sequence[Unanswerable]) -> Unanswerable:
    """All of them as one, so that whoever asks again for the others knows which those are. The first says what kind it is."""
    partitions = [partition for failure in failures for partition in failure.partitions]
    reasons = dict.fromkeys(failure.reason for failure in failures if failure.reason is not None)
    held = ",".join(failure.position for failure in failures if failure.position is not None)
    return type(failures[0])(*partitions, reason="; ".join(reasons) or None, position=held or None)


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
