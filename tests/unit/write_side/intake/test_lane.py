"""What leaves a lane together: as many commands as fit a record, and no more than the block that decides it can have."""

from __future__ import annotations

import asyncio

import pytest

from tests.simulation import virtual_time
from tests.unit.write_side.deciding import NOON_US, id_at
from tests.unit.write_side.running import DEADLINE_S, RunningPartition
from write_side.contract.block.limits import COMMANDS_BYTES_MAX, RECORD_BYTES_MAX
from write_side.contract.log.log import LogFailed
from write_side.contract.log.log_memory import MemoryRecords
from write_side.intake.lane import GATHERED_RECORDS_MAX, RECORDS_IN_FLIGHT, Lane, Lone, Overloaded
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command, Leg, LegsTransfer, Note, OpenAccount, Transfer
from write_side.ledger.commands.step_batch import StepBatch
from write_side.ledger.commands.weights import lone_weight
from write_side.owner.outcomes import OutcomeUnknown


class KeptRecords:
    """A command queue that keeps what it is given and answers nobody."""

    def __init__(self) -> None:
        self.records: list[CommandBatch | StepBatch] = []

    async def append(self, partition: int, batch: CommandBatch | StepBatch) -> int:
        self.records.append(batch)
        return len(self.records) - 1

    async def open_reader(self, partition: int, from_offset: int) -> None:
        raise AssertionError("nobody reads here")

    async def close(self) -> None: ...


class UnknownRecords(KeptRecords):
    """Keeps what it is given and does not know it: nothing has to wait for anything."""

    async def append(self, partition: int, batch: CommandBatch | StepBatch) -> int:
        await super().append(partition, batch)
        raise LogFailed("it is not known whether the record is there")


async def test_a_record_has_no_more_than_a_block_can_take() -> None:
    queue = UnknownRecords()
    partition = RunningPartition(MemoryRecords(1))
    lane = Lane(0, queue, partition.outcomes, 8_192, DEADLINE_S)  # type: ignore[arg-type]
    legs = (Leg("a", -1, "USD/2"), Leg("b", 1, "USD/2"))
    large = Note(metadata='{"k":"' + "x" * 15_000 + '"}')
    futures = [lane.add(CommandBatch.of([LegsTransfer(id_at(NOON_US, n), legs, note=large)])) for n in range(1_000)]
    await asyncio.gather(*futures, return_exceptions=True)
    await lane.idle()
    records = [record for record in queue.records if isinstance(record, CommandBatch)]
    assert sum(map(len, records)) == 1_000
    assert all(record.weight() <= COMMANDS_BYTES_MAX and len(record.encode()) <= RECORD_BYTES_MAX for record in records)
    assert len(records) < 20


def deposit(number: int) -> Transfer:
    return Transfer(id_at(NOON_US, number), "@world", "alice", 1, "USD/2")


def _transfer(n: int) -> Transfer:
    return Transfer(id_at(NOON_US, n), "d" * 64, "c" * 64, n, "USD/2")


async def test_commands_that_come_alone_and_batches_leave_in_the_order_they_came() -> None:
    queue = KeptRecords()
    lane = Lane(0, queue, RunningPartition(MemoryRecords(1)).outcomes, 8_192, 0.01)  # type: ignore[arg-type]
    legs = LegsTransfer(id_at(NOON_US, 3), (Leg("a", -1, "EUR/2"), Leg("b", 1, "EUR/2")))
    came: list[list[Command]] = [
        [_transfer(1)],
        [OpenAccount("alice", "JPY/0", -5, "Zoë")],
        [legs, _transfer(4)],
        [_transfer(5)],
        [_transfer(6), _transfer(7)],
        [_transfer(8)],
    ]
    for commands in came:
        alone = commands[0] if len(commands) == 1 and isinstance(commands[0], Lone) else None
        lane.add(alone or CommandBatch.of(commands)).add_done_callback(lambda future: future.exception())
    assert lane.gathered == lane.under_way == 8
    await lane.idle()
    assert lane.under_way == 0
    [record] = queue.records
    assert isinstance(record, CommandBatch)
    assert lane.gathered == 0
    expected = CommandBatch.concatenated([CommandBatch.of(commands) for commands in came])
    assert record.encode() == expected.encode()


