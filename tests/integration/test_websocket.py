"""The stream over real sockets: the `websockets` client against uvicorn with the gateway's `ws` class."""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Any

import aiohttp
import pytest
import websockets
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from fanfold.answers import AccountStatus, BalanceChange, ConnectionState, TransferPhase
from fanfold.api.close_codes import MEANINGS, CloseCode
from fanfold.stream import watch, watch_accounts, watch_transfers
from gateway.protocol.messages import item
from tests.gateway_server import Served, next_frame, serving
from tests.listening import connected
from tests.wallet_stub import WalletStub
from write_side.contract.words.atoms import partition_of

WAIT_S = 10


@pytest.fixture
async def wallet() -> WalletStub:
    return await WalletStub.of_alice_and_bob()


@pytest.fixture
async def served(wallet: WalletStub) -> AsyncIterator[Served]:
    async with serving(wallet, wallet.feed, cut_wait_ms=300) as served:
        await wallet.heartbeat()
        yield served


async def send(client: ClientConnection, **message: Any) -> None:
    await client.send(json.dumps(message))


async def receive(client: ClientConnection) -> dict[str, Any]:
    frame: dict[str, Any] = await next_frame(client, WAIT_S)
    return frame


async def subscribe(client: ClientConnection, *accounts: str, **since: int) -> dict[str, Any]:
    wanted: list[dict[str, Any]] = [{"account": name} for name in accounts]
    wanted += [{"account": name, "since": version} for name, version in since.items()]
    await send(client, op="subscribe", id=1, accounts=wanted)
    return await receive(client)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def readiness(served: Served) -> tuple[int, dict[str, Any]]:
    async with aiohttp.ClientSession() as http, http.get(served.url + "/readyz") as ready:
        return ready.status, await ready.json()


async def closed_with(client: ClientConnection) -> int:
    """The code of the server's close frame, after whatever else it still sends."""
    async with asyncio.timeout(WAIT_S):
        await client.wait_closed()
    assert client.close_code is not None
    return client.close_code


async def test_subscribe_gives_the_state_first_and_then_every_change(served: Served, wallet: WalletStub) -> None:
    async with connect(served.stream_url, subprotocols=[Subprotocol("wallet.v1")]) as client:
        assert client.subprotocol == "wallet.v1"
        ack = await subscribe(client, "alice", "bob")
        assert [(row["account"], row["version"]) for row in ack["accounts"]] == [("alice", 1), ("bob", 0)]
        snapshot = await receive(client)
        assert [(row["snapshot"], row["posted"]) for row in snapshot["items"]] == [(True, "1000"), (True, "0")]
        await wallet.transfer("alice", "bob", 300)
        change = await receive(client)
        assert [(row["sub"], row["v"], row["posted"], row["available"]) for row in change["items"]] == [
            (1, 2, "700", "700"),
            (2, 1, "300", "300"),
        ]


async def test_an_account_that_is_opened_later_arrives_when_it_is(served: Served, wallet: WalletStub) -> None:
    async with connect(served.stream_url) as client:
        ack = await subscribe(client, "carol")
        assert ack["accounts"] == [{"account": "carol", "sub": 1, "version": None, "code": "account_not_found"}]
        await wallet.open("carol", "JPY/0")
        [row] = (await receive(client))["items"]
        assert (row["snapshot"], row["asset"], row["v"]) == (True, "JPY/0", 0)


async def test_an_account_of_which_nothing_is_known_yet_keeps_nothing_from_the_others(
    served: Served, wallet: WalletStub
) -> None:
    wallet.behind = True
    async with connect(served.stream_url) as client:
        ack = await subscribe(client, "alice", "carol")
        assert ack["accounts"][1] == {"account": "carol", "sub": 2, "version": None, "code": "view_rebuilding"}
        assert [row["sub"] for row in (await receive(client))["items"]] == [1]
        await wallet.open("carol")
        assert [row["sub"] for row in (await receive(client))["items"]] == [2]


async def test_an_account_that_cannot_be_found_now_is_no_other_history_to_the_client(
    served: Served, wallet: WalletStub
) -> None:
    async with asyncio.timeout(WAIT_S), aclosing(watch(served.url, ["alice"])) as updates:
        assert (await next_change(updates)).version == 1
        [stream] = served.gateway.hub._streams.values()
        hidden, wallet.behind = wallet.rows.pop("alice"), True
        stream._transport.abort()  # type: ignore[attr-defined]
        while (state := await anext(updates)) != ConnectionState(True, "connected"):
            assert isinstance(state, ConnectionState)
        wallet.rows["alice"] = hidden
        await wallet.transfer("@world", "alice", 1)
        change = await next_change(updates)
        assert (change.version, change.snapshot) == (2, True)


async def test_resume_sends_only_what_is_newer(served: Served, wallet: WalletStub) -> None:
    async with connect(served.stream_url) as client:
        ack = await subscribe(client, alice=1, bob=0)
        assert [row["version"] for row in ack["accounts"]] == [1, 0]
        await send(client, op="ping", id=2)
        assert await receive(client) == {"op": "pong", "id": 2}
    await wallet.transfer("alice", "bob", 1)
    await wallet.transfer("alice", "bob", 1)
    async with connect(served.stream_url) as client:
        await subscribe(client, alice=1, bob=2)
        assert [(row["sub"], row["v"]) for row in (await receive(client))["items"]] == [(1, 3)]


