"""The writer: one owner at a time, answers only from the log, and an end at the first doubt."""

from __future__ import annotations

import asyncio

import pytest

from tests.unit.write_side.deciding import NOON_US, assert_same_state, id_at, timeless_id
from tests.unit.write_side.running import RunningPartition, SimulatedClock
from write_side.contract.block.block import decode
from write_side.contract.log.log import LogFailed, Record
from write_side.contract.log.log_memory import MemoryRecords
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.ledger.commands.commands import Hold, Leg, OpenAccount, Transfer, Void
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.owner.clock import ClockStepped
from write_side.owner.failures import Next, what_follows
from write_side.owner.lost_commands import CommandsLost, read_lost_commands
from write_side.owner.outcomes import OutcomeUnknown
from write_side.owner.writer import Overtaken, WriterLimits
from write_side.queue.command_queue import Queued
from write_side.queue.queue_memory import MemoryQueue

YEAR_US = 365 * 24 * 3600 * 1_000_000
ALICE = OpenAccount("alice", "USD/2", 0, "")


def deposit(number: int, amount: int = 1) -> Transfer:
    return Transfer(id_at(NOON_US, number), "@world", "alice", amount, "USD/2")


def replayed(records: MemoryRecords) -> Replay:
    replay = Replay(State(0), FINGERPRINTS)
    for offset, data in enumerate(records.blocks[0]):
        replay.take(Record(offset, data))
    return replay


def balance(state: State) -> int:
    number = state.number_of("alice")
    assert number is not None
    return int(state.posted[number])


async def test_a_starting_writer_appends_an_epoch_block_and_goes_on_where_the_log_ends() -> None:
    records = MemoryRecords(1)
    for epoch in (1, 2, 3):
        async with RunningPartition(records) as process:
            assert process.writer.state.chained.epoch == epoch
            await process.submit(ALICE, deposit(epoch))
            assert balance(process.writer.state) == epoch
    headers = [decode(data).header for data in records.blocks[0]]
    assert [header.epoch for header in headers] == [1, 1, 2, 2, 3, 3]
    assert [header.sequence for header in headers] == list(range(6))
    assert [header.consumed_to for header in headers] == [0, 1, 1, 2, 2, 3]


async def test_a_second_writer_shuts_the_first_one_out_and_nothing_is_counted_twice() -> None:
    records = MemoryRecords(1)
    async with RunningPartition(records) as older:
        await older.submit(ALICE, deposit(1))
        async with RunningPartition(records) as newer:
            waiting = asyncio.create_task(older.submit(deposit(2)))
            assert isinstance(await older.ended(), Overtaken)
            with pytest.raises(OutcomeUnknown):
                await waiting
            assert balance(newer.writer.state) == 1
            answers = await newer.submit(deposit(2), deposit(1))
            assert [answer.status for answer in answers] == [201, 201]
            assert balance(newer.writer.state) == 2
            with pytest.raises(OutcomeUnknown):
                await older.outcomes.wait(99, 1.0)
    replay = replayed(records)
    assert balance(replay.state) == 2
    assert sum(replay.skipped.values()) == 1
    assert_same_state(replay.state, newer.writer.state)


async def test_writers_that_start_at_the_same_time_leave_one_owner() -> None:
    records = MemoryRecords(1)
    processes = [RunningPartition(records) for _ in range(5)]
    await asyncio.gather(*(process.__aenter__() for process in processes))
    await asyncio.gather(
        *(process.submit(ALICE, deposit(n)) for n, process in enumerate(processes)), return_exceptions=True
    )
    alive = [process for process in processes if process.failure is None]
    assert len(alive) == 1
    assert all(isinstance(process.failure, Overtaken) for process in processes if process is not alive[0])
    assert_same_state(replayed(records).state, alive[0].writer.state)
    for process in processes:
        await process.kill()


async def test_writers_that_start_with_the_same_block_own_an_epoch_each() -> None:
    """Behind a log whose time is ahead of their clocks, they make the same block byte for byte."""
    records = MemoryRecords(1)
    async with RunningPartition(records, clock=SimulatedClock(NOON_US + 1_000_000)) as first:
        await first.submit(ALICE)
    processes = [RunningPartition(records, clock=SimulatedClock(NOON_US)) for _ in range(5)]
    await asyncio.gather(*(process.__aenter__() for process in processes))
    assert len(set(records.blocks[0])) < len(records.blocks[0])
    assert len({process.writer.state.chained.epoch for process in processes}) == len(processes)
    for process in processes:
        await process.kill()


async def test_a_block_that_is_decided_and_not_yet_accepted_is_waited_for() -> None:
    async with RunningPartition(MemoryRecords(1)) as process:
        coming = asyncio.create_task(process.outcomes.block(1))
        await asyncio.sleep(0)
        assert not coming.done()
        await process.submit(ALICE)
        assert (await coming).header.sequence == 1


