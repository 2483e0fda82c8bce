"""What the hub believes of the read side's answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.proxy.upstream import InProcess
from gateway.streams.balance_source import BalancesUnavailable, ReadSideBalances
from read_side.contract.rows import AccountRow
from tests.wallet_stub import WalletStub
from write_side.contract.words.codes import Flag


async def test_rows_and_the_position_they_reflect_are_read() -> None:
    wallet = WalletStub()
    await wallet.open("alice")
    items, reached, _ = await ReadSideBalances(InProcess(wallet, 1_000)).read(0, ["alice", "bob"], 0, 0)
    assert reached == 0
    assert list(items) == ["alice"]
    assert json.loads(b"{" + items["alice"].tail)["posted"] == "0"


async def test_what_an_account_may_not_do_goes_with_its_item() -> None:
    wallet = WalletStub()
    await wallet.open("alice")
    wallet.rows["alice"] = wallet.rows["alice"]._replace(flags=Flag.CREDIT_FROZEN)
    items, _, _ = await ReadSideBalances(InProcess(wallet, 1_000)).read(0, ["alice"], -1, 0)
    assert json.loads(b"{" + items["alice"].tail)["flags"] == ["credit_frozen"]


async def test_a_view_with_nothing_in_it_has_no_position() -> None:
    assert await ReadSideBalances(InProcess(WalletStub(), 1_000)).read(0, ["alice"], -1, 0) == ({}, -1, frozenset())


async def test_a_rebuilding_view_is_unavailable() -> None:
    wallet = WalletStub()
    wallet.available = False
    with pytest.raises(BalancesUnavailable):
        await ReadSideBalances(InProcess(wallet, 1_000)).read(0, ["alice"], -1, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"posted": '1","x":"'},
        {"posted": 1},
        {"version": -1},
        {"at": '"'},
        {"asset": "usd"},
        {"available": "1.5"},
        {"flags": ['"']},
    ],
)
async def test_what_is_no_account_document_never_reaches_a_frame(change: dict[str, Any]) -> None:
    document = AccountRow("alice", "USD/2", 1, 0, 0, 1, 0).document("0:1") | change
    answer = json.dumps({"positions": "0:1", "accounts": [document]}).encode()

    async def side(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": answer})

    with pytest.raises(BalancesUnavailable):
        await ReadSideBalances(InProcess(side, 1_000)).read(0, ["alice"], -1, 0)
