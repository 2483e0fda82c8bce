"""Whether this process can answer, what keeps it from it, and how far readers are behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from read_side.projector import Projector
from write_side.contract.position import Position


class Health:
    """Of the projectors of this process.

    A partition whose log is damaged is `degraded`, not unready: what is good of it is served, with its position, and
    neither a restart nor another process could do better.
    """

    def __init__(self, projectors: Sequence[Projector], wall_us: Callable[[], int]) -> None:
        self._projectors = projectors
        self._wall_us = wall_us
        self.stopping = False

    def not_ready(self) -> list[str]:
        """Why this process should not get requests; empty when it should."""
        reasons = ["the service is stopping"] if self.stopping else []
        for projector in self._projectors:
            if projector.unavailable is not None:
                reasons.append(f"partition {projector.partition}: {projector.unavailable}")
            elif not projector.ready:
                reasons.append(f"partition {projector.partition}: the log is being folded")
        return reasons

    def degraded(self) -> list[str]:
        return [projector.stopped for projector in self._projectors if projector.stopped is not None]

    def document(self) -> dict[str, Any]:
        """Members of the answer of /readyz: what is degraded, and the lag of each partition as four numbers."""
        now_us = self._wall_us()
        return {"degraded": self.degraded(), "partitions": [_partition(each, now_us) for each in self._projectors]}


def _partition(projector: Projector, now_us: int) -> dict[str, Any]:
    sequence = projector.visible.value
    return {
        "partition": projector.partition,
        "position": str(Position(projector.partition, sequence)) if sequence >= 0 else None,
        "generation": projector.owner.generation,
        "lag": projector.lag(now_us)._asdict(),
    }
