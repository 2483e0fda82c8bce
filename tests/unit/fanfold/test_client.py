"""The client: typed answers, the same id on every attempt, and a watch that goes on where it stopped."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import pickle
import re
import traceback
import uuid
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any, get_args

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

import fanfold
from fanfold import (
    AccountState,
    BalanceChange,
    Capture,
    Change,
    Client,
    ConnectionState,
    Hold,
    HoldBetween,
    Leg,
    LegsTransfer,
    Moved,
    NotAnswered,
    Open,
    Opened,
    OpenTransfer,
    OpenTransfers,
    Pending,
    Refusal,
    Reverse,
    StalePartition,
    Transfer,
    Void,
    Waiting,
    between,
    http_answers,
    uuid7,
)
from fanfold.api.requests import Command
from fanfold.api.retry import ASKED_AGAIN, Waits
from fanfold.http_requests import line_of, request_of
from fanfold.not_answered import ATTEMPTS_MAX
from tests.unit.fanfold.stub_wallet import StubWallet, running_wallet
from write_side.ledger.commands import commands
from write_side.ledger.commands.commands import Transfer as TransferCommand


@pytest.fixture
def wallet(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubWallet]:
    monkeypatch.setattr(http_answers, "WAITS", Waits(0.001, 3.0))
    with running_wallet() as running:
        yield running


async def test_money_moves_and_is_read_again(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        opened = await client.open_account("alice", "USD/2", floor=-500, owner="user 7")
        assert opened == Opened("alice", "USD/2", -500, False, "0:0")
        again = await client.open_account("alice", "USD/2", floor=-500, owner="user 7")
        assert isinstance(again, Opened)
        assert again.existed
        moved = await client.transfer("@world", "alice", 1000, "USD/2")
        assert isinstance(moved, Moved)
        assert uuid.UUID(moved.id).version == 7
        state = await client.balance("alice", min_position=moved.position, min_version=1)
        assert isinstance(state, AccountState)
        assert (state.posted, state.available, state.floor, state.version) == (1000, 1500, -500, 1)
        assert await client.transfer_outcome(moved.id) == moved


async def test_refusal_is_a_value_with_its_code(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        await client.open_account("alice", "USD/2")
        refused = await client.transfer("alice", "@world", 1, "USD/2")
        assert isinstance(refused, Refusal)
        assert (refused.status, refused.code, refused.document["available"]) == (422, "insufficient_available", "0")
        malformed = await client.transfer("al ice", "@world", 1, "USD/2")
        assert isinstance(malformed, Refusal)
        assert malformed.code == "account_malformed"
        missing = await client.balance("nobody")
        assert isinstance(missing, Refusal)
        assert missing.status == 404


async def test_batch_answers_each_item_in_order(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        id = str(uuid7())
        answers = await client.transfer_batch(
            [
                Open("alice", "USD/2"),
                Transfer("@world", "alice", 5, "USD/2", id),
                Transfer("alice", "@world", 6, "USD/2"),
                Transfer("alice", "alice", 1, "USD/2"),
            ]
        )
        assert [type(answer) for answer in answers] == [Opened, Moved, Refusal, Refusal]
        assert isinstance(answers[1], Moved)
        assert answers[1].id == id
        assert [answer.code for answer in answers if isinstance(answer, Refusal)] == [
            "insufficient_available",
            "same_account_twice",
        ]
        assert await client.transfer_batch([]) == []


async def _rich_in(client: Client, *accounts: str) -> None:
    for account in accounts:
        await client.open_account(account, "USD/2")
        await client.transfer("@world", account, 100, "USD/2")


async def test_hold_is_captured_in_parts_and_the_rest_let_go(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        await _rich_in(client, "alice", "shop")
        deadline = datetime.datetime(2030, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))
        held = await client.hold("alice", "shop", 60, "USD/2", deadline=deadline)
        assert isinstance(held, Moved)
        assert (held.result, held.accounts[0].held, held.accounts[0].available) == ("held", 60, 40)
        command = wallet.commands[-1]
        assert isinstance(command, commands.Hold)
        assert command.deadline_us == 1_893_452_400_000_000
        part = await client.capture(held.id, 25)
        assert isinstance(part, Moved)
        assert (part.result, part.hold) == ("done", held.id)
        let_go = await client.void(held.id)
        assert isinstance(let_go, Moved)
        assert let_go.result == "voided"
        alice = await client.balance("alice")
        assert isinstance(alice, AccountState)
        assert (alice.posted, alice.held) == (75, 0)
        again = await client.capture(held.id)
        assert isinstance(again, Refusal)
        assert again.code == "hold_unknown"


async def test_legs_conditions_and_notes_reach_the_service(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        await _rich_in(client, "alice", "bob", "fees")
        legs = [
            Leg("alice", -10, "USD/2", if_version=1, if_available_at_least=50),
            Leg("bob", 9, "USD/2"),
            Leg("fees", 1, "USD/2"),
        ]
        moved = await client.ask(LegsTransfer(legs, None, "tcc", "order 7", {"b": "2", "a": "1"}), wait_seconds=5)
        assert isinstance(moved, Moved)
        assert [state.posted for state in moved.accounts] == [90, 109, 101]
        command = wallet.commands[-1]
        assert isinstance(command, commands.LegsTransfer)
        assert command.protocol is commands.Protocol.TCC
        assert command.note == commands.Note("order 7", '{"a":"1","b":"2"}')
        assert (command.legs[0].if_version, command.legs[0].if_available) == (1, 50)
        assert wallet.waits[-1] == 5.0


async def test_transfer_under_way_is_pending_and_not_a_refusal(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        await _rich_in(client, "alice", "bob")
        wallet.pending_next = True
        begun = await client.ask(Transfer("alice", "bob", 5, "USD/2", protocol="tcc"), wait_seconds=0)
        assert isinstance(begun, Pending)
        assert (begun.protocol, begun.phase) == ("tcc", "trying")
        assert await client.transfer_outcome(begun.id) == begun


async def test_dry_run_changes_nothing(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        await _rich_in(client, "alice")
        told = await client.ask(Transfer("alice", "@world", 30, "USD/2"), dry_run=True)
        assert isinstance(told, Moved)
        assert told.dry_run
        assert told.accounts[0].posted == 70
        assert isinstance(await client.ask(Transfer("alice", "@world", 101, "USD/2"), dry_run=True), Refusal)
        alice = await client.balance("alice")
        assert isinstance(alice, AccountState)
        assert (alice.posted, alice.version) == (100, 1)


async def test_transfer_is_reversed_and_names_the_first(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        await _rich_in(client, "alice", "bob")
        first = await client.transfer("alice", "bob", 5, "USD/2")
        assert isinstance(first, Moved)
        back = await client.reverse(first.id)
        assert isinstance(back, Moved)
        assert (back.reverses, [state.posted for state in back.accounts]) == (first.id, [100, 100])


async def test_frozen_account_says_so_and_gives_nothing(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        await _rich_in(client, "alice")
        changed = await client.ask(Change("alice", debit="frozen"))
        assert isinstance(changed, Moved)
        assert (changed.result, changed.accounts[0].flags) == ("changed", ("debit_frozen",))
        refused = await client.transfer("alice", "@world", 1, "USD/2")
        assert isinstance(refused, Refusal)
        assert refused.code == "account_frozen_for_debit"


async def test_batch_of_every_kind_has_a_mode(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        await _rich_in(client, "alice", "bob")
        hold = str(uuid7())
        first = str(uuid7())
        answers = await client.transfer_batch(
            [
                Hold(between("alice", "bob", 10, "USD/2"), hold),
                Capture(hold, 4, final=True),
                LegsTransfer(between("alice", "bob", 3, "USD/2"), first),
                Reverse(first),
                Change("alice", credit="frozen"),
                Void(hold),
            ],
            mode="stop",
            wait_seconds=3,
        )
        assert [answer.result for answer in answers if isinstance(answer, Moved)] == [
            "held", "done", "done", "done", "changed",
        ]  # fmt: skip
        assert isinstance(answers[5], Refusal)
        assert (wallet.modes[-1], wallet.waits[-1]) == (commands.Mode.STOP, 3.0)


async def test_an_outcome_says_since_when_nothing_is_known_of_it(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        for account in ("alice", "bob"):
            await client.open_account(account, "USD/2")
        moved = await client.transfer("@world", "alice", 5, "USD/2")
        wallet.pending_next = True
        begun = await client.ask(Transfer("alice", "bob", 5, "USD/2", protocol="tcc"), wait_seconds=0)
        assert isinstance(moved, Moved)
        assert isinstance(begun, Pending)
        wallet.stale_since = "2026-01-01T00:00:00.000000Z"
        assert await client.transfer_outcome(moved.id) == dataclasses.replace(moved, stale_since=wallet.stale_since)
        assert await client.transfer_outcome(begun.id) == dataclasses.replace(begun, stale_since=wallet.stale_since)


async def test_open_transfers_are_asked_by_phase_and_age(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        found = await client.open_transfers(phases=["trying", "compensating"], older_than_seconds=60)
        waiting = (Waiting(1, 2, "try"),)
        assert isinstance(found, OpenTransfers)
        assert list(found.transfers) == [
            OpenTransfer("trying,compensating", "tcc", "trying", 0, "0:7", 60_000, waiting)
        ]
        assert found.stale == ()
        wallet.stale_partitions = [
            {"partition": 1, "stale_since": "2026-01-01T00:00:00.000000Z", "reason": "it is damaged"}
        ]
        found = await client.open_transfers()
        assert isinstance(found, OpenTransfers)
        assert found.stale == (StalePartition(1, "2026-01-01T00:00:00.000000Z", "it is damaged"),)


def test_amount_that_would_turn_a_transfer_round_is_an_error() -> None:
    for amount in (0, -5):
        with pytest.raises(ValueError):
            between("alice", "bob", amount, "USD/2")


def test_deadline_without_a_time_zone_is_an_error() -> None:
    with pytest.raises(ValueError):
        request_of(Hold(between("a", "b", 1, "USD/2"), None, datetime.datetime(2030, 1, 1)))  # noqa: DTZ001


async def test_busy_service_is_asked_again_with_the_same_id(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        await client.open_account("alice", "USD/2")
        wallet.fail_next = 2
        assert isinstance(await client.transfer("@world", "alice", 10, "USD/2"), Moved)
        assert len(wallet.commands) == 2


async def test_lost_answer_moves_no_money_twice(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        await client.open_account("alice", "USD/2")
        wallet.lose_next = 2
        moved = await client.transfer("@world", "alice", 10, "USD/2")
        assert isinstance(moved, Moved)
        transfers = [command for command in wallet.commands if isinstance(command, TransferCommand)]
        assert len(transfers) == 3
        assert len({command.id for command in transfers}) == 1
        state = await client.balance("alice")
        assert isinstance(state, AccountState)
        assert state.posted == 10
        wallet.lose_next = 1
        batch = [Transfer("@world", "alice", 1, "USD/2"), Transfer("@world", "alice", 2, "USD/2")]
        assert all(isinstance(answer, Moved) for answer in await client.transfer_batch(batch))
        state = await client.balance("alice")
        assert isinstance(state, AccountState)
        assert state.posted == 13


async def test_service_that_never_answers_is_said_after_all_attempts(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        wallet.fail_next = 1_000
        with pytest.raises(NotAnswered, match="waiting"):
            await client.balance("alice")
        assert wallet.requests == ATTEMPTS_MAX


async def test_who_gets_no_answer_gets_the_reason_that_the_service_gave(
    wallet: StubWallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_answers, "WAITS", Waits(0.001, 3.0))
    wallet.fail_next, wallet.fail_reason = 1_000, "another writer has taken over partition 2"
    async with Client(wallet.url) as client:
        with pytest.raises(NotAnswered, match=r"\(another writer has taken over partition 2\), after"):
            await client.transfer("@world", "alice", 5, "USD/2")


async def test_who_gets_no_answer_gets_the_ids_to_ask_again_with(
    wallet: StubWallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_answers, "WAITS", Waits(0.001, 3.0))
    async with Client(wallet.url) as client:
        await client.open_account("alice", "USD/2")
        wallet.fail_next = 1_000
        with pytest.raises(NotAnswered) as lost:
            await client.transfer("@world", "alice", 5, "USD/2")
        [id] = lost.value.ids
        transfers = [Transfer("@world", "alice", amount, "USD/2") for amount in (1, 2)]
        batch: list[Open | Transfer] = [Open("bob", "USD/2"), *transfers]
        with pytest.raises(NotAnswered) as lost_batch:
            await client.transfer_batch(batch)
        assert len(set(lost_batch.value.ids)) == 2
        wallet.fail_next = 0
        for _ in range(2):
            assert isinstance(await client.transfer("@world", "alice", 5, "USD/2", id=id), Moved)
        state = await client.balance("alice")
        assert isinstance(state, AccountState)
        assert state.posted == 5


async def test_an_answer_that_is_no_wallets_says_nothing_about_the_money() -> None:
    """A page of something in between, with status 200: neither done nor refused."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<html>please log in</html>", content_type="text/html")

    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", page)
    async with TestServer(app) as server, Client(str(server.make_url("/"))) as client:
        payment = Transfer("@world", "alice", 5, "USD/2")
        for asked in (client.ask(payment), client.transfer_batch([payment])):
            with pytest.raises(NotAnswered, match="not a wallet service's") as unclear:
                await asked
            assert unclear.value.ids == (payment.id,)
        for read in (client.balance("alice"), client.system("USD/2"), client.open_transfers()):
            with pytest.raises(NotAnswered):
                await read


