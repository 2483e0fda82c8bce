"""Streams from their first frame to their last: hello, a heartbeat where nothing else is said, and the end of the oldest.

No stream has a timer for that. One look goes round all of them once in `heartbeat_ms`, a share of them each tick, so that 10,000
silent streams cost what as many short writes do, spread evenly; streams that watch the same partitions are told the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

import structlog

from fanfold.api.close_codes import CloseCode
from fanfold.api.frames.connection import StreamLimits
from gateway.metrics import Metrics
from gateway.protocol.lifetime import heartbeat_frame, hello_frame, partitions_told, watermark
from gateway.protocol.partition_watch import PartitionWatch
from gateway.protocol.session import Session
from write_side.contract.words.times import format_time

_log = structlog.get_logger(__name__)

RETURN_MS_LEAST: Final = 500
"""Before this nobody comes back to a gateway that stops: its place is taken by then, or is being taken."""


class GivesUp(Protocol):
    """What is needed of a connection that has failed."""

    def give_up(self) -> None:
        """Close at once, without another word: something has failed."""
        ...


def given_up(stream: GivesUp, event: str) -> None:
    """To be called where a stream has failed: a bug of ours with one is none with all others. It is closed, for what it was told
    since is not known: its client comes back and is told all that is newer."""
    _log.exception(event)
    try:
        stream.give_up()
    except Exception:
        _log.exception("stream_not_closed")


class LifeTerms(NamedTuple):
    """heartbeat_ms: who heard nothing for so long hears a heartbeat. age_ms: a stream ends at 90 to 100 % of it, 0: never.
    return_ms: who is sent away by a gateway that stops comes back within so long. sign_in_ms: for signing in."""

    heartbeat_ms: int
    age_ms: int
    return_ms: int
    sign_in_ms: int


class Stream(GivesUp, Protocol):
    """What is needed of a connection."""

    session: Session

    def flush(self) -> None:
        """Write what waits in the session's outbox, or do nothing while the client does not read."""
        ...

    def send_away(self, code: CloseCode, after_ms: int) -> None:
        """Say goodbye and close; the client is to come back after so long. What is under way is answered first."""
        ...


class Lifetimes:
    """Those of one gateway. random_ms: a whole number between two, which are among them; new_name: of a connection."""

    def __init__(
        self,
        terms: LifeTerms,
        metrics: Metrics,
        now_ms: Callable[[], int],
        wall_us: Callable[[], int],
        random_ms: Callable[[int, int], int],
        new_name: Callable[[], str],
    ) -> None:
        self.terms = terms
        self._metrics = metrics
        self._now_ms = now_ms
        self._wall_us = wall_us
        self._random_ms = random_ms
        self._new_name = new_name
        self._ends_at_ms: dict[Stream, int | None] = {}
        self._round: list[Stream] = []
        self._round_began_ms = now_ms()
        self._seen = 0
        """Of the round those that were looked at."""

    def begin(self, stream: Stream, limits: StreamLimits, signs_in: bool) -> str:
        """Greet: the first frame is in the outbox afterwards. Its name."""
        name = self._new_name()
        sign_in_ms = self.terms.sign_in_ms if signs_in else None
        time = format_time(self._wall_us())
        stream.session.outbox.answer(hello_frame(name, time, self.terms.heartbeat_ms, limits, sign_in_ms))
        self._round.append(stream)  # or it would be silent for a round longer than all others
        age_ms = self.terms.age_ms
        self._ends_at_ms[stream] = self._now_ms() + self._random_ms(age_ms - age_ms // 10, age_ms) if age_ms else None
        return name

    def end(self, stream: Stream) -> None:
        """It is gone. Twice is once."""
        self._ends_at_ms.pop(stream, None)

    @property
    def streams(self) -> list[Stream]:
        """Those that are open, and no reads that wait."""
        return [*self._ends_at_ms]

    def return_ms(self) -> int:
        """When one who is sent away comes back, each at another time."""
        return self._random_ms(min(RETURN_MS_LEAST, self.terms.return_ms), self.terms.return_ms)

    def end_all(self) -> None:
        """The gateway stops: everybody is sent away."""
        self.send_away(self.streams)

    def send_away(self, streams: Sequence[Stream]) -> None:
        """The gateway stops or drains: these go, each to come back at another time."""
        for stream in streams:
            try:
                stream.send_away(CloseCode.RESTARTING, self.return_ms())
            except Exception:  # a bug of ours must keep neither the others nor the rest of the stop
                given_up(stream, "stream_failed")

    def tick(self, partitions: Sequence[PartitionWatch]) -> None:
        """Look at the next share of the round, as many as are due by now."""
        now_ms = self._now_ms()
        passed_ms = now_ms - self._round_began_ms
        due = min(len(self._round), len(self._round) * passed_ms // self.terms.heartbeat_ms)
        frames: dict[frozenset[int], bytes] = {}
        for stream in self._round[self._seen : due]:
            if stream in self._ends_at_ms:  # or it left while the round went on
                try:
                    self._look_at(stream, now_ms, partitions, frames)
                except Exception:  # a bug of ours with one stream must not end the pushes of all others
                    given_up(stream, "heartbeat_failed")
                    self.end(stream)
        self._seen = due
        if passed_ms >= self.terms.heartbeat_ms:
            self._round, self._seen, self._round_began_ms = list(self._ends_at_ms), 0, now_ms

    def _look_at(
        self, stream: Stream, now_ms: int, partitions: Sequence[PartitionWatch], frames: dict[frozenset[int], bytes]
    ) -> None:
        """frames: those of this tick, by the partitions that they tell of."""
        ends_at_ms = self._ends_at_ms[stream]
        if ends_at_ms is not None and now_ms >= ends_at_ms:
            return stream.send_away(CloseCode.TOO_OLD, 0)
        session = stream.session
        if session.outbox.told or not session.outbox.empty or not session.may_hear:
            session.outbox.told = False
            return None
        of = partitions_told(session)
        frame = frames.get(of)
        if frame is None:
            frame = frames[of] = heartbeat_frame(format_time(self._wall_us()), watermark(partitions, of))
        session.outbox.answer(frame)
        stream.flush()
        self._metrics.heartbeats.inc()
        session.outbox.told = False
        return None
