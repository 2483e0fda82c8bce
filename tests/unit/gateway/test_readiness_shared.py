"""Many who ask at once whether a gateway is ready cost its sides one question."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from gateway import wiring
from gateway.settings import GatewaySettings
from tests.unit.read_side.asgi_client import ask
from tests.wallet_stub import WalletStub


@pytest.mark.parametrize("admin", [False, True])
async def test_whoever_asks_at_once_is_told_the_same_and_whoever_asks_later_is_looked_for_anew(admin: bool) -> None:
    wallet, asked, may_answer = WalletStub(), list[str](), asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        asked.append(scope["path"])
        await may_answer.wait()
        await wallet(scope, receive, send)

    gateway = wiring.build_gateway(GatewaySettings(), slow, slow, wallet.feed, CollectorRegistry(), 1, admin=admin)
    asking = [asyncio.create_task(ask(gateway.app, "GET", "/readyz")) for _ in range(50)]
    while len(asked) < 2:  # noqa: ASYNC110 - the sides are asked in turns of the loop
        await asyncio.sleep(0)
    asking.pop().cancel()  # who leaves takes nothing from the others
    may_answer.set()
    assert {reply.status for reply in await asyncio.gather(*asking)} == {200}
    assert asked == ["/readyz"] * 2, "one of each side"
    gateway.stop()
    assert (await ask(gateway.app, "GET", "/readyz")).status == 503
    assert len(asked) == 4
    await gateway.close()