@pytest.mark.parametrize("jump_us", [YEAR_US, -YEAR_US, 6_000_000, -6_000_000])
async def test_a_clock_that_jumps_stops_the_writer_before_a_block_is_stamped_with_it(jump_us: int) -> None:
    records = MemoryRecords(1)
    async with RunningPartition(records) as process:
        await process.submit(ALICE, deposit(1))
        blocks = len(records.blocks[0])
        process.clock.set_wall(jump_us)
        with pytest.raises(OutcomeUnknown):
            await process.submit(deposit(2))
        assert isinstance(await process.ended(), ClockStepped)
        assert len(records.blocks[0]) == blocks
    async with RunningPartition(records) as process:  # the clock is right again
        await process.submit(deposit(2))
        assert balance(process.writer.state) == 2


@pytest.mark.parametrize("drift_us", [4_000_000, -4_000_000])
async def test_a_clock_that_is_corrected_slowly_is_followed_and_time_still_rises(drift_us: int) -> None:
    records = MemoryRecords(1)
    async with RunningPartition(records) as process:
        await process.submit(ALICE)
        for n in range(4):
            process.clock.set_wall(drift_us)
            await process.submit(deposit(n))
    times = [decode(data).header.created_at_us for data in records.blocks[0]]
    assert times == sorted(set(times))


async def test_a_writer_refuses_to_start_on_a_log_that_is_ahead_of_its_clock() -> None:
    records = MemoryRecords(1)
    async with RunningPartition(records, SimulatedClock(NOON_US + YEAR_US)) as process:
        await process.submit(ALICE)
    blocks = list(records.blocks[0])
    with pytest.raises(ClockStepped, match="ahead"):
        await RunningPartition(records, SimulatedClock(NOON_US)).writer.start()
    assert records.blocks[0] == blocks


async def test_an_operator_who_accepts_the_logs_time_goes_on_at_it_and_no_id_runs_twice() -> None:
    records = MemoryRecords(1)
    ahead_us = NOON_US + YEAR_US
    timeless = [Transfer(bytes([n]) * 16, "@world", "alice", 1, "USD/2") for n in (0x41, 0x42)]
    async with RunningPartition(records, SimulatedClock(ahead_us)) as process:
        await process.submit(ALICE, Transfer(id_at(ahead_us, 1), "@world", "alice", 1, "USD/2"), timeless[0])
    limits = WriterLimits(accepted_log_time_us=ahead_us)
    for life in range(2):  # the blocks of the first do not lock the second one out
        async with RunningPartition(records, SimulatedClock(NOON_US), limits=limits) as process:
            answers = await process.submit(timeless[0], timeless[1], deposit(9))
            assert [answer.document.get("code", "done") for answer in answers] == ["done", "done", "id_expired"]
            assert balance(process.writer.state) == 3, life
    times = [decode(data).header.created_at_us for data in records.blocks[0]]
    assert times == sorted(set(times))
    assert times[-1] - ahead_us < 1_000
    async with RunningPartition(records, SimulatedClock(ahead_us + 1_000_000)) as process:  # the clock has caught up
        await process.submit(timeless[0])
        assert balance(process.writer.state) == 3


async def test_at_the_logs_time_a_deadline_before_it_has_passed_and_one_behind_it_comes_with_the_clock() -> None:
    records = MemoryRecords(1)
    before, behind, late = (
        Hold(bytes([n]) * 16, (Leg("@world", -1, "USD/2"), Leg("alice", 1, "USD/2")), NOON_US + at_us)
        for n, at_us in ((0x41, 60_000_000), (0x42, YEAR_US + 60_000_000), (0x43, 90_000_000))
    )
    async with RunningPartition(records) as process:
        await process.submit(ALICE, before, behind)
    # The clock was ahead when a writer started, and nothing was decided by it.
    async with RunningPartition(records, SimulatedClock(NOON_US + YEAR_US)) as process:
        ahead_us = process.writer.state.chained.created_at_us
    limits = WriterLimits(accepted_log_time_us=ahead_us)
    async with RunningPartition(records, SimulatedClock(NOON_US), limits=limits) as process:
        answers = await process.submit(late, _void(before, 1), _void(before, 2))
        assert [answer.document["code"] for answer in answers] == ["deadline_passed", "hold_unknown", "hold_unknown"]
        [again] = await process.submit(Transfer(bytes([0x44]) * 16, "@world", "alice", 1, "USD/2"))
        assert again.status == 201
        assert process.writer.state.pending.first_due_us() == behind.deadline_us, "it is open"
        process.clock.pass_us(YEAR_US + 60_000_000)
        [answer] = await process.submit(_void(behind, 3))
        assert answer.document["code"] == "hold_unknown"


def _void(hold: Hold, number: int) -> Void:
    return Void(timeless_id(number), hold.id)


