"""A side behind the gateway: in this process (its ASGI application) or another one (over HTTP).

Both are ASGI applications to the proxy, and both answer the gateway's own small questions by `ask`. Nothing here ever sends a
request twice: a write may have been made although its answer was lost, and only the client has the id to ask again with.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

import aiohttp
import structlog
from yarl import URL

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CONNECTIONS_MAX: Final = 256
"""Connections to one side: as many requests as it works on at once; more wait here for `upstream_connect_ms`."""

CHUNK_BYTES: Final = 64 * 1024
"""Bytes of an answer passed on at once."""

HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade".split()
)
"""Headers that belong to one connection (RFC 9110 section 7.6.1); `connection` may name more."""

_log = structlog.get_logger(__name__)


class UpstreamUnavailable(Exception):
    """The side could not be reached, or its answer ended early."""


class Upstream(Protocol):
    """One side."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on. Raises UpstreamUnavailable only before anything of the answer was sent."""
        ...

    async def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of a small request of the gateway itself. Raises UpstreamUnavailable."""
        ...

    async def close(self) -> None: ...


class InProcess:
    """`Upstream` for an ASGI application in this process."""

    def __init__(self, app: App, silence_ms: int) -> None:
        self._app = app
        self._silence_ms = silence_ms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body or b""))],
            "client": None,
            "server": None,
            "state": {},
        }
        status, parts = 0, bytearray()
        asked = [{"type": "http.request", "body": body or b"", "more_body": False}]

        async def receive() -> Message:
            return asked.pop() if asked else {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            else:
                parts.extend(message.get("body", b""))

        try:
            async with asyncio.timeout(self._silence_ms / 1000):
                await self._app(scope, receive, send)
        except TimeoutError:
            raise UpstreamUnavailable("no answer in time") from None
        except Exception as error:
            _log.exception("upstream_failed", path=path)
            raise UpstreamUnavailable("it failed") from error
        return status, bytes(parts)

    async def close(self) -> None:
        """Nothing to close: the application belongs to whoever built it."""


class OverHttp:
    """`Upstream` for a side in another process. Connects at the first request."""

    def __init__(self, url: str, connect_ms: int, silence_ms: int) -> None:
        self._base = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=connect_ms / 1000, sock_connect=connect_ms / 1000, sock_read=silence_ms / 1000
        )
        self._client: aiohttp.ClientSession | None = None

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                timeout=self._timeout,
                connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
        return self._client

    def _url(self, raw_path: bytes, query: bytes) -> URL:
        """As the client wrote it: decoding and encoding again could name another account."""
        text = self._base + raw_path.decode("latin-1") + ("?" + query.decode("latin-1") if query else "")
        return URL(text, encoded=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name != b"transfer-encoding"  # a body without a length is framed again here
        ]
        has_body = any(name in (b"content-length", b"transfer-encoding") for name, _ in scope["headers"])
        started = False
        try:
            async with self._session().request(
                scope["method"],
                self._url(scope["raw_path"], scope["query_string"]),
                headers=headers,
                data=_body(receive) if has_body else None,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            ) as response:
                answered = [
                    (name.lower(), value) for name, value in response.raw_headers if name.lower() not in HOP_BY_HOP
                ]
                started = True
                await send({"type": "http.response.start", "status": response.status, "headers": answered})
                async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if not started:
                raise UpstreamUnavailable(type(error).__name__) from error
            # The answer is half sent: returning without its end makes the server cut the connection, which says so.
            _log.warning("answer_cut_short", reason=type(error).__name__)

    async def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        headers = {"content-type": "application/json"} if body is not None else None
        try:
            async with self._session().request(
                method, self._url(path.encode(), b""), data=body, headers=headers, allow_redirects=False
            ) as response:
                return response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise UpstreamUnavailable(type(error).__name__) from error

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()


async def _body(receive: Receive) -> AsyncIterator[bytes]:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            # Never end a body early as if it were whole.
            raise ConnectionResetError("the client went away")
        if message.get("body"):
            yield message["body"]
        if not message.get("more_body", False):
            return
