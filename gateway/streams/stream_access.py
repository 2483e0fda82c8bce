"""Where a socket comes from, its request id, and its lines in the access log: one when it opens, one when it closes."""

from __future__ import annotations

import asyncio
from typing import Final

from websockets.datastructures import Headers
from websockets.frames import Close
from websockets.http11 import Response

from fanfold.api.routes import STREAM_PATH
from gateway.arrivals.access_log import AccessLog
from gateway.arrivals.arrival import Arrival, Arrivals
from gateway.arrivals.forwarded import Address

LOST: Final = 1006
"""Of a connection that ended without a close frame (RFC 6455 section 7.4.1)."""


class StreamAccess:
    """Of all sockets of a gateway. log: None: nothing is written."""

    def __init__(self, arrivals: Arrivals, log: AccessLog | None = None) -> None:
        self._arrivals = arrivals
        self._log = log

    def arrived(self, transport: asyncio.BaseTransport, headers: Headers) -> Arrival:
        """headers: of the handshake; none where they cannot be read. Its `client` is who asks, proxies looked through."""
        pairs = [
            (name.lower().encode("latin-1", "replace"), value.encode("latin-1", "replace"))
            for name, value in headers.raw_items()
        ]
        return self._arrivals.of(_peer(transport), "http", pairs)

    def answered(self, arrival: Arrival, response: Response) -> Arrival | None:
        """The handshake is answered, with its id. Returns what is to be kept until the end; None for nothing."""
        response.headers["X-Request-Id"] = arrival.trace.request_id.decode()
        opened = response.status_code == 101
        if self._log is not None:
            size = len(response.body or b"")
            self._tell(arrival, "open" if opened else "request", response.status_code, size, None)
        return arrival if opened and self._log is not None else None

    def closed(self, arrival: Arrival, sent_bytes: int, close: Close | None, principal: str | None) -> None:
        """close: of who said it first; None: the connection was lost. principal: who was at it in the end."""
        arrival.principal = principal
        self._tell(arrival, "close", 101, sent_bytes, LOST if close is None else close.code)

    def _tell(self, arrival: Arrival, event: str, status: int, size: int, code: int | None) -> None:
        if self._log is not None:
            took_s = self._arrivals.clock() - arrival.began_s
            self._log.add(arrival, event, "GET", STREAM_PATH, status=status, sent_bytes=size, took_s=took_s, code=code)


def _peer(transport: asyncio.BaseTransport) -> Address | None:
    peer = transport.get_extra_info("peername")
    return (str(peer[0]), int(peer[1])) if isinstance(peer, list | tuple) and len(peer) >= 2 else None