async def test_phases_of_an_accounts_transfers_are_pushed_to_who_asked(served: Served, wallet: WalletStub) -> None:
    transfer = uuid.uuid4()
    async with connect(served.stream_url) as client, connect(served.stream_url) as other:
        await subscribe(other, "alice")
        await receive(other)
        await send(client, op="subscribe", id=1, accounts=[{"account": "alice"}], transfers=True)
        assert (await receive(client))["op"] == "ack"
        assert (await receive(client))["op"] == "balances"
        await wallet.tell_phase("alice", transfer.bytes, "trying")
        assert await receive(client) == {"op": "transfer", "sub": 1, "id": str(transfer), "phase": "trying"}
        await wallet.tell_phase("bob", transfer.bytes, "held")
        await wallet.tell_phase("alice", transfer.bytes, "paying")
        assert (await receive(client))["phase"] == "paying"
        await wallet.transfer("@world", "alice", 1)
        assert (await receive(other))["op"] == "balances", "who did not ask hears of balances only"


async def test_the_client_tells_phases_beside_balances(served: Served, wallet: WalletStub) -> None:
    transfer = uuid.uuid4()
    async with asyncio.timeout(WAIT_S), aclosing(watch_transfers(served.url, ["alice"])) as updates:
        assert await anext(updates) == ConnectionState(True, "connected")
        assert isinstance(await anext(updates), BalanceChange)
        await wallet.tell_phase("alice", transfer.bytes, "done")
        assert await anext(updates) == TransferPhase("alice", str(transfer), "done")


async def next_change(updates: Any) -> BalanceChange:
    while True:
        update = await anext(updates)
        if isinstance(update, BalanceChange):
            return update


async def test_the_clients_watch_outlives_an_outage_of_the_read_side_and_is_not_live_in_it(wallet: WalletStub) -> None:
    wallet.available = False
    async with (
        serving(wallet, wallet.feed, snapshot_wait_ms=50, cut_wait_ms=0) as served,
        asyncio.timeout(WAIT_S),
        aclosing(watch(served.url, ["alice"])) as updates,
    ):
        for _ in range(3):
            update = await anext(updates)
            assert isinstance(update, ConnectionState)
            assert not update.live, "nothing is subscribed"
        wallet.available = True
        assert (await next_change(updates)).version == 1
        await wallet.transfer("@world", "alice", 1)
        assert (await next_change(updates)).version == 2


async def test_the_clients_watch_begins_again_when_the_service_has_another_history(
    served: Served, wallet: WalletStub
) -> None:
    async with asyncio.timeout(WAIT_S), aclosing(watch(served.url, ["alice", "bob"])) as updates:
        assert {(await next_change(updates)).account for _ in range(2)} == {"alice", "bob"}
        [stream] = served.gateway.hub._streams.values()
        wallet.rows["alice"] = wallet.rows["alice"]._replace(version=0, posted=7)
        del wallet.rows["bob"]
        stream._transport.abort()  # type: ignore[attr-defined]
        change = await next_change(updates)
        assert (change.account, change.version, change.posted, change.snapshot) == ("alice", 0, 7, True)
        await wallet.open("bob")
        change = await next_change(updates)
        assert (change.account, change.version) == ("bob", 0)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
async def test_the_clients_watch_begins_again_in_another_history_whatever_its_versions_are(
    served: Served, wallet: WalletStub, version: int
) -> None:
    wallet.history = "one"
    async with asyncio.timeout(WAIT_S), aclosing(watch(served.url, ["alice"])) as updates:
        assert (await next_change(updates)).version == 1
        await wallet.transfer("@world", "alice", 1)
        assert (await next_change(updates)).version == 2
        [stream] = served.gateway.hub._streams.values()
        wallet.history = "two"
        wallet.rows["alice"] = wallet.rows["alice"]._replace(version=version, posted=7)
        stream._transport.abort()  # type: ignore[attr-defined]
        change = await next_change(updates)
        assert (change.version, change.posted, change.snapshot) == (version, 7, True)


async def test_a_history_goes_with_the_ack_and_comes_back_with_the_version(served: Served, wallet: WalletStub) -> None:
    wallet.history = "one"
    async with connect(served.stream_url) as client:
        ack = await subscribe(client, "alice")
        assert ack["accounts"] == [{"account": "alice", "sub": 1, "version": 1, "history": "one"}]
    for history, is_told in (("one", False), ("two", True)):
        async with connect(served.stream_url) as client:
            wanted = [{"account": "alice", "since": 1, "history": history}, {"account": "bob"}]
            await send(client, op="subscribe", id=1, accounts=wanted)
            assert (await receive(client))["op"] == "ack"
            assert (1 in {item["sub"] for item in (await receive(client))["items"]}) is is_told


