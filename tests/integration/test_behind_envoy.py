"""The example of Envoy, with a real Envoy in front of a real gateway."""

from __future__ import annotations

import asyncio
import json
import ssl
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
    until,
    watched,
)
from tests.gateway_server import serving
from tests.listening import connected
from tests.servers import LOOPBACK, EnvoyServer, free_port
from tests.wallet_stub import WalletStub

EXAMPLE = Path(__file__).parents[2] / "deploy" / "envoy" / "envoy.yaml"
LIMIT_S = 30
IDLE_S = 2
"""What stands for the example's 60 s: several times what a busy machine takes, and what a stream must outlive here."""
Envoy = Callable[[str, dict[str, bytes]], AbstractContextManager[EnvoyServer]]
pytestmark = pytest.mark.envoy


def example_for(*gateways: str, quick: bool = False) -> str:
    """The example as it is, but for its port, its folder, its name and its gateways, `host:port`; quick: and the time for which
    a gateway may say nothing."""
    config = EXAMPLE.read_text()
    endpoint = next(line for line in config.splitlines() if "- endpoint:" in line)
    endpoints = [
        endpoint.replace("8080", each.rpartition(":")[2]).replace(LOOPBACK, each.rpartition(":")[0])
        for each in gateways
    ]
    for before, after in (
        ("address: 0.0.0.0, port_value: 443", f"address: {LOOPBACK}, port_value: {{port}}"),
        ('"wallet.example", "wallet.example:443"', f'"{LOOPBACK}:{{port}}"'),
        ("host: wallet.example", f"host: {LOOPBACK}"),
        ("/etc/ssl/", "{folder}/"),
        ("/var/log/envoy/", "{folder}/"),
        (endpoint, "\n".join(endpoints)),
        *(
            (("idle_timeout: 60s", f"idle_timeout: {IDLE_S}s"), ("timeout: 310s", f"timeout: {IDLE_S}s"))
            if quick
            else ()
        ),
    ):
        assert before in config
        config = config.replace(before, after)
    return config


async def started(stack: AsyncExitStack, envoy_with: Envoy, config: str) -> EnvoyServer:
    """From a thread: before it listens Envoy asks whether the gateways are well, and they are in this one."""
    return await asyncio.to_thread(stack.enter_context, envoy_with(config, certificate()))


async def test_behind_envoy_everything_works_and_the_client_is_the_client(
    envoy_with: Envoy, capsys: pytest.CaptureFixture[str]
) -> None:
    wallet = await WalletStub.of_alice_and_bob()
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack, AsyncExitStack() as gateways:
        served = await gateways.enter_async_context(
            serving(
                wallet,
                wallet.feed,
                trusted_proxies=LOOPBACK,
                access_log="on",
                request_bytes_max=100_000,
                stream_ping_ms=200,
                stream_heartbeat_ms=200,
            )
        )
        envoy = await started(stack, envoy_with, example_for(served.url.removeprefix("http://"), quick=True))
        async with client_of(envoy.port) as http:
            ids = [await forged(http), await watched(http, wallet), await told(http, wallet)]
            await large_heads_and_bodies(http)
            await asyncio.gather(_long_watched(http, wallet), _long_told(http))
            await _upgrades_to_nothing(envoy.port)
            async with http.get("/v1/stream/sse?accounts=alice&ticket=secret") as answer:
                assert answer.status == 400
            await gateways.aclose()
            await no_gateway(http)
        assert "secret" not in await _logged(envoy, "GET /v1/stream/sse 400", "GET /v1/stream/sse 503 URX,UF")
        assert "secret" not in envoy.process.last_words()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"time"')]
    assert {line["client"] for line in lines if line["route"] != "/readyz"} == {CLIENT}
    assert set(ids) <= {line["request_id"] for line in lines}


async def _logged(envoy: EnvoyServer, *parts: str) -> str:
    """What Envoy has logged, once all of that is in it: it writes it together."""
    log = ""
    while not all(part in log for part in parts):
        await asyncio.sleep(0.05)
        log = (envoy.directory / "fanfold.log").read_text()
    return log


async def _long_watched(http: aiohttp.ClientSession, wallet: WalletStub) -> None:
    """A stream on which nothing happens for longer than any time-out is kept by its pings."""
    async with http.ws_connect("/v1/stream", protocols=["wallet.v1"], origin=str(http._base_url)) as stream:
        await stream.send_str('{"op":"subscribe","id":1,"accounts":[{"account":"alice"}]}')
        await until(stream, "posted", str(wallet.rows["alice"].posted))
        reading = asyncio.ensure_future(until(stream, "posted", "17"))  # pings are answered by who reads
        await asyncio.sleep(IDLE_S * 1.5)
        assert not reading.done()
        await wallet.transfer("alice", "bob", wallet.rows["alice"].posted - 17)
        await reading


async def _long_told(http: aiohttp.ClientSession) -> None:
    async with http.get("/v1/stream/sse?accounts=bob") as answer:
        ends = asyncio.get_running_loop().time() + IDLE_S * 1.5
        while asyncio.get_running_loop().time() < ends:
            assert await answer.content.readline()


