"""What is tried of every proxy in front: a client of it, the stories that go through it, and gateways that fail behind it."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from contextlib import AsyncExitStack

import aiohttp
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fanfold.api.problems import problem_document
from fanfold.api.routes import PROBLEM
from tests.listening import Serve, listening
from tests.servers import LOOPBACK
from tests.wallet_stub import WalletStub

CLIENT = "127.0.0.9"
"""An address of this machine that is no proxy's."""


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


def client_of(port: int) -> aiohttp.ClientSession:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connector = aiohttp.TCPConnector(ssl=context, local_addr=(CLIENT, 0))
    return aiohttp.ClientSession(f"https://{LOOPBACK}:{port}", connector=connector)


async def forged(http: aiohttp.ClientSession) -> str:
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


async def watched(http: aiohttp.ClientSession, wallet: WalletStub) -> str:
    async with http.ws_connect("/v1/stream", protocols=["wallet.v1"], origin=str(http._base_url)) as stream:
        await stream.send_str('{"op":"subscribe","id":1,"accounts":[{"account":"bob"}]}')
        await until(stream, "posted", "0")
        await wallet.transfer("alice", "bob", 5)
        await until(stream, "posted", "5")
        return str(stream._response.headers["X-Request-Id"])


async def until(stream: aiohttp.ClientWebSocketResponse, field: str, value: str) -> None:
    while True:
        frame = await stream.receive_json()
        if frame["op"] == "balances" and any(item[field] == value for item in frame["items"]):
            return


async def told(http: aiohttp.ClientSession, wallet: WalletStub) -> str:
    """Events come one by one, while the answer goes on: nothing waits for a buffer to fill."""
    async with http.get("/v1/stream/sse?accounts=bob") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for posted in ("5", "6", "7"):
            while f'"posted":"{posted}"'.encode() not in await answer.content.readline():
                pass
            await wallet.transfer("alice", "bob", 1)
        return answer.headers["X-Request-Id"]


async def large_heads_and_bodies(http: aiohttp.ClientSession) -> None:
    """A long token passes, and what is too much is said by the gateway, in its words."""
    async with http.get("/healthz", headers={"Authorization": f"Bearer {'a' * 16 * 1024}"}) as answer:
        assert answer.status == 200
    async with http.post("/v1/transfers", data=b"a" * 200_000) as answer:
        assert (answer.status, (await answer.json(content_type=None))["code"]) == (413, "body_too_large")


async def no_gateway(http: aiohttp.ClientSession) -> None:
    """Nothing left for any: so nothing was taken, and who asks is told so."""
    for method, path in (("POST", "/v1/transfers"), ("PUT", "/v1/accounts/alice"), ("GET", "/v1/accounts/alice")):
        async with http.request(method, path, json={}) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "1"), method
            assert answer.headers["Content-Type"] == PROBLEM
            assert await answer.json(content_type=None) == problem_document("upstream_unavailable"), method
    for path in ("/v1/stream", "/v1/stream/sse"):
        async with http.get(f"{path}?accounts=alice&ticket=secret") as answer:
            assert answer.status == 503, path


class Answers:
    """A gateway that reads each request and answers what it is told to; nothing: it ends the connection."""

    def __init__(self, answer: bytes) -> None:
        self.asked = list[str]()
        self._answer = answer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /readyz "):  # as it is asked by who looks whether it is well
            writer.write(OPEN)
            return
        if b"content-length: 2\r\n" in head.lower():
            assert await reader.readexactly(2) == b"{}"
        self.asked.append(head.partition(b" ")[0].decode())
        writer.write(self._answer)


STOPPING = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
OPEN = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def standing(stack: AsyncExitStack, gateway: Serve) -> str:
    """`host:port`."""
    return f"{LOOPBACK}:{await stack.enter_async_context(listening(gateway))}"