@pytest.mark.parametrize("history", [None, "one", "two"])
async def test_open_streams_are_told_of_a_log_that_was_put_back(
    served: Served, wallet: WalletStub, history: str | None
) -> None:
    wallet.history = "one" if history else None
    async with asyncio.timeout(WAIT_S), aclosing(watch(served.url, ["alice"])) as updates:
        assert (await next_change(updates)).version == 1
        await wallet.transfer("@world", "alice", 1)
        assert (await next_change(updates)).posted == 1001
        wallet.history, wallet.boot, wallet.sequence, wallet.published = history, "second", 1, -1
        wallet.rows["alice"] = wallet.rows["alice"]._replace(version=0, posted=7)
        await wallet.heartbeat()
        change = await next_change(updates)
        assert (change.version, change.posted, change.snapshot) == (0, 7, True)
        await wallet.transfer("@world", "alice", 1)
        change = await next_change(updates)
        assert (change.version, change.posted) == (1, 8)


async def test_a_silent_feed_is_not_told_as_connected(wallet: WalletStub) -> None:
    async with serving(wallet, wallet.feed, feed_silence_ms=50, cut_wait_ms=0) as served:
        await until(lambda: bool(served.gateway.hub.silent))
        async with asyncio.timeout(WAIT_S), aclosing(watch(served.url, ["alice"])) as updates:
            first = await anext(updates)
            assert isinstance(first, ConnectionState)
            assert not first.live


async def test_a_lost_batch_is_repaired_unnoticed(served: Served, wallet: WalletStub) -> None:
    async with connect(served.stream_url) as client:
        await subscribe(client, "alice", "bob")
        await receive(client)
        wallet.mute = True
        await wallet.transfer("alice", "bob", 100)
        wallet.mute, wallet.published = False, wallet.sequence
        await wallet.heartbeat()
        change = await receive(client)
        assert [row["posted"] for row in change["items"]] == ["900", "100"]


async def test_a_restarted_projector_is_noticed_by_its_boot(served: Served, wallet: WalletStub) -> None:
    async with connect(served.stream_url) as client:
        await subscribe(client, "alice")
        await receive(client)
        wallet.mute = True
        await wallet.transfer("alice", "bob", 100)
        wallet.mute, wallet.boot, wallet.published = False, "second", wallet.sequence
        await wallet.heartbeat()
        assert [row["posted"] for row in (await receive(client))["items"]] == ["900"]


async def test_a_subscribe_waits_out_a_view_that_is_being_rebuilt(served: Served, wallet: WalletStub) -> None:
    wallet.available = False
    async with connect(served.stream_url) as client:
        await send(client, op="subscribe", id=1, accounts=[{"account": "alice"}])
        await until(lambda: wallet.requests.count("POST /internal/balances") >= 2)
        wallet.available = True
        assert (await receive(client))["op"] == "ack"


async def test_a_subscribe_that_cannot_be_served_is_told_so_and_can_be_sent_again(wallet: WalletStub) -> None:
    wallet.available = False
    async with (
        serving(wallet, wallet.feed, snapshot_wait_ms=100, cut_wait_ms=0) as served,
        connect(served.stream_url) as client,
    ):
        refused = await subscribe(client, "alice")
        assert (refused["op"], refused["id"], refused["code"]) == ("error", 1, "upstream_unavailable")
        wallet.available = True
        assert (await subscribe(client, "alice"))["op"] == "ack"


async def test_a_subscribe_serves_the_partitions_that_can_be_read_and_the_others_once_they_can(
    wallet: WalletStub,
) -> None:
    here, there, nobody = (
        next(n for i in range(99) if partition_of(n := f"{word}{i}", 2) == p)
        for word, p in (("a", 0), ("b", 1), ("c", 1))
    )
    await wallet.open(here)
    wallet.rows[there] = wallet.rows[here]._replace(account=there)
    wallet.unreadable = dict.fromkeys((there, nobody), "partition_unavailable")
    async with (
        serving(wallet, wallet.feed, partitions=2, cut_wait_ms=0) as served,
        connect(served.stream_url) as client,
    ):
        await wallet.heartbeat()
        ack = await subscribe(client, here, there, nobody)
        assert ack["accounts"] == [
            {"account": here, "sub": 1, "version": 0},
            {"account": there, "sub": 2, "version": None, "code": "partition_unavailable"},
            {"account": nobody, "sub": 3, "version": None, "code": "partition_unavailable"},
        ]
        assert [row["sub"] for row in (await receive(client))["items"]] == [1]
        hub = served.gateway.hub
        hub._heard_at_ms[1] -= 60_000
        hub.tick()
        await wallet.transfer("@world", here, 5)
        assert (await receive(client))["op"] == "balances", (
            "nothing was told of the silent partition, so nothing is old"
        )
        wallet.unreadable = {}
        assert await receive(client) == {"op": "status", "live": False}
        assert (await receive(client)) == {
            "op": "ack",
            "id": 1,
            "accounts": [
                {"account": there, "sub": 2, "version": 0},
                {"account": nobody, "sub": 3, "version": None, "code": "account_not_found"},
            ],
        }
        [row] = (await receive(client))["items"]
        assert (row["sub"], row["snapshot"]) == (2, True)
        assert not hub.subscribes.not_read


