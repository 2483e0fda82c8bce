"""A read that waits for a change, through a real gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.gateway_server import Served, serving
from tests.wallet_stub import WalletStub

WAIT_S = 10


@pytest.fixture
async def wallet() -> WalletStub:
    wallet = WalletStub()
    await wallet.open("alice")
    await wallet.transfer("@world", "alice", 1000)
    return wallet


@pytest.fixture
async def served(wallet: WalletStub) -> AsyncIterator[Served]:
    async with serving(wallet, wallet.feed, cut_wait_ms=300, snapshot_wait_ms=50) as served:
        await wallet.heartbeat()
        yield served


async def read(served: Served, account: str, query: str) -> tuple[int, Any]:
    async with (
        asyncio.timeout(WAIT_S),
        aiohttp.ClientSession() as http,
        http.get(URL(f"{served.url}/v1/accounts/{account}?{query}", encoded=True)) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def waited_for(served: Served, account: str) -> None:
    """Until somebody waits for the account, and is told what changes."""
    [partition] = served.gateway.hub.partitions
    async with asyncio.timeout(WAIT_S):
        while not any(each.live for each in partition._watched.get(account, ())):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def asked(wallet: WalletStub, account: str) -> int:
    return wallet.requests.count(f"GET /v1/accounts/{account}")


@pytest.mark.parametrize("name", ["after_version", "after%5Fversion"])
async def test_it_is_answered_when_the_account_changes_and_the_read_side_is_asked_once(
    served: Served, wallet: WalletStub, name: str
) -> None:
    waiting = asyncio.create_task(read(served, "alice", f"{name}=1&wait_ms=10000"))
    await waited_for(served, "alice")
    await wallet.open("bob")
    await wallet.transfer("@world", "bob", 5)
    assert not waiting.done()
    assert asked(wallet, "alice") == 0, "other accounts' changes ask nobody"
    await wallet.transfer("@world", "alice", 5)
    status, document = await waiting
    assert (status, document["version"], document["posted"]) == (200, 2, "1005")
    assert asked(wallet, "alice") == 1


async def test_a_newer_version_is_told_at_once_and_the_same_one_when_the_time_is_over(served: Served) -> None:
    status, document = await read(served, "alice", "after_version=0&wait_ms=10000")
    assert (status, document["version"]) == (200, 1)
    status, document = await read(served, "alice", "after_version=1&wait_ms=1")
    assert (status, document["version"]) == (200, 1)
    status, document = await read(served, "alice", f"after_version={2**62}&wait_ms=1")
    assert (status, document["version"]) == (200, 1)


async def test_an_account_that_is_not_there_yet_is_waited_for(served: Served, wallet: WalletStub) -> None:
    waiting = asyncio.create_task(read(served, "carol", "after_version=0&wait_ms=10000"))
    await waited_for(served, "carol")
    await wallet.open("carol")
    await wallet.transfer("@world", "carol", 1)
    status, document = await waiting
    assert (status, document["version"] >= 0) == (200, True)
    status, document = await read(served, "nobody", "after_version=0&wait_ms=1")
    assert (status, document["code"]) == (404, "account_not_found")


async def test_what_cannot_be_read_is_asked_of_the_read_side(served: Served, wallet: WalletStub) -> None:
    wallet.available = False
    status, _ = await read(served, "alice", "after_version=1&wait_ms=10000")
    assert status == 200
    assert asked(wallet, "alice") == 1


async def test_who_leaves_leaves_nothing_behind_and_asks_nobody(served: Served, wallet: WalletStub) -> None:
    waiting = asyncio.create_task(read(served, "alice", "after_version=1&wait_ms=10000"))
    await waited_for(served, "alice")
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    hub = served.gateway.hub
    async with asyncio.timeout(WAIT_S):
        while hub.streams:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)
    assert [len(partition) for partition in hub.partitions] == [0]
    assert asked(wallet, "alice") == 0
