"""A transfer told from the log: every partition's part in order of time, balances around it, and where the money is after it."""

from __future__ import annotations

import uuid

import pytest

from read_side.tell.transfer_trace import Happened, Step, document_of
from read_side.whole_log.explain import explain
from tests.unit.read_side.block_maker import opened
from tests.unit.read_side.partitions import Partitions
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.words.codes import Code, Flag, Kind
from write_side.ledger.commands.commands import (
    Capture,
    Change,
    Command,
    Hold,
    Leg,
    LegsTransfer,
    OpenAccount,
    Protocol,
    Reverse,
    Transfer,
)

USD = "USD/2"


class Told:
    """Two partitions with alice (0) at 100 and bob (1) at 0."""

    def __init__(self) -> None:
        self.log = MemoryLog(MemoryRecords(2))
        self.partitions = Partitions(self.log)
        self.alice, self.bob = self.partitions.name(0, "alice"), self.partitions.name(1, "bob")
        self.id = uuid.uuid4().bytes

    async def open(self) -> None:
        await self.partitions.say(0, opened(self.alice))
        await self.partitions.say(1, opened(self.bob))
        await self.partitions.say(0, Transfer(new_id(), "@world", self.alice, 100, USD))

    def legs(self, amount: int) -> tuple[Leg, ...]:
        return tuple(sorted([Leg(self.alice, -amount, USD), Leg(self.bob, amount, USD)]))

    async def settled(self, command: Command) -> list[Step]:
        await self.partitions.say(0, command)
        await self.partitions.settle()
        assert not isinstance(command, OpenAccount)
        return await explain(self.log, command.id)


def new_id() -> bytes:
    return uuid.uuid4().bytes


def heads(steps: list[Step]) -> list[tuple[int, str, str | None]]:
    return [(step.happened.partition, step.happened.kind.name.lower(), step.happened.phase) for step in steps]


def moves(happened: Happened) -> list[tuple[str, int, int, int, int]]:
    return [
        (each.account.partition("-")[0], each.posted_before, each.posted, each.held_before, each.held)
        for each in happened.entries
    ]


def deeds(happened: Happened) -> list[tuple[int, str, str]]:
    return [(each.step, each.action.name.lower(), each.code.name.lower()) for each in happened.did]


@pytest.fixture
async def told() -> Told:
    found = Told()
    await found.open()
    return found


async def test_a_saga_debits_first_and_the_credit_is_spendable_at_once(told: Told) -> None:
    debit, credit, end = await told.settled(LegsTransfer(told.id, told.legs(30)))
    assert heads([debit, credit, end]) == [(0, "transfer", "crediting"), (1, "step", "done"), (0, "answer", "done")]
    assert deeds(debit.happened) == [(0, "try", "done")]
    assert [(ask.step, ask.partition) for ask in debit.happened.asks] == [(1, 1)]
    assert moves(debit.happened) == [("alice", 100, 70, 0, 0), ("@transit", 0, 30, 0, 0)]
    assert moves(credit.happened) == [("bob", 0, 30, 0, 0), ("@transit", 0, -30, 0, 0)]
    assert [step.own for step in (debit, credit, end)] == [{USD: 30}, {USD: 0}, {USD: 0}]
    assert [step.transit for step in (debit, credit, end)] == [{USD: 30}, {USD: 0}, {USD: 0}]
    assert [(each.step, each.partition) for each in end.happened.heard] == [(1, 1)]


async def test_a_tcc_transfer_holds_before_anything_moves(told: Told) -> None:
    steps = await told.settled(LegsTransfer(told.id, told.legs(30), Protocol.TCC))
    assert heads(steps) == [
        (0, "transfer", "trying"), (1, "step", "held"), (0, "answer", "paying"), (1, "step", "done"), (0, "answer", "done"),
    ]  # fmt: skip
    tried, checked, captured, paid, _ = (step.happened for step in steps)
    assert moves(tried) == [("alice", 100, 100, 0, 30)]
    assert moves(checked) == []
    assert moves(captured) == [("alice", 100, 70, 30, 0), ("@transit", 0, 30, 0, 0)]
    assert deeds(captured) == [(0, "confirm", "done")]
    assert deeds(paid) == [(1, "confirm", "done")]
    assert moves(paid) == [("bob", 0, 30, 0, 0), ("@transit", 0, -30, 0, 0)]
    assert [step.own[USD] for step in steps] == [0, 0, 30, 0, 0]


