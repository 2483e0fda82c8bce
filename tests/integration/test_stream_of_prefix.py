"""All accounts with a prefix over real sockets, and as server-sent events, before a wallet that opens accounts meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect

from fanfold.answers import BalanceChange
from fanfold.api.routes import EVENTS
from fanfold.stream import watch_prefix
from fanfold.stream_connection import StreamEnded
from tests.gateway_server import Served, next_frame, serving
from tests.wallet_stub import WalletStub


@pytest.fixture
async def wallet() -> WalletStub:
    wallet = await WalletStub.of_alice_and_bob()
    for name in ("shop:a", "shop:b"):
        await wallet.open(name)
    wallet.history = "one"
    return wallet


@pytest.fixture
async def served(wallet: WalletStub) -> AsyncIterator[Served]:
    async with serving(wallet, wallet.feed, cut_wait_ms=300, stream_subscriptions_max=4) as served:
        await wallet.heartbeat()
        yield served


async def told_of(client: ClientConnection, names: dict[int, str], *wanted: str) -> list[Any]:
    """Frames until a balance of each of these has come; `names` learns whose numbers they are."""
    frames, missing = [], set(wanted)
    while missing:
        frame = await next_frame(client)
        frames.append(frame)
        if frame["op"] == "ack":
            names |= {row["sub"]: row["account"] for row in frame["accounts"]}
        elif frame["op"] == "balances":
            missing -= {names[item["sub"]] for item in frame["items"]}
    return frames


async def test_what_is_there_what_opens_and_what_opens_while_the_feed_is_lost_is_told(
    served: Served, wallet: WalletStub
) -> None:
    names: dict[int, str] = {}
    async with connect(served.stream_url) as client:
        await client.send(json.dumps({"op": "subscribe", "id": 7, "prefix": "shop:"}))
        [ack, *_] = await told_of(client, names, "shop:a", "shop:b")
        assert ack["id"] == 7
        assert ack["prefix"] == "shop:"
        assert ack["complete"] is True
        assert [(row["account"], row["history"]) for row in ack["accounts"]] == [("shop:a", "one"), ("shop:b", "one")]
        await wallet.open("other")
        await wallet.open("shop:c")
        assert [frame["op"] for frame in await told_of(client, names, "shop:c")] == ["ack", "balances"]
        wallet.mute = True
        await wallet.open("shop:d")
        await wallet.open("shop:e")
        wallet.mute, wallet.published, wallet.boot = False, wallet.sequence, "second"
        await wallet.heartbeat()
        frames = await told_of(client, names, "shop:d")
        while not any(frame["op"] == "error" for frame in frames):
            frames.append(await next_frame(client))
        [error] = [frame for frame in frames if frame["op"] == "error"]
        assert (error["id"], error["code"]) == (7, "too_many_subscriptions"), "of a fifth there is no room"
        await client.send(json.dumps({"op": "unsubscribe", "id": 8, "prefix": "shop:"}))
        assert await next_frame(client) == {"op": "ack", "id": 8}
        assert not served.gateway.hub.partitions[0].prefixes


async def test_a_prefix_with_more_accounts_than_there_is_room_for_is_refused(
    served: Served, wallet: WalletStub
) -> None:
    for number in range(3):
        await wallet.open(f"shop:{number}")
    async with connect(served.stream_url) as client:
        await client.send(json.dumps({"op": "subscribe", "id": 7, "prefix": "shop:"}))
        error = await next_frame(client)
        assert (error["code"], "of 4 accounts" in error["detail"]) == ("too_many_subscriptions", True)
        await client.send(json.dumps({"op": "subscribe", "id": 8, "prefix": "shop:a"}))
        assert (await next_frame(client))["accounts"][0]["account"] == "shop:a"


async def test_it_is_told_as_events(served: Served, wallet: WalletStub) -> None:
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{served.url}{EVENTS.path}?prefix=a&accounts=bob") as answer:
            assert answer.status == 400
        async with http.get(f"{served.url}{EVENTS.path}?prefix=none:") as answer, asyncio.timeout(10):
            frames: list[Any] = []
            while not any(frame["op"] == "balances" for frame in frames):
                line = (await answer.content.readline()).decode()
                if line.startswith("data: "):
                    frames.append(json.loads(line.removeprefix("data: ")))
                    if frames[-1]["op"] == "ack" and not frames[-1]["accounts"]:
                        await wallet.open("none:yet")
            assert [frame["op"] for frame in frames] == ["hello", "ack", "ack", "balances"]


async def test_the_python_client_watches_it(served: Served, wallet: WalletStub) -> None:
    told: list[str] = []
    async with aclosing(watch_prefix(served.url, "shop:")) as updates, asyncio.timeout(10):
        async for update in updates:
            if isinstance(update, BalanceChange):
                told.append(update.account)
                if told == ["shop:a", "shop:b"]:
                    await wallet.open("shop:c")
            if "shop:c" in told:
                break
    assert told == ["shop:a", "shop:b", "shop:c"]


async def test_where_nobody_may_it_is_refused_on_every_way(wallet: WalletStub) -> None:
    async with (
        serving(wallet, wallet.feed, stream_prefixes="nobody") as served,
        connect(served.stream_url) as client,
        aiohttp.ClientSession() as http,
    ):
        await wallet.heartbeat()
        await client.send(json.dumps({"op": "subscribe", "id": 7, "prefix": "shop:"}))
        assert (await next_frame(client))["code"] == "prefix_refused"
        async with http.get(f"{served.url}{EVENTS.path}?prefix=shop:") as answer:
            assert (answer.status, (await answer.json())["code"]) == (403, "prefix_refused")
        with pytest.raises(StreamEnded, match="FANFOLD_STREAM_PREFIXES"):
            async for _ in watch_prefix(served.url, "shop:"):
                pass


async def test_what_prefixes_cost_is_counted(served: Served, wallet: WalletStub) -> None:
    names: dict[int, str] = {}
    async with connect(served.stream_url) as client, aiohttp.ClientSession() as http:
        await client.send(json.dumps({"op": "subscribe", "id": 7, "prefix": "shop:"}))
        await told_of(client, names, "shop:a", "shop:b")
        for name in ("other", "another", "shop:c"):
            await wallet.open(name)
        await told_of(client, names, "shop:c")
        async with http.get(f"{served.url}/metrics") as answer:
            told = (await answer.text()).splitlines()
    assert "fanfold_gateway_prefix_subscriptions 1.0" in told
    assert "fanfold_gateway_prefix_rows_total 2.0" in told


async def test_what_a_log_that_was_put_back_has_no_more_is_told_so(served: Served, wallet: WalletStub) -> None:
    names: dict[int, str] = {}
    async with connect(served.stream_url) as client:
        await client.send(json.dumps({"op": "subscribe", "id": 7, "prefix": "shop:"}))
        await told_of(client, names, "shop:a", "shop:b")
        del wallet.rows["shop:b"]
        wallet.history, wallet.boot = "two", "second"
        await wallet.heartbeat()
        gone, *_, balances = await told_of(client, names, "shop:a")
        assert gone["id"] == 7
        told = [(row["account"], row["version"], row["code"], row["history"]) for row in gone["accounts"]]
        assert told == [("shop:b", None, "account_not_found", "two")]
        assert [item["snapshot"] for item in balances["items"]] == [True]
        await wallet.open("shop:b")
        await told_of(client, names, "shop:b")
