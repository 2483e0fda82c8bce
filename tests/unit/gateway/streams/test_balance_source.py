"""What the hub believes of the read side's answers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.proxy.upstream import InProcess
from gateway.proxy.written import POSITION_NAME, Written
from gateway.streams.balance_source import BalancesUnavailable, Found, ReadSideBalances
from read_side.contract.rows import AccountRow
from tests.wallet_stub import WalletStub
from write_side.contract.words.codes import Flag


async def test_rows_and_the_position_they_reflect_are_read() -> None:
    wallet = WalletStub()
    await wallet.open("alice")
    items, reached, _, _ = await ReadSideBalances(InProcess(wallet, 1_000), Written(lambda: 1)).read(
        0, ["alice", "bob"], 0, 0
    )
    assert reached == 0
    assert list(items) == ["alice"]
    assert json.loads(b"{" + items["alice"].tail)["posted"] == "0"


async def test_what_an_account_may_not_do_goes_with_its_item() -> None:
    wallet = WalletStub()
    await wallet.open("alice")
    wallet.rows["alice"] = wallet.rows["alice"]._replace(flags=Flag.CREDIT_FROZEN)
    items, _, _, _ = await ReadSideBalances(InProcess(wallet, 1_000), Written(lambda: 1)).read(0, ["alice"], -1, 0)
    assert json.loads(b"{" + items["alice"].tail)["flags"] == ["credit_frozen"]


async def test_a_view_with_nothing_in_it_has_no_position() -> None:
    found = await ReadSideBalances(InProcess(WalletStub(), 1_000), Written(lambda: 1)).read(0, ["alice"], -1, 0)
    assert found == Found({}, -1)


async def test_a_rebuilding_view_is_unavailable() -> None:
    wallet = WalletStub()
    wallet.available = False
    with pytest.raises(BalancesUnavailable):
        await ReadSideBalances(InProcess(wallet, 1_000), Written(lambda: 1)).read(0, ["alice"], -1, 0)


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
        await ReadSideBalances(InProcess(side, 1_000), Written(lambda: 1)).read(0, ["alice"], -1, 0)


async def test_what_was_written_through_the_gateway_is_asked_for_until_it_is_in_no_log_any_more() -> None:
    asked: list[dict[str, Any]] = []

    async def side(scope: Any, receive: Any, send: Any) -> None:
        asked.append(json.loads((await receive())["body"]))
        lost = {"lost": "0:500"} if asked[-1].get("written") == "0:500" else {}
        body = json.dumps({"positions": "0:9", "accounts": [None]} | lost).encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body})

    written = Written(lambda: 1)
    balances = ReadSideBalances(InProcess(side, 1_000), written)
    for position, heard, least in (
        (b"", -1, None),
        (b"0:7", -1, "0:7"),
        (b"0:7", 5, "0:7"),
        (b"0:7", 8, "0:8"),
        (b"0:500", 8, "0:500"),
        (b"1:9", 8, "0:8"),
    ):
        written.answered([(POSITION_NAME, position)])
        await balances.read(0, ["alice"], heard, 0)
        assert asked[-1].get("written") == least
        assert "min_position" not in asked[-1], "what was heard may be gone as well"
