"""How much of the log a projector does not have: asked once a second for all who ask, exact on every adapter, or unknown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from read_side.follow.log_ahead import LOOK_BEATS, OLD_S, LogAhead
from tests.ports.log_adapters import FileLogs, Logs, MemoryLogs, block
from tests.unit.read_side.manual_timer import ManualTimer
from write_side.contract.block.block import read_header
from write_side.contract.log.log import START, LogFailed
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords

SECOND_US = 1_000_000


@pytest.fixture(params=["memory", "file"])
async def logs(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Logs]:
    made: Logs = MemoryLogs() if request.param == "memory" else FileLogs(tmp_path)
    yield made
    await made.close()


async def test_what_is_unread_is_counted_in_the_unit_of_the_log(logs: Logs) -> None:
    log, timer, accepted = await logs.open(), ManualTimer(), [START]
    ahead = LogAhead(log, 0, lambda: accepted[0], timer.wall_us)
    assert ahead.unread() is None, "nobody has looked yet"
    await ahead.look(1)
    assert ahead.unread() == 0
    blocks = [block(sequence, rows=sequence) for sequence in range(4)]
    offsets = [await log.append(0, each) for each in blocks]
    sizes = [1 if log.unit == "records" else len(each) for each in blocks]
    for read in range(5):
        timer.now_us += SECOND_US
        accepted[0] = offsets[read - 1] if read else START
        await ahead.look(1)
        assert ahead.unread() == sum(sizes[read:])
        if read < 4:
            assert ahead.first_unread_us() == read_header(blocks[read]).created_at_us
    assert ahead.first_unread_us() is None


async def test_what_is_read_since_the_last_look_is_not_told_as_unread(logs: Logs) -> None:
    log, timer, accepted = await logs.open(), ManualTimer(), [START]
    ahead = LogAhead(log, 0, lambda: accepted[0], timer.wall_us)
    for sequence in range(3):
        await log.append(0, block(sequence))
    await ahead.look(1)
    async for records in log.read(0, START):
        ahead.passed(records[-1])
        accepted[0] = records[-1].offset
    assert ahead.unread() == 0
    assert ahead.first_unread_us() is None


class CountedLog(MemoryLog):
    """Asked for its end how often; away, it does not say."""

    def __init__(self) -> None:
        super().__init__(MemoryRecords(1))
        self.asked = 0
        self.away = False
        self.hangs = False

    async def end(self, partition: int) -> int:
        self.asked += 1
        if self.hangs:
            await asyncio.Event().wait()
        if self.away:
            raise LogFailed("the broker is away")
        return await super().end(partition)


async def test_whoever_asks_shares_one_look_a_second() -> None:
    log, timer = CountedLog(), ManualTimer()
    ahead = LogAhead(log, 0, lambda: START, timer.wall_us)
    await asyncio.gather(*(ahead.look(1) for _ in range(50)))
    for _ in range(50):
        await ahead.look(1)
    assert log.asked == 1
    timer.now_us += SECOND_US
    await asyncio.gather(*(ahead.look(1) for _ in range(50)))
    assert log.asked == 2


async def test_the_projector_looks_by_itself_though_nobody_asks() -> None:
    log, timer = CountedLog(), ManualTimer()
    ahead = LogAhead(log, 0, lambda: START, timer.wall_us)
    for _ in range(4 * LOOK_BEATS):
        timer.now_us += SECOND_US
        ahead.beat()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert log.asked == 4


async def test_of_a_log_that_does_not_say_where_it_ends_nothing_is_told_after_a_while() -> None:
    log, timer = CountedLog(), ManualTimer()
    ahead = LogAhead(log, 0, lambda: START, timer.wall_us)
    await ahead.look(1)
    log.away = True
    timer.now_us += int(OLD_S * SECOND_US)
    await ahead.look(1)
    assert ahead.unread() == 0
    timer.now_us += 1
    assert ahead.unread() is None


async def test_who_asks_while_a_look_hangs_waits_no_longer_than_it_wants_to() -> None:
    log = CountedLog()
    log.hangs = True
    ahead = LogAhead(log, 0, lambda: START, ManualTimer().wall_us)
    await asyncio.gather(*(ahead.look(0.001) for _ in range(5)))
    assert (log.asked, ahead.unread()) == (1, None)
    ahead.stop()
