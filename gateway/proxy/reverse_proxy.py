"""Which request goes to which side, and what every request must be before it goes anywhere.

Only what the table names passes: `/internal/` of a side can never be reached from outside.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Final, NamedTuple

import structlog

from fanfold.api.answer_headers import POSITION_BYTES_MAX, PRINCIPAL
from fanfold.api.requests import BODY_BYTES_MAX
from fanfold.api.routes import BATCH, ROUTES, Side
from fanfold.doors.answer import RETRY_AFTER_SECONDS, problem
from fanfold.doors.answer import send as send_answer
from fanfold.doors.request import DISCARDED_BYTES_MAX, PRINCIPAL_NAME
from gateway.arrivals.arrival import SCOPE as ARRIVAL
from gateway.arrivals.arrival import Arrival, request_id_of
from gateway.arrivals.trace import REQUEST_ID, TRACEPARENT, TRACESTATE
from gateway.metrics import Metrics
from gateway.proxy.asgi import Message, Receive, Scope, Send
from gateway.proxy.circuit import CircuitOpen
from gateway.proxy.named_command import named_by
from gateway.proxy.upstream import HOP_BY_HOP, Crowded, NoAnswerInTime, NotSent, Upstream, UpstreamUnavailable
from gateway.proxy.written import LOST_NAME, POSITION_NAME, WRITTEN_NAME, Written

_SEGMENT: Final = r"(?!\.{1,2}(?:/|\Z))[^/]+"
"""What a path segment may be beside this, the sides say."""


def _table() -> list[tuple[re.Pattern[str], dict[str, Side]]]:
    """Of each public path its pattern, decoded, and the side of each method."""
    paths: dict[str, dict[str, Side]] = {}
    for each in ROUTES:
        if each.public:
            paths.setdefault(re.sub(r"\{[a-z]+\}", "{}", each.path), {})[each.method] = each.side
    return [(re.compile(path.replace("{}", _SEGMENT) + r"\Z", re.DOTALL), sides) for path, sides in paths.items()]


_TABLE: Final = _table()

DROPPED: Final = (HOP_BY_HOP - {b"transfer-encoding"}) | {
    b"expect",
    b"forwarded",
    b"x-real-ip",
    REQUEST_ID,
    TRACEPARENT,
    TRACESTATE,
    POSITION_NAME,
    WRITTEN_NAME,
    LOST_NAME,
    PRINCIPAL_NAME,
    b"authorization",
}
"""What is between the client and the gateway only, and what no side may believe from a client.

`transfer-encoding` stays as the sign of a body without a length; `OverHttp` frames such a body again.
"""

Headers = Sequence[tuple[bytes, bytes]]
Answered = Callable[[Headers], Headers]

_log = structlog.get_logger(__name__)


STILL: Final = "fanfold.still"
"""In a scope: a function that says whether who asked may ask still. A body, a look or a wait takes a while, and meanwhile they
may have been shut out."""


class Refused(NamedTuple):
    """A request that goes nowhere: the problem's word, and methods that the address does take."""

    word: str
    allow: str = ""


def route(method: str, path: str) -> Side | Refused:
    """Where a request goes. HEAD is answered wherever GET is."""
    for pattern, sides in _TABLE:
        if pattern.match(path):
            asked = "GET" if method == "HEAD" else method
            allowed = [*sides, "HEAD"] if "GET" in sides else list(sides)
            return sides[asked] if asked in sides else Refused("method_not_allowed", ", ".join(allowed))
    return Refused("not_found")


