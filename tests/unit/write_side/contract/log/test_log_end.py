"""The end of the log is never one from before the question, and many questions share a look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import pytest

from tests.simulation import virtual_time
from write_side.contract.log.log import START, LogFailed, Record
from write_side.contract.log.log_end import LOOK_RUNS_MAX, LOOK_S_MAX, LogEnd, TooFarBehind
from write_side.contract.log.log_memory import RUN_BYTES, MemoryLog, MemoryRecords


class CountedLog(MemoryLog):
    """Counts the reads."""

    reads = 0

    async def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        self.reads += 1
        async for run in super().read(partition, after):
            yield run


async def test_an_empty_log_ends_where_it_was_seen() -> None:
    assert await LogEnd(MemoryLog(MemoryRecords(1)), 0).offset(START) == START


async def test_the_last_record_is_the_end() -> None:
    log = MemoryLog(MemoryRecords(1))
    for _ in range(3):
        await log.append(0, b"x")
    end = LogEnd(log, 0)
    assert await end.offset(START) == 2
    assert await end.offset(2) == 2


async def test_questions_at_once_share_two_looks() -> None:
    log = CountedLog(MemoryRecords(1))
    await log.append(0, b"x")
    end = LogEnd(log, 0)
    assert await asyncio.gather(*(end.offset(START) for _ in range(100))) == [0] * 100
    assert log.reads == 2


async def test_a_question_never_gets_an_end_from_before_it_was_asked() -> None:
    log = MemoryLog(MemoryRecords(1))
    end = LogEnd(log, 0)

    async def append_and_ask() -> None:
        offset = await log.append(0, b"x")
        assert await end.offset(START) >= offset

    for _ in range(50):
        await asyncio.gather(*(append_and_ask() for _ in range(5)))


async def test_an_end_that_is_too_far_is_not_looked_for() -> None:
    log = MemoryLog(MemoryRecords(1))
    block = bytes(RUN_BYTES)
    for _ in range(LOOK_RUNS_MAX + 1):
        await log.append(0, block)
    with pytest.raises(TooFarBehind):
        await LogEnd(log, 0).offset(START)


class HangingLog(CountedLog):
    """The first looks never end, whatever becomes of the log: as with a client whose brokers hung."""

    hangs = 0

    async def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        if self.reads < self.hangs:
            self.reads += 1
            await asyncio.Event().wait()
        async for run in super().read(partition, after):
            yield run


@pytest.mark.parametrize("impatient", [True, False])
def test_a_look_that_hangs_is_given_up_and_the_log_asked_anew(impatient: bool) -> None:
    """Whether those who asked go on waiting for it or have all left."""
    log = HangingLog(MemoryRecords(1))
    log.hangs = 1

    async def asked() -> int:
        await log.append(0, b"x")
        end = LogEnd(log, 0)
        waiting = [asyncio.create_task(end.offset(START)) for _ in range(3)]
        if impatient:
            for each in waiting:
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(each, 0.5)
            await asyncio.sleep(LOOK_S_MAX)
        else:
            for told in await asyncio.gather(*waiting, return_exceptions=True):
                assert isinstance(told, LogFailed)
        return await asyncio.wait_for(end.offset(START), 0.5)

    assert virtual_time.run(asked, lambda: 0.001) == 0
