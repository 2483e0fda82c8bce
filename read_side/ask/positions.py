"""How far each partition is, and how far behind: the marks of `contract/how_far.py` as they are told to whoever asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from read_side.ask.health import does_not_get_on, look_ahead
from read_side.ask.stale import stale_since
from read_side.ask.under_way import UnderWay
from read_side.contract.no_answer import Starting
from read_side.follow.projector import Projector
from write_side.contract.compiled.compiling import compiling
from write_side.contract.words.position import Position


class Positions:
    """Of the projectors of this process. Answers during a start, too: how far it is then is what one wants to know."""

    def __init__(
        self,
        projectors: Sequence[Projector],
        wall_us: Callable[[], int],
        partitions_of_log: int,
        under_way: UnderWay | None = None,
    ) -> None:
        """under_way: who is told of rebuilds, where there are any."""
        self._projectors = projectors
        self._wall_us = wall_us
        self._partitions_of_log = partitions_of_log
        self._under_way = under_way or UnderWay()

    async def document(self) -> dict[str, Any]:
        """The answer of `/v1/positions` (`fanfold/api/answers/positions.py`)."""
        here = [each for each in self._projectors if not each.elsewhere]
        await look_ahead(here)
        numbers = {each.partition for each in here}
        return {
            "partitions": [_told(each, self._wall_us(), self._under_way) for each in here],
            "elsewhere": [number for number in range(self._partitions_of_log) if number not in numbers],
        }


def _told(projector: Projector, now_us: int, under_way: UnderWay) -> dict[str, Any]:
    far, distances, reason = projector.how_far, projector.distances(), does_not_get_on(projector, now_us)
    if reason is None and isinstance(projector.refusal(), Starting):
        reason = compiling().why or "the log is being folded"
    shown = far.shown.sequence
    document: dict[str, Any] = {
        "partition": projector.partition,
        "position": str(Position(projector.partition, shown)) if shown >= 0 else None,
        "accepted": far.accepted.sequence,
        "folded": far.folded.sequence,
        "stored": far.stored.sequence,
        "pushed": far.pushed,
        **distances._asdict(),
        **stale_since(projector),
    }
    progress = under_way.of(projector, now_us)
    document |= {} if reason is None else {"reason": reason}
    return document if progress is None else document | {"progress": progress}