async def test_what_is_old_because_the_log_is_damaged_is_named_and_never_told_as_a_lower_version(
    wallet: WalletStub,
) -> None:
    wallet.stale = True
    async with (
        serving(wallet, wallet.feed, cut_wait_ms=0) as served,
        connect(served.stream_url) as client,
    ):
        ack = await subscribe(client, alice=5)
        assert ack["accounts"] == [{"account": "alice", "sub": 1, "version": None, "code": "partition_unavailable"}]
        wallet.stale = False
        wallet.rows["alice"] = wallet.rows["alice"]._replace(version=6)
        assert (await receive(client))["accounts"] == [{"account": "alice", "sub": 1, "version": 6}]
        await wallet.heartbeat()
        [row] = (await receive(client))["items"]
        assert (row["sub"], row["v"]) == (1, 6)


async def test_accounts_that_nobody_projects_are_named_and_who_left_is_waited_for_no_longer(wallet: WalletStub) -> None:
    wallet.unreadable = {"alice": "partition_elsewhere"}
    async with serving(wallet, wallet.feed, cut_wait_ms=0) as served:
        async with connect(served.stream_url) as client:
            [row] = (await subscribe(client, "alice"))["accounts"]
            assert (row["version"], row["code"]) == (None, "partition_elsewhere")
            assert served.gateway.hub.subscribes.not_read
        await until(lambda: not served.gateway.hub.subscribes.not_read)


async def test_the_client_tells_which_accounts_cannot_be_read_and_when_they_can(wallet: WalletStub) -> None:
    here, there = (next(n for i in range(99) if partition_of(n := f"a{i}", 2) == p) for p in range(2))
    await wallet.open(here)
    wallet.rows[there] = wallet.rows[here]._replace(account=there)
    wallet.unreadable = {there: "partition_unavailable"}
    async with (
        serving(wallet, wallet.feed, partitions=2, cut_wait_ms=0) as served,
        asyncio.timeout(WAIT_S),
        aclosing(watch_accounts(served.url, [here, there])) as updates,
    ):
        assert await anext(updates) == ConnectionState(True, "connected")
        assert await anext(updates) == AccountStatus(there, "partition_unavailable")
        assert (await next_change(updates)).account == here
        wallet.unreadable = {}
        assert await anext(updates) == AccountStatus(there, None)
        assert (await next_change(updates)).account == there


async def test_unsubscribe_ends_the_pushes(served: Served, wallet: WalletStub) -> None:
    async with connect(served.stream_url) as client:
        await subscribe(client, "alice", "bob")
        await receive(client)
        await send(client, op="unsubscribe", id=2, subs=[1])
        assert await receive(client) == {"op": "ack", "id": 2}
        await wallet.transfer("alice", "bob", 1)
        assert [row["sub"] for row in (await receive(client))["items"]] == [2]


async def test_a_subscribe_and_its_unsubscribe_in_one_packet_leave_nothing_behind(served: Served) -> None:
    async with connected(*_address(served)) as (reader, writer):
        await _raw_handshake(reader, writer, served)
        asked = {"op": "subscribe", "id": 1, "accounts": [{"account": "alice"}]}
        writer.write(_masked(json.dumps(asked)) + _masked(json.dumps({"op": "unsubscribe", "id": 2, "subs": [1]})))
        assert {(await _read_frame(reader))["id"] for _ in range(2)} == {1, 2}
        assert len(served.gateway.hub.partitions[0]) == 0


async def test_malformed_messages_are_answered_and_too_many_end_the_stream(served: Served) -> None:
    async with connect(served.stream_url) as client:
        await client.send("{")
        assert (await receive(client))["code"] == "body_malformed"
        for _ in range(15):
            await client.send("[]")
        assert await closed_with(client) == CloseCode.TOO_MANY_ERRORS


@pytest.mark.parametrize(
    ("message", "code"),
    [("x" * 300_000, CloseCode.MESSAGE_TOO_BIG), (b"{}", CloseCode.NOT_TEXT)],
)
async def test_what_is_no_message_ends_the_stream(served: Served, message: str | bytes, code: CloseCode) -> None:
    async with connect(served.stream_url) as client:
        await client.send(message)
        assert await closed_with(client) == code


async def test_text_that_is_not_utf8_ends_the_stream(served: Served) -> None:
    async with connect(served.stream_url) as client:
        await client.send(b"\xff\xfe", text=True)
        assert await closed_with(client) == CloseCode.NOT_UTF8


async def test_fragments_are_one_message_and_bounded_together(served: Served) -> None:
    async with connect(served.stream_url) as client:
        await client.send(['{"op":"pi', 'ng","i', 'd":7}'])
        assert await receive(client) == {"op": "pong", "id": 7}
        await client.send(["x" * 100_000] * 3)
        assert await closed_with(client) == CloseCode.MESSAGE_TOO_BIG


async def test_a_parameter_that_nobody_reads_is_refused(served: Served) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await connect(served.stream_url + "?since=3")
    assert refused.value.response.status_code == 400