async def test_a_refused_credit_is_compensated(told: Told) -> None:
    await told.partitions.say(1, Change(new_id(), told.bob, Flag.CREDIT_FROZEN, Flag(0)))
    debit, refused, end = await told.settled(LegsTransfer(told.id, told.legs(30)))
    assert (refused.happened.phase, refused.happened.code) == ("rejected", Code.CREDIT_FROZEN)
    assert refused.happened.entries == ()
    assert (end.happened.phase, end.happened.code) == ("refused", Code.CREDIT_FROZEN)
    assert deeds(end.happened) == [(0, "cancel", "done")]
    assert moves(end.happened) == [("alice", 70, 100, 0, 0), ("@transit", 30, 0, 0, 0)]
    assert [step.own[USD] for step in (debit, refused, end)] == [30, 30, 0]


async def test_others_in_the_same_block_do_not_show_and_their_money_is_only_in_the_sum(told: Told) -> None:
    other = LegsTransfer(new_id(), told.legs(5))
    await told.partitions.say(0, other, LegsTransfer(told.id, told.legs(30)))
    [step] = await explain(told.log, told.id)
    assert moves(step.happened) == [("alice", 95, 65, 0, 0), ("@transit", 5, 35, 0, 0)]
    assert (step.own, step.transit) == ({USD: 30}, {USD: 35})


async def test_a_message_that_came_twice_is_told_and_changes_nothing(told: Told) -> None:
    await told.partitions.say(0, LegsTransfer(told.id, told.legs(30)))
    told.partitions.waiting[1] *= 2
    await told.partitions.settle()
    _, credit, copy, *_ = await explain(told.log, told.id)
    assert (credit.happened.code, copy.happened.code) == (Code.DONE, Code.STALE)
    assert (copy.happened.entries, copy.happened.did) == ((), ())


async def test_of_a_hold_its_captures_are_told_and_of_a_transfer_its_reversal(told: Told) -> None:
    carol = told.partitions.name(0, "carol")
    await told.partitions.say(0, opened(carol))
    legs = tuple(sorted([Leg(told.alice, -40, USD), Leg(carol, 40, USD)]))
    hold, capture, reversal = new_id(), new_id(), new_id()
    await told.partitions.say(0, Hold(hold, legs))
    await told.partitions.say(0, Capture(capture, hold))
    held, captured = await explain(told.log, hold)
    assert (held.happened.kind, captured.happened.kind, captured.happened.id) == (Kind.HOLD, Kind.CAPTURE, capture)
    assert moves(held.happened) == [("alice", 100, 100, 0, 40)]
    back = tuple(sorted([Leg(told.alice, 40, USD), Leg(carol, -40, USD)]))
    await told.partitions.say(0, Reverse(reversal, capture, back))
    assert [step.happened.kind for step in await explain(told.log, capture)] == [Kind.CAPTURE, Kind.REVERSE]


async def test_an_unknown_id_has_no_steps(told: Told) -> None:
    assert await explain(told.log, new_id()) == []


async def test_the_document_has_words_and_digit_strings(told: Told) -> None:
    steps = await told.settled(LegsTransfer(told.id, told.legs(30)))
    document = document_of(told.id, steps)
    first = document["steps"][0]
    assert document["id"] == str(uuid.UUID(bytes=told.id))
    assert (first["kind"], first["code"], first["phase"], first["position"]) == (
        "transfer",
        "pending",
        "crediting",
        "0:2",
    )
    assert first["asks"] == [{"step": 1, "partition": 1, "action": "try"}]
    assert first["entries"][0] == {
        "account": told.alice, "asset": USD, "version": 2,
        "posted_before": "100", "posted": "70", "held_before": "0", "held": "0",
    }  # fmt: skip
    assert (first["in_flight"], first["transit"]) == ({USD: "30"}, {USD: "30"})
    assert "heard" not in first


async def test_a_hold_is_told_with_its_captures_across_partitions_to_their_end(told: Told) -> None:
    hold = Hold(told.id, told.legs(50))
    await told.settled(hold)
    for amount, final in ((20, False), (10, True)):
        await told.settled(Capture(new_id(), told.id, amount, final=final))
    steps = await explain(told.log, told.id)
    assert moves(steps[-1].happened) == [("alice", 70, 70, 20, 0)]
    assert [each[2] for step in steps for each in moves(step.happened) if each[0] == "bob"] == [20, 30]
    assert (steps[-1].own, steps[-1].transit) == ({USD: 0}, {USD: 0})


async def test_a_transfer_is_told_with_its_reversal_across_partitions_to_its_end(told: Told) -> None:
    await told.settled(LegsTransfer(told.id, told.legs(30)))
    back = tuple(leg._replace(amount=-leg.amount) for leg in told.legs(30))
    await told.settled(Reverse(new_id(), told.id, back))
    steps = await explain(told.log, told.id)
    assert [each[2] for step in steps for each in moves(step.happened) if each[0] == "alice"][-1] == 100
    assert (steps[-1].own, steps[-1].transit) == ({USD: 0}, {USD: 0})
