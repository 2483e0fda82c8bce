"""The example of nginx, with a real nginx in front of a real gateway."""

from __future__ import annotations

import asyncio
import datetime
import json
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fanfold.api.problems import problem_document
from fanfold.api.routes import PROBLEM
from tests.gateway_server import serving
from tests.servers import LOOPBACK, NginxServer
from tests.wallet_stub import WalletStub

EXAMPLE = Path(__file__).parents[2] / "deploy" / "nginx" / "fanfold.conf"
CLIENT = "127.0.0.9"
"""An address of this machine that is no proxy's."""
LIMIT_S = 30
Nginx = Callable[[str, dict[str, bytes]], AbstractContextManager[NginxServer]]
pytestmark = pytest.mark.nginx


def certificate() -> dict[str, bytes]:
    """Of this moment and these tests."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "wallet.localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, secret = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return {"fanfold.pem": made.public_bytes(pem), "fanfold.key": key.private_bytes(pem, form, secret)}


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


def client_of(nginx: NginxServer) -> aiohttp.ClientSession:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connector = aiohttp.TCPConnector(ssl=context, local_addr=(CLIENT, 0))
    return aiohttp.ClientSession(f"https://{LOOPBACK}:{nginx.port}", connector=connector)


async def test_behind_nginx_everything_works_and_the_client_is_the_client(
    nginx_with: Nginx, capsys: pytest.CaptureFixture[str]
) -> None:
    wallet = await WalletStub.of_alice_and_bob()
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        served = await stack.enter_async_context(
            serving(wallet, wallet.feed, trusted_proxies=LOOPBACK, access_log="on", request_bytes_max=100_000)
        )
        with nginx_with(example_for(served.url.removeprefix("http://")), certificate()) as nginx:
            async with client_of(nginx) as http:
                ids = [await _forged(http), await _watched(http, wallet), await _told(http, wallet)]
                await _large_heads_and_bodies(http)
                async with http.get("/v1/stream/sse?accounts=alice&ticket=secret") as answer:
                    assert answer.status == 400
                await stack.aclose()
                await _no_gateway(http)
            logged = (nginx.directory / "fanfold.log").read_text()
            assert "GET /v1/stream/sse 400" in logged
            assert "secret" not in logged
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert {line["client"] for line in lines} == {CLIENT}
    assert None not in {line["route"] for line in lines}
    assert set(ids) <= {line["request_id"] for line in lines}


async def _forged(http: aiohttp.ClientSession) -> str:
    """What a client says of itself does not arrive."""
    said = {
        "X-Forwarded-For": "6.6.6.6",
        "Forwarded": "for=6.6.6.6",
        "X-Forwarded-Proto": "http",
        "X-Request-Id": "mine",
    }
    async with http.get("/v1/accounts/alice", headers=said) as answer:
        assert (answer.status, (await answer.json())["posted"]) == (200, "1000")
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert answer.headers["X-Request-Id"] != "mine"
        return answer.headers["X-Request-Id"]


async def _watched(http: aiohttp.ClientSession, wallet: WalletStub) -> str:
    async with http.ws_connect("/v1/stream", protocols=["wallet.v1"], origin=str(http._base_url)) as stream:
        await stream.send_str('{"op":"subscribe","id":1,"accounts":[{"account":"bob"}]}')
        await _until(stream, "posted", "0")
        await wallet.transfer("alice", "bob", 5)
        await _until(stream, "posted", "5")
        return str(stream._response.headers["X-Request-Id"])


async def _until(stream: aiohttp.ClientWebSocketResponse, field: str, value: str) -> None:
    while True:
        frame = await stream.receive_json()
        if frame["op"] == "balances" and any(item[field] == value for item in frame["items"]):
            return


async def _told(http: aiohttp.ClientSession, wallet: WalletStub) -> str:
    """Events come one by one, while the answer goes on: nothing waits for a buffer to fill."""
    async with http.get("/v1/stream/sse?accounts=bob") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for posted in ("5", "6", "7"):
            while f'"posted":"{posted}"'.encode() not in await answer.content.readline():
                pass
            await wallet.transfer("alice", "bob", 1)
        return answer.headers["X-Request-Id"]


async def _large_heads_and_bodies(http: aiohttp.ClientSession) -> None:
    """A long token passes, and what is too much is said by the gateway, in its words."""
    async with http.get("/healthz", headers={"Authorization": f"Bearer {'a' * 16 * 1024}"}) as answer:
        assert answer.status == 200
    async with http.post("/v1/transfers", data=b"a" * 200_000) as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (413, "body_too_large")


async def _no_gateway(http: aiohttp.ClientSession) -> None:
    """Nothing left for any: so nothing was taken, and who asks is told so."""
    for method, path in (("POST", "/v1/transfers"), ("PUT", "/v1/accounts/alice"), ("GET", "/v1/accounts/alice")):
        async with http.request(method, path, json={}) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1"), method
            assert answer.headers["Content-Type"] == PROBLEM
            assert await answer.json(content_type=None) == problem_document("upstream_unavailable"), method


class Answers:
    """A gateway that reads each request and answers what it is told to; nothing: it ends the connection."""

    def __init__(self, answer: bytes) -> None:
        self.asked = list[str]()
        self._answer = answer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"Content-Length: 2\r\n" in head:
            assert await reader.readexactly(2) == b"{}"
        self.asked.append(head.partition(b" ")[0].decode())
        writer.write(self._answer)
        writer.close()


STOPPING = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
OPEN = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def listening(stack: AsyncExitStack, gateway: Answers) -> str:
    server = await asyncio.start_server(gateway, LOOPBACK, 0)
    await stack.enter_async_context(server)
    host, port = server.sockets[0].getsockname()
    return f"{host}:{port}"


async def test_no_write_is_sent_to_a_second_gateway_and_a_stream_is_asked_of_one_that_takes_it(
    nginx_with: Nginx,
) -> None:
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        gone, stops, takes = [Answers(b"") for _ in range(2)], Answers(STOPPING), Answers(OPEN)
        silent = [await listening(stack, each) for each in gone]
        streams = [await listening(stack, each) for each in (stops, takes)]
        site = example_for(*silent)
        for before, after in zip(silent, streams, strict=True):
            site = site.replace(f"{before} max_fails=0", f"{after} max_fails=0").replace(
                f"{before};",
                f"{before} max_fails=0;",  # each is asked, however often it failed
            )
        with nginx_with(site, certificate()) as nginx:
            async with client_of(nginx) as http:
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
            writer.close()

    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        for gateway in (Silent(b""), Answers(b"HTTP/1.1 200 OK\r\nContent-")):
            site = example_for(await listening(stack, gateway)).replace(
                "proxy_read_timeout 60s", "proxy_read_timeout 1s"
            )
            with nginx_with(site, certificate()) as nginx:
                async with client_of(nginx) as http, http.post("/v1/transfers", data=b"{}") as answer:
                    assert await answer.json(content_type=None) == problem_document("outcome_unknown")