async def test_only_its_own_path_upgrades(served: Served) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await connect(served.url.replace("http", "ws") + "/v1/other")
    assert refused.value.response.status_code == 404


async def test_pages_of_other_origins_may_not_open_it(served: Served) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        await connect(served.stream_url, origin=Origin("https://evil.example"))
    assert refused.value.response.status_code == 403
    async with connect(served.stream_url, origin=Origin(served.url)):
        pass


def _handshake(*lines: str) -> bytes:
    common = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    head = ["GET /v1/stream HTTP/1.1", *lines, common + "Sec-WebSocket-Version: 13", "", ""]
    return "\r\n".join(head).encode()


@pytest.mark.parametrize(
    "lines",
    [
        ["Host: localhost", "Origin: http://["],
        ["Host: localhost", "Host: localhost", "Origin: http://localhost"],
        ["Host: localhost", *(f"X-{i}: 1" for i in range(200))],
        ["Host: localhost", "Cookie: " + "a" * 20_000],
        ["Host: localhost", "Sec-WebSocket-Protocol: ,,;"],
        ["Host: localhost", "Sec-WebSocket-Key: AAAA"],
        ["Host: localhost", "Sec-WebSocket-Version: 8"],
    ],
    ids=lambda lines: str(lines)[:60],
)
async def test_a_handshake_that_cannot_be_read_is_a_400_and_leaves_nothing_behind(
    served: Served, lines: list[str]
) -> None:
    for _ in range(3):
        async with connected(*_address(served)) as (reader, writer):
            writer.write(_handshake(*lines))
            async with asyncio.timeout(WAIT_S):
                answer = await reader.read()
            assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 426 ")), answer[:100]
    await until(lambda: not served.server.server_state.connections)
    assert served.gateway.hub.streams == 0


async def test_a_handshake_in_http_1_0_is_told_to_upgrade_properly(served: Served) -> None:
    async with connected(*_address(served)) as (reader, writer):
        writer.write(_handshake("Host: localhost").replace(b"HTTP/1.1", b"HTTP/1.0"))
        async with asyncio.timeout(WAIT_S):
            assert b" 426 " in (await reader.read()).partition(b"\r\n")[0]


async def test_a_page_on_another_name_may_not_open_it(served: Served) -> None:
    async with connected(*_address(served)) as (reader, writer):
        writer.write(_handshake("Host: evil.example", "Origin: http://evil.example"))
        async with asyncio.timeout(WAIT_S):
            assert b" 421 " in (await reader.read()).partition(b"\r\n")[0]


async def test_half_of_a_surrogate_pair_ends_the_stream_as_what_is_not_utf8(served: Served) -> None:
    async with connect(served.stream_url) as client:
        await client.send('{"op":"\\ud800"}')
        assert await closed_with(client) == CloseCode.NOT_UTF8


async def test_named_origins_may_open_it(wallet: WalletStub) -> None:
    async with (
        serving(wallet, wallet.feed, allowed_origins="https://a.example, https://b.example") as served,
        connect(served.stream_url, origin=Origin("https://b.example")),
    ):
        pass


async def test_more_streams_than_allowed_are_told_to_come_back(wallet: WalletStub) -> None:
    async with serving(wallet, wallet.feed, stream_connections_max=1) as served, connect(served.stream_url):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await connect(served.stream_url)
    assert refused.value.response.status_code == 503


async def test_a_silent_feed_is_told_and_its_return_too(wallet: WalletStub) -> None:
    async with serving(wallet, wallet.feed, feed_silence_ms=50) as served, connect(served.stream_url) as client:
        assert await receive(client) == {"op": "status", "live": False}
        status, ready = await readiness(served)
        assert (status, ready["status"]) == (200, "degraded"), "a write is answered all the same"
        assert "feed is silent" in " ".join(ready["degraded"])
        served.gateway.hub._feed_silence_ms = 60_000
        await wallet.heartbeat()
        assert await receive(client) == {"op": "status", "live": True}


async def test_readyz_names_the_partitions_that_cannot_be_read(served: Served, wallet: WalletStub) -> None:
    assert (await readiness(served))[1]["unread"] == []
    wallet.unread = [{"partition": 2, "code": "partition_elsewhere"}]
    status, ready = await readiness(served)
    assert (status, ready["unread"]) == (200, wallet.unread)


async def test_readyz_names_the_partitions_of_which_answers_are_old(served: Served, wallet: WalletStub) -> None:
    assert (await readiness(served))[1]["stale"] == []
    wallet.stale_partitions = [
        {"partition": 2, "stale_since": "2026-01-01T00:00:00.000000Z", "reason": "it is damaged"}
    ]
    status, ready = await readiness(served)
    assert (status, ready["stale"]) == (200, wallet.stale_partitions)


