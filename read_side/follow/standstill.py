"""Whether a partition has work and does not get on: of each step from the log to the feed, since when something waits before it.

A quiet partition is well for ever: where nothing waits, no time passes. A step that has moved begins its time anew, however much
is left to do, so a projector that is far behind and catches up is well, too.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from read_side.contract.how_far import Place

STANDSTILL_S: Final = 30.0
"""With work before it no step stands for so long while all is well: a broker that is killed is replaced in 10 s, a call to Redis
fails after 5 s and is made again, the largest run of blocks is written to it in 0.4 s. Supervisors ask a few times meanwhile."""

READ, FOLD, STORE, PUSH = range(4)
_SAID: Final = (
    "its log has records that were not read",
    "blocks that were read were not folded",
    "blocks that were folded were not written to the view",
    "blocks that readers see were not pushed to gateways",
)


class Marks(NamedTuple):
    """accepted: an offset; pushed: a sequence. See `contract/how_far.py`."""

    accepted: int
    folded: Place
    stored: Place
    pushed: int


class _Step(NamedTuple):
    """waits: whether there is something to do; mark: what the step moves."""

    waits: bool
    mark: int


class Standstill:
    """One partition. `note` at every move of a mark, at every look at the log, and before `longest`."""

    def __init__(self) -> None:
        self._marks = [-2, -2, -2, -2]
        self._since_us: list[int | None] = [None, None, None, None]
        self._stored_us = 0
        self._withheld = False

    def note(self, now_us: int, marks: Marks, unread: int, withheld: bool) -> None:
        """unread: what the log has beyond `accepted`, as far as is known. withheld: nothing is pushed before all is shown that
        was in the log when the partition came back (`silence.py`)."""
        folded, stored = marks.folded, marks.stored
        steps = (
            _Step(unread > 0, marks.accepted),
            _Step(marks.accepted > folded.offset, folded.offset),
            _Step(folded.sequence > stored.sequence, stored.sequence),
            _Step(min(stored.sequence, folded.sequence) > marks.pushed, marks.pushed),
        )
        if steps[STORE].mark != self._marks[STORE]:
            self._stored_us = now_us
        for at, step in enumerate(steps):
            if not step.waits:
                self._since_us[at] = None
            elif self._since_us[at] is None or step.mark != self._marks[at]:
                self._since_us[at] = now_us
            self._marks[at] = step.mark
        self._withheld = withheld

    def reason(self, now_us: int) -> str | None:
        """Of the first step that has stood for more than `STANDSTILL_S`; None when each gets on, or has nothing to do."""
        for at, since_us in enumerate(self._since_us):
            if since_us is None or (stood_s := (now_us - since_us) / 1e6) <= STANDSTILL_S:
                continue
            if at == PUSH and self._withheld and now_us - self._stored_us <= STANDSTILL_S * 1e6:
                continue  # it catches up, and may not push before it has
            return f"nothing moves: {_SAID[at]} for {stood_s:.0f} s"
        return None
