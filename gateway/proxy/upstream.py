"""A side behind the gateway, as the proxy and the hub see it, and the adapter for one in this process.

A side is an ASGI application to the proxy, and answers the gateway's own small questions by `ask`. Nothing here ever sends a
request twice: a write may have been made although its answer was lost, and only the client has the id to ask again with.
`over_http.py` is the adapter for a side in another process.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

import structlog

from gateway.proxy.asgi import App, Message, Receive, Scope, Send, gone, own_request, said_again

HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade".split()
)
"""Headers that belong to one connection (RFC 9110 section 7.6.1); `connection` may name more."""

_log = structlog.get_logger(__name__)


class UpstreamUnavailable(Exception):
    """The side did not answer, or its answer ended early. What was asked may have been done."""


class NotSent(UpstreamUnavailable):
    """The side cannot be reached, and nothing of the request left this process: it was not done."""


class NoAnswerInTime(UpstreamUnavailable):
    """It was asked, and said nothing for as long as is waited. What was asked may have been done, or may be yet."""


class Crowded(NotSent):
    """As many requests as may be under way to the side are; this one waited its time and was not sent."""


class Upstream(Protocol):
    """One side."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on. Raises UpstreamUnavailable only before anything of the answer was sent; returns without an
        answer when the client has left."""
        ...

    async def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body of a small request of the gateway itself. path: its query, too. Raises UpstreamUnavailable."""
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
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body or b""))]
        scope, receive = own_request(method, path, headers), said_again(body or b"", gone)
        status, parts = 0, bytearray()

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
            raise NoAnswerInTime("no answer in time") from None
        except Exception as error:
            _log.exception("upstream_failed", path=path)
            raise UpstreamUnavailable("it failed") from error
        return status, bytes(parts)

    async def close(self) -> None:
        """Nothing to close: the application belongs to whoever built it."""
