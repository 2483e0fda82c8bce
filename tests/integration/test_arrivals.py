"""Where requests and streams come from, by what name they are found, and what is written of them: over real sockets."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from tests.gateway_server import Served, serving
from tests.wallet_stub import WalletStub

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
BEHIND_A_PROXY = {"X-Forwarded-For": "6.6.6.6, 203.0.113.9", "X-Forwarded-Proto": "https", "Forwarded": "for=7.7.7.7"}


class Side:
    """Notes the headers that it is asked with."""

    def __init__(self, wallet: WalletStub) -> None:
        self.asked: list[dict[str, str]] = []
        self._wallet = wallet

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.asked.append({name.decode(): value.decode() for name, value in scope["headers"]})
        await self._wallet(scope, receive, send)


async def _ask_all(served: Served) -> None:
    names = {"X-Request-Id": "mine-1", "traceparent": PARENT}
    async with aiohttp.ClientSession() as http:
        async with http.get(f"{served.url}/v1/accounts/alice?token=s3cret", headers=BEHIND_A_PROXY | names) as answer:
            assert answer.headers["X-Request-Id"] == "mine-1"
            assert answer.headers["Strict-Transport-Security"]
            await answer.read()
        async with http.ws_connect(served.stream_url, headers=BEHIND_A_PROXY | {"X-Request-Id": "mine-2"}) as stream:
            assert stream._response.headers["X-Request-Id"] == "mine-2"
            await stream.close(code=1000)
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(f"{served.stream_url}?a=1")
        assert refused.value.headers is not None
        assert refused.value.headers["X-Content-Type-Options"] == "nosniff"
        assert len(refused.value.headers["X-Request-Id"]) == 32


async def test_requests_and_streams_are_written_down_as_who_the_listed_proxy_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    wallet = await WalletStub.of_alice_and_bob()
    side = Side(wallet)
    async with serving(side, wallet.feed, trusted_proxies="127.0.0.0/8", access_log="on") as served:
        await _ask_all(served)
        async with asyncio.timeout(30):
            while served.gateway.hub.streams:  # noqa: ASYNC110 - a connection that is lost tells nobody else
                await asyncio.sleep(0.01)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    told = {(line["event"], line["request_id"]): line for line in lines}
    asked, opened, closed = (told[each] for each in (("request", "mine-1"), ("open", "mine-2"), ("close", "mine-2")))
    assert {each["client"] for each in (asked, opened, closed)} == {"203.0.113.9"}
    assert (asked["route"], asked["status"], asked["traceparent"]) == ("/v1/accounts/{account}", 200, PARENT)
    assert (opened["route"], opened["status"], closed["code"]) == ("/v1/stream", 101, 1000)
    [refused] = [line for line in lines if line["status"] == 400]
    assert (refused["route"], refused["client"]) == ("/v1/stream", "127.0.0.1")
    assert "s3cret" not in str(lines)
    assert asked["upstream_ms"] > 0
    [passed_on] = [each for each in side.asked if "x-request-id" in each]
    assert (passed_on["x-request-id"], passed_on["traceparent"]) == ("mine-1", PARENT)
    assert not {"forwarded", "x-forwarded-for", "x-forwarded-proto"} & set(passed_on)


async def test_from_nobody_else_is_any_of_it_believed(capsys: pytest.CaptureFixture[str]) -> None:
    wallet = await WalletStub.of_alice_and_bob()
    async with (
        serving(wallet, wallet.feed, access_log="on") as served,
        aiohttp.ClientSession() as http,
        http.get(f"{served.url}/v1/accounts/alice", headers=BEHIND_A_PROXY) as answer,
    ):
        assert "Strict-Transport-Security" not in answer.headers
    [line] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert line["client"] == "127.0.0.1"


async def test_behind_a_listed_proxy_each_client_has_places_of_its_own() -> None:
    wallet = await WalletStub.of_alice_and_bob()
    async with (
        serving(wallet, wallet.feed, trusted_proxies="127.0.0.1", address_streams_max=1) as served,
        aiohttp.ClientSession() as http,
    ):
        clients = ("203.0.113.1", "203.0.113.2")
        held = [await http.ws_connect(served.stream_url, headers={"X-Forwarded-For": client}) for client in clients]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await http.ws_connect(served.stream_url, headers={"X-Forwarded-For": "203.0.113.1"})
        assert refused.value.status == 429
        async with http.get(
            f"{served.url}/v1/stream/sse?accounts=bob", headers={"X-Forwarded-For": "203.0.113.2"}
        ) as no:
            assert no.status == 429
        async with http.get(
            f"{served.url}/v1/stream/sse?accounts=bob", headers={"X-Forwarded-For": "203.0.113.3"}
        ) as yes:
            assert yes.status == 200
        for stream in held:
            await stream.close()