async def test_a_silent_partition_concerns_only_who_watches_its_accounts(wallet: WalletStub) -> None:
    here, there = (next(n for i in range(99) if partition_of(n := f"a{i}", 2) == p) for p in range(2))
    await wallet.open(here)
    async with (
        serving(wallet, wallet.feed, partitions=2, cut_wait_ms=0) as served,
        connect(served.stream_url) as client,
        connect(served.stream_url) as other,
        connect(served.stream_url) as nobody,
    ):
        await wallet.heartbeat()
        await send(client, op="subscribe", id=1, accounts=[{"account": here}])
        assert (await receive(client))["op"] == "ack"
        assert (await receive(client))["op"] == "balances"
        await send(other, op="subscribe", id=1, accounts=[{"account": there}])
        assert (await receive(other))["op"] == "ack"
        hub = served.gateway.hub
        hub._heard_at_ms[1] -= 60_000
        hub.tick()
        assert await receive(other) == {"op": "status", "live": False}
        status, ready = await readiness(served)
        assert (status, ready["status"]) == (200, "degraded")
        [told] = ready["degraded"]
        assert told.startswith("partition 1: ")
        await wallet.transfer("@world", here, 5)
        assert (await receive(client))["op"] == "balances", "and was told nothing of a partition that it does not watch"
        await send(client, op="subscribe", id=2, accounts=[{"account": there}])
        assert await receive(client) == {"op": "status", "live": False}
        number = (await receive(client))["accounts"][0]["sub"]
        await send(client, op="unsubscribe", id=3, subs=[number])
        assert {json.dumps(await receive(client)) for _ in range(2)} == {
            json.dumps({"op": "ack", "id": 3}),
            json.dumps({"op": "status", "live": True}),
        }
        await send(nobody, op="ping", id=1)
        assert (await receive(nobody))["op"] == "pong"
        hub._heard_at_ms[0] -= 60_000
        hub.tick()
        assert await receive(nobody) == {"op": "status", "live": False}, "everything is silent"
        hub._heard_at_ms = [hub._now_ms()] * 2
        hub.tick()
        for each in (client, other, nobody):
            while await receive(each) != {"op": "status", "live": True}:
                pass
        assert (await readiness(served))[1]["status"] == "ready"


async def test_a_stream_whose_feed_is_back_is_live_once_what_was_lost_is_read(wallet: WalletStub) -> None:
    async with serving(wallet, wallet.feed, cut_wait_ms=0) as served:
        await wallet.heartbeat()
        async with connect(served.stream_url) as client:
            await subscribe(client, "alice")
            assert (await receive(client))["op"] == "balances"
            hub = served.gateway.hub
            hub._heard_at_ms[0] -= 60_000
            hub.tick()
            assert await receive(client) == {"op": "status", "live": False}
            wallet.mute, wallet.available = True, False
            await wallet.transfer("@world", "alice", 1)
            wallet.mute, wallet.published = False, wallet.sequence
            await wallet.heartbeat()
            await until(lambda: hub.partitions[0].repairing)
            hub.tick()
            assert hub.silent, "the feed is heard, and what it lost is not read yet"
            wallet.available = True
            frames = [await receive(client), await receive(client)]
            assert [frame["op"] for frame in frames] == ["balances", "status"]


async def test_balances_that_were_lost_and_cannot_be_read_again_are_not_told_as_live(wallet: WalletStub) -> None:
    async with serving(wallet, wallet.feed, feed_silence_ms=1_000, cut_wait_ms=0) as served:
        await wallet.heartbeat()
        async with connect(served.stream_url) as client:
            await subscribe(client, "alice")
            assert (await receive(client))["op"] == "balances"
            hub = served.gateway.hub
            hub._feed_silence_ms = 60_000  # it is heard: only what was lost counts
            wallet.mute, wallet.available = True, False
            await wallet.transfer("@world", "alice", 1)
            wallet.mute, wallet.published = False, wallet.sequence
            await wallet.heartbeat()
            await until(lambda: hub.partitions[0]._repairing_since_ms is not None)
            hub._feed_silence_ms = 0
            await wallet.heartbeat()
            hub._heard_at_ms = [hub._now_ms() + 60_000]
            hub.tick()
            assert await receive(client) == {"op": "status", "live": False}
            hub._feed_silence_ms = 60_000
            wallet.available = True
            frames = [await receive(client), await receive(client)]
            assert {"op": "status", "live": True} in frames
            assert any(frame["op"] == "balances" for frame in frames)


