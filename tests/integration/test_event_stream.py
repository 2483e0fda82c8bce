"""Server-sent events over real sockets: the gateway behind uvicorn, read line by line as an EventSource does."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import pytest

from fanfold.api.close_codes import CloseCode
from fanfold.api.questions import EVENT_ACCOUNTS_MAX
from fanfold.api.routes import EVENTS
from tests.gateway_server import PASSED_OVER, Served, serving
from tests.wallet_stub import WalletStub

WAIT_S = 10


class Event(NamedTuple):
    """name: "" for a comment, or a `retry` alone. frame: what its data is."""

    name: str
    frame: Any
    id: str | None = None
    retry_ms: int | None = None


class Source:
    """What an EventSource makes of an answer; `last_id` is what it would come back with."""

    def __init__(self, answer: aiohttp.ClientResponse, last_id: str | None) -> None:
        self._answer = answer
        self.last_id = last_id

    async def event(self) -> Event:
        """The next, but for those that are passed over here."""
        while (event := await self.any_event()).name in PASSED_OVER:
            pass
        return event

    async def any_event(self) -> Event:
        fields: dict[str, str] = {}
        async with asyncio.timeout(WAIT_S):
            while line := (await self._answer.content.readline()).decode():
                if line == "\n":
                    break
                name, _, value = line.removesuffix("\n").partition(": ")
                assert name not in fields, "one of each"
                fields[name] = value
        assert fields, "the answer has ended"
        self.last_id = fields.get("id", self.last_id)
        frame = json.loads(fields["data"]) if "data" in fields else None
        retry = fields.get("retry")
        return Event(fields.get("event", ""), frame, fields.get("id"), None if retry is None else int(retry))

    async def balances(self) -> dict[str, tuple[int, str]]:
        """The next balances: version and posted by sub."""
        event = await self.event()
        assert event.name == event.frame["op"] == "balances"
        return {str(row["sub"]): (row["v"], row["posted"]) for row in event.frame["items"]}

    async def end(self) -> None:
        async with asyncio.timeout(WAIT_S):
            assert await self._answer.content.read() == b""


@pytest.fixture
async def wallet() -> WalletStub:
    wallet = await WalletStub.of_alice_and_bob()
    wallet.history = "one"
    return wallet


@pytest.fixture
async def served(wallet: WalletStub) -> AsyncIterator[Served]:
    async with serving(wallet, wallet.feed, cut_wait_ms=300) as served:
        await wallet.heartbeat()
        yield served


@asynccontextmanager
async def source(served: Served, query: str, last_id: str | None = None) -> AsyncIterator[Source]:
    headers = {} if last_id is None else {"Last-Event-ID": last_id}
    async with (
        aiohttp.ClientSession(headers=headers) as http,
        http.get(f"{served.url}{EVENTS.path}?{query}") as answer,
    ):
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.headers["Cache-Control"] == "no-store"
        yield Source(answer, last_id)


async def refused(served: Served, query: str, method: str = "GET") -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"{served.url}{EVENTS.path}?{query}") as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def test_the_state_comes_first_and_then_every_change_with_an_id_on_the_last_event(
    served: Served, wallet: WalletStub
) -> None:
    async with source(served, "accounts=alice,bob") as events:
        hello = await events.any_event()
        assert (hello.frame["limits"]["accounts"], hello.id) == (EVENT_ACCOUNTS_MAX, None)
        ack = await events.event()
        assert (ack.name, [row["account"] for row in ack.frame["accounts"]]) == ("ack", ["alice", "bob"])
        assert await events.balances() == {"1": (1, "1000"), "2": (0, "0")}
        assert events.last_id is not None
        await wallet.transfer("alice", "bob", 300)
        before = events.last_id
        assert await events.balances() == {"1": (2, "700"), "2": (1, "300")}, "both legs in one event"
        assert events.last_id != before


async def test_who_wants_to_be_told_seldom_is_told_the_newest_then(served: Served, wallet: WalletStub) -> None:
    async with source(served, "accounts=alice,bob&max_rate_hz=2") as events:
        await events.event()
        await events.balances()
        for _ in range(5):
            await wallet.transfer("alice", "bob", 1)
            await asyncio.sleep(0)
        assert await events.balances() == {"1": (6, "995"), "2": (5, "5")}, "all of it in one event"


async def test_who_comes_back_is_told_only_what_is_newer(served: Served, wallet: WalletStub) -> None:
    async with source(served, "accounts=alice,bob") as events:
        await events.event()
        await events.balances()
    await wallet.open("carol")
    await wallet.transfer("@world", "bob", 5)
    async with source(served, "accounts=alice,bob", events.last_id) as again:
        ack = await again.event()
        assert [row["version"] for row in ack.frame["accounts"]] == [1, 1]
        assert await again.balances() == {"2": (1, "5")}
        await wallet.transfer("alice", "bob", 1)
        assert await again.balances() == {"1": (2, "999"), "2": (2, "6")}


async def test_who_comes_back_to_another_history_is_told_its_state(served: Served, wallet: WalletStub) -> None:
    async with source(served, "accounts=alice") as events:
        await events.event()
        await events.balances()
    wallet.history = "two"
    async with source(served, "accounts=alice", events.last_id) as again:
        await again.event()
        assert await again.balances() == {"1": (1, "1000")}


async def test_an_id_that_means_nothing_is_answered_with_the_state(served: Served) -> None:
    async with source(served, "accounts=alice", "nonsense") as events:
        await events.event()
        assert await events.balances() == {"1": (1, "1000")}


async def test_where_nothing_else_comes_a_comment_does(wallet: WalletStub) -> None:
    async with serving(wallet, wallet.feed, cut_wait_ms=300, stream_ping_ms=20) as served:
        await wallet.heartbeat()
        async with source(served, "accounts=alice") as events:
            while (await events.event()).name != "balances":
                pass
            assert await events.event() == Event("", None)


async def test_when_nothing_can_be_read_it_says_so_and_when_to_come_back(wallet: WalletStub) -> None:
    wallet.available = False
    async with serving(wallet, wallet.feed, snapshot_wait_ms=50) as served, source(served, "accounts=alice") as events:
        event = await events.event()
        assert (event.name, event.frame["code"]) == ("error", "upstream_unavailable")
        event = await events.event()
        assert event.retry_ms is not None
        assert 500 <= event.retry_ms <= 5_000
        await events.end()
        assert served.gateway.hub.streams == 0


async def test_a_gateway_that_stops_sends_everybody_away_at_once(served: Served) -> None:
    async with source(served, "accounts=alice") as events:
        await events.event()
        await events.balances()
        served.gateway.stop()
        event = await events.any_event()
        assert event.name == "bye"
        assert (event.frame["code"], event.frame["after_ms"]) == (CloseCode.RESTARTING, event.retry_ms)
        assert 500 <= event.frame["after_ms"] <= 5_000
        await events.end()
    status, document = await refused(served, "accounts=alice")
    assert (status, document["code"]) == (503, "stopping")


async def test_who_leaves_leaves_nothing_behind(served: Served, wallet: WalletStub) -> None:
    hub = served.gateway.hub
    for _ in range(20):
        async with source(served, "accounts=alice,bob") as events:
            await events.event()
    async with asyncio.timeout(WAIT_S):
        while hub.streams:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
    assert [len(partition) for partition in hub.partitions] == [0]


async def test_who_does_not_read_gets_the_newest_balance_and_costs_no_memory(
    served: Served, wallet: WalletStub
) -> None:
    accounts = [f"account-{number}" for number in range(EVENT_ACCOUNTS_MAX)]
    for name in accounts:
        await wallet.open(name)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        host, port = served.url.removeprefix("http://").split(":")
        slow.connect((host, int(port)))
        slow.sendall(f"GET {EVENTS.path}?accounts={','.join(accounts)} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        hub = served.gateway.hub
        async with asyncio.timeout(WAIT_S):
            while not (hub.streams and all(each.live for each in next(iter(hub._streams)).by_number.values())):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        [session] = hub._streams
        for _ in range(400):
            for name in accounts[:10]:
                await wallet.transfer("@world", name, 1)
            await asyncio.sleep(0)
        async with asyncio.timeout(WAIT_S):
            while session.outbox.waiting < 10:
                for name in accounts[:10]:
                    await wallet.transfer("@world", name, 1)
                await asyncio.sleep(0)
        assert session.outbox.waiting <= EVENT_ACCOUNTS_MAX


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "parameter_malformed"),
        ("accounts=", "account_malformed"),
        ("accounts=alice,alice", "parameter_malformed"),
        ("accounts=a%20b", "account_malformed"),
        ("accounts=" + ",".join(f"a{n}" for n in range(EVENT_ACCOUNTS_MAX + 1)), "parameter_malformed"),
        ("accounts=alice&accounts=bob", "parameter_malformed"),
        ("accounts=alice&transfers=yes", "parameter_malformed"),
        ("accounts=alice&max_rate_hz=0", "parameter_malformed"),
        ("accounts=alice&max_rate_hz=2.5", "parameter_malformed"),
        ("topics=A", "parameter_malformed"),
        ("topics=a,a", "parameter_malformed"),
        ("since=4", "parameter_malformed"),
        ("accounts=" + "a" * 20_000, "parameter_malformed"),
    ],
)
async def test_what_cannot_be_meant_is_refused(served: Served, query: str, code: str) -> None:
    status, document = await refused(served, query)
    assert (status, document["code"]) == (400, code)


async def test_a_head_is_answered_and_ends(served: Served) -> None:
    async with aiohttp.ClientSession() as http, http.head(f"{served.url}{EVENTS.path}?accounts=alice") as answer:
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    assert served.gateway.hub.streams == 0
    status, document = await refused(served, "accounts=alice", "POST")
    assert (status, document["code"]) == (405, "method_not_allowed")


async def test_as_many_streams_as_may_be_are_those_of_both_kinds(wallet: WalletStub) -> None:
    async with serving(wallet, wallet.feed, stream_connections_max=1) as served:
        await wallet.heartbeat()
        async with source(served, "accounts=alice") as events:
            await events.event()
            status, document = await refused(served, "accounts=alice")
            assert (status, document["code"]) == (503, "overloaded")
