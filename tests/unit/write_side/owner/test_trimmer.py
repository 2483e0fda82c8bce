"""What accepted blocks have consumed is given back some time after, all at once, and what fails there matters to nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tests.simulation import virtual_time
from tests.unit.write_side.owner.test_partition import running
from tests.unit.write_side.running import SimulatedClock
from write_side.contract.log.log import LogFailed
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.owner.outcomes import OutcomeUnknown
from write_side.owner.partition import Consumed, Partition
from write_side.owner.trimmer import LOOK_S, STEPS, Trimmer
from write_side.owner.writer import WriterLimits
from write_side.queue.queue_memory import MemoryQueue

MINUTE_US = 60_000_000
KEPT_US = 60 * MINUTE_US


class KeptCalls(MemoryQueue):
    """Notes what it is told; `failure` is raised instead while there is one."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[dict[int, int]] = []
        self.failure: Exception | None = None

    async def consumed(self, below: Mapping[int, int]) -> None:
        self.calls.append(dict(below))
        if self.failure is not None:
            raise self.failure


class Trimmed:
    """Partitions that consume what a test says, and a trimmer that looks when it says so."""

    def __init__(self, partitions: int = 1, *, kept_us: int = KEPT_US, owned: Sequence[int] | None = None) -> None:
        log, self.queue, self.clock = MemoryLog(MemoryRecords(partitions)), KeptCalls(), SimulatedClock()
        self.partitions = [
            Partition(p, log, self.queue, self.clock, WriterLimits(), owned=owned is None or p in owned)
            for p in range(partitions)
        ]
        self.trimmer = Trimmer(self.partitions, self.queue, self.clock, kept_us)

    def consume(self, to: int, partition: int = 0) -> None:
        self.partitions[partition].consumed = Consumed(to, self.clock.wall_us())

    async def look(self, after_us: int = 0) -> list[dict[int, int]]:
        """The calls of one look, so long after the last."""
        self.clock.pass_us(after_us)
        before = len(self.queue.calls)
        await self.trimmer.look()
        return self.queue.calls[before:]


async def test_nothing_is_given_back_before_its_block_is_old_enough() -> None:
    trimmed = Trimmed()
    trimmed.consume(7)
    assert await trimmed.look() == []
    assert await trimmed.look(KEPT_US - 1) == []
    assert await trimmed.look(1) == [{0: 7}]
    assert await trimmed.look(KEPT_US) == [], "it is given back once"
    assert trimmed.trimmer.trimmed_to == {0: 7}


async def test_with_nothing_to_keep_it_is_given_back_at_the_next_look() -> None:
    trimmed = Trimmed(kept_us=0)
    for to in (3, 4, 9):
        trimmed.consume(to)
        assert await trimmed.look() == [{0: to}]


async def test_all_partitions_of_a_process_are_one_call_and_those_of_others_are_none_of_its() -> None:
    trimmed = Trimmed(4, kept_us=0, owned=(0, 1, 3))
    for partition, to in enumerate((5, 6, 7, 8)):
        trimmed.consume(to, partition)
    assert await trimmed.look() == [{0: 5, 1: 6, 3: 8}]
    trimmed.consume(9, 1)
    assert await trimmed.look() == [{1: 9}]


async def test_a_partition_that_nobody_serves_gives_nothing_more_back() -> None:
    trimmed = Trimmed(kept_us=0)
    assert await trimmed.look() == []
    trimmed.consume(4)
    trimmed.partitions[0].consumed = None
    assert await trimmed.look() == []


async def test_a_log_that_is_years_ahead_of_the_clock_is_trimmed_as_any_other() -> None:
    trimmed = Trimmed()
    trimmed.partitions[0].consumed = Consumed(5, trimmed.clock.wall_us() + 10**15)
    assert await trimmed.look() == []
    assert await trimmed.look(KEPT_US) == [{0: 5}]


