"""The ids that the model remembers, and what became of each."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from tests.unit.write_side.ledger.model.values import (
    FIVE_MINUTES_US,
    HOUR_US,
    SEVEN_DAYS_US,
    TEN_SECONDS_US,
    Refused,
    has_time,
    time_of,
)
from write_side.ledger.commands.commands import Leg, Reverse, Rich, Transfer


@dataclass
class Seen:
    """kind, content: what was asked; number: of the outcome that a repeat names; word: what it became; legs: what it moved."""

    kind: type
    content: object
    time_us: int
    number: int
    word: str = ""
    legs: tuple[Leg, ...] = ()
    is_reversed: bool = False

    def become(self, word: str, legs: tuple[Leg, ...], number: int) -> None:
        self.word, self.legs, self.number = word, legs, number


class Ids:
    """ever: whether what is forgotten is found again, but for what ran and was forgotten within one block."""

    def __init__(self, ids_max: int, *, ever: bool = False) -> None:
        self._ids_max = ids_max
        self._ever: dict[bytes, Seen] | None = {} if ever else None
        self._ended: list[tuple[Seen, str, tuple[Leg, ...], int]] = []
        self.seen: dict[bytes, Seen] = {}
        self.refuse_before_us = 0
        self._timeless_from_us = 0

    def forget_old(self, at_us: int) -> None:
        """At the beginning of a block that has something to decide."""
        times = [seen.time_us for id, seen in self.seen.items() if not has_time(id)]
        half_us = 0
        if self._ever is not None and times and len(self.seen) >= self._ids_max - self._ids_max // 16:
            half_us = min(int(statistics.median(times)), (at_us - TEN_SECONDS_US) // 1_000_000 * 1_000_000)
        if at_us - SEVEN_DAYS_US - self._timeless_from_us >= HOUR_US:
            self._timeless_from_us = at_us - SEVEN_DAYS_US
            self._forget_before(at_us - SEVEN_DAYS_US)
        if half_us > self._timeless_from_us:
            self._timeless_from_us = half_us
            self._forget_before(0)

    def found(self, id16: bytes) -> Seen | None:
        return self.seen.get(id16) or (self._ever or {}).get(id16)

    def ended(self, id16: bytes, word: str, legs: tuple[Leg, ...], number: int) -> None:
        """How what was under way ended. What is not remembered any more was looked up before the block: it is known from the next
        one on."""
        seen = self.found(id16)
        if id16 in self.seen:
            self.seen[id16].become(word, legs, number)
        elif seen is not None:
            self._ended.append((seen, word, legs, number))

    def end_block(self) -> None:
        for seen, word, legs, number in self._ended:
            seen.become(word, legs, number)
        self._ended = []
        if self._ever is not None:
            self._ever |= self.seen

    def known(self, command: Transfer | Rich, at_us: int) -> Seen | None:
        """What this id was used for with the same content. Raises Refused when it can never run."""
        before = self.found(command.id)
        if before is not None:
            if (before.kind, before.content) == (type(command), content_of(command)):
                return before
            raise Refused("id_reused_with_other_content")
        time_us = time_of(command.id, at_us)
        if time_us < self.refuse_before_us:
            raise Refused("id_expired")
        if time_us > at_us + FIVE_MINUTES_US:
            raise Refused("id_in_future")
        return None

    def remember(self, command: Transfer | Rich, at_us: int, number: int) -> Seen:
        """Raises Refused: to make room, the id was declared too old; or there is none for one that could not be found again."""
        time_us = time_of(command.id, at_us)
        if (
            self._ever is None
            and not has_time(command.id)
            and sum(not has_time(id) for id in self.seen) >= self._ids_max
        ):
            raise Refused("id_memory_full")
        over = len(self.seen) - self._ids_max
        # At the bound, and every sixteenth of it above: the older half of those goes that are refused afterwards.
        times = [seen.time_us for id, seen in self.seen.items() if has_time(id)]
        if times and over >= 0 and over % max(1, self._ids_max // 16) == 0:
            self._forget_before(min(int(statistics.median(times)), (at_us - TEN_SECONDS_US) // 1_000_000 * 1_000_000))
        if time_us < self.refuse_before_us:
            raise Refused("id_expired")
        seen = self.seen[command.id] = Seen(type(command), content_of(command), time_us, number)
        return seen

    def _forget_before(self, cut_off_us: int) -> None:
        self.refuse_before_us = max(self.refuse_before_us, cut_off_us)
        self.seen = {
            id: seen
            for id, seen in self.seen.items()
            if seen.time_us >= (self.refuse_before_us if has_time(id) else self._timeless_from_us)
        }


def content_of(command: Transfer | Rich) -> object:
    """What makes a command another one under the same id. A reversal's legs are the original's, not the client's."""
    return command._replace(legs=()) if isinstance(command, Reverse) else command
