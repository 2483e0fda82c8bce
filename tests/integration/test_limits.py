"""What one principal, address or stream is granted, over real sockets: and that others go on beside it."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from fanfold.api.close_codes import CloseCode
from gateway.limits.rates import Quota
from gateway.metrics import Metrics
from gateway.proxy.rated import RequestRates
from tests.gateway_server import Served, serving
from tests.integration.test_stream_identity import Place, closed, hear, say, stream, token
from tests.wallet_stub import WalletStub

LIMIT_S = 30.0


@pytest.fixture
async def wallet() -> WalletStub:
    found = WalletStub()
    await found.open("alice")
    return found


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token(name)}"}


async def asked(served: Served, path: str, **headers: str) -> tuple[int, Any, Any]:
    async with aiohttp.ClientSession() as http, http.get(served.url + path, headers=headers) as answer:
        return answer.status, answer.headers, json.loads(await answer.read())


async def test_requests_are_counted_by_principal_and_everything_that_it_may_ask_together(
    wallet: WalletStub, tmp_path: Path
) -> None:
    settings = Place(tmp_path).settings(requests_max=2, requests_window_s=3_600)
    async with serving(wallet, wallet.feed, **settings) as served:
        checked = served.gateway._front._checked
        assert checked is not None
        checked._refused_rates = RequestRates(Quota(2, 3_600), Metrics(CollectorRegistry()), time.monotonic_ns)
        status, headers, _ = await asked(served, "/v1/accounts/alice", **bearer("anna"))
        assert (status, headers["ratelimit-policy"], headers["ratelimit"][:14]) == (
            200, '"requests";q=2;w=3600', '"requests";r=1'
        )  # fmt: skip
        assert (await asked(served, "/v1/accounts/alice", **bearer("anna")))[0] == 200
        for path in ("/v1/accounts/alice", "/v1/stream/sse?accounts=alice", "/v1/accounts/alice?after_version=9"):
            status, headers, document = await asked(served, path, **bearer("anna"))
            assert (status, document["code"]) == (429, "rate_limited")
            assert int(headers["retry-after"]) > 1_000
        known = bearer("bert")["authorization"]
        assert (await asked(served, "/v1/accounts/alice", authorization=known))[0] == 200
        assert (await asked(served, "/readyz"))[0] == 200, "a balancer is never told to wait"
        before = len(wallet.requests)
        for status in (401, 401, 429):
            assert (await asked(served, "/v1/accounts/alice", authorization="Bearer x.y.z"))[0] == status
        assert (await asked(served, "/v1/accounts/alice", authorization=known))[0] == 200, "who is known goes on"
        assert (await asked(served, "/v1/accounts/alice", **bearer("carl")))[0] == 429, (
            "not verified yet: not looked at"
        )
        assert (await asked(served, "/v1/accounts/alice"))[0] == 401
        assert len(wallet.requests) == before + 1


async def test_where_nobody_is_asked_requests_are_counted_by_address_and_without_a_setting_not_at_all(
    wallet: WalletStub,
) -> None:
    async with serving(wallet, wallet.feed, requests_max=1, requests_window_s=3_600) as served:
        assert (await asked(served, "/v1/accounts/alice"))[0] == 200
        for path in ("/v1/accounts/alice", "/v1/stream/sse?accounts=alice"):
            assert (await asked(served, path))[0] == 429
    async with serving(wallet, wallet.feed) as served:
        status, headers, _ = await asked(served, "/v1/accounts/alice")
        assert (status, "ratelimit" in headers) == (200, False)


async def test_streams_of_all_kinds_are_counted_together_and_a_place_that_is_left_is_free(
    wallet: WalletStub, tmp_path: Path
) -> None:
    settings = Place(tmp_path).settings(principal_streams_max=1)
    async with serving(wallet, wallet.feed, **settings) as served:
        async with stream(served, token("anna")):
            with pytest.raises(InvalidStatus) as refused:
                async with connect(served.stream_url, additional_headers=bearer("anna"), proxy=None):
                    pass
            assert refused.value.response.status_code == 429
            assert refused.value.response.headers["retry-after"] == "1"
            for path in ("/v1/stream/sse?accounts=alice", "/v1/accounts/alice?after_version=9&wait_ms=5000"):
                status, _, document = await asked(served, path, **bearer("anna"))
                assert (status, document["code"]) == (429, "too_many_connections")
            async with stream(served) as late:
                await say(late, "auth", 0, token=token("anna"))
                assert await closed(late) == CloseCode.TOO_MANY_STREAMS
            async with stream(served) as other:
                await say(other, "auth", 0, token=token("bert"))
                assert await hear(other) == {"op": "ack", "id": 0}
        assert await _until_free(served, "/v1/stream/sse?accounts=alice") == 200, "the first one is gone"
        assert await _until_free(served, "/v1/accounts/alice?after_version=9&wait_ms=1") == 200, (
            "so is the event stream"
        )
        async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
            while True:
                try:
                    await stack.enter_async_context(stream(served, token("anna")))
                    return
                except InvalidStatus:
                    await asyncio.sleep(0.01)


async def _until_free(served: Served, path: str) -> int:
    """What the request is answered with once there is a place for it; whoever asked leaves after the first bytes."""
    async with asyncio.timeout(LIMIT_S), aiohttp.ClientSession() as http:
        while True:
            async with http.get(served.url + path, headers=bearer("anna")) as answer:
                if answer.status != 429:
                    await answer.content.readany()
                    return answer.status
            await asyncio.sleep(0.01)


async def test_a_page_of_a_listed_origin_reads_a_refusal_too(wallet: WalletStub, tmp_path: Path) -> None:
    settings = Place(tmp_path).settings(allowed_origins="https://shop.example")
    async with serving(wallet, wallet.feed, **settings) as served, aiohttp.ClientSession() as http:
        url, headers = served.url + "/v1/transfers", {"origin": "https://shop.example"}
        async with http.options(url, headers=headers | {"access-control-request-method": "POST"}) as preflight:
            assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, headers["origin"])
        async with http.post(url, headers=headers, data=b"{}") as refused:
            assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, headers["origin"])


async def test_behind_a_listed_proxy_whoever_it_names_is_counted_and_what_others_say_of_themselves_is_not(
    wallet: WalletStub,
) -> None:
    limits: dict[str, Any] = {"requests_max": 3, "requests_window_s": 3_600, "address_streams_max": 1}
    async with serving(wallet, wallet.feed, trusted_proxies="127.0.0.1", **limits) as served, AsyncExitStack() as stack:
        for address in ("10.0.0.1", "10.0.0.2"):
            behind = {"x-forwarded-for": address}
            await stack.enter_async_context(connect(served.stream_url, additional_headers=behind, proxy=None))
            with pytest.raises(InvalidStatus):
                await stack.enter_async_context(connect(served.stream_url, additional_headers=behind, proxy=None))
            assert [(await asked(served, "/v1/accounts/alice", **behind))[0] for _ in range(2)] == [200, 429]
    async with serving(wallet, wallet.feed, **limits) as served:
        told = [
            (await asked(served, "/v1/accounts/alice", **{"x-forwarded-for": each}))[0]
            for each in ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")
        ]
        assert told == [200, 200, 200, 429]
