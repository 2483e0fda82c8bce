"""How a log's time stands to the clock: what a writer would say, found without one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.read_side.block_maker import BlockMaker, opened
from tests.unit.write_side.running import RunningPartition, SimulatedClock
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_file_folder import partition_folder, segment_path
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.owner.clock import ClockStepped
from write_side.owner.log_time import GOES_ON_US, LogTime, judge_log_time, partition_time
from write_side.owner.writer import WriterLimits

NOW_US = 1_760_000_000_000_000
STEP_US = 5_000_000
YEAR_US = 365 * 24 * 3600 * 1_000_000


@pytest.mark.parametrize(
    ("last_us", "accepted_us", "verdict"),
    [
        (0, 0, LogTime.FINE),
        (NOW_US - YEAR_US, 0, LogTime.FINE),
        (NOW_US + STEP_US, 0, LogTime.FINE),
        (NOW_US + STEP_US + 1, 0, LogTime.REFUSED),
        (NOW_US + YEAR_US, NOW_US + YEAR_US, LogTime.ACCEPTED),
        (NOW_US + YEAR_US + GOES_ON_US, NOW_US + YEAR_US, LogTime.ACCEPTED),
        (NOW_US + YEAR_US + GOES_ON_US + 1, NOW_US + YEAR_US, LogTime.REFUSED),
    ],
)
def test_a_log_is_ahead_when_its_last_block_is_later_than_a_clock_may_step(
    last_us: int, accepted_us: int, verdict: LogTime
) -> None:
    assert judge_log_time(last_us, NOW_US, STEP_US, accepted_us) is verdict


@pytest.mark.parametrize("ahead_us", [-YEAR_US, STEP_US // 2, STEP_US * 2, YEAR_US])
@pytest.mark.parametrize("accepts", [False, True])
async def test_it_is_what_a_writer_that_starts_says(ahead_us: int, accepts: bool) -> None:
    records = MemoryRecords(1)
    maker = BlockMaker(MemoryLog(records), start_us=NOW_US + ahead_us)
    await maker.append(opened("alice"))
    accepted_us = maker.now_us if accepts else 0
    clock = SimulatedClock(NOW_US)
    found = await partition_time(MemoryLog(records), 0, None, clock, STEP_US, accepted_us)
    assert (found.position, found.last_us, found.ahead_us) == ("0:0", maker.now_us, maker.now_us - NOW_US)
    writer = RunningPartition(records, clock, limits=WriterLimits(accepted_log_time_us=accepted_us)).writer
    if found.verdict is LogTime.REFUSED:
        with pytest.raises(ClockStepped, match="fanfold log clock"):
            await writer.start()
    else:
        await writer.start()
        await writer.close()
    assert (found.verdict is LogTime.FINE) == (ahead_us < STEP_US)
    assert (found.verdict is LogTime.REFUSED) == (ahead_us > STEP_US and not accepts)


async def test_a_block_that_does_not_count_says_nothing_of_the_time() -> None:
    records = MemoryRecords(1)
    log = MemoryLog(records)
    maker = BlockMaker(log, start_us=NOW_US)
    maker.life = 2
    await maker.append(opened("alice"))
    overtaken = BlockMaker(log, start_us=NOW_US + YEAR_US)  # of an older life, by a clock that was ahead
    await overtaken.append(opened("bob"))
    found = await partition_time(log, 0, None, SimulatedClock(NOW_US), STEP_US, 0)
    assert (found.verdict, found.last_us) == (LogTime.FINE, maker.now_us)


async def test_a_partition_without_a_block_is_fine_and_a_torn_last_one_was_never_there(tmp_path: Path) -> None:
    log = await FileLog.open(tmp_path, 2)
    maker = BlockMaker(log, 0, start_us=NOW_US)
    await maker.append(opened("alice"))
    maker.now_us += YEAR_US
    await maker.append(opened("bob"))
    await log.close()
    segment = segment_path(partition_folder(tmp_path, 0), 0)
    segment.write_bytes(segment.read_bytes()[:-1])
    log = await FileLog.open_read_only(tmp_path)
    torn, empty = [await partition_time(log, p, None, SimulatedClock(NOW_US), STEP_US, 0) for p in range(2)]
    await log.close()
    assert (torn.position, torn.verdict, torn.problem) == ("0:0", LogTime.FINE, None)
    assert (empty.position, empty.last_us, empty.ahead_us, empty.verdict) == (None, None, None, LogTime.FINE)


async def test_of_a_damaged_partition_it_is_told_how_far_it_could_be_read_and_nothing_is_judged(tmp_path: Path) -> None:
    log = await FileLog.open(tmp_path, 1)
    maker = BlockMaker(log, start_us=NOW_US)
    for account in ("alice", "bob", "carol"):
        await maker.append(opened(account))
    await log.close()
    segment = segment_path(partition_folder(tmp_path, 0), 0)
    data = bytearray(segment.read_bytes())
    data[len(maker.blocks[0]) + len(maker.blocks[1]) // 2] ^= 1
    segment.write_bytes(data)
    log = await FileLog.open_read_only(tmp_path)
    found = await partition_time(log, 0, None, SimulatedClock(NOW_US), STEP_US, 0)
    await log.close()
    assert (found.position, found.verdict) == ("0:0", None)
    assert "damaged" in (found.problem or "")
    assert found.document()["verdict"] == "unread"