@pytest.mark.parametrize("failure", [LogFailed("no right to delete"), RuntimeError("a fault of ours"), TimeoutError()])
async def test_what_fails_is_told_once_counted_and_done_later(failure: Exception) -> None:
    trimmed = Trimmed(2, kept_us=0)
    trimmed.consume(5)
    trimmed.queue.failure = failure
    with capture_logs() as told:
        for _ in range(3):
            assert await trimmed.look(MINUTE_US) == [{0: 5}]
        trimmed.consume(6)
        trimmed.consume(2, 1)
        assert await trimmed.look(MINUTE_US) == [{0: 6, 1: 2}]
        assert (trimmed.trimmer.failures, trimmed.trimmer.trimmed_to) == (4, {})
        trimmed.queue.failure = None
        assert await trimmed.look(MINUTE_US) == [{0: 6, 1: 2}]
        assert trimmed.trimmer.trimmed_to == {0: 6, 1: 2}
    assert [each["log_level"] for each in told] == ["warning", "info"]
    with capture_logs() as told:
        trimmed.queue.failure = failure
        trimmed.consume(8)
        await trimmed.look(MINUTE_US)
    assert [each["log_level"] for each in told] == ["warning"], "told again, for it had worked meanwhile"


@given(steps=st.lists(st.tuples(st.integers(0, 20 * MINUTE_US), st.integers(0, 5), st.booleans()), max_size=200))
def test_however_it_comes_only_what_is_old_enough_is_given_back_and_in_the_end_all(
    steps: list[tuple[int, int, bool]],
) -> None:
    async def run() -> None:
        trimmed, to, history = Trimmed(), 0, []
        for after_us, more, fails in steps:
            to += more
            trimmed.consume(to)
            history.append((trimmed.clock.wall_us(), to))
            trimmed.queue.failure = LogFailed("away") if fails else None
            for call in await trimmed.look(after_us):
                old_us = trimmed.clock.wall_us() - KEPT_US
                assert call[0] <= max(to for at_us, to in history if at_us <= old_us)
            assert len(trimmed.trimmer._seen[0]) <= STEPS + 2, "bounded, however long commands are kept"
        trimmed.queue.failure = None
        for _ in range(3):
            await trimmed.look(KEPT_US)
        assert trimmed.trimmer.trimmed_to.get(0, 0) == to

    asyncio.run(run())


async def test_a_partition_tells_what_its_accepted_blocks_have_consumed() -> None:
    records = MemoryRecords(2)
    async with running(records) as two:
        await two.open()
        before = [each.consumed for each in two.partitions]
        assert [each.to if each else None for each in before] == [1, 1]
        await two.deposit(0, 1)
        told = two.partitions[0].consumed
        assert told is not None
        assert told.to == 2
        two.log.fail_next_append(record_is_there=False)  # type: ignore[attr-defined]
        with pytest.raises(OutcomeUnknown):
            await two.deposit(0, 2)
        assert two.partitions[0].consumed is None
    async with running(records) as two:
        again = two.partitions[0].consumed
        assert again is not None
        assert again.to == 2, "as far as the log, before anything new is decided"


def test_it_looks_now_and_then_and_one_look_that_hangs_holds_up_nobody_else() -> None:
    class Slow(KeptCalls):
        async def consumed(self, below: Mapping[int, int]) -> None:
            await super().consumed(below)
            await asyncio.sleep(10 * LOOK_S)

    async def run() -> list[dict[int, int]]:
        trimmed = Trimmed(kept_us=0)
        trimmed.queue = Slow()
        trimmed.trimmer = Trimmer(trimmed.partitions, trimmed.queue, trimmed.clock, 0)
        running = asyncio.create_task(trimmed.trimmer.run())
        for to in range(100):
            trimmed.consume(to)
            await asyncio.sleep(LOOK_S / 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return trimmed.queue.calls

    calls = virtual_time.run(run, lambda: 0.0)
    assert 3 <= len(calls) <= 6
