"""Commands that a queue has lost before any block consumed them: what that means, and how a person says to go on without them.

A writer goes on at `consumed_to`. Where its queue begins above that, what was between the two was taken from clients and is gone.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from write_side.contract.log.log import LogDamaged

VARIABLE: Final = "FANFOLD_ACCEPT_LOST_COMMANDS"
_ONE: Final = re.compile(r"(\d{1,6}):(\d{1,19})-(\d{1,19})")


class LostCommands(NamedTuple):
    """Records `first` to `behind - 1` of a partition's queue; written `2:1000-1200`."""

    partition: int
    first: int
    behind: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.first}-{self.behind}"


def read_lost_commands(text: str) -> frozenset[LostCommands]:
    """Those of `2:1000-1200,3:17-18`; of an empty text none. Raises ValueError."""
    found = set()
    for part in filter(None, map(str.strip, text.split(","))):
        one = _ONE.fullmatch(part)
        if one is None:
            raise ValueError(
                f"{VARIABLE} must name partitions and records, such as 2:1000-1200,3:17-18, and not {part!r}"
            )
        found.add(LostCommands(*map(int, one.groups())))
    return frozenset(found)


class CommandsLost(LogDamaged):
    """A queue begins behind what its log has consumed. For a person: it may be the topic of another log."""

    def __init__(self, lost: LostCommands) -> None:
        self.lost = lost
        super().__init__(
            f"the command queue of partition {lost.partition} begins at record {lost.behind}, and the log has consumed it to "
            f"{lost.first}: {lost.behind - lost.first} records are gone. The commands in them were never answered and have moved "
            "no money; everything that was answered is in the log. Whoever waits asks again with the same id, and that is safe. "
            "Find out what deleted them: retention of the topic, records deleted by hand, or the topic of another log under this "
            f"name. {VARIABLE}={lost} starts without these and no others."
        )
