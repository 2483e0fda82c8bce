"""Intake: gathered, bounded, and every client gets the one outcome."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from tests.simulation import virtual_time
from tests.unit.write_side.deciding import NOON_US, id_at
from tests.unit.write_side.running import DEADLINE_S, RunningPartition
from tests.unit.write_side.two_partitions import TwoPartitions, account
from write_side.contract.block import limits
from write_side.contract.block.block import Block, decode
from write_side.contract.log.log_memory import MemoryRecords
from write_side.contract.state.state import Place
from write_side.contract.words.atoms import NO_FLOOR, partition_of
from write_side.contract.words.codes import Flag
from write_side.intake.dry_runs import DRY_RUNS_MAX
from write_side.intake.home import Routed, home_partition
from write_side.intake.intake import GATHERED_MAX, Overloaded, Stopping
from write_side.intake.refused_ahead import RefusedAhead
from write_side.intake.subjects import Subjects
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import (
    Capture,
    Change,
    Command,
    Hold,
    Leg,
    LegsTransfer,
    Mode,
    OpenAccount,
    Reverse,
    Transfer,
    Void,
)
from write_side.owner.outcomes import ANSWERS_A_TURN, OutcomeUnknown

LOCKED_S = 5.0
"""How long the state is kept from a loop that waits for it: it must not."""
ALICE = OpenAccount("alice", "USD/2", 0, "")


def deposit(number: int, amount: int = 1) -> Transfer:
    return Transfer(id_at(NOON_US, number), "@world", "alice", amount, "USD/2")


async def test_fifty_copies_in_flight_are_one_transfer_and_fifty_equal_answers() -> None:
    async with RunningPartition(MemoryRecords(1)) as process:
        await process.submit(ALICE)
        answers = await asyncio.gather(*(process.submit(deposit(1, 7)) for _ in range(50)))
        [first] = [answer for [answer] in answers if not answer.is_repeat]
        assert first.status == 201
        assert [answer for [answer] in answers if answer.is_repeat] == [first.again()] * 49
        assert int(process.writer.state.posted[2]) == 7
        assert await process.submit(deposit(1, 7)) == [first.again()]


async def test_a_copy_after_a_restart_gets_the_first_outcome_from_the_log() -> None:
    records = MemoryRecords(1)
    refused = Transfer(id_at(NOON_US, 2), "alice", "@world", 50, "USD/2")
    async with RunningPartition(records) as process:
        first = await process.submit(ALICE, deposit(1, 7), refused)
    async with RunningPartition(records) as process:
        again = await process.submit(deposit(1, 7), refused, deposit(3, 100), refused)
    assert [again[0], again[1], again[3]] == [first[1].again(), first[2].again(), first[2].again()]
    assert first[2].status == 422
    assert first[2].document["available"] == "7"


async def test_the_same_id_for_something_else_is_told_so_and_changes_nothing() -> None:
    async with RunningPartition(MemoryRecords(1)) as process:
        _, first, other = await process.submit(ALICE, deposit(1, 7), deposit(1, 8))
        assert (first.status, other.status) == (201, 422)
        assert other.document["code"] == "id_reused_with_other_content"
        assert int(process.writer.state.posted[2]) == 7


async def test_answers_come_in_the_order_of_the_commands_whoever_asked_with_whom() -> None:
    async with RunningPartition(MemoryRecords(1)) as process:
        await process.submit(ALICE)
        groups = [[deposit(10 * group + n) for n in range(1 + group % 4)] for group in range(40)]
        told = await asyncio.gather(*(process.submit(*group) for group in groups))
        for group, answers in zip(groups, told, strict=True):
            ids = [str(answer.document["id"]).replace("-", "") for answer in answers]
            assert ids == [transfer.id.hex() for transfer in group]
            assert {answer.document["result"] for answer in answers} == {"done"}


async def test_commands_that_arrive_together_leave_together() -> None:
    records = MemoryRecords(1)
    async with RunningPartition(records) as process:
        await process.submit(ALICE)
        await asyncio.gather(*(process.submit(deposit(n)) for n in range(1000)))
    assert len(records.blocks[0]) <= 6
    assert sum(len(decode(data).outcomes["kind"]) for data in records.blocks[0]) == 1001


async def test_a_full_queue_refuses_and_what_was_refused_did_not_happen() -> None:
    async with RunningPartition(MemoryRecords(1), queue_commands_max=3) as process:
        await process.submit(ALICE)
        with pytest.raises(Overloaded):
            await process.submit(*(deposit(n) for n in range(4)))
        assert [answer.status for answer in await process.submit(deposit(1), deposit(2))] == [201, 201]
        assert int(process.writer.state.posted[2]) == 2


async def test_a_lane_that_gathers_too_much_refuses_at_once() -> None:
    async with RunningPartition(MemoryRecords(1)) as process:
        with pytest.raises(Overloaded):
            await process.intake.submit([ALICE] * (GATHERED_MAX + 1))


async def test_a_lane_in_which_too_many_bytes_have_gathered_refuses_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with RunningPartition(MemoryRecords(1)) as process:
        await process.submit(ALICE)
        monkeypatch.setattr(limits, "COMMANDS_BYTES_MAX", 1_000)  # two transfers a record
        asked = [asyncio.create_task(process.submit(deposit(n))) for n in range(100)]
        told = await asyncio.gather(*asked, return_exceptions=True)
        refused = [each for each in told if isinstance(each, BaseException)]
        assert {type(each) for each in refused} == {Overloaded}
        assert len(refused) < 100
        [answer] = await process.submit(deposit(1_000))
        assert answer.status == 201
        assert int(process.writer.state.posted[2]) == 100 - len(refused) + 1


async def test_no_outcome_in_time_is_unknown_and_asking_again_is_safe() -> None:
    records = MemoryRecords(1)
    stuck = RunningPartition(records, wait_s=0.05)
    await stuck.writer.start()
    await stuck.queue.open_reader(0, 0)  # nobody takes from it
    with pytest.raises(OutcomeUnknown):
        await stuck.submit(ALICE)
    async with RunningPartition(records) as process:
        assert (await process.submit(ALICE))[0].status == 201


@pytest.mark.parametrize("mode", [Mode.CONTINUE, Mode.STOP])
@pytest.mark.parametrize("as_columns", [False, True])
def test_a_request_waits_once_however_many_of_its_transfers_do_not_end(mode: Mode, as_columns: bool) -> None:
    async def waited_s() -> float:
        async with TwoPartitions(carried=False) as bank:
            alice, bob = account(0, "alice"), account(1, "bob")
            await bank.intake.submit([OpenAccount(name, "USD/2", NO_FLOOR, "") for name in (alice, bob)])
            pairs = [(alice, bob), (bob, alice)] * 3  # homes in both partitions
            batch = [Transfer(id_at(NOON_US, n), *pair, 1, "USD/2") for n, pair in enumerate(pairs)]
            began_s = asyncio.get_running_loop().time()
            if as_columns:
                outcome = await bank.intake.submit_batch(CommandBatch.of(batch), mode, 30.0)
                assert outcome.code.tolist() == ["pending"] * len(batch)
            else:
                answers = await bank.intake.submit(batch, mode, 30.0)
                assert [answer.status for answer in answers] == [202] * len(batch)
            return asyncio.get_running_loop().time() - began_s

    assert 30.0 <= virtual_time.run(waited_s, lambda: 0.001) < 31.0


async def test_a_change_is_answered_with_the_flags_after_it() -> None:
    async with RunningPartition(MemoryRecords(1)) as process:
        freeze = Change(id_at(NOON_US, 1), "alice", Flag.DEBIT_FROZEN, Flag(0))
        thaw = Change(id_at(NOON_US, 2), "alice", Flag(0), Flag.DEBIT_FROZEN)
        _, *answers = await process.submit(ALICE, freeze, thaw, deposit(3))
        told: list[Any] = [answer.document["accounts"] for answer in answers]
        assert [each[0].get("flags") for each in told] == [["debit_frozen"], [], None]


async def test_a_line_behind_a_refusal_that_ran_before_is_told_what_became_of_it() -> None:
    """ "Not run" of a payment that was made would have its client pay twice."""
    async with TwoPartitions() as bank:
        alice, bob, carol = account(0, "alice"), account(1, "bob"), account(1, "carol")
        await bank.intake.submit([OpenAccount(name, "USD/2", NO_FLOOR, "") for name in (alice, bob, carol)])
        away = Transfer(id_at(NOON_US, 1), alice, account(1, "missing"), 1, "USD/2")
        ran, other, new = (Transfer(id_at(NOON_US, n), bob, carol, 1, "USD/2") for n in (2, 3, 4))
        [done] = await bank.intake.submit([ran])
        reused = Transfer(ran.id, bob, carol, 2, "USD/2")
        answers = await bank.intake.submit([away, other, ran, reused, new], Mode.STOP)
        assert [answer.document.get("code", answer.document["result"]) for answer in answers] == [
            "account_unknown", "not_run", "done", "id_reused_with_other_content", "not_run",
        ]  # fmt: skip
        assert answers[2] == done.again()
        [still_free] = await bank.intake.submit([other])
        assert still_free.status == 201


@pytest.mark.parametrize(("mode", "runs", "word"), [(Mode.STOP, 1, "not_run"), (Mode.ATOMIC, 0, "batch_refused")])
async def test_a_line_that_is_not_run_for_one_that_cannot_be_read_is_told_what_became_of_it_before(
    mode: Mode, runs: int, word: str
) -> None:
    async with TwoPartitions() as bank:
        alice, bob = account(0, "alice"), account(0, "bob")
        await bank.intake.submit([OpenAccount(name, "USD/2", NO_FLOOR, "") for name in (alice, bob)])
        first, ran, new = (Transfer(id_at(NOON_US, n), alice, bob, 1, "USD/2") for n in (1, 2, 3))
        [done] = await bank.intake.submit([ran])
        answers = await bank.intake.submit([first, ran, new], mode, runs=runs)
        assert answers[1] == done.again()
        assert answers[2].document["code"] == word
        assert answers[0].document.get("code") == (None if runs else word)
        _, again, still_free = await bank.intake.submit([first, ran, new])
        assert again == done.again()
        assert still_free.status == 201
        number = bank.states[0].number_of(bob)
        assert number is not None
        assert bank.states[0].posted[number] == 3


async def test_an_atomic_batch_with_a_line_that_may_be_forgotten_is_refused_for_that_and_not_for_its_partition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with TwoPartitions() as bank:
        bob, carol = account(1, "bob"), account(1, "carol")
        await bank.intake.submit([OpenAccount(name, "USD/2", NO_FLOOR, "") for name in (bob, carol)])
        monkeypatch.setattr(RefusedAhead, "_forgot_keys", lambda _: True)
        with_a_key, new = (Transfer(id, bob, carol, 1, "USD/2") for id in (bytes([7] * 16), id_at(NOON_US, 1)))
        answers = await bank.intake.submit([with_a_key, new], Mode.ATOMIC)
        assert [answer.document["code"] for answer in answers] == ["id_memory_full", "batch_refused"]


async def test_a_row_behind_a_refusal_that_ran_before_is_told_what_became_of_it_in_columns_too() -> None:
    async with TwoPartitions() as bank:
        alice, bob, carol = account(0, "alice"), account(1, "bob"), account(1, "carol")
        await bank.intake.submit([OpenAccount(name, "USD/2", NO_FLOOR, "") for name in (alice, bob, carol)])
        away = Transfer(id_at(NOON_US, 1), alice, account(1, "missing"), 1, "USD/2")
        ran, other, new = (Transfer(id_at(NOON_US, n), bob, carol, 1, "USD/2") for n in (2, 3, 4))
        [done] = await bank.intake.submit([ran])
        told = await bank.intake.submit_batch(CommandBatch.of([away, other, ran, new]), Mode.STOP, None)
        assert told.code.tolist() == ["account_unknown", "not_run", "done", "not_run"]
        assert told.position[2] == done.document["position"]


@pytest.mark.parametrize("mode", [Mode.CONTINUE, Mode.STOP])
@pytest.mark.parametrize("partition", [0, 1])
async def test_a_line_may_capture_the_hold_of_the_line_before_it(mode: Mode, partition: int) -> None:
    async with TwoPartitions() as bank:
        giver, receiver = account(partition, "giver"), account(partition, "receiver")
        await bank.intake.submit([OpenAccount(name, "USD/2", NO_FLOOR, "") for name in (giver, receiver)])
        # An unknown subject is told by the partition that forgot most, here the other one.
        bank.clock.pass_us(2 * 3_600_000_000)
        await bank.intake.submit([OpenAccount(account(1 - partition, "other"), "USD/2", NO_FLOOR, "")])
        hold = Hold(id_at(NOON_US, 1), tuple(sorted((Leg(giver, -5, "USD/2"), Leg(receiver, 5, "USD/2")))), 0)
        answers = await bank.intake.submit([hold, Capture(id_at(NOON_US, 2), hold.id)], mode)
        assert [answer.document["result"] for answer in answers] == ["held", "done"]


@pytest.mark.parametrize("mode", [Mode.CONTINUE, Mode.STOP])
@pytest.mark.parametrize("partition", [0, 1])
async def test_a_line_may_reverse_the_transfer_of_a_line_before_it(mode: Mode, partition: int) -> None:
    async with TwoPartitions() as bank:
        giver, receiver = account(partition, "giver"), account(partition, "receiver")
        await bank.intake.submit([OpenAccount(name, "USD/2", NO_FLOOR, "") for name in (giver, receiver)])
        paid = Transfer(id_at(NOON_US, 1), giver, receiver, 5, "USD/2")
        answers = await bank.intake.submit([paid, Reverse(id_at(NOON_US, 2), paid.id)], mode)
        assert [answer.document["result"] for answer in answers] == ["done", "done"]
        again = await bank.intake.submit([paid, Reverse(id_at(NOON_US, 2), paid.id)], mode)
        assert again == [answer.again() for answer in answers]


@pytest.mark.parametrize("mode", [Mode.CONTINUE, Mode.STOP])
async def test_lines_behind_a_reversal_of_an_earlier_line_are_decided_after_it(mode: Mode) -> None:
    async with TwoPartitions() as bank:
        near, too = account(1, "near"), account(1, "near-too")
        await bank.intake.submit([OpenAccount(near, "USD/2", 0, ""), OpenAccount(too, "USD/2", 0, "")])
        lines: list[Command] = []
        for n in range(0, 12, 3):  # each needs what the reversal before it brought back
            paid = LegsTransfer(id_at(NOON_US, n), (Leg(near, -5, "USD/2"), Leg(too, 5, "USD/2")))
            lines += [paid, Reverse(id_at(NOON_US, n + 1), paid.id)]
        deposit = Transfer(id_at(NOON_US, 2), "@world", near, 5, "USD/2")
        answers = await bank.intake.submit([deposit, *lines], mode)
        assert [answer.document["result"] for answer in answers] == ["done"] * 9


async def test_a_reversal_moves_what_its_transfer_moved_whatever_the_line_before_it_says() -> None:
    async with TwoPartitions() as bank:
        giver, receiver = account(1, "giver"), account(1, "receiver")
        await bank.intake.submit([OpenAccount(name, "USD/2", NO_FLOOR, "") for name in (giver, receiver)])
        ran = Transfer(id_at(NOON_US, 1), giver, receiver, 100, "USD/2")
        assert (await bank.intake.submit([ran]))[0].status == 201
        reused, reverse = await bank.intake.submit([ran._replace(amount=5), Reverse(id_at(NOON_US, 2), ran.id)])
        assert reused.document["code"] == "id_reused_with_other_content"
        accounts = reverse.document["accounts"]
        assert isinstance(accounts, list)
        assert [state["posted"] for state in accounts] == ["0", "0"]


async def test_others_have_their_turns_while_a_large_request_is_answered() -> None:
    count = 40 * ANSWERS_A_TURN
    async with RunningPartition(MemoryRecords(1)) as process:
        await process.submit(ALICE)
        await process.submit(*(deposit(n) for n in range(count)))
        decided = await process.outcomes.wait(1, DEADLINE_S)
        answering = asyncio.create_task(process.outcomes.answers(decided, range(count)))
        turns = 0
        while not answering.done():
            await asyncio.sleep(0)
            turns += 1
        assert len(await answering) == count
        assert turns >= 40


async def test_a_closing_intake_takes_nothing_more_and_answers_what_it_took() -> None:
    async with RunningPartition(MemoryRecords(1)) as process:
        taken = asyncio.create_task(process.submit(ALICE, deposit(1)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await process.intake.close()
        assert [answer.status for answer in await taken] == [201, 201]
        with pytest.raises(Stopping):
            await process.submit(deposit(2))


async def test_a_client_that_goes_away_leaves_the_others_their_answers() -> None:
    async with RunningPartition(MemoryRecords(1)) as process:
        await process.submit(ALICE)
        asked = [asyncio.create_task(process.submit(deposit(n))) for n in range(10)]
        await asyncio.sleep(0)
        asked[3].cancel()
        told = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(told[3], asyncio.CancelledError)
        assert all(not isinstance(answers, BaseException) for n, answers in enumerate(told) if n != 3)


async def test_dry_runs_beyond_a_bound_are_refused_and_leave_the_threads_to_the_writers() -> None:
    async with RunningPartition(MemoryRecords(1)) as process:
        await process.submit(ALICE)
        asked = [asyncio.create_task(process.intake.dry_run(deposit(n))) for n in range(DRY_RUNS_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await process.intake.dry_run(deposit(DRY_RUNS_MAX))
        answers = await asyncio.gather(*asked)
        assert {answer.status for answer in answers} == {201}
        again = await process.intake.dry_run(deposit(DRY_RUNS_MAX))
        assert again.status == 201


def test_home_is_the_debited_accounts_partition_and_for_a_deposit_the_credited_ones() -> None:
    names = [f"n{n}" for n in range(20)]
    for name, other in zip(names, reversed(names), strict=True):
        home = partition_of(name, 5)
        commands: list[Routed] = [
            OpenAccount(name, "USD/2", 0, ""),
            Transfer(bytes(16), name, other, 1, "USD/2"),
            Transfer(bytes(16), name, "@world", 1, "USD/2"),
            Transfer(bytes(16), "@world", name, 1, "USD/2"),
        ]
        assert [home_partition(command, 5) for command in commands] == [home] * 4


async def test_the_loop_goes_on_while_a_question_waits_for_a_block_to_be_decided() -> None:
    """A thread has the state as a writer has it in a long decide, until the loop has turned with every question under way."""
    legs = tuple(sorted((Leg("alice", -1, "USD/2"), Leg("@world", 1, "USD/2"))))
    hold, reverse = Hold(id_at(NOON_US, 2), legs), Reverse(id_at(NOON_US, 3), id_at(NOON_US, 1))
    async with RunningPartition(MemoryRecords(1)) as process:
        await process.submit(ALICE, deposit(1, 7), hold)
        subjects, outcomes = Subjects({0: process.outcomes}), process.outcomes
        deciding, turned = threading.Event(), threading.Event()
        loop_went_on: list[bool] = []

        def decide() -> None:
            with process.writer.state.lock:
                deciding.set()
                loop_went_on.append(turned.wait(LOCKED_S))

        thread = threading.Thread(target=decide)
        thread.start()
        await asyncio.to_thread(deciding.wait)
        until_s = asyncio.get_running_loop().time() + DEADLINE_S
        ended = asyncio.create_task(outcomes.ended(id_at(NOON_US, 1), until_s))
        home = asyncio.create_task(subjects.home_of_hold(Void(id_at(NOON_US, 4), hold.id)))
        reversal = asyncio.create_task(subjects.reversal(reverse))
        opened = asyncio.create_task(outcomes.first(Place(1, 0)))
        for _ in range(3):
            await asyncio.sleep(0)
        turned.set()
        answer, (_, found) = await ended, await reversal
        assert answer is not None
        assert (answer.status, await home, len(found.legs)) == (201, 0, 2)
        assert (await opened).document["result"] == "opened"
        await asyncio.to_thread(thread.join)
    assert loop_went_on == [True]


class FullLater(RunningPartition):
    """Its queue takes nothing more once a block was accepted after `is_filling` was set."""

    is_filling = False

    def _accepted(self, block: Block, offset: int) -> None:
        super()._accepted(block, offset)
        if self.is_filling:
            self.queue._commands_max = 0


async def test_a_batch_of_which_lines_have_run_is_never_said_not_to_be_taken() -> None:
    partition = FullLater(MemoryRecords(1))
    async with partition:
        ran_before = Void(id_at(NOON_US, 1), id_at(NOON_US, 2))
        [first] = await partition.submit(ran_before)
        assert first.status >= 400, "there is no such hold, and its id keeps that answer"
        partition.is_filling = True
        opened, refused = OpenAccount("a", "USD/2", 0, ""), Transfer(id_at(NOON_US, 3), "nobody", "a", 1, "USD/2")
        with pytest.raises(OutcomeUnknown):
            await partition.intake.submit((opened, refused, ran_before), Mode.STOP)
