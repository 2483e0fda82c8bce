"""Transfers under way and holds over HTTP: phase, steps, what is waited for, what is left, and how they ended."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from blake3 import blake3

from tests.unit.read_side.asgi_client import Reply, ask
from tests.unit.read_side.block_maker import START_US, opened
from tests.unit.read_side.doors.test_http_api import Side
from tests.unit.read_side.partitions import Partitions
from write_side.contract.words.codes import Flag
from write_side.contract.words.times import format_time
from write_side.ledger.commands.commands import (
    Capture,
    Change,
    Hold,
    Leg,
    LegsTransfer,
    Protocol,
    Reverse,
    Transfer,
    Void,
)

USD = "USD/2"


class Bank(Side):
    """Two partitions: `alice` in 0 with 100, `bob` in 1 with nothing."""

    def __init__(self) -> None:
        super().__init__(2)
        self.partitions = Partitions(self.log)
        self.alice, self.bob = self.partitions.name(0, "alice"), self.partitions.name(1, "bob")
        self.carol = self.partitions.name(0, "carol")

    async def open(self) -> None:
        await self.partitions.say(0, opened(self.alice), opened(self.carol))
        await self.partitions.say(1, opened(self.bob))
        await self.partitions.say(0, Transfer(new_id(), "@world", self.alice, 100, USD))
        await self.start()

    async def send(self, amount: int, protocol: Protocol = Protocol.SAGA, reverse: bool = False) -> uuid.UUID:
        """Begin a transfer from alice to bob (reversed: from bob to alice); nothing is carried yet."""
        id = uuid.uuid4()
        legs = sorted(
            [Leg(self.alice, amount if reverse else -amount, USD), Leg(self.bob, -amount if reverse else amount, USD)]
        )
        await self.partitions.say(1 if reverse else 0, LegsTransfer(id.bytes, tuple(legs), protocol))
        return id

    async def get(self, target: str) -> Reply:
        for projector, writer in zip(self.projectors, self.partitions.writers, strict=True):
            assert await projector.shown.sequence.reach(writer.state.chained.sequence, 20.0)
        return await ask(self.app(), "GET", target)

    async def transfer(self, id: uuid.UUID) -> dict[str, Any]:
        reply = await self.get(f"/v1/transfers/{id}")
        assert reply.status == 200
        told: dict[str, Any] = reply.document
        return told

    async def under_way(self, query: str = "") -> list[dict[str, Any]]:
        reply = await self.get("/v1/transfers" + query)
        assert reply.status == 200
        found: list[dict[str, Any]] = reply.document["transfers"]
        return found


def new_id() -> bytes:
    return uuid.uuid4().bytes


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    found = Bank()
    await found.open()
    yield found
    await found.stop()


async def test_a_saga_under_way_tells_its_phase_and_every_step(bank: Bank) -> None:
    id = await bank.send(30)
    told = await bank.transfer(id)
    at = format_time(bank.partitions.writers[0].now_us)
    assert told == {
        "id": str(id), "result": "pending", "protocol": "saga", "phase": "crediting", "partition": 0, "begun": "0:2",
        "age_ms": 0, "position": "0:2", "at": at,
        "steps": [{"step": 0, "action": "try", "partition": 0, "code": "done", "position": "0:2", "at": at}],
        "step_accounts": [
            [
                {"account": bank.alice, "asset": USD, "posted": "70", "held": "0"},
                {"account": "@transit", "asset": USD, "posted": "30", "held": "0"},
            ]
        ],
        "waiting_for": [{"step": 1, "partition": 1, "action": "try"}],
        "legs": [
            {"account": bank.alice, "amount": "-30", "asset": USD, "step": 0, "partition": 0},
            {"account": bank.bob, "amount": "30", "asset": USD, "step": 1, "partition": 1},
        ],
    }  # fmt: skip


async def test_a_tcc_transfer_waits_for_all_its_tries_at_once(bank: Bank) -> None:
    id = await bank.send(30, Protocol.TCC)
    told = await bank.transfer(id)
    assert (told["protocol"], told["phase"]) == ("tcc", "trying")
    assert told["waiting_for"] == [{"step": 1, "partition": 1, "action": "try"}]
    await bank.partitions.carry(1)
    await bank.partitions.carry(0)
    told = await bank.transfer(id)
    assert told["phase"] == "paying"
    assert told["waiting_for"] == [{"step": 1, "partition": 1, "action": "confirm"}]
    assert [(step["step"], step["action"], step["partition"], step["position"]) for step in told["steps"]] == [
        (0, "try", 0, "0:2"), (1, "try", 1, "1:1"), (0, "confirm", 0, "0:3"),
    ]  # fmt: skip
    assert told["position"] == "0:3,1:1"


@pytest.mark.parametrize("protocol", Protocol)
async def test_a_transfer_that_is_over_has_the_answer_of_its_last_outcome_and_its_legs(
    bank: Bank, protocol: Protocol
) -> None:
    id = await bank.send(30, protocol)
    await bank.partitions.settle()
    told = await bank.transfer(id)
    assert (told["result"], told["phase"], told["protocol"]) == ("done", "done", protocol.name.lower())
    assert [(leg["account"], leg["amount"]) for leg in told["legs"]] == [(bank.alice, "-30"), (bank.bob, "30")]
    assert {step["partition"] for step in told["steps"]} == {0, 1}
    after = [
        (each["account"], each["posted"], each["held"])
        for step, accounts in zip(told["steps"], told["step_accounts"], strict=True)
        for each in accounts
        if step["partition"] == 1
    ]
    assert after == [(bank.bob, "30", "0"), ("@transit", "-30", "0")]
    assert await bank.under_way() == []


async def test_a_refused_transfer_says_why_and_has_its_legs(bank: Bank) -> None:
    await bank.partitions.say(1, Change(new_id(), bank.bob, Flag.CREDIT_FROZEN, Flag(0)))
    id = await bank.send(30)
    await bank.partitions.settle()
    told = await bank.transfer(id)
    assert (told["result"], told["code"], told["phase"]) == ("refused", "account_frozen_for_credit", "refused")
    assert [leg["account"] for leg in told["legs"]] == [bank.alice, bank.bob]


async def test_open_transfers_are_listed_oldest_first_with_what_they_wait_for(bank: Bank) -> None:
    first, second = await bank.send(1), await bank.send(2, Protocol.TCC)
    bank.timer.now_us = START_US + 60_000_000
    listed = await bank.under_way()
    assert [(each["id"], each["phase"], each["begun"]) for each in listed] == [
        (str(first), "crediting", "0:2"), (str(second), "trying", "0:3"),
    ]  # fmt: skip
    assert listed[0]["waiting_for"] == [{"step": 1, "partition": 1, "action": "try"}]
    assert 59_000 < listed[0]["age_ms"] <= 60_000
    assert [each["id"] for each in await bank.under_way("?phase=trying,paying")] == [str(second)]
    assert len(await bank.under_way("?phase=open")) == 2
    assert [each["id"] for each in await bank.under_way("?limit=1")] == [str(first)]
    assert len(await bank.under_way("?older_than=59")) == 2
    assert await bank.under_way("?older_than=60") == []
    await bank.partitions.settle()
    reply = await bank.get("/v1/transfers")
    assert reply.document == {"transfers": [], "position": "0:5,1:2"}


@pytest.mark.parametrize(
    "query",
    ["phase=", "phase=done", "phase=open,trying", "phase=trying,trying", "older_than=-1", "older_than=1.5", "limit=0",
     "limit=1001", "stuck=1", "phase=open&phase=open"],
)  # fmt: skip
async def test_what_the_list_is_asked_is_read_strictly(bank: Bank, query: str) -> None:
    reply = await bank.get("/v1/transfers?" + query)
    assert (reply.status, reply.document["code"]) == (400, "parameter_malformed")


async def test_a_hold_tells_what_is_left_of_it(bank: Bank) -> None:
    hold = uuid.uuid4()
    legs = tuple(sorted([Leg(bank.alice, -50, USD), Leg(bank.carol, 50, USD)]))
    await bank.partitions.say(0, Hold(hold.bytes, legs, deadline_us=START_US + 10**9))
    told = await bank.transfer(hold)
    assert (told["result"], told["state"], told["deadline"]) == ("held", "open", format_time(START_US + 10**9))
    await bank.partitions.say(0, Capture(new_id(), hold.bytes, amount=20))
    told = await bank.transfer(hold)
    assert told["left"] == [
        {"account": bank.alice, "amount": "-30", "asset": USD}, {"account": bank.carol, "amount": "30", "asset": USD},
    ]  # fmt: skip
    await bank.partitions.say(0, Void(new_id(), hold.bytes))
    told = await bank.transfer(hold)
    assert (told["result"], told["state"]) == ("held", "over")
    assert "left" not in told


async def test_a_hold_is_busy_while_its_capture_is_under_way_and_the_capture_knows_who_is_paid(bank: Bank) -> None:
    hold, capture = uuid.uuid4(), uuid.uuid4()
    legs = tuple(sorted([Leg(bank.alice, -50, USD), Leg(bank.bob, 50, USD)]))
    await bank.partitions.say(0, Hold(hold.bytes, legs))
    await bank.partitions.say(0, Capture(capture.bytes, hold.bytes))
    assert (await bank.transfer(hold))["state"] == "busy"
    told = await bank.transfer(capture)
    assert (told["result"], told["hold"]) == ("pending", str(hold))
    assert [(leg["account"], leg["amount"]) for leg in told["legs"]] == [(bank.alice, "-50"), (bank.bob, "50")]
    await bank.partitions.settle()
    told = await bank.transfer(capture)
    assert (told["result"], told["hold"]) == ("done", str(hold))
    assert [(leg["account"], leg["amount"]) for leg in told["legs"]] == [(bank.alice, "-50"), (bank.bob, "50")]
    assert (await bank.transfer(hold))["state"] == "over"


async def test_a_reversed_transfer_names_its_reversal(bank: Bank) -> None:
    plain, reversal = uuid.uuid4(), uuid.uuid4()
    await bank.partitions.say(0, Transfer(plain.bytes, bank.alice, bank.carol, 5, USD))
    assert "reversed_by" not in await bank.transfer(plain)
    legs = tuple(sorted([Leg(bank.alice, 5, USD), Leg(bank.carol, -5, USD)]))
    await bank.partitions.say(0, Reverse(reversal.bytes, plain.bytes, legs))
    assert (await bank.transfer(plain))["reversed_by"] == str(reversal)


async def test_the_feed_tells_a_change_of_phase_with_the_block_that_made_it(bank: Bank) -> None:
    feeds = [bank.feed.subscribe(p) for p in range(2)]
    id = await bank.send(30, Protocol.TCC)
    await bank.partitions.carry(1)
    for feed, account, phase in ((feeds[0], bank.alice, "trying"), (feeds[1], bank.bob, "held")):
        batch = await asyncio.wait_for(anext(feed), 20.0)
        told = batch.phases
        assert (told.keys, told.transfers, told.phases) == (
            [blake3(account.encode()).digest(16)],
            [id.bytes],
            [phase],
        )