async def test_a_slow_client_gets_the_newest_balances_and_holds_bounded_memory(wallet: WalletStub) -> None:
    async with serving(wallet, wallet.feed, stream_buffer_bytes=1024) as served:
        await wallet.heartbeat()
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.connect(_address(served))
        small.setblocking(False)
        async with connected(sock=small, limit=1024) as (reader, writer):
            await _raw_handshake(reader, writer, served)
            writer.write(
                _masked(
                    json.dumps({"op": "subscribe", "id": 1, "accounts": [{"account": "alice"}, {"account": "bob"}]})
                )
            )
            await until(lambda: served.gateway.hub.streams == 1 and len(served.gateway.hub.partitions[0]) == 2)
            [stream] = served.gateway.hub._streams.values()
            kernel = stream._transport.get_extra_info("socket")  # type: ignore[attr-defined]
            kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            moved = paused = 0
            async with asyncio.timeout(60):
                while paused < 500:
                    await wallet.transfer("@world", "alice", 1)
                    await wallet.transfer("@world", "bob", 1)
                    moved += 1
                    await asyncio.sleep(0)
                    paused += not stream._writable  # type: ignore[attr-defined]
                    assert stream.session.outbox.waiting <= 2
            last: dict[int, tuple[int, str]] = {}
            versions: list[int] = []
            # From here on it reads: with the tiny window the kernel's probes alone could take seconds.
            small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            async with asyncio.timeout(30):
                while last.get(2, (0, ""))[0] < moved or last.get(1, (0, ""))[0] < moved + 1:
                    frame = await _read_frame(reader)
                    for row in frame.get("items", []):
                        assert row["v"] > last.get(row["sub"], (-1, ""))[0]
                        last[row["sub"]] = (row["v"], row["posted"])
                        versions.append(row["v"])
            assert last == {1: (moved + 1, str(1000 + moved)), 2: (moved, str(moved))}
            assert len(versions) < 2 * moved, "unsent balances were replaced by newer ones"


async def test_who_reads_slowly_stays_and_only_who_took_nothing_since_the_last_ping_is_cut_off(
    wallet: WalletStub,
) -> None:
    async with serving(wallet, wallet.feed, stream_buffer_bytes=64 * 1024) as served:
        await wallet.heartbeat()
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.connect(_address(served))
        small.setblocking(False)
        async with connected(sock=small, limit=1024) as (reader, writer):
            await _raw_handshake(reader, writer, served)
            writer.write(_masked('{"op":"subscribe","id":1,"accounts":[{"account":"alice"}]}'))
            await until(lambda: len(served.gateway.hub.partitions[0]) == 1)
            [session] = served.gateway.hub._streams
            stream: Any = served.gateway.hub._streams[session]
            stream._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            session.outbox.answer(b" " * 400_000)
            stream.flush()
            stream._ping()
            for _ in range(3):
                assert not stream._writable
                left = stream._transport.get_write_buffer_size()
                await reader.readexactly(20_000)
                await until(lambda: bool(stream._transport.get_write_buffer_size() < left))  # noqa: B023
                stream._ping()
                assert not stream._closing, "it took some"
            left = -1
            while left != stream._transport.get_write_buffer_size():  # what is under way to its socket is taken
                left = stream._transport.get_write_buffer_size()
                await asyncio.sleep(0.05)
            stream._ping()
            stream._ping()
            assert stream._closing, "it took nothing"


async def test_who_reads_steadily_stays_though_what_the_system_holds_for_him_takes_longer_than_a_pong_may(
    wallet: WalletStub,
) -> None:
    """Some 2 MB went into the connection at once, and a ping behind them."""
    async with serving(
        wallet, wallet.feed, stream_buffer_bytes=64 * 1024, stream_ping_ms=100, stream_pong_ms=300
    ) as served:
        await wallet.heartbeat()
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.connect(_address(served))
        small.setblocking(False)
        async with connected(sock=small, limit=1024) as (reader, writer):
            await _raw_handshake(reader, writer, served)
            [session] = served.gateway.hub._streams
            stream: Any = served.gateway.hub._streams[session]
            for _ in range(100):  # as a busy feed does, whenever the transport takes something
                session.outbox.answer(b" " * 20_000)
                stream.flush()
                await asyncio.sleep(0)
            held = stream._written_bytes - stream._transport.get_write_buffer_size()
            assert held < 1_000_000, "newer balances replace what waits here, not what the system holds"
            began_s, taken = asyncio.get_running_loop().time(), 0
            while asyncio.get_running_loop().time() < began_s + 1.5:
                taken += len(await reader.read(1024))
                await asyncio.sleep(0.005)
                assert not stream._closing, f"he has taken {taken} bytes all the time"


async def test_a_client_that_answers_no_ping_is_let_go(wallet: WalletStub) -> None:
    async with (
        serving(wallet, wallet.feed, stream_ping_ms=30, stream_pong_ms=30, stream_close_ms=30) as served,
        connected(*_address(served)) as (reader, writer),
    ):
        await _raw_handshake(reader, writer, served)
        async with asyncio.timeout(WAIT_S):
            rest = await reader.read()
        assert rest.startswith(b"\x89\x00"), "a ping first"
        assert int(CloseCode.PONG_MISSED).to_bytes(2, "big") in rest


async def test_a_client_that_answers_pings_stays(wallet: WalletStub) -> None:
    async with (
        serving(wallet, wallet.feed, stream_ping_ms=10, stream_pong_ms=500) as served,
        connect(served.stream_url, ping_interval=None) as client,
    ):
        [stream] = served.gateway.hub._streams.values()
        pings = 0
        first = stream._timer  # type: ignore[attr-defined]
        while pings < 3:
            await until(lambda: stream._timer is not first)  # type: ignore[attr-defined]  # noqa: B023
            first = stream._timer  # type: ignore[attr-defined]
            pings += 1
        await send(client, op="ping", id=1)
        assert (await receive(client))["op"] == "pong"


