"""A gateway that starts before the read side asks until it is there, and does not fill its log with that."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from fanfold.api.retry import Waits
from gateway import wiring
from gateway.settings import GatewaySettings
from read_side.doors.no_log_yet import create_app
from tests.unit.read_side.asgi_client import ask
from tests.wallet_stub import WalletStub


async def test_a_read_side_that_is_not_there_yet_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "WAITS", Waits(0.0, 0.0))
    wallet, asked = WalletStub(), 0

    async def late(scope: Any, receive: Any, send: Any) -> None:
        nonlocal asked
        asked += 1
        if asked < 10:
            raise ConnectionResetError
        await wallet(scope, receive, send)

    gateway = wiring.build_gateway(GatewaySettings(), wallet, late, wallet.feed, CollectorRegistry())
    with capture_logs() as logs:
        assert await gateway._learn_partitions() == 1
    assert [line["event"] for line in logs].count("partitions_unknown") == 1
    await gateway.close()


async def test_a_read_side_that_waits_for_its_log_is_waited_for_and_its_reason_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wiring, "WAITS", Waits(0.0, 0.0))
    wallet, asked = WalletStub(), 0
    waiting = create_app(lambda: "there is no topic yet")

    async def late(scope: Any, receive: Any, send: Any) -> None:
        nonlocal asked
        asked += 1
        await (waiting if asked < 10 else wallet)(scope, receive, send)

    gateway = wiring.build_gateway(GatewaySettings(), wallet, late, wallet.feed, CollectorRegistry())
    reply = await ask(gateway.app, "GET", "/readyz")
    assert reply.status == 503
    assert "read side: there is no topic yet" in reply.document["reasons"]
    assert await gateway._learn_partitions() == 1
    await gateway.close()
