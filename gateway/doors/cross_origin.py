"""Pages of other origins that may ask here: what browsers are told (Fetch, section 3.2).

Only listed origins are told anything, each by its name: who is not listed is answered as ever, and the browser keeps the answer
from the page. Credentials are never allowed: a page sends its token itself, and there are no cookies to ride on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from fanfold.api.answer_headers import HISTORY, POSITION, REPLAYED, STALE_SINCE
from fanfold.api.routes import ROUTES
from gateway.proxy.asgi import Scope, Send, with_headers

Headers = Iterable[tuple[bytes, bytes]]

_ASKED: Final = (
    b"authorization, content-type, idempotency-key, last-event-id, prefer, traceparent, tracestate, x-request-id"
)
_METHODS: Final = ", ".join(sorted({"HEAD", *(route.method for route in ROUTES if route.public)})).encode()
_EXPOSED: Final = ", ".join(
    (
        POSITION,
        HISTORY,
        REPLAYED,
        STALE_SINCE,
        "RateLimit",
        "RateLimit-Policy",
        "Retry-After",
        "WWW-Authenticate",
        "X-Request-Id",
    )
).encode()
"""What a page may read of an answer's head, beside what browsers always show."""

_KEPT_SECONDS: Final = b"600"
"""So long a browser asks no more before each request; Chromium takes two hours at most, and who takes a page off the list waits
for it."""

_VARY: Final = (b"vary", b"Origin")


class CrossOrigin:
    """origins: as browsers write them; `*`: all."""

    def __init__(self, origins: frozenset[str]) -> None:
        self._all = "*" in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    def _allowed(self, headers: Headers) -> bytes | None:
        """The origin of a page that may ask; None where none says so. headers: of the request."""
        said = [value for name, value in headers if name == b"origin"]
        if len(said) != 1 or not (self._all or said[0] in self._origins):
            return None
        return said[0]

    def told(self, headers: Headers) -> list[tuple[bytes, bytes]]:
        """Of an answer to a request with these headers: caches keep those of different origins apart, and listed ones may read
        them."""
        origin = self._allowed(headers)
        if origin is None:
            return [_VARY]
        return [_VARY, (b"access-control-allow-origin", origin), (b"access-control-expose-headers", _EXPOSED)]

    def telling(self, scope: Scope, send: Send) -> Send:
        """In the place of `send`."""
        return with_headers(send, self.told(scope["headers"]))

    async def answers_preflight(self, scope: Scope, send: Send) -> bool:
        """Whether it was a browser that asks what a page of a listed origin may ask: it is answered."""
        if scope["method"] != "OPTIONS" or self._allowed(scope["headers"]) is None:
            return False
        if not any(name == b"access-control-request-method" for name, _ in scope["headers"]):
            return False
        headers = [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _ASKED),
            (b"access-control-max-age", _KEPT_SECONDS),
            (b"vary", b"Access-Control-Request-Method, Access-Control-Request-Headers"),
        ]
        await self.telling(scope, send)({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return True