async def test_who_waits_for_a_queue_that_takes_nothing_is_told_in_time_and_what_had_not_left_does_not_leave() -> None:
    class Away(KeptRecords):
        def __init__(self) -> None:
            super().__init__()
            self.back = asyncio.Event()

        async def append(self, partition: int, batch: CommandBatch | StepBatch) -> int:
            await self.back.wait()
            return await super().append(partition, batch)

    queue = Away()
    lane = Lane(0, queue, RunningPartition(MemoryRecords(1)).outcomes, 1, 0.01)  # type: ignore[arg-type]
    futures = [lane.add(_transfer(n)) for n in range(4)]
    async with asyncio.timeout(DEADLINE_S):
        told = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(each) for each in told] == [OutcomeUnknown] * RECORDS_IN_FLIGHT + [Overloaded] * 2
    assert lane.unanswered == lane.under_way == RECORDS_IN_FLIGHT
    assert lane.gathered == 0
    queue.back.set()
    await lane.idle()
    assert len(queue.records) == RECORDS_IN_FLIGHT
    assert lane.unanswered == 0


def test_who_has_not_left_in_time_behind_records_that_take_long_is_not_taken() -> None:
    async def told() -> list[type[BaseException]]:
        lane = Lane(0, KeptRecords(), RunningPartition(MemoryRecords(1)).outcomes, 1, 10.0)  # type: ignore[arg-type]
        futures = [lane.add(_transfer(n)) for n in range(9)]
        answers = await asyncio.gather(*futures, return_exceptions=True)
        await lane.idle()
        assert (lane.gathered, lane.gathered_bytes) == (0, 0)
        return [type(each) for each in answers if isinstance(each, BaseException)]

    found = virtual_time.run(told, lambda: 0.001)
    unknown = found.count(OutcomeUnknown)  # what left, and what became of it nobody says
    assert found == [OutcomeUnknown] * unknown + [Overloaded] * (9 - unknown)
    assert RECORDS_IN_FLIGHT <= unknown <= 2 * RECORDS_IN_FLIGHT


def test_the_records_of_one_request_have_their_time_one_after_the_other_and_who_comes_behind_them_has_his_own() -> None:
    async def told() -> list[type[BaseException]]:
        lane = Lane(0, KeptRecords(), RunningPartition(MemoryRecords(1)).outcomes, 1, 10.0)  # type: ignore[arg-type]
        parts = [lane.add(CommandBatch.of([_transfer(n)]), behind=n) for n in range(8)]
        answers = await asyncio.gather(*parts, lane.add(_transfer(100)), return_exceptions=True)
        await lane.idle()
        return [type(each) for each in answers if isinstance(each, BaseException)]

    assert virtual_time.run(told, lambda: 0.001) == [OutcomeUnknown] * 8 + [Overloaded]


async def test_what_has_gathered_is_weighed_until_it_has_left() -> None:
    queue = UnknownRecords()
    lane = Lane(0, queue, RunningPartition(MemoryRecords(1)).outcomes, 8_192, DEADLINE_S)  # type: ignore[arg-type]
    legs = (Leg("a", -1, "USD/2"), Leg("b", 1, "USD/2"))
    large = Note(metadata='{"k":"' + "x" * 15_000 + '"}')
    heavy = CommandBatch.of([LegsTransfer(id_at(NOON_US, n), legs, note=large) for n in range(800)])
    futures = [lane.add(heavy) for _ in range(GATHERED_RECORDS_MAX)]
    assert not lane.is_heavy
    futures += [lane.add(heavy), lane.add(_transfer(1)), lane.add(heavy)]
    assert lane.is_heavy
    await asyncio.gather(*futures, return_exceptions=True)
    await lane.idle()
    assert (lane.gathered, lane.gathered_bytes, lane.is_heavy) == (0, 0, False)


