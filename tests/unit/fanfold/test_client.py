"""The client: typed answers, the same id on every attempt, and a watch that goes on where it stopped."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import aclosing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold import (
    AccountState,
    BalanceChange,
    Client,
    ConnectionState,
    Moved,
    NotAnswered,
    Open,
    Opened,
    Refusal,
    Transfer,
    uuid7,
)
from fanfold import client as client_module
from fanfold.client import WAIT_SECONDS_MAX, wait_seconds
from tests.unit.fanfold.stub_wallet import StubWallet, running_wallet
from write_side.ledger.commands import Transfer as TransferCommand


@pytest.fixture
def wallet(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubWallet]:
    monkeypatch.setattr(client_module, "FIRST_WAIT_SECONDS", 0.001)
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
        assert wallet.requests == client_module.ATTEMPTS_MAX


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


@given(st.integers(1, 100), st.floats(0, 1))
def test_waits_grow_and_never_pass_their_bound(attempt: int, chance: float) -> None:
    assert 0 < wait_seconds(attempt, chance) <= WAIT_SECONDS_MAX
    assert wait_seconds(attempt, chance) <= 2 * wait_seconds(attempt + 1, chance)
