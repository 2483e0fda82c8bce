"""The work of one projector: what the log has for it, what it has in hand, how much waits at each step, and whether it gets on.

Nothing is counted while blocks are folded but which records are in hand; the rest is worked out when somebody asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from read_side.contract.how_far import Distances, Place
from read_side.follow.log_ahead import LogAhead, created_at_us
from read_side.follow.standstill import Marks, Standstill
from write_side.contract.block.block import Undecodable, read_header
from write_side.contract.log.log import Log, Record


class Reached(Protocol):
    """What a projector has folded, and what its store has."""

    @property
    def folded(self) -> Place: ...

    @property
    def stored(self) -> Place: ...


class Work:
    """One partition. in_hand: records that the log has handed over, and whose run is not shown yet.

    pushed: the last block that the feed has been told. withheld: see `Standstill.note`; wall_us: the projector's clock.
    """

    def __init__(
        self, log: Log, partition: int, reached: Reached, withheld: Callable[[], bool], wall_us: Callable[[], int]
    ) -> None:
        self.in_hand: Sequence[Record] = ()
        self.pushed = -1
        self._said: int | None = None
        """The sequence that the last record in hand says it has, once somebody asked: a block is hashed for that."""
        self._reached = reached
        self._withheld = withheld
        self._wall_us = wall_us
        self._ahead = LogAhead(log, partition, lambda: self._accepted_offset, wall_us)
        self._standstill = Standstill()

    def take(self, records: Sequence[Record]) -> None:
        """These are in hand now, and none before them; empty: none."""
        if records:
            self._ahead.passed(records[-1])
        self.in_hand, self._said = records, None
        self.note()

    @property
    def accepted(self) -> Place:
        """As the last record in hand says it of itself, and no more than a block a record: it may be none, or not count."""
        folded = self._reached.folded
        if not self.in_hand:
            return folded
        last = self.in_hand[-1]
        if self._said is None:
            try:
                self._said = read_header(last.data).sequence
            except Undecodable:
                self._said = -1
        sequence = min(self._said, folded.sequence + len(self.in_hand))
        return Place(max(sequence, folded.sequence), max(last.offset, folded.offset))

    async def look_ahead(self, wait_s: float) -> None:
        """See how far the log is ahead, if that was not just now; known after `wait_s`, or not. Never raises."""
        await self._ahead.look(wait_s)
        self.note()

    def beat(self) -> None:
        """At a heartbeat."""
        self._ahead.beat()
        self.note()

    def stop(self) -> None:
        """Nothing is in hand any more, and the log is not asked."""
        self.in_hand = ()
        self._ahead.stop()

    def note(self) -> None:
        """A step may have moved."""
        folded, stored = self._reached.folded, self._reached.stored
        marks = Marks(max(self._accepted_offset, folded.offset), folded, stored, self.pushed)
        self._standstill.note(self._wall_us(), marks, self._ahead.unread() or 0, self._withheld())

    def stands_still(self) -> str | None:
        """Why it is known to have work and not to get on; None while it does, or has nothing to do."""
        self.note()
        return self._standstill.reason(self._wall_us())

    def distances(self) -> Distances:
        """The lag now, by the last look at the log."""
        accepted, folded, unread = self.accepted, self._reached.folded, self._ahead.unread()
        stored = min(self._reached.stored.sequence, folded.sequence)
        unstored = folded.sequence - stored
        is_shown = not unstored and self._accepted_offset <= folded.offset
        if self.in_hand and not is_shown:
            oldest_us = created_at_us(self.in_hand[0].data)
        else:
            oldest_us = self._ahead.first_unread_us() if is_shown else None
        all_applied = is_shown and unread == 0
        age_ms = None if oldest_us is None else max(0, self._wall_us() - oldest_us) // 1000
        return Distances(
            unread,
            self._ahead.unit,
            max(0, accepted.sequence - folded.sequence),
            unstored,
            max(0, stored - self.pushed),
            0 if all_applied else age_ms,
        )

    @property
    def _accepted_offset(self) -> int:
        return self.in_hand[-1].offset if self.in_hand else self._reached.folded.offset
