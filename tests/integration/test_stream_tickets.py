"""Tickets over a real door: for who can send no header, at any gateway, once, and for no longer than the token behind them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from websockets.asyncio.client import ClientConnection, connect

from fanfold.api.close_codes import CloseCode
from fanfold.api.routes import EVENTS, STREAM_PATH, TICKETS
from read_side.contract.kept_once import NotKept
from read_side.feed.kept_once_memory import MemoryKeptOnce
from tests.gateway_server import Served, serving
from tests.integration.test_stream_identity import LIMIT_S, Place, closed, hear, token, watch
from tests.wallet_stub import WalletStub


class Doors:
    """Two gateways that keep tickets for each other. asked: what a browser would have in its console."""

    def __init__(self, one: Served, other: Served, http: aiohttp.ClientSession) -> None:
        self.one, self.other, self.http = one, other, http

    async def ticket(self, bearer: str) -> str:
        headers = {"authorization": f"Bearer {bearer}"}
        async with self.http.post(self.one.url + TICKETS.path, headers=headers) as answer:
            assert answer.status == 201, await answer.text()
            assert answer.headers["cache-control"] == "no-store"
            told = await answer.json()
            assert 0 < told["counts_ms"] <= 30_000
            found: str = told["ticket"]
            return found

    async def events(self, served: Served, query: str, **headers: str) -> tuple[int, Any]:
        """The status, and what comes until the first balances; of a refusal its document."""
        async with (
            asyncio.timeout(LIMIT_S),
            self.http.get(f"{served.url}{EVENTS.path}?{query}", headers=headers) as answer,
        ):
            if answer.status != 200:
                return answer.status, json.loads(await answer.text())
            lines = []
            async for line in answer.content:
                lines.append(line.decode().rstrip())
                if lines[-1].startswith("id: "):
                    return 200, lines
            return 200, lines


@pytest.fixture
async def wallet() -> WalletStub:
    found = WalletStub()
    for name in ("alice", "bob"):
        await found.open(name)
    return found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
async def doors(wallet: WalletStub, place: Place) -> AsyncIterator[Doors]:
    async with AsyncExitStack() as stack:
        kept, enter = MemoryKeptOnce(), stack.enter_async_context
        one, other = [
            await enter(serving(wallet, wallet.feed, kept_once=kept, access_log="on", **place.settings()))
            for _ in range(2)
        ]
        yield Doors(one, other, await enter(aiohttp.ClientSession()))


def opened(served: Served, ticket: str, **headers: str) -> Any:
    return connect(f"{served.stream_url}?ticket={ticket}", additional_headers=headers, proxy=None)


async def test_an_event_stream_is_opened_once_by_a_ticket_of_any_gateway_and_shows_what_its_owner_may_read(
    doors: Doors, capsys: pytest.CaptureFixture[str]
) -> None:
    bearer = token()
    ticket = await doors.ticket(bearer)
    status, lines = await doors.events(doors.other, f"accounts=alice,bob&ticket={ticket}")
    assert status == 200
    [ack] = [json.loads(line.removeprefix("data: ")) for line in lines if '"op":"ack"' in line]
    assert [each.get("code") for each in ack["accounts"]] == [None, "account_not_found"]
    for served in (doors.one, doors.other):
        status, refused = await doors.events(served, f"accounts=alice&ticket={ticket}")
        assert (status, refused["code"]) == (401, "token_invalid")
        assert ticket not in json.dumps(refused)
    # Who comes back has a new one, and what he had.
    last_id = lines[-1].removeprefix("id: ")
    _, lines = await doors.events(
        doors.one, f"accounts=alice,bob&ticket={await doors.ticket(bearer)}&last_event_id={last_id}"
    )
    assert not any('"op":"balances"' in line for line in lines), "nothing is newer"
    for served in (doors.one, doors.other):
        served.gateway._accesses.flush()  # type: ignore[union-attr]
    written = "".join(capsys.readouterr())
    assert EVENTS.path in written
    assert ticket not in written
    assert bearer not in written


async def test_a_socket_is_opened_by_a_ticket_and_ends_with_the_token_behind_it(doors: Doors, place: Place) -> None:
    bearer = token("anna", jti="t1")
    async with opened(doors.other, await doors.ticket(bearer)) as stream:
        assert "sign_in_ms" not in json.loads(await stream.recv()), "who is there has been said"
        assert (await watch(stream, "alice"))["accounts"][0]["version"] == 0
        await hear(stream)
        place.access.write_text(json.dumps({"revoked": {"tokens": ["t1"]}}))
        assert await closed(stream) == CloseCode.REVOKED


async def test_a_socket_whose_ticket_was_used_is_closed_and_hears_nothing(doors: Doors) -> None:
    ticket = await doors.ticket(token())
    async with opened(doors.one, ticket) as stream:
        await watch(stream, "alice")
    async with opened(doors.other, ticket) as stream:
        with suppress(websockets.ConnectionClosed):  # it may be closed by then
            await stream.send(json.dumps({"op": "subscribe", "id": 1, "accounts": [{"account": "alice"}]}))
        heard: list[Any] = []
        assert await _closed_after(stream, heard) == CloseCode.TOKEN_REFUSED
        assert {each["op"] for each in heard} <= {"hello"}


async def _closed_after(stream: ClientConnection, heard: list[Any]) -> int:
    async with asyncio.timeout(LIMIT_S):
        try:
            while True:
                heard.append(json.loads(await stream.recv()))
        except websockets.ConnectionClosed:
            await stream.wait_closed()
    assert stream.close_code is not None
    return stream.close_code


async def test_a_ticket_stands_alone_is_asked_for_by_a_token_and_by_post(doors: Doors) -> None:
    bearer = {"authorization": f"Bearer {token()}"}
    ticket = await doors.ticket(token())
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with opened(doors.one, ticket, **bearer):
            pass
    assert refused.value.response.status_code == 401
    assert (await doors.events(doors.one, f"accounts=alice&ticket={ticket}", **bearer))[0] == 401
    for query in ("ticket=x", f"ticket={ticket}&ticket={ticket}", f"ticket={ticket}&x=1"):
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with connect(f"{doors.one.stream_url}?{query}", proxy=None):
                pass
        assert refused.value.response.status_code == 400
        assert ticket.encode() not in (refused.value.response.body or b"")
    address = doors.one.url + TICKETS.path
    for method, path, headers, status in (
        ("POST", f"{address}?ticket={ticket}", {}, 401),
        ("POST", address, {}, 401),
        ("POST", f"{address}?x=1", bearer, 400),
        ("GET", address, bearer, 405),
    ):
        async with doors.http.request(method, path, headers=headers) as answer:
            assert answer.status == status, (method, path)
    assert (await doors.events(doors.one, f"accounts=alice&ticket={ticket}"))[0] == 200, "none of it used the ticket"


async def test_where_what_keeps_tickets_is_away_that_is_told_and_nobody_is_let_in(
    wallet: WalletStub, place: Place
) -> None:
    class Away(MemoryKeptOnce):
        async def keep(self, name: str, data: bytes, for_ms: int) -> None:
            raise NotKept

        async def take(self, name: str) -> bytes | None:
            raise NotKept

    async with (
        serving(wallet, wallet.feed, kept_once=Away(), **place.settings()) as served,
        aiohttp.ClientSession() as http,
    ):
        made_up, headers = "ticket_" + "A" * 43, {"authorization": f"Bearer {token()}"}
        async with http.post(served.url + TICKETS.path, headers=headers) as answer:
            assert answer.status == 503
            assert (await answer.json(content_type=None))["code"] == "upstream_unavailable"
        async with http.get(f"{served.url}{EVENTS.path}?accounts=alice&ticket={made_up}") as answer:
            assert answer.status == 503
            assert "retry-after" in answer.headers
        async with opened(served, made_up) as stream:
            assert await closed(stream) == CloseCode.NOT_SIGNED_IN


async def test_where_nobody_is_asked_there_are_no_tickets(wallet: WalletStub) -> None:
    async with serving(wallet, wallet.feed) as served, aiohttp.ClientSession() as http:
        async with http.post(served.url + TICKETS.path) as answer:
            assert answer.status == 404
        for path in (STREAM_PATH, EVENTS.path):
            query = f"ticket=ticket_{'A' * 43}&accounts=alice" if path == EVENTS.path else f"ticket=ticket_{'A' * 43}"
            upgrade = (
                {}
                if path == EVENTS.path
                else {
                    "connection": "upgrade",
                    "upgrade": "websocket",
                    "sec-websocket-version": "13",
                    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
                }
            )
            async with http.get(f"{served.url}{path}?{query}", headers=upgrade) as answer:
                assert (answer.status, (await answer.json(content_type=None))["code"]) == (400, "parameter_malformed")