async def test_a_stopping_gateway_sends_everyone_away_to_reconnect(served: Served) -> None:
    async with connect(served.stream_url) as client:
        await subscribe(client, "alice")
        served.server.should_exit = True
        assert await closed_with(client) == CloseCode.RESTARTING
    await until(lambda: served.gateway.hub.streams == 0)
    assert len(served.gateway.hub.partitions[0]) == 0


async def test_a_stream_is_greeted_hears_how_far_it_was_told_and_is_told_when_to_come_back(
    wallet: WalletStub,
) -> None:
    async with (
        serving(wallet, wallet.feed, stream_heartbeat_ms=50) as served,
        asyncio.timeout(30),
        connect(served.stream_url) as client,
    ):
        await wallet.heartbeat()
        hello = json.loads(await client.recv())
        assert hello["op"] == "hello"
        assert (hello["limits"]["accounts"], hello["heartbeat_ms"], "sign_in_ms" in hello) == (1_000, 50, False)
        await subscribe(client, "alice")
        await receive(client)
        await wallet.transfer("alice", "bob", 1)
        while (frame := json.loads(await client.recv()))["op"] != "heartbeat" or not frame["positions"]:
            pass
        assert frame["positions"] == f"0:{wallet.sequence}"
        served.server.should_exit = True
        while (frame := json.loads(await client.recv()))["op"] != "bye":
            pass
        assert (frame["code"], 500 <= frame["after_ms"] <= 5_000) == (CloseCode.RESTARTING, True)
        assert await closed_with(client) == CloseCode.RESTARTING


async def test_a_stream_that_is_as_old_as_it_may_be_is_made_again_by_the_client(wallet: WalletStub) -> None:
    async with (
        serving(wallet, wallet.feed, stream_heartbeat_ms=50, stream_age_max_s=1) as served,
        asyncio.timeout(30),
        aclosing(watch(served.url, ["alice"])) as updates,
    ):
        while (update := await anext(updates)) != ConnectionState(False, MEANINGS[CloseCode.TOO_OLD].reason):
            pass
        while (update := await anext(updates)) != ConnectionState(True, "connected"):
            assert isinstance(update, ConnectionState)


async def test_an_ordinary_request_to_the_stream_is_told_to_upgrade(served: Served) -> None:
    async with aiohttp.ClientSession() as http, http.get(served.url + "/v1/stream") as answer:
        assert answer.status == 426


def _address(served: Served) -> tuple[str, int]:
    host, _, port = served.url.removeprefix("http://").partition(":")
    return host, int(port)


async def _raw_handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, served: Served) -> None:
    """A client that shakes hands and then does only what the test does: it answers nothing by itself."""
    head = (
        "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    writer.write(head.encode())
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    assert (await _read_frame(reader))["op"] == "hello"


def _masked(text: str) -> bytes:
    payload = text.encode()
    assert len(payload) < 126
    return bytes((0x81, 0x80 | len(payload))) + bytes(4) + payload


async def _read_frame(reader: asyncio.StreamReader) -> dict[str, Any]:
    head = await reader.readexactly(2)
    size = head[1]
    if size == 126:
        size = int.from_bytes(await reader.readexactly(2), "big")
    payload = await reader.readexactly(size)
    frame: dict[str, Any] = json.loads(payload) if head[0] == 0x81 else {}
    return frame


async def counted(served: Served) -> dict[str, float]:
    """The samples of the gateway's metrics, by name and labels."""
    async with aiohttp.ClientSession() as http, http.get(served.url + "/metrics") as answer:
        text = await answer.text()
    return {
        sample.name + "".join(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_how_long_a_change_took_is_measured_and_what_was_replaced_is_counted(
    served: Served, wallet: WalletStub
) -> None:
    async with connect(served.stream_url) as client:
        await subscribe(client, "alice")
        await receive(client)
        assert (await counted(served))["fanfold_gateway_commit_to_socket_seconds_count"] == 0, "a snapshot is no change"
        await wallet.open("carol")
        await wallet.transfer("@world", "alice", 1)
        await receive(client)
        after = await counted(served)
        assert after["fanfold_gateway_commit_to_socket_seconds_count"] == 1, "and what nobody watches is none"
        assert after["fanfold_gateway_conflated_balances_total"] == 0
        [session] = served.gateway.hub._streams
        [subscription] = session.by_number.values()
        subscription.unsent = item(2, "USD/2", "0", "0", "0", "")
        await wallet.transfer("@world", "alice", 1)
        await receive(client)
        assert (await counted(served))["fanfold_gateway_conflated_balances_total"] == 1


async def test_what_the_gateway_refuses_is_counted_by_its_code(served: Served) -> None:
    async with aiohttp.ClientSession() as http:
        for path in ("/v1/nothing", "/v1/nothing"):
            async with http.get(served.url + path) as answer:
                assert answer.status == 404
    with pytest.raises(websockets.InvalidStatus):
        await connect(served.stream_url + "?a=b")
    found = await counted(served)
    assert found["fanfold_gateway_refused_totalnot_found"] == 2
    assert found["fanfold_gateway_refused_totalparameter_malformed"] == 1
