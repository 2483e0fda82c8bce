"""The example of nginx, with a real nginx in front of a real gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from fanfold.api.problems import problem_document
from fanfold.api.routes import PROBLEM
from tests.behind_proxy import (
    CLIENT,
    OPEN,
    STOPPING,
    Answers,
    certificate,
    client_of,
    forged,
    large_heads_and_bodies,
    no_gateway,
    standing,
    told,
    watched,
)
from tests.gateway_server import serving
from tests.servers import LOOPBACK, NginxServer, free_port
from tests.wallet_stub import WalletStub

EXAMPLE = Path(__file__).parents[2] / "deploy" / "nginx" / "fanfold.conf"
LIMIT_S = 30
KEYS = {
    "": {},
    "order-7": {"idempotency_key": "order-7"},
    '"a b"': {"idempotency_key": "a b"},
    'x","id":"y': {},
    "\\": {},
}
"""What a client names its write, and how that is told to it; nginx escapes nothing, so what would have to be is not told."""
Nginx = Callable[[str, dict[str, bytes]], AbstractContextManager[NginxServer]]
pytestmark = pytest.mark.nginx


def example_for(*gateways: str) -> str:
    """The example as it is, but for its port, its folder and its gateways, `host:port`."""
    site, lines = EXAMPLE.read_text(), list[str]()
    for before, after in (
        ("listen 443 ssl", f"listen {LOOPBACK}:{{port}} ssl"),
        ("/etc/ssl/", "{folder}/"),
        ("/var/log/nginx/", "{folder}/"),
    ):
        assert before in site
        site = site.replace(before, after)
    for line in site.splitlines():
        lines += [line.replace("127.0.0.1:8080", each) for each in (gateways if "127.0.0.1:8080" in line else ("",))]
    return "\n".join(lines)


async def test_behind_nginx_everything_works_and_the_client_is_the_client(
    nginx_with: Nginx, capsys: pytest.CaptureFixture[str]
) -> None:
    wallet = await WalletStub.of_alice_and_bob()
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        served = await stack.enter_async_context(
            serving(wallet, wallet.feed, trusted_proxies=LOOPBACK, access_log="on", request_bytes_max=100_000)
        )
        with nginx_with(example_for(served.url.removeprefix("http://")), certificate()) as nginx:
            async with client_of(nginx.port) as http:
                ids = [await forged(http), await watched(http, wallet), await told(http, wallet)]
                await large_heads_and_bodies(http)
                async with http.get("/v1/stream/sse?accounts=alice&ticket=secret") as answer:
                    assert answer.status == 400
                await stack.aclose()
                await no_gateway(http)
            logged = (nginx.directory / "fanfold.log").read_text()
            assert "GET /v1/stream/sse 400" in logged
            assert "secret" not in logged
            assert "secret" not in (failed := nginx.process.last_words())
            assert "/v1/transfers" in failed, "of all else it says what failed"
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert {line["client"] for line in lines} == {CLIENT}
    assert None not in {line["route"] for line in lines}
    assert set(ids) <= {line["request_id"] for line in lines}


async def test_no_write_is_sent_to_a_second_gateway_and_a_stream_is_asked_of_one_that_takes_it(
    nginx_with: Nginx,
) -> None:
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        gone, stops, takes = [Answers(b"") for _ in range(2)], Answers(STOPPING), Answers(OPEN)
        silent = [await standing(stack, each) for each in gone]
        streams = [await standing(stack, each) for each in (stops, takes)]
        site = example_for(*silent)
        for before, after in zip(silent, streams, strict=True):
            site = site.replace(f"{before} max_fails=0", f"{after} max_fails=0").replace(
                f"{before};",
                f"{before} max_fails=0;",  # each is asked, however often it failed
            )
        with nginx_with(site, certificate()) as nginx:
            async with client_of(nginx.port) as http:
                for method in ("PUT", "POST", "PATCH", "GET"):
                    async with http.request(method, "/v1/accounts/alice", data=b"{}") as answer:
                        assert (answer.status, answer.headers["Content-Type"]) == (503, PROBLEM), method
                        code = "upstream_unavailable" if method == "GET" else "outcome_unknown"
                        assert await answer.json(content_type=None) == problem_document(code), method
                for path in ("/v1/stream", "/v1/stream/sse"):
                    for _ in range(2):
                        async with http.get(path) as answer:
                            assert answer.status == 200, path
    asked = [method for each in gone for method in each.asked]
    assert {method: asked.count(method) for method in asked} == {"PUT": 1, "POST": 1, "PATCH": 1, "GET": 2}
    assert stops.asked


async def test_a_write_that_left_and_was_not_answered_may_have_been_made_whatever_went_wrong(nginx_with: Nginx) -> None:
    class Silent(Answers):
        async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()  # until nginx has waited long enough

    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        for gateway in (Silent(b""), Answers(b"HTTP/1.1 200 OK\r\nContent-")):
            site = example_for(await standing(stack, gateway)).replace(
                "proxy_read_timeout 60s", "proxy_read_timeout 1s"
            )
            with nginx_with(site, certificate()) as nginx:
                async with client_of(nginx.port) as http:
                    await asyncio.gather(*(_unknown(http, key, named) for key, named in KEYS.items()))


async def _unknown(http: aiohttp.ClientSession, key: str, named: dict[str, str]) -> None:
    async with http.post("/v1/transfers", data=b"{}", headers={"Idempotency-Key": key}) as answer:
        assert await answer.json(content_type=None) == problem_document("outcome_unknown", **named), key


async def test_a_write_that_reaches_none_of_several_gateways_left_for_none_however_often_it_is_sent(
    nginx_with: Nginx,
) -> None:
    """Also once nginx has found both away, and asks neither any more."""
    with nginx_with(example_for(*(f"{LOOPBACK}:{free_port()}" for _ in range(2))), certificate()) as nginx:
        async with asyncio.timeout(LIMIT_S), client_of(nginx.port) as http:
            for method in ("PUT", "PUT", "PUT", "POST", "PATCH", "PUT"):
                async with http.request(method, "/v1/accounts/alice", data=b"{}") as answer:
                    assert await answer.json(content_type=None) == problem_document("upstream_unavailable"), method