async def test_a_flood_of_commands_that_come_alone_is_cut_like_any_other() -> None:
    queue = UnknownRecords()
    lane = Lane(0, queue, RunningPartition(MemoryRecords(1)).outcomes, 50_000, DEADLINE_S)  # type: ignore[arg-type]
    futures = [lane.add(_transfer(n)) for n in range(60_000)]
    await asyncio.gather(*futures, return_exceptions=True)
    await lane.idle()
    records = [record for record in queue.records if isinstance(record, CommandBatch)]
    assert sum(map(len, records)) == 60_000
    assert RECORDS_IN_FLIGHT < len(records) < 10
    assert all(record.weight() <= COMMANDS_BYTES_MAX for record in records)
    sent = [int(amount) for record in records for amount in record.amount]
    assert sent == list(range(60_000))


def test_a_command_that_comes_alone_weighs_at_least_what_its_row_will() -> None:
    lone: list[Lone] = [_transfer(1), OpenAccount("alice", "JPY/0", -5, "Zoë"), OpenAccount("b", "JPY/0", 0, "")]
    for command in lone:
        assert lone_weight(command) >= CommandBatch.of([command]).weight()
    assert sum(map(lone_weight, lone)) >= CommandBatch.of(lone).weight()


def test_a_record_without_an_outcome_is_told_with_its_age() -> None:
    async def story() -> None:
        lane = Lane(0, NeverTaken(), RunningPartition(MemoryRecords(1)).outcomes, 8_192, 10.0)  # type: ignore[arg-type]
        lane.outcomes.serve()
        assert lane.oldest_s == 0.0
        first = lane.add(_transfer(1))
        await asyncio.sleep(1.0)
        second = lane.add(_transfer(2))
        await asyncio.sleep(1.5)
        assert lane.oldest_s == 2.5
        assert not first.done()
        assert not second.done()
        first.cancel()
        second.cancel()

    virtual_time.run(story, lambda: 0.001)


class NeverTaken(KeptRecords):
    async def append(self, partition: int, batch: CommandBatch | StepBatch) -> int:
        await asyncio.Event().wait()
        raise AssertionError("never")


@pytest.mark.parametrize("asked", [deposit(2), OpenAccount("bob", "USD/2", 0, "")])
async def test_an_answer_at_the_same_offset_to_another_command_is_told_to_nobody(asked: Command) -> None:
    """A topic that is made again counts from 0, and this process remembers what was decided at the same offset before."""
    async with RunningPartition(MemoryRecords(1)) as process:
        await process.submit(OpenAccount("alice", "USD/2", 0, ""))
        await process.submit(deposit(1))
        here = [0, 1]

        class MadeAgain(KeptRecords):
            async def append(self, partition: int, batch: CommandBatch | StepBatch) -> int:
                await super().append(partition, batch)
                return here.pop(0)

        lane = Lane(0, MadeAgain(), process.outcomes, 8_192, DEADLINE_S)  # type: ignore[arg-type]
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                await lane.add(CommandBatch.of([asked]))
        here = [0, 1]
        for same in (OpenAccount("alice", "USD/2", 0, ""), deposit(1)):
            assert len((await lane.add(CommandBatch.of([same]))).answers.outcomes) == 1
        here = [1]
        with pytest.raises(OutcomeUnknown):
            await lane.add(CommandBatch.of([deposit(1), asked]))


async def test_what_is_gathered_keeps_the_name_of_who_asked_for_each() -> None:
    queue = UnknownRecords()
    partition = RunningPartition(MemoryRecords(1))
    lane = Lane(0, queue, partition.outcomes, 8_192, DEADLINE_S)  # type: ignore[arg-type]
    legs = (Leg("a", -1, "USD/2"), Leg("b", 1, "USD/2"))
    names = ["eve", "eve", "", "bob"]
    futures = [
        lane.add(Transfer(id_at(NOON_US, n), "@world", "ann", 1, "USD/2"), asked_by=name)
        for n, name in enumerate(names)
    ]
    rich = CommandBatch.of([LegsTransfer(id_at(NOON_US, n), legs) for n in (10, 11)])
    futures += [lane.add(rich.asked_by("bob")), lane.add(rich)]
    await asyncio.gather(*futures, return_exceptions=True)
    await lane.idle()
    [record] = queue.records
    assert isinstance(record, CommandBatch)
    assert record.askers is not None
    assert (record.askers.first.tolist(), record.askers.names) == ([0, 2, 3, 6], ("eve", "", "bob", ""))
