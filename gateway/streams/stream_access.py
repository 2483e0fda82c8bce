"""Where a socket comes from, its request id, and its lines in the access log: one when it opens, one when it closes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from websockets.datastructures import Headers
from websockets.frames import Close
from websockets.http11 import Response

from fanfold.api.problems import PROBLEMS
from fanfold.api.routes import STREAM_PATH
from gateway.arrivals.access_log import AccessLog
from gateway.arrivals.arrival import Arrival, Arrivals
from gateway.arrivals.forwarded import Address
from gateway.protocol.submits import Failed, Request, Told

LOST: Final = 1006
"""Of a connection that ended without a close frame (RFC 6455 section 7.4.1)."""


class Submitted(NamedTuple):
    """What became of a submit. status: 200 where its commands were answered, each for itself; else of the problem that was told;
    0: nobody was there to be told. took_s: from when they were passed on; None where they were not."""

    id: int
    status: int
    sent_bytes: int = 0
    commands: int | None = None
    took_s: float | None = None
    passed_as: bytes | None = None


def submits_told(request: Request, told: Sequence[Told], took_s: float) -> Iterator[Submitted]:
    """Of each submit of a request its line. took_s: of the request."""
    named = request.named
    for id, commands, each in zip(request.ids, request.counts, told, strict=True):
        if isinstance(each, Failed):
            status, size = PROBLEMS[each.code].status, 0
        else:
            status, size = 200, sum(len(answer) for answer in each)
        first = named is None or id == request.ids[0]
        yield Submitted(id, status, size, commands, took_s, None if first or named is None else named.request_id)


def refused_submit(id: int, code: str) -> Submitted:
    """Of a submit that went nowhere. code: that was told; "" where nobody was there to be told."""
    return Submitted(id, PROBLEMS[code].status if code else 0)


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

    def submitted(self, arrival: Arrival, told: Submitted, principal: str | None) -> None:
        """Commands of one submit are answered, or refused. principal: who submitted them."""
        if self._log is None:
            return
        line = Arrival(arrival.client, arrival.scheme, arrival.trace.of_submit(told.id), arrival.began_s)
        line.principal, line.upstream_s = principal, told.took_s
        self._log.add(
            line, "submit", "SUBMIT", STREAM_PATH, status=told.status, sent_bytes=told.sent_bytes, took_s=told.took_s or 0.0,
            commands=told.commands, passed_as=told.passed_as,
        )  # fmt: skip

    def _tell(self, arrival: Arrival, event: str, status: int, size: int, code: int | None) -> None:
        if self._log is not None:
            took_s = self._arrivals.clock() - arrival.began_s
            self._log.add(arrival, event, "GET", STREAM_PATH, status=status, sent_bytes=size, took_s=took_s, code=code)


def _peer(transport: asyncio.BaseTransport) -> Address | None:
    peer = transport.get_extra_info("peername")
    return (str(peer[0]), int(peer[1])) if isinstance(peer, list | tuple) and len(peer) >= 2 else None