async def test_a_log_ahead_of_what_was_accepted_is_refused_and_told_how_to_go_on() -> None:
    records = MemoryRecords(1)
    async with RunningPartition(records, SimulatedClock(NOON_US + YEAR_US)) as process:
        await process.submit(ALICE)
    limits = WriterLimits(accepted_log_time_us=NOON_US + YEAR_US // 2)
    with pytest.raises(ClockStepped, match="FANFOLD_ACCEPT_LOG_TIME="):
        await RunningPartition(records, SimulatedClock(NOON_US), limits=limits).writer.start()


@pytest.mark.parametrize("record_is_there", [True, False])
async def test_a_failed_append_ends_the_writer_and_the_next_one_loses_and_doubles_nothing(
    record_is_there: bool,
) -> None:
    records = MemoryRecords(1)
    async with RunningPartition(records) as process:
        await process.submit(ALICE, deposit(1))
        process.log.fail_next_append(record_is_there=record_is_there)
        with pytest.raises(OutcomeUnknown):
            await process.submit(deposit(2))
        assert isinstance(await process.ended(), LogFailed)
    async with RunningPartition(records) as process:
        assert balance(process.writer.state) == (2 if record_is_there else 1)
        again = await process.submit(deposit(2), deposit(1))
        assert [answer.status for answer in again] == [201, 201]
        assert balance(process.writer.state) == 2
        assert_same_state(replayed(records).state, process.writer.state)


async def test_blocks_that_are_appended_twice_change_nothing() -> None:
    records = MemoryRecords(1)
    async with RunningPartition(records) as process:
        await process.submit(ALICE, deposit(1))
        for data in list(records.blocks[0]):
            records.append(0, data)
        await process.submit(deposit(2))
        assert balance(process.writer.state) == 2
    async with RunningPartition(records) as process:
        assert balance(process.writer.state) == 2
        assert process.writer.replay.skipped.total() == 2


async def test_a_record_that_cannot_be_read_is_passed_over_and_counted() -> None:
    records = MemoryRecords(1)
    async with RunningPartition(records) as process:
        await process.submit(ALICE)
        reader = process.queue._readers[0]  # nothing else can put one there: a queue in memory is never damaged
        reader._records.append(Queued(reader._next_offset, None))
        reader._next_offset += 1
        await process.submit(deposit(1))
        assert process.writer.unreadable_records == 1
        assert balance(process.writer.state) == 1


async def test_commands_that_the_queue_lost_before_they_were_decided_stop_the_writer_until_they_are_named() -> None:
    records = MemoryRecords(1)
    async with RunningPartition(records) as process:
        await process.submit(ALICE, deposit(1))
        await process.submit(deposit(2))
    consumed_to = decode(records.blocks[0][-1]).header.consumed_to

    async def started(accepted: str) -> RunningPartition:
        process = RunningPartition(records, limits=WriterLimits(accepted_losses=read_lost_commands(accepted)))
        await process.queue.consumed(
            {0: consumed_to + 5}
        )  # what a queue that lasts tells after somebody deleted from it
        return process

    lost = f"0:{consumed_to}-{consumed_to + 5}"
    for accepted in ("", f"1:{consumed_to}-{consumed_to + 5}", f"0:{consumed_to}-{consumed_to + 4}"):
        process = await started(accepted)
        with pytest.raises(CommandsLost, match=f"5 records are gone.*FANFOLD_ACCEPT_LOST_COMMANDS={lost}") as refused:
            await process.writer.start()
        assert what_follows(refused.value, 1) is Next.STAYS, "a person has to look"
        await process.writer.close()
    async with await started(lost) as process:
        await process.submit(deposit(2), deposit(3))
        assert balance(process.writer.state) == 3
    # It is in the log now: nobody has to be told again.
    assert decode(records.blocks[0][-1]).header.consumed_to > consumed_to + 5
    async with await started("") as process:
        assert balance(process.writer.state) == 3


async def test_what_the_next_owner_has_given_back_is_not_lost() -> None:
    """A writer asks where its queue begins just when another one has taken over, consumed and given back."""
    records = MemoryRecords(1)
    async with RunningPartition(records) as process:
        await process.submit(ALICE)

    class Asked(MemoryQueue):
        async def begins_at(self, partition: int) -> int:
            async with RunningPartition(records) as newer:
                await newer.submit(deposit(1))
                return newer.writer.state.chained.consumed_to

    older = RunningPartition(records)
    older.writer._queue = Asked()
    with pytest.raises(Overtaken):
        await older.writer.start()
    await older.writer.close()


async def test_the_state_ahead_of_the_log_is_never_answered_from() -> None:
    """The second block is decided while the first is being appended; when that fails, neither was answered."""
    records = MemoryRecords(1)
    async with RunningPartition(records) as process:
        await process.submit(ALICE)
        process.log.fail_next_append(record_is_there=False)
        told = await asyncio.gather(*(process.submit(deposit(n)) for n in range(20)), return_exceptions=True)
        assert all(isinstance(answer, OutcomeUnknown) for answer in told)
    assert balance(replayed(records).state) == 0