def passed_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Names are lower case already (ASGI). What `connection` names belongs to this connection too."""
    named = {token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")}
    # A client must not unframe its body by naming the length as a header of the connection.
    dropped = DROPPED | (named - {b"content-length", b"transfer-encoding", b"content-type", b"host"})
    return [each for each in headers if each[0] not in dropped and not each[0].startswith(b"x-forwarded-")]


class _Guard:
    """One request on its way: counts the body, remembers whether an answer has begun. answered: reads the head of the answer, and
    says what of it is passed on."""

    def __init__(self, receive: Receive, send: Send, bytes_max: int, answered: Answered) -> None:
        self.unread = receive
        """The client's own, for what is left of the body."""
        self._send = send
        self._left = bytes_max
        self._answered = answered
        self.too_large = False
        self.still: Callable[[], bool] = _always
        self.ended = False
        self.cut = False
        """The body will not end: the client went away in it, or it is too large. No side is to blame for what follows."""
        self.status = 0
        self.body: list[bytes] | None = None
        """What came of it, where that is kept."""

    async def receive(self) -> Message:
        if self.too_large:
            return {"type": "http.disconnect"}
        message = await self.unread()
        self.cut = self.cut or (message["type"] == "http.disconnect" and not self.ended)
        self.ended = message["type"] == "http.disconnect" or not message.get("more_body", False)
        self._left -= len(message.get("body", b""))
        if self.body is not None and (part := message.get("body")):
            self.body.append(part)
        if self._left < 0:
            self.too_large = self.cut = True
            return {"type": "http.disconnect"}
        if self.ended and not self.still():
            self.cut = True  # nothing is done of a request whose end no side hears
            return {"type": "http.disconnect"}
        return message

    async def send(self, message: Message) -> None:
        if self.too_large and not self.status:
            return  # what a side says to a body cut short is not the answer
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._answered(message.get("headers", ()))
        await self._send(message)


def _always() -> bool:
    return True


SHUT_OUT: Final = "It was revoked, or its rights have changed, since this request began: nothing was done. Ask again."

DISCARD_SECONDS_MAX: Final = 30
"""A refused body is read on up to here: longer ones are no client's mistake."""


ONLY_READ: Final = "This was only a question: no money is affected. Ask again soon."
"""For what the read side does not answer: the table's words are for writes, which may have been made."""

NEVER_SENT: Final = (
    "This request never left the gateway: nothing was done, and it moved no money. Send it again soon with the same id."
)
"""For a write that did not reach the write side."""


