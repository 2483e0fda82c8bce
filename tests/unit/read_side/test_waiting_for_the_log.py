"""Who is not answered in time is told who was late: the log, or this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

from read_side.ask.balances import UNKNOWN_WAIT_S, BalanceReader
from read_side.contract.no_answer import PartitionUnavailable
from read_side.views.view_memory import MemoryViewStore
from tests.simulation import virtual_time
from write_side.contract.log.log import START, Record
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords


class SlowLog(MemoryLog):
    """A read takes `read_s`."""

    def __init__(self, read_s: float) -> None:
        super().__init__(MemoryRecords(1))
        self._read_s = read_s

    async def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        await asyncio.sleep(self._read_s)
        async for run in super().read(partition, after):
            yield run


def _told(read_s: float, late_s: float) -> str | None:
    """Why a question is not answered by a log whose reads take `read_s`, in a process that is busy for `late_s` meanwhile."""

    async def asked() -> str | None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual_time.VirtualLoop)

        def is_busy() -> None:
            loop._now_s += late_s

        loop.call_later(0.01, is_busy)
        try:
            await BalanceReader(MemoryViewStore(), SlowLog(read_s), {}).caught_up(0, START)
        except PartitionUnavailable as unavailable:
            return str(unavailable.reason)
        return None

    return virtual_time.run(asked, lambda: 0.001)


def test_a_log_that_takes_too_long_does_not_answer() -> None:
    assert _told(read_s=10.0, late_s=0.0) == "the log does not answer"


def test_a_log_that_had_no_time_to_answer_is_not_blamed() -> None:
    assert _told(read_s=2 * UNKNOWN_WAIT_S, late_s=UNKNOWN_WAIT_S) == "this process is too busy to ask the log"


def test_an_answer_that_came_while_the_loop_was_late_counts() -> None:
    assert _told(read_s=0.02, late_s=UNKNOWN_WAIT_S) is None


def test_a_log_that_answers_in_time_is_waited_for() -> None:
    assert _told(read_s=UNKNOWN_WAIT_S / 2, late_s=0.0) is None
