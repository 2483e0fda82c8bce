"""How far a partition is: every mark that the read side has of it, each under one name everywhere.

There are two scales. A *sequence* counts the blocks of the chain, -1 before the first. An *offset* is where a record lies in the
log; it goes on where the chain rule skips a record and the sequence does not. A `Place` is both of one moment.

    mark       counts    who moves it; what may be told because of it
    log end    offset    whoever writes the log; looked at when asked (`log_end.py`), never kept. What is not there once it
                         is shown is unknown. For lag it is where the next record will be, looked at once a second at most
                         and told for some seconds (`log_ahead.py`).
    accepted   place     `Projector`, to the last record that the log has handed over and that is to be folded now; whether
                         each counts the chain rule says when it is folded.
    folded     place     `PartitionFold`; falls when a check failed, and what is good is folded again. What became of
                         transfers; and the log is read on from here.
    stored     place     `ViewOwner`: what the store holds, as far as we know. Falls with a store that was set back, and is
                         beyond folded while a rebuild has read further. Nothing is told of it before it is shown.
    shown      place     `Projector`, to stored; never falls in its life. Who waits for a block is woken, and a store that
                         has less is older than what was shown: 503.
    published  sequence  `Projector`, to folded once that is shown, and at its start without telling. A batch says what
                         changed since it, a heartbeat that all up to it was told.
    pushed     sequence  `Projector`, to `published` of each batch that the feed took, heartbeats too.
    answered   sequence  `BalanceReader`, with each answer, also of partitions that others project. Nothing older is
                         answered again.
    wanted     sequence  a client, by `min_position`. The answer waits until it is shown, or is NotReached.
    written    sequence  a gateway, to what a write was answered with through it; falls when it is beyond the end of the log.
                         The answer waits as for what is wanted, but only for partitions that it is about; then it is Behind.
    heard      sequence  a gateway, to `upto` of each batch. Falls with a projector that starts again; the furthest heard
                         does not, and is what a read asks for at least.
    asked      sequence  a gateway, to `upto` of each batch of which its feed asked what is wanted, before it is heard. A read
                         asks for no less: who is named since then was left out.
    reached    sequence  a gateway's read: what the view reflected then. What was read is sent once its partition is
                         heard up to there (it is `due`), so that a frame is a cut.

While all is well: pushed <= published <= shown <= stored <= folded <= accepted <= log end, and answered <= shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from fanfold.api.malformed import Malformed
from fanfold.api.questions import ManyBalances, ManyParties, Waiting
from write_side.contract.log.log import Unit
from write_side.contract.words.position import parse_positions


class Place(NamedTuple):
    """sequence: of the last block; offset: of the last record, those included that do not count."""

    sequence: int
    offset: int


NOWHERE: Final = Place(-1, -1)


class HowFar(NamedTuple):
    """The marks of a partition that this process projects, at one moment."""

    folded: Place
    stored: Place
    shown: Place
    published: int
    accepted: Place
    pushed: int

    @property
    def blocks_behind(self) -> int:
        """Folded, and not shown yet."""
        return max(0, self.folded.sequence - self.shown.sequence)


class Distances(NamedTuple):
    """How far the marks of a partition are from each other at one moment: what is told as lag.

    unread: log end minus accepted, in `unit`; None while the log does not say where it ends.
    unfolded, unstored, unpushed: accepted minus folded, folded minus stored, stored minus pushed, in blocks.
    oldest_unapplied_ms: age of the oldest block that the view does not have, by its own time; 0 when there is none, None when
    that is not known: the log does not say, or there was no look at it yet.
    """

    unread: int | None
    unit: Unit
    unfolded: int
    unstored: int
    unpushed: int
    oldest_unapplied_ms: int | None


NOWHERE_WRITTEN: Final[Mapping[int, int]] = MappingProxyType({})


class Wanted(NamedTuple):
    """positions: partition -> least sequence; version: least version of the account; wait_s: how long to wait for them.

    written: partition -> the newest sequence that a write was answered with; of those that are not read here it means nothing.
    lost: of those, what turns out to lie beyond the end of the log; filled by who answers, for who asks.
    """

    positions: Mapping[int, int]
    version: int | None
    wait_s: float
    written: Mapping[int, int]
    lost: dict[int, int]

    def sequence(self, partition: int) -> int:
        """What an answer about this partition must reflect at least."""
        asked = self.positions.get(partition, -1)
        return max(asked, self.written.get(partition, -1)) if self.written else asked


NOTHING_WANTED: Final = Wanted({}, None, 0.0, NOWHERE_WRITTEN, {})


def wanted(
    asked: Waiting | ManyBalances | ManyParties,
    version: int | None = None,
    written: Mapping[int, int] = NOWHERE_WRITTEN,
) -> Wanted:
    """Who wants nothing waits for nothing. Raises Malformed."""
    positions = {} if asked.min_position is None else parse_positions(asked.min_position)
    waits = positions or written or version is not None
    return Wanted(positions, version, asked.wait_ms / 1000 if waits else 0.0, written, {})


def check_partitions(positions: Mapping[int, int], partitions: int, field: str = "min_position") -> None:
    """Raises Malformed for a position of a partition that the log does not have."""
    if any(partition >= partitions for partition in positions):
        those = f"the log has {partitions}, 0 to {partitions - 1}" if partitions > 1 else "the log has one, 0"
        raise Malformed("position_malformed", field, f"names a partition that is not there: {those}")
