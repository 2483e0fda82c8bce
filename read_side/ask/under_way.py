"""How far a start, a rebuild or a rollback of each partition is: the newest that was told, for whoever asks meanwhile."""

from __future__ import annotations

from typing import Any

from read_side.ask.health import start_progress
from read_side.contract.no_answer import Starting
from read_side.follow.projector import Projector
from read_side.whole_log.rebuild_result import Progress
from read_side.whole_log.rollback import Progress as RollbackProgress


class UnderWay:
    """Of the work that goes on in this process. A process makes one view again at a time."""

    def __init__(self) -> None:
        self._by_partition: dict[int, dict[str, Any]] = {}

    def told(self, progress: Progress | RollbackProgress) -> None:
        """A rebuild or rollback has got on. From any thread."""
        self._by_partition[progress.partition] = _document(progress)

    def over(self) -> None:
        """Well or not: it goes on no more."""
        self._by_partition.clear()

    def of(self, projector: Projector, now_us: int) -> dict[str, Any] | None:
        """`progress` of `fanfold/api/answers/positions.py`; None where nothing goes on."""
        if isinstance(projector.refusal(), Starting):
            start = start_progress(projector, now_us)
            return {
                "what": "start",
                "done": start["blocks_folded"],
                "total": start["blocks"],
                "unit": "blocks",
                "seconds_left": start["seconds_left"],
            }
        return self._by_partition.get(projector.partition)


def _document(progress: Progress | RollbackProgress) -> dict[str, Any]:
    left = None if progress.eta_s is None else round(max(0.0, progress.eta_s), 1)
    if isinstance(progress, RollbackProgress):
        what, done, total, unit = "rollback", progress.blocks, progress.blocks_total, "blocks"
    elif progress.stage == "comparing":
        # How long that takes nobody has said: the pace is the folding's.
        what, done, total, unit, left = "rebuild", progress.compared, progress.accounts, "accounts", None
    else:
        what, done, total, unit = "rebuild", progress.entries, progress.entries_total, "entries"
    return {"what": what, "done": done, "total": total, "unit": unit, "seconds_left": left}
