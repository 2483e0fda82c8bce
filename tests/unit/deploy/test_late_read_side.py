"""A read side waits for a log that nobody has begun yet, and for nothing else."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from deploy.late_read_side import LateReadSide
from read_side.feed.feed_memory import MemoryFeed
from read_side.settings import ReadSettings
from read_side.views.view_memory import MemoryViewStore
from read_side.wiring import ReadSide
from tests.unit.read_side.asgi_client import ask
from write_side.contract.log.log import Log, LogFailed, LogMissing
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords


class Opening:
    """Opens a log after these failures; `slept` between two tries, and what `/readyz` said meanwhile."""

    def __init__(self, *failures: LogFailed) -> None:
        self._failures = list(failures)
        self.said: list[tuple[int, object]] = []
        self.late = LateReadSide(self.open_log, self.make, self.sleep)

    async def open_log(self) -> Log:
        if self._failures:
            raise self._failures.pop(0)
        return MemoryLog(MemoryRecords(1))

    async def make(self, log: Log) -> ReadSide:
        return ReadSide(ReadSettings(), log, MemoryViewStore(), MemoryFeed(), CollectorRegistry())

    async def sleep(self, _seconds: float) -> None:
        reply = await ask(self.late, "GET", "/readyz")
        self.said.append((reply.status, reply.document["reasons"]))


async def test_a_log_that_nobody_has_begun_is_waited_for_with_the_reason_at_the_door() -> None:
    opening = Opening(LogMissing("there is no topic a"), LogMissing("there is no topic b"))
    await opening.late.start()
    assert opening.said == [(503, ["there is no topic a"]), (503, ["there is no topic b"])]
    assert (await ask(opening.late, "GET", "/readyz")).status == 200


async def test_a_log_that_is_there_and_cannot_be_used_ends_the_start() -> None:
    opening = Opening(LogMissing("not yet"), LogFailed("written with 2 partitions and now has 4"))
    with pytest.raises(LogFailed, match="now has 4"):
        await opening.late.start()
    await opening.late.drain()
