"""Whether this process can answer, what keeps it from it, and how far readers are behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from fanfold.api.answers.process import ReadSideReadiness
from fanfold.api.values import told_of
from read_side.ask.stale import stale_partitions
from read_side.contract.no_answer import Elsewhere, Starting, Unanswerable
from read_side.follow.projector import Projector
from write_side.contract.compiled.compiling import compiling
from write_side.contract.words.position import Position

AHEAD_WAIT_S: Final = 1.0
"""How long who asks waits to hear how far the logs are ahead; what is not known by then is not told. A gateway waits 2 s."""
STORE_SILENT_S: Final = 2.0
"""The view store is asked every second (`projector.HEARTBEAT_S`) and answers within milliseconds. Its time-out is 5 s."""


class Health:
    """Of the projectors of this process.

    Ready is a process that answers for one of its partitions at least, and folds none for the first time. A partition that is
    damaged, away or given up, or that has work and does not move (`standstill.py`), is `degraded`: its readers get the reason,
    and those of the others must not be sent away for it. So is one whose history cannot be kept: its balances are told.

    elsewhere: why accounts of partitions that others project cannot be read here. beside_degraded: what is wrong with topics and
    webhooks.
    """

    def __init__(
        self,
        projectors: Sequence[Projector],
        wall_us: Callable[[], int],
        partitions_of_log: int,
        elsewhere: Callable[[], Awaitable[Sequence[Unanswerable]]],
        beside_degraded: Callable[[], Sequence[str]] = lambda: (),
    ) -> None:
        self._projectors = projectors
        self._elsewhere = elsewhere
        self._beside_degraded = beside_degraded
        self._wall_us = wall_us
        self._partitions_of_log = partitions_of_log
        self._here = {each.partition for each in projectors}
        self.stopping = False

    def not_ready(self) -> list[str]:
        """Why this process should not get requests; empty when it should."""
        reasons = ["the service is stopping"] if self.stopping else []
        what = compiling().why or "the log is being folded"
        reasons += [f"partition {p.partition}: {what}" for p in self._starting()]
        unread = [reason for each in self._projectors if (reason := _unread(each, self._wall_us())) is not None]
        return reasons + unread if len(unread) == len(self._projectors) else reasons

    def degraded(self) -> list[str]:
        """What is the matter with each partition that goes no further, is not answered, or whose history is not kept, and with
        each topic: a sentence or more each."""
        partitions = [
            reason if reason.startswith("partition ") else f"partition {each.partition}: {reason}"
            for each in self._projectors
            if (reason := does_not_get_on(each, self._wall_us())) is not None
        ]
        histories = [
            f"partition {each.partition}: its history is not kept ({each.history.failing}). Balances are told all the same."
            for each in self._projectors
            if each.history is not None and each.history.failing is not None
        ]
        return [*partitions, *histories, *self._beside_degraded()]

    async def document(self) -> dict[str, Any]:
        """Members of the answer of /readyz: what is degraded, how far a start is, and how old what readers see is.

        partitions: those that this process projects, of the `partitions_of_log` that there are; unread: those whose accounts
        cannot be read here now, projected here or not, with the code that whoever asks for one gets; stale: those of which
        nothing new is told, since when and why.
        """
        elsewhere, *_ = await asyncio.gather(self._elsewhere(), look_ahead(self._projectors))
        now_us = self._wall_us()
        refusals = [refusal for each in self._projectors if (refusal := each.refusal()) is not None]
        refused = [each for each in refusals if not isinstance(each, Elsewhere)]
        unread = {partition: failure.word for failure in elsewhere for partition in failure.partitions}
        unread |= {partition: failure.word for failure in refused for partition in failure.partitions}
        away = [
            f"partition {partition}: {failure.reason or 'this process does not project it'}"
            for failure in elsewhere
            for partition in failure.partitions
            if partition not in self._here
        ]
        document: dict[str, Any] = {
            "ready": not self.not_ready(),
            "degraded": self.degraded() + away,
            **told_of(ReadSideReadiness(self._partitions_of_log)),
            "unread": [{"partition": partition, "code": code} for partition, code in sorted(unread.items())],
            "stale": stale_partitions(self._projectors),
            "partitions": [_partition(each, now_us) for each in self._projectors],
        }
        if starting := self._starting():
            document["starting"] = {
                "partitions": {str(each.partition): start_progress(each, now_us) for each in starting}
            }
        return document

    def _starting(self) -> list[Projector]:
        return [each for each in self._projectors if isinstance(each.refusal(), Starting)]


def does_not_get_on(projector: Projector, now_us: int) -> str | None:
    """Why the partition goes no further, or is not answered; None while it does."""
    return projector.held_up() or _silent(projector, now_us) or projector.stands_still()


async def look_ahead(projectors: Sequence[Projector]) -> None:
    """See of each how far its log is ahead. Takes `AHEAD_WAIT_S` at most."""
    await asyncio.gather(*(each.look_ahead(AHEAD_WAIT_S) for each in projectors))


def start_progress(projector: Projector, now_us: int) -> dict[str, int | float | None]:
    """How far the fold of a start is (`StartProgress.document`)."""
    folded, begun = projector.how_far.folded, projector.fold.replay.began_after + 1
    return projector.progress.document(folded.sequence + 1, folded.offset, now_us, begun)


def _unread(projector: Projector, now_us: int) -> str | None:
    """Why nobody should read this partition here now; None when its view is there and gets on, however old its log's news."""
    reason = projector.unavailable or _silent(projector, now_us) or projector.stands_still()
    if projector.refusal() is not None and not isinstance(projector.refusal(), Starting):
        reason = projector.held_up()
    return None if reason is None else f"partition {projector.partition}: {reason}"


def _silent(projector: Projector, now_us: int) -> str | None:
    """A store that hangs fails nothing before its time-out, and each second until then is one in which nobody is answered."""
    if not projector.ready or not projector.asked_store_us:
        return None
    silent_s = (now_us - projector.asked_store_us) / 1e6
    return f"the view store has said nothing for {silent_s:.0f} s" if silent_s > STORE_SILENT_S else None


def _partition(projector: Projector, now_us: int) -> dict[str, Any]:
    sequence = projector.how_far.shown.sequence
    return {
        "partition": projector.partition,
        "position": str(Position(projector.partition, sequence)) if sequence >= 0 else None,
        "history": projector.log_history,
        "generation": projector.owner.generation,
        "lag": projector.lag(now_us)._asdict(),
    }