async def _upgrades_to_nothing(port: int) -> None:
    """A wish to speak HTTP/2 without TLS is no wish that counts here, and what comes behind it is no request of its own."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    for wish in ("h2c", "TLS/1.3", "anything"):
        async with connected(LOOPBACK, port, ssl=context, local_addr=(CLIENT, 0)) as (reader, writer):
            head = (
                f"GET /v1/accounts/alice HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            )
            writer.write(f"{head}HTTP2-Settings: AAMAAABkAAQAAP__\r\nUpgrade: {wish}\r\n\r\n".encode())
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n", wish


WRITES = ("PUT", "POST", "PATCH")
RETRIES = {"x-envoy-retry-on": "5xx,reset", "x-envoy-max-retries": "3", "x-envoy-hedge-on-per-try-timeout": "true"}
"""What a client may say to Envoy, if that lets it."""


class Silent(Answers):
    """A gateway that takes each request and says nothing to it."""

    def __init__(self) -> None:
        super().__init__(b"")
        self.came = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /readyz "):
            writer.write(OPEN)
        else:
            self.asked.append(head.partition(b" ")[0].decode())
            self.came.set()
            await reader.read()  # until Envoy has waited long enough


@pytest.mark.parametrize("gateway", [Silent(), Answers(b""), Answers(b"HTTP/1.1 200 OK\r\nContent-")])
async def test_a_write_that_left_is_sent_once_and_may_have_been_made_whatever_went_wrong(
    envoy_with: Envoy, gateway: Answers
) -> None:
    async def asked(method: str, key: str | None) -> None:
        headers = RETRIES | ({} if key is None else {"Idempotency-Key": key})
        async with http.request(method, "/v1/accounts/alice", data=b"{}", headers=headers) as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (503, PROBLEM), method
            assert (answer.headers["Retry-After"], answer.headers["Cache-Control"]) == ("1", "no-store")
            named = {} if key is None else {"idempotency_key": key}
            known = problem_document("outcome_unknown", **named)
            if method == "GET":
                known = problem_document("upstream_unavailable")
            assert await answer.json(content_type=None) == known, method

    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        config = example_for(*[await standing(stack, gateway) for _ in range(2)], quick=True)
        envoy = await started(stack, envoy_with, config)
        async with client_of(envoy.port) as http:
            keyed = [asked(method, 'with "quotes"') for method in WRITES]
            await asyncio.gather(*keyed, asked("GET", "k"), asked("POST", None))
    assert sorted(gateway.asked) == ["GET", "PATCH", "POST", "POST", "PUT"]


async def test_another_gateway_is_asked_where_one_was_not_reached_and_for_a_stream_where_one_is_full(
    envoy_with: Envoy,
) -> None:
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        stops, takes = Answers(STOPPING), Answers(OPEN)
        full, well = [await standing(stack, each) for each in (stops, takes)]
        # None of them is known to be well or not.
        config = example_for(f"{LOOPBACK}:{free_port()}", full, well).replace("path: /readyz", "path: /nowhere")
        envoy = await started(stack, envoy_with, config)
        async with client_of(envoy.port) as http:
            for path in ("/v1/stream", "/v1/stream/sse") * 2:
                async with http.get(path) as answer:
                    assert answer.status == 200, path
        config = example_for(f"{LOOPBACK}:{free_port()}", well)
        envoy = await started(stack, envoy_with, config.replace("path: /readyz", "path: /nowhere"))
        async with client_of(envoy.port) as http:
            for method in WRITES * 2:
                async with http.request(method, "/v1/accounts/alice", data=b"{}") as answer:
                    assert answer.status == 200, method
    assert stops.asked
    assert sorted(method for method in takes.asked if method != "GET") == sorted(WRITES * 2)


async def test_a_write_that_reached_the_second_gateway_asked_may_have_been_made_though_the_first_was_away(
    envoy_with: Envoy,
) -> None:
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        gone = Answers(b"")
        config = example_for(f"{LOOPBACK}:{free_port()}", await standing(stack, gone))
        envoy = await started(stack, envoy_with, config.replace("path: /readyz", "path: /nowhere"))
        async with client_of(envoy.port) as http:
            for method in WRITES * 3:
                async with http.request(method, "/v1/accounts/alice", data=b"{}") as answer:
                    assert await answer.json(content_type=None) == problem_document("outcome_unknown"), method
        assert sorted(method for method in gone.asked if method != "GET") == sorted(WRITES * 3)


async def test_what_finds_no_room_in_envoy_left_for_no_gateway_and_is_told_so(envoy_with: Envoy) -> None:
    async def refused(status: int) -> dict[str, object]:
        async with http.post("/v1/transfers", data=b"{}") as answer:
            assert answer.status == status
            told: dict[str, object] = await answer.json(content_type=None)
            return told

    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        gateway = Silent()
        config = example_for(await standing(stack, gateway))
        for before in ("max_connections: 100000", "max_pending_requests: 10000"):
            assert before in config
            config = config.replace(before, f"{before.split()[0]} 1")
        envoy = await started(stack, envoy_with, config)
        async with client_of(envoy.port) as http:
            asked = [asyncio.ensure_future(refused(503))]
            await gateway.came.wait()
            asked += [asyncio.ensure_future(refused(503)) for _ in range(2)]  # one of them waits for a connection
            done, waiting = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            assert [await each for each in done] == [problem_document("upstream_unavailable")]
            assert gateway.asked == ["POST"]
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
