"""A failure belongs to its partition: it comes back by itself where that can help, and the others go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.unit.write_side.deciding import NOON_US, id_at
from tests.unit.write_side.running import DEADLINE_S, SimulatedClock
from write_side.contract.log.log import Log, LogFailed
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_file_folder import partition_folder, segment_path
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.words.atoms import partition_of
from write_side.intake.intake import Intake
from write_side.intake.lane import Lane
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Capture, Command, Hold, Leg, Mode, OpenAccount, Reverse, Transfer, Void
from write_side.ledger.commands.step_batch import StepBatch
from write_side.owner.outcomes import OutcomeUnknown, PartitionUnavailable
from write_side.owner.partition import Partition, Standing, keep_all
from write_side.owner.writer import WriterLimits
from write_side.queue.queue_memory import MemoryQueue

NAMES = [next(name for name in map(str, range(64)) if partition_of(name, 2) == p) for p in range(2)]


class Two:
    """Two partitions of one process, over records that outlive it."""

    def __init__(self, log: Log) -> None:
        self.log, self.queue, self.clock = log, MemoryQueue(), SimulatedClock()
        self.partitions = [Partition(p, self.log, self.queue, self.clock, WriterLimits(), owned=True) for p in range(2)]
        outcomes = {each.number: each.outcomes for each in self.partitions}
        self.intake = Intake(self.queue, outcomes, partitions=2, clock=self.clock, wait_s=DEADLINE_S)

    async def deposit(self, partition: int, number: int) -> int:
        transfer = Transfer(id_at(NOON_US, number), "@world", NAMES[partition], 1, "USD/2")
        [answer] = await self.intake.submit([transfer])
        return answer.status

    async def open(self, partitions: Sequence[int] = (0, 1)) -> None:
        await self.intake.submit([OpenAccount(NAMES[p], "USD/2", 0, "") for p in partitions])

    async def standing(self, partition: int, wanted: Standing) -> None:
        while self.partitions[partition].standing is not wanted:  # noqa: ASYNC110 -- nobody tells a test
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(over: MemoryRecords | FileLog, partitions: Sequence[int] = (0, 1)) -> AsyncIterator[Two]:
    two = Two(MemoryLog(over) if isinstance(over, MemoryRecords) else over)
    kept = [asyncio.create_task(two.partitions[p].keep()) for p in partitions]
    try:
        async with asyncio.timeout(DEADLINE_S):
            for p in partitions:
                await two.partitions[p].settled.wait()
            yield two
    finally:
        for task in kept:
            task.cancel()
        await asyncio.gather(*kept, return_exceptions=True)


@asynccontextmanager
async def kept(two: Two) -> AsyncIterator[asyncio.Task[None]]:
    """As a process keeps them, all together."""
    keeping = asyncio.create_task(keep_all(two.partitions))
    try:
        async with asyncio.timeout(DEADLINE_S):
            yield keeping
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


@pytest.mark.parametrize("record_is_there", [True, False])
async def test_a_failed_append_stops_its_partition_only_and_it_comes_back_by_itself(record_is_there: bool) -> None:
    async with running(MemoryRecords(2)) as two:
        await two.open()
        assert isinstance(two.log, MemoryLog)
        two.log.fail_next_append(record_is_there=record_is_there)
        with pytest.raises(OutcomeUnknown):
            await two.deposit(0, 1)
        assert two.partitions[0].standing is Standing.WAITING
        with pytest.raises(PartitionUnavailable, match="told to"):
            await two.deposit(0, 1)
        assert await two.deposit(1, 2) == 201
        await two.standing(0, Standing.SERVING)
        assert await two.deposit(0, 1) == 201
        state = two.partitions[0].part.state
        number = state.number_of(NAMES[0])
        assert number is not None
        assert state.posted[number] == 1
        assert state.chained.epoch == 2


async def test_an_id_of_a_partition_that_is_being_taken_up_again_does_not_run_in_another() -> None:
    async with running(MemoryRecords(2)) as two:
        await two.open()
        await two.deposit(0, 1)
        lost = two.partitions[0].outcomes
        lost.fail(LogFailed("the brokers are away"))
        lost.restart(Replay(State(0, 2)))
        with pytest.raises(PartitionUnavailable, match="brokers"):
            await two.deposit(1, 1)
        columns = CommandBatch.of([Transfer(id_at(NOON_US, 1), "@world", NAMES[1], 1, "USD/2")])
        with pytest.raises(PartitionUnavailable, match="brokers"):
            await two.intake.submit_batch(columns, Mode.CONTINUE, None)
        assert await two.deposit(1, 2) == 201


async def test_a_damaged_partition_stays_stopped_with_its_reason_and_the_other_serves() -> None:
    records = MemoryRecords(2)
    async with running(records) as two:
        await two.open()
    records.blocks[0][0] = records.blocks[0][0][:-1] + b"?"
    async with running(records) as two:
        assert [each.standing for each in two.partitions] == [Standing.STOPPED, Standing.SERVING]
        with pytest.raises(PartitionUnavailable, match="fanfold verify`, then start again"):
            await two.deposit(0, 1)
        assert await two.deposit(1, 2) == 201


async def test_a_partition_whose_files_cannot_be_opened_waits_and_serves_when_they_can_and_the_other_serves(
    tmp_path: Path,
) -> None:
    log = await FileLog.open(tmp_path, 2)
    async with running(log) as two:
        await two.open()
        assert await two.deposit(0, 1) == 201
    await log.close()
    segment = segment_path(partition_folder(tmp_path, 0), 0)
    segment.rename(tmp_path / "aside")
    segment.mkdir()
    log = await FileLog.open(tmp_path, 2)
    async with running(log) as two:
        waiting = two.partitions[0]
        assert [each.standing for each in two.partitions] == [Standing.WAITING, Standing.SERVING]
        assert "p00000 cannot be used: Is a directory" in str(waiting.document()["reason"])
        with pytest.raises(PartitionUnavailable, match="Is a directory"):
            await two.deposit(0, 1)
        assert await two.deposit(1, 2) == 201
        segment.rmdir()
        (tmp_path / "aside").rename(segment)
        await two.standing(0, Standing.SERVING)
        assert await two.deposit(0, 1) == 201
        number = waiting.part.state.number_of(NAMES[0])
        assert number is not None
        assert waiting.part.state.posted[number] == 1
    await log.close()


def across(number: int, home: int = 1) -> Transfer:
    return Transfer(id_at(NOON_US, number), NAMES[home], NAMES[1 - home], 1, "USD/2")


async def damaged(records: MemoryRecords) -> None:
    """Both accounts are open and have 1, a transfer to the other partition has begun, and its log is then damaged."""
    async with running(records) as two:
        await two.open()
        assert [await two.deposit(p, 10 + p) for p in range(2)] == [201, 201]
        await two.intake.submit([Hold(id_at(NOON_US, 20), (Leg(NAMES[0], 1, "USD/2"), Leg(NAMES[1], -1, "USD/2")))])
    records.blocks[0][0] = records.blocks[0][0][:-1] + b"?"


async def test_a_new_transfer_to_a_stopped_partition_is_refused_before_it_begins() -> None:
    records = MemoryRecords(2)
    await damaged(records)
    async with running(records) as two:
        state = two.partitions[1].part.state
        sequence = state.chained.sequence
        with pytest.raises(PartitionUnavailable, match="fanfold verify`, then start again") as refused:
            await two.intake.submit([across(1)])
        assert refused.value.partition == 0
        with pytest.raises(PartitionUnavailable):
            await two.intake.submit([Capture(id_at(NOON_US, 2), id_at(NOON_US, 20))])
        assert state.chained.sequence == sequence, "nothing was begun"
        [voided] = await two.intake.submit([Void(id_at(NOON_US, 3), id_at(NOON_US, 20))])
        assert voided.status == 201, "a hold stays at home"


@pytest.mark.parametrize("columns", [False, True])
async def test_of_a_batch_only_the_lines_that_go_to_a_stopped_partition_are_refused(columns: bool) -> None:
    records = MemoryRecords(2)
    await damaged(records)
    async with running(records) as two:
        inside = Transfer(id_at(NOON_US, 2), "@world", NAMES[1], 1, "USD/2")
        if columns:
            told = await two.intake.submit_batch(CommandBatch.of([across(1), inside]), Mode.CONTINUE, None)
            statuses, code = told.status.tolist(), told.code[0]
        else:
            answers = await two.intake.submit([across(1), inside])
            statuses, code = [answer.status for answer in answers], answers[0].document["code"]
        assert (statuses, code) == ([503, 201], "partition_stopped")


@pytest.mark.parametrize("mode", [Mode.CONTINUE, Mode.STOP])
async def test_a_line_that_reverses_one_before_it_does_not_go_to_a_stopped_partition(mode: Mode) -> None:
    records = MemoryRecords(2)
    async with running(records) as two:
        await two.open()
        assert await two.deposit(1, 11) == 201
        assert (await two.intake.submit([across(1)]))[0].status == 201
    records.blocks[0][0] = records.blocks[0][0][:-1] + b"?"
    async with running(records) as two:
        repeated, reverse = await two.intake.submit([across(1), Reverse(id_at(NOON_US, 2), across(1).id)], mode, 0.05)
        assert (repeated.status, reverse.status) == (201, 503)
        assert reverse.document["code"] == "partition_stopped"


@pytest.mark.parametrize("mode", [Mode.CONTINUE, Mode.STOP])
async def test_a_line_that_captures_a_hold_of_one_before_it_does_not_go_to_a_stopped_partition(mode: Mode) -> None:
    records = MemoryRecords(2)
    await damaged(records)
    async with running(records) as two:
        hold = Hold(id_at(NOON_US, 30), (Leg(NAMES[0], 1, "USD/2"), Leg(NAMES[1], -1, "USD/2")))
        # What the hold of `damaged` keeps is let go first.
        lines: list[Command] = [Void(id_at(NOON_US, 3), id_at(NOON_US, 20)), hold, Capture(id_at(NOON_US, 31), hold.id)]
        answers = await two.intake.submit(lines, mode, 0.05)
        assert [answer.status for answer in answers] == [201, 201, 503]
        assert answers[2].document["code"] == "partition_stopped"


async def test_a_transfer_that_has_begun_is_told_as_such_whatever_stopped_since() -> None:
    records = MemoryRecords(2)
    async with running(records) as two:
        await two.open()
        assert await two.deposit(1, 11) == 201
    async with running(records, [1]) as alone:
        [begun] = await alone.intake.submit([across(1)], wait_s=0.05)
        assert begun.status == 202
    records.blocks[0][0] = records.blocks[0][0][:-1] + b"?"
    async with running(records) as two:
        [again] = await two.intake.submit([across(1)], wait_s=0.05)
        assert again.status == 202
        with pytest.raises(PartitionUnavailable):
            await two.intake.submit([across(2)], wait_s=0.05)


async def test_a_transfer_to_a_partition_that_comes_back_by_itself_is_begun() -> None:
    async with running(MemoryRecords(2)) as two:
        await two.open()
        assert await two.deposit(1, 11) == 201
        assert isinstance(two.log, MemoryLog)
        two.log.fail_next_append(record_is_there=False)
        with pytest.raises(OutcomeUnknown):
            await two.deposit(0, 1)
        assert two.partitions[0].standing is Standing.WAITING
        [begun] = await two.intake.submit([across(5)], wait_s=0.05)
        assert begun.status in (201, 202)


async def test_an_overtaken_partition_takes_transfers_from_here_for_another_process_serves_it() -> None:
    records = MemoryRecords(2)
    async with running(records) as older:
        await older.open()
        assert await older.deposit(1, 11) == 201
        async with running(records, [0]) as newer:
            with pytest.raises(OutcomeUnknown):
                await older.deposit(0, 1)
            assert older.partitions[0].standing is Standing.OVERTAKEN
            assert older.partitions[0].outcomes.stopped is None
            assert await newer.deposit(0, 1) == 201


async def test_a_clock_that_jumped_is_waited_for_and_the_partition_goes_on_when_it_is_right_again() -> None:
    async with running(MemoryRecords(2)) as two:
        await two.open()
        two.clock.set_wall(3_600_000_000)
        with pytest.raises(OutcomeUnknown):
            await two.deposit(0, 1)
        two.clock.set_wall(-3_600_000_000)
        await two.standing(0, Standing.SERVING)
        assert await two.deposit(0, 1) == 201


async def test_an_overtaken_partition_does_not_fight_for_ever() -> None:
    records = MemoryRecords(2)
    async with running(records) as older, running(records) as newer:
        await newer.open()
        with pytest.raises(OutcomeUnknown):
            await older.deposit(0, 1)
        assert older.partitions[0].standing is Standing.OVERTAKEN
        assert await newer.deposit(0, 1) == 201
        assert newer.partitions[0].part.state.chained.epoch == 2


@pytest.mark.parametrize("record_is_there", [True, False])
async def test_a_partition_whose_log_failed_after_another_took_it_over_is_not_taken_back(record_is_there: bool) -> None:
    """Each would end the other for ever: an append that fails tells neither that it was overtaken."""
    records = MemoryRecords(2)
    async with running(records) as older, running(records) as newer:
        await newer.open()
        assert isinstance(older.log, MemoryLog)
        older.log.fail_next_append(record_is_there=record_is_there)
        with pytest.raises(OutcomeUnknown):
            await older.deposit(0, 1)
        await older.standing(0, Standing.OVERTAKEN)
        assert "taken over partition 0 (epoch 2)" in str(older.partitions[0].document()["reason"])
        assert await newer.deposit(0, 1) == 201
        assert newer.partitions[0].part.state.chained.epoch == 2


async def test_a_partition_that_failed_while_it_was_taken_over_is_its_own_again() -> None:
    """An epoch block that is in the log, though its append failed, is of this process and no reason to stay away."""
    records = MemoryRecords(2)
    async with running(records) as two:
        await two.open()
        assert isinstance(two.log, MemoryLog)
        two.log.fail_next_append(record_is_there=True)
        with pytest.raises(OutcomeUnknown):
            await two.deposit(0, 1)
        two.log.fail_next_append(record_is_there=True)  # the epoch block of its next life
        await two.standing(0, Standing.SERVING)
        assert two.partitions[0].failures == 2
        assert await two.deposit(0, 1) == 201


async def test_a_process_that_is_overtaken_in_all_partitions_stays_so_that_nobody_starts_it_to_take_them_back() -> None:
    records = MemoryRecords(2)
    older = Two(MemoryLog(records))
    async with kept(older) as keeping:
        for each in older.partitions:
            await older.standing(each.number, Standing.SERVING)
        async with running(records) as newer:
            await newer.open()
            for each in older.partitions:
                each.looked_at(None)
                await older.standing(each.number, Standing.OVERTAKEN)
            await asyncio.sleep(0)
            assert not keeping.done()
            assert await newer.deposit(0, 1) == 201


async def test_a_process_with_nothing_but_damaged_partitions_stays_and_says_so() -> None:
    records = MemoryRecords(2)
    async with running(records) as two:
        await two.open()
    for blocks in records.blocks:
        blocks[0] = blocks[0][:-1] + b"?"
    two = Two(MemoryLog(records))
    async with kept(two) as keeping:
        for each in two.partitions:
            await two.standing(each.number, Standing.STOPPED)
            with pytest.raises(PartitionUnavailable, match="fanfold verify"):
                await two.deposit(each.number, 1)
        await asyncio.sleep(0)
        assert not keeping.done()


async def test_an_overtaken_partition_that_nobody_writes_to_says_so_once_it_was_looked_at() -> None:
    records = MemoryRecords(2)
    async with running(records) as older:
        await older.open()
        async with running(records) as newer:
            await newer.deposit(0, 1)
        assert older.partitions[0].standing is Standing.SERVING, "nothing was appended here since"
        older.partitions[0].looked_at(None)
        await older.standing(0, Standing.OVERTAKEN)
        assert "taken over partition 0 (epoch 2)" in str(older.partitions[0].reason)
        assert older.partitions[1].standing is Standing.SERVING
        older.partitions[1].looked_at(None)
        await older.standing(1, Standing.OVERTAKEN)


async def test_an_overtaken_process_does_not_decide_a_reversal_anew_where_its_transfer_never_was() -> None:
    """Its writers slept while others reversed: by what it knows, neither the transfer nor its reversal has ever been."""
    records = MemoryRecords(2)
    reverse = Reverse(id_at(NOON_US, 2), id_at(NOON_US, 1))
    async with running(records) as older:
        await older.open()
        async with running(records) as newer:
            await newer.deposit(1, 1)
            [reversed_there] = await newer.intake.submit([reverse])
            assert reversed_there.status == 201
            with pytest.raises(PartitionUnavailable, match="taken over"):
                await older.intake.submit([reverse])
            assert await newer.intake.submit([reverse]) == [reversed_there.again()]


async def test_what_is_unknown_is_said_though_records_that_do_not_count_lie_at_the_end_of_the_log() -> None:
    records = MemoryRecords(2)
    async with running(records) as two:
        await two.open()
        for partition in range(2):
            records.append(partition, records.blocks[partition][0])
        [answer] = await two.intake.submit([Reverse(id_at(NOON_US, 2), id_at(NOON_US, 1))])
        assert answer.document["code"] == "transfer_unknown"


async def test_a_line_that_ran_in_another_process_is_never_called_not_run() -> None:
    records = MemoryRecords(2)
    async with running(records) as older:
        await older.open()
        refused = OpenAccount(NAMES[0], "EUR/2", 0, "")
        later = Transfer(id_at(NOON_US, 2), "@world", NAMES[1], 1, "USD/2")
        answers = await older.intake.submit([refused, later], Mode.STOP)
        assert [answer.document["code"] for answer in answers] == ["account_exists_with_other_terms", "not_run"]
        async with running(records, [1]) as newer:
            assert await newer.deposit(1, 2) == 201
            with pytest.raises(OutcomeUnknown):
                await older.intake.submit([refused, later], Mode.STOP)


async def test_a_partition_that_is_looked_at_goes_on_and_passes_over_what_older_writers_left() -> None:
    records = MemoryRecords(2)
    async with running(records) as two:
        await two.open()
        skipped = two.partitions[0].part.replay.skipped
        for number in range(3):
            two.partitions[0].looked_at(None)
            assert await two.deposit(0, number) == 201
            two.partitions[0].looked_at(None)
            await asyncio.sleep(0)
            records.append(0, records.blocks[0][0])
        while sum(skipped.values()) < 3:
            two.partitions[0].looked_at(None)
            await asyncio.sleep(0)
        assert await two.deposit(0, 9) == 201


async def test_messages_have_room_however_many_commands_wait() -> None:
    from tests.unit.write_side.deciding import DecidingPartition
    from write_side.ledger.across.outstanding import messages_of_block
    from write_side.ledger.commands.command_batch import CommandBatch
    from write_side.queue.command_queue import QueueFull

    queue = MemoryQueue(commands_max=1)
    await queue.open_reader(1, 0)
    command = CommandBatch.of([OpenAccount(NAMES[1], "USD/2", 0, "")])
    await queue.append(1, command)
    with pytest.raises(QueueFull):
        await queue.append(1, command)
    home = DecidingPartition(0, 2)
    home.decide([OpenAccount(NAMES[0], "USD/2", 0, "")], NOON_US)
    home.decide([Transfer(id_at(NOON_US, 0), "@world", NAMES[0], 1, "USD/2")], NOON_US + 1)
    block = home.decide([Transfer(id_at(NOON_US, 1), NAMES[0], NAMES[1], 1, "USD/2")], NOON_US + 2)
    message = messages_of_block(block)[1]
    assert isinstance(message, StepBatch)
    await queue.append(1, message)


async def test_a_partition_that_would_take_no_block_refuses_who_comes_until_it_would_and_the_other_goes_on() -> None:
    async with running(MemoryRecords(2)) as two:
        await two.open()
        two.partitions[0].looked_at("one in-sync replica answers")
        assert two.partitions[0].document()["standing"] == Standing.TAKES_NOTHING
        assert two.partitions[0].reason == "one in-sync replica answers"
        with pytest.raises(PartitionUnavailable, match="one in-sync replica"):
            await two.deposit(0, 1)
        assert await two.deposit(1, 2) == 201
        two.partitions[0].looked_at(None)
        assert two.partitions[0].reason is None
        assert await two.deposit(0, 1) == 201


async def test_what_gathered_and_has_not_left_is_refused_as_not_taken_once_the_partition_takes_nothing() -> None:
    async with running(MemoryRecords(2)) as two:
        await two.open()
        lane = Lane(0, two.queue, two.partitions[0].outcomes, 10, DEADLINE_S)
        gathered = lane.add(Transfer(id_at(NOON_US, 1), "@world", NAMES[0], 1, "USD/2"))
        two.partitions[0].looked_at("no broker answers")
        with pytest.raises(PartitionUnavailable, match="no broker answers"):
            await gathered
        two.partitions[0].looked_at(None)
        assert await two.deposit(0, 1) == 201