class ReverseProxy:
    """An ASGI application for everything under `/v1/` but the stream."""

    def __init__(
        self, write_side: Upstream, read_side: Upstream, metrics: Metrics, request_bytes_max: int, written: Written
    ) -> None:
        self._sides: dict[Side, Upstream] = {"write": write_side, "read": read_side}
        self._answered: dict[Side, Answered] = {"write": self._write_answered, "read": self._read_answered}
        self._written = written
        self._metrics = metrics
        self._away: set[Side] = set()
        self._request_bytes_max = request_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        side = route(scope["method"], scope["path"])
        if isinstance(side, Refused):
            await discard(receive)
            self._metrics.refused_with(side.word)
            allow = [(b"allow", side.allow.encode())] if side.allow else ()
            await send_answer(send, problem(side.word), more=allow)
            return
        length = _declared_length(scope["headers"])
        if length is None or length > self._request_bytes_max:
            await discard(receive)
            word = "body_malformed" if length is None else "body_too_large"
            self._metrics.refused_with(word)
            await send_answer(send, problem(word))
            return
        guard = _Guard(receive, send, self._request_bytes_max, self._answered[side])
        if side == "write" and 0 < length <= BODY_BYTES_MAX and scope["path"] != BATCH.path:
            guard.body = []  # of a command at most: when nobody knows what became of it, its id is named
        still: Callable[[], bool] | None = scope.get(STILL)
        if still is not None:
            if not still():
                await discard(receive)
                self._metrics.refused_with("token_invalid")
                await send_answer(send, problem("token_invalid", detail=SHUT_OUT))
                return
            guard.still = still
        await self._pass_on(side, scope, guard, send)

    async def inquire(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask the read side what no client may ask it: with what was written through this gateway."""
        await self._pass_on("read", scope, _Guard(receive, send, self._request_bytes_max, self._read_answered), send)

    def _write_answered(self, headers: Headers) -> Headers:
        """Noted before its client hears of it, so that whatever it asks next comes later. What is too long for some proxy on the
        way is left out: a head that is refused there would hide what became of the money."""
        told = self._written.answered(headers)
        return headers if told <= POSITION_BYTES_MAX else [each for each in headers if each[0] != POSITION_NAME]

    def _read_answered(self, headers: Headers) -> Headers:
        for name, _ in headers:
            if name == LOST_NAME:
                self._written.lost(headers)
                return [each for each in headers if each[0] != LOST_NAME]
        return headers

    async def _pass_on(self, side: Side, scope: Scope, guard: _Guard, send: Send) -> None:
        headers = passed_headers(scope["headers"])
        if side == "read" and (written := self._written.header_of(scope["path"], scope["query_string"])) is not None:
            headers.append(written)
        if side == "write" and PRINCIPAL in scope:
            headers.append((PRINCIPAL_NAME, scope[PRINCIPAL]))
        inner = dict(scope) | {"headers": headers}
        arrival: Arrival | None = scope.get(ARRIVAL)
        if arrival is not None:
            headers += arrival.trace.headers
        if scope["method"] == "HEAD":
            inner["method"] = "GET"  # the server that answers the client leaves the body out
        word, sent, retry_after_s = None, True, RETRY_AFTER_SECONDS
        began_s = perf_counter()
        try:
            await self._sides[side](inner, guard.receive, guard.send)
            if side in self._away:
                self._away.discard(side)
                _log.info("upstream_back", side=side)
        except Crowded:
            word, sent = "overloaded", False
        except CircuitOpen as shut:
            word, sent, retry_after_s = "upstream_unavailable", False, shut.retry_after_s
        except UpstreamUnavailable as gone:
            word, sent = _word_of(gone), not isinstance(gone, NotSent)
            # Once, not for every request of an outage: the metrics count those.
            if not guard.cut and side not in self._away:
                self._away.add(side)
                _log.warning("upstream_unavailable", side=side, reason=str(gone))
        except Exception:
            word = "internal"
            if not guard.too_large:
                _log.exception("upstream_failed", side=side, request_id=request_id_of(scope))
        if arrival is not None:
            arrival.took(perf_counter() - began_s)
        if not guard.status and (word is not None or guard.too_large):
            if not guard.ended:
                await discard(guard.unread)
            detail = ONLY_READ if side == "read" else None if sent else NEVER_SENT
            word = "body_too_large" if guard.too_large else word or "internal"
            self._metrics.refused_with(word)
            about = named_by(scope, b"".join(guard.body)) if sent and guard.body is not None else {}
            await send_answer(send, problem(word, detail=detail, **about)._replace(retry_after_s=retry_after_s))
        self._metrics.passed_on(side, guard.status)


def _word_of(gone: UpstreamUnavailable) -> str:
    """By what is known: nothing was asked (503); it was, and no whole answer came (502), or none in time (504)."""
    if isinstance(gone, NotSent):
        return "upstream_unavailable"
    return "upstream_timeout" if isinstance(gone, NoAnswerInTime) else "upstream_failed"


async def discard(receive: Receive) -> None:
    """Read the rest of a body that nobody wants: a connection closed over unread bytes is reset, and its client would get
    the reset instead of the answer. Gives up at `DISCARDED_BYTES_MAX` or `DISCARD_SECONDS_MAX`."""
    left = DISCARDED_BYTES_MAX
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS_MAX):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return


def _declared_length(headers: list[tuple[bytes, bytes]]) -> int | None:
    """The body's declared length, 0 when none is declared; None when it is not one plain number."""
    lengths = {value for name, value in headers if name == b"content-length"}
    if not lengths:
        return 0
    [length, *others] = lengths
    return int(length) if not others and length.isdigit() and len(length) <= 18 else None