@pytest.mark.parametrize("status", sorted(ASKED_AGAIN))
async def test_a_time_out_of_something_in_between_is_no_refusal(status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have passed the request on: asked again, and unknown in the end."""
    monkeypatch.setattr(http_answers, "WAITS", Waits(0.001, 3.0))
    bodies: list[bytes] = []

    async def late(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(status=status, text="too late")

    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", late)
    async with TestServer(app) as server, Client(str(server.make_url("/"))) as client:
        with pytest.raises(NotAnswered):
            await client.transfer("@world", "alice", 5, "USD/2")
    assert len(bodies) == ATTEMPTS_MAX
    assert len(set(bodies)) == 1


COMMANDS = {
    Transfer: ("alice", "bob", 1, "USD/2"),
    LegsTransfer: (between("alice", "bob", 1, "USD/2"),),
    Hold: (between("alice", "bob", 1, "USD/2"),),
    HoldBetween: ("alice", "bob", 1, "USD/2"),
    Capture: ("01970f3e-7b1a-7c3e-8a2b-1234567890ab",),
    Void: ("01970f3e-7b1a-7c3e-8a2b-1234567890ab",),
    Reverse: ("01970f3e-7b1a-7c3e-8a2b-1234567890ab",),
    Change: ("alice", "frozen"),
}


@pytest.mark.parametrize("kind", COMMANDS)
def test_the_id_is_made_with_the_command_and_two_commands_are_two(kind: Any) -> None:
    once, other = kind(*COMMANDS[kind]), kind(*COMMANDS[kind], id=None)
    assert uuid.UUID(once.id).version == 7
    assert once != other
    assert once == kind(*COMMANDS[kind], id=once.id) == dataclasses.replace(once) == pickle.loads(pickle.dumps(once))
    with pytest.raises(dataclasses.FrozenInstanceError):
        once.id = other.id
    assert request_of(once).body["id"] == once.id == request_of(once).body["id"]
    assert set(COMMANDS) == set(get_args(Command))


async def test_the_same_value_asked_after_no_answer_moves_money_once(
    wallet: StubWallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_answers, "ATTEMPTS_MAX", 1)
    async with Client(wallet.url) as client:
        await client.open_account("alice", "USD/2")
        payment = Transfer("@world", "alice", 5, "USD/2")
        batch = [Transfer("@world", "alice", 7, "USD/2")]
        for ask in (lambda: client.ask(payment), lambda: client.transfer_batch(batch)):
            wallet.lose_next = 1
            with pytest.raises(NotAnswered) as lost:
                await ask()
            assert lost.value.ids in ((payment.id,), (batch[0].id,))
            await ask()
        assert wallet.state("alice")["posted"] == "12"


@pytest.mark.parametrize("as_task", [False, True])
async def test_who_stops_waiting_for_a_transfer_asks_again_and_money_moves_once(
    wallet: StubWallet, as_task: bool
) -> None:
    async with Client(wallet.url) as client:
        await client.open_account("alice", "USD/2")
        payment = client.transfer("@world", "alice", 5, "USD/2")
        wallet.silent_next = 1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.create_task(payment) if as_task else payment, 0.2)
        assert wallet.state("alice")["posted"] == "5"  # it was done, and nobody heard
        again = await (asyncio.create_task(payment) if as_task else payment)
        assert isinstance(again, Moved)
        assert again.id == payment.id == payment.command.id
        assert await client.ask(payment.command) == again
        assert wallet.state("alice")["posted"] == "5"


async def test_the_traceback_of_a_cancelled_call_names_its_id(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        await client.open_account("alice", "USD/2")
        wallet.silent_next = 1
        with pytest.raises(TimeoutError) as stopped:
            await asyncio.wait_for(client.transfer("@world", "alice", 5, "USD/2"), 0.2)
        [command] = [command for command in wallet.commands if isinstance(command, TransferCommand)]
        told = "".join(traceback.format_exception(stopped.value))
        assert f"the answer to {uuid.UUID(bytes=command.id)}: it may have been done" in told


async def test_what_nobody_awaits_is_not_asked_and_python_warns(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        await client.open_account("alice", "USD/2")
        forgotten = [client.transfer("@world", "alice", 5, "USD/2")]
        with pytest.warns(RuntimeWarning, match="never awaited"):
            forgotten.clear()
        assert wallet.state("alice")["posted"] == "0"


async def test_watch_begins_with_the_state_and_goes_on_after_the_connection_was_lost(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client:
        await client.open_account("alice", "USD/2")
        await client.transfer("@world", "alice", 10, "USD/2")
        async with aclosing(client.watch(["alice"])) as updates:
            assert await anext(updates) == ConnectionState(True, "connected")
            first = await anext(updates)
            assert isinstance(first, BalanceChange)
            assert (first.asset, first.version, first.posted, first.snapshot) == ("USD/2", 1, 10, True)
            await client.transfer("@world", "alice", 5, "USD/2")
            second = await anext(updates)
            assert isinstance(second, BalanceChange)
            assert (second.asset, second.version, second.posted, second.snapshot) == ("USD/2", 2, 15, False)
            wallet.drop_sockets()
            assert await anext(updates) == ConnectionState(False, "the connection was lost")
            assert await anext(updates) == ConnectionState(True, "connected")
            await client.transfer("alice", "@world", 1, "USD/2")
            third = await anext(updates)
            assert isinstance(third, BalanceChange)
            assert (third.asset, third.version, third.posted) == ("USD/2", 3, 14)
    assert [message["accounts"] for message in wallet.subscribed] == [
        [{"account": "alice"}],
        [{"account": "alice", "since": 2}],
    ]


async def test_account_may_be_watched_before_it_exists(wallet: StubWallet) -> None:
    async with Client(wallet.url) as client, aclosing(client.watch(["alice"])) as updates:
        await anext(updates)
        await client.open_account("alice", "USD/2")
        change = await anext(updates)
        assert isinstance(change, BalanceChange)
        assert (change.version, change.posted) == (0, 0)


@given(st.integers(0, 2**48 - 1))
def test_uuid7_begins_with_its_time(at_ms: int) -> None:
    made = uuid7(at_ms)
    assert (made.version, made.variant, made.int >> 80) == (7, uuid.RFC_4122, at_ms)


def test_the_legs_of_a_hold_are_told_from_two_accounts_where_it_is_made() -> None:
    with pytest.raises(TypeError, match="HoldBetween"):
        Hold("alice", "bob", 5, "USD/2")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Transfer\(from_"):
        LegsTransfer("alice")  # type: ignore[arg-type]
    assert line_of(HoldBetween("alice", "bob", 5, "USD/2", id="x")) == {
        "hold": {"from": "alice", "to": "bob", "amount": "5", "asset": "USD/2", "id": "x"}
    }


def test_a_deadline_of_another_type_is_named() -> None:
    with pytest.raises(ValueError, match="a deadline is a datetime, or its text"):
        request_of(HoldBetween("a", "b", 5, "USD/2", deadline=5))  # type: ignore[arg-type]


README = (Path(fanfold.__file__).parent / "CLIENT.md").read_text()


@pytest.mark.parametrize("name", fanfold.__all__)
def test_everything_that_is_exported_is_there(name: str) -> None:
    assert getattr(fanfold, name)


@pytest.mark.parametrize("kind", [*get_args(Command), Open, Leg], ids=lambda kind: kind.__name__)
def test_every_command_is_exported_and_shown_with_its_fields_in_their_order(kind: type) -> None:
    assert getattr(fanfold, kind.__name__) is kind
    [shown] = re.findall(rf"`{kind.__name__}\(([^)]*(?:\(\))?[^)]*)\)", README)[:1]
    names = [part.split("=")[0].strip() for part in shown.split(",") if part.strip() and part.strip() != ")"]
    assert names == [field.name for field in dataclasses.fields(kind) if field.name in names]


def test_what_the_readme_speaks_of_as_a_call_is_exported() -> None:
    assert "`between(" in README
    assert "between" in fanfold.__all__
