"""How far a rebuild or rollback is, as who asks meanwhile is told it."""

from __future__ import annotations

from typing import Any

import pytest

from read_side.ask.under_way import UnderWay
from read_side.whole_log.rebuild_result import Progress
from read_side.whole_log.rollback import Progress as RollbackProgress
from tests.unit.read_side.ask.test_positions import lagging


@pytest.mark.parametrize(
    ("progress", "told"),
    [
        (
            Progress(0, "folding", 30, 90, 10.0, 6.04, 0, 5),
            {"what": "rebuild", "done": 30, "total": 90, "unit": "entries", "seconds_left": 6.0},
        ),
        (
            Progress(0, "comparing", 90, 90, 10.0, 0.0, 3, 5),
            {"what": "rebuild", "done": 3, "total": 5, "unit": "accounts", "seconds_left": None},
        ),
        (
            RollbackProgress(0, 1, 2, 10.0, None),
            {"what": "rollback", "done": 1, "total": 2, "unit": "blocks", "seconds_left": None},
        ),
    ],
)
async def test_the_newest_is_told_until_it_is_over(progress: Progress | RollbackProgress, told: dict[str, Any]) -> None:
    async with lagging(2) as side:
        under_way, (first, second) = UnderWay(), side.projectors
        assert under_way.of(first, 0) is None
        under_way.told(progress)
        assert under_way.of(first, 0) == told
        assert under_way.of(second, 0) is None, "it is another partition"
        under_way.over()
        assert under_way.of(first, 0) is None
