"""uvicorn's HTTP protocol, strict where httptools and uvicorn may read the same bytes differently or wait for ever.

- The head of a request, and what stands between the pieces of a body, has a bound in bytes, and a head has one in time.
- Where a request ends, only its framing says. A request that asks for an upgrade which is not offered (`h2c`, or `websocket`
  where it cannot be: with a body, in HTTP/1.0, behind a request that is not answered yet) is read again without the wish, body
  and all. httptools alone takes such a body for the next request.
- Bytes that are no request are answered in their turn, never in the place of an answer that is still to come.
- A body in any coding but `chunked` alone (RFC 9112 section 6.1) and a target with a fragment (section 3.2) are no requests, and
  another version than HTTP/1.0 or 1.1 is told so: httptools would pass all of them on as if they were plain.
- Trailers are not headers (RFC 9110 section 6.5.1).
- Requests for a host that is not ours are refused, upgrades too (`allowed_hosts.py`).
- A client that takes nothing of its answer for a time is cut off: it would keep the connection, and what waits for it, for ever.
- Connections beyond what leaves the log its files are closed with a 503 (`descriptors.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from deploy.allowed_hosts import AllowedHosts, refusal, refused_with
from fanfold.api.problems import PROBLEMS
from fanfold.api.routes import PROBLEM
from fanfold.doors.security_headers import ALWAYS, POLICY

HEAD_BYTES_MAX: Final = 64 * 1024
"""Request line and headers together; four times what browsers and proxies send at most. More ends the connection with a 400."""

HEAD_MS_MAX: Final = 15_000
"""From the opening of a connection, or the first byte of a later request, to the end of its head; a slow phone needs 2,000."""

PIPELINED_MAX: Final = 16
"""Requests of one connection that wait for the answers before theirs; with more, nothing is read until one is answered."""

UNREAD_MS_MAX: Final = 40_000
"""So long nobody reads nothing of an answer that waits for him: a stream is given as much, a ping and its pong."""

REFUSED_BODY_SECONDS_MAX: Final = 10
"""The body of a refused request is read for so long, so that its client reads the answer and no reset."""


Headers = Iterable[tuple[bytes, bytes]]
ToldPages = Callable[[Headers], Headers]
"""Of the headers of a request: what an answer says more, so that pages of other origins may read it (or may not)."""


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection. What is held of an unfinished head is the bound and one read of the socket at most."""

    def __init__(
        self,
        hosts: AllowedHosts,
        head_ms: int,
        connections_max: int,
        *arguments: Any,
        told_pages: ToldPages | None = None,
        **named: Any,
    ) -> None:
        super().__init__(*arguments, **named)
        self._hosts = hosts
        self._told_pages = told_pages
        self._connections_max = connections_max
        self._head_ms = head_ms
        self._served = self.app
        self._in_head = True
        self._head_begun = False
        self._unparsed_bytes = 0
        """Received since the parser last gave a whole head, a piece of a body or the end of a request."""
        self._unanswered: list[RequestResponseCycle] = []
        self._ended: str | None = None
        """Why nothing more is read. Said when the requests before are answered."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None

    # Called by the transport.

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._connections_max:
            self._ended = "full"
            transport.write(_FULL)
            self._close()
        else:
            self._watch_head(waiting=True)

    def connection_lost(self, exc: Exception | None) -> None:
        self._watch_head(waiting=False)
        self._stop_watching_unread()
        for cycle in self._unanswered:  # uvicorn tells the last one only
            _disconnect(cycle)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_unread()

    def resume_writing(self) -> None:
        if not self.transport.is_closing():
            self._stop_watching_unread()
        super().resume_writing()

    def eof_received(self) -> None:
        """The transport closes itself then."""
        super().eof_received()
        self._watch_the_last()

    def timeout_keep_alive_handler(self) -> None:
        self._close()

    def _close(self) -> None:
        """A transport that is closed waits for who takes nothing of what is left for him as long as he likes."""
        self.transport.close()
        self._watch_the_last()

    def _watch_the_last(self) -> None:
        if self._unread_timer is None and self.transport.get_write_buffer_size():
            self._watch_unread()

    def data_received(self, data: bytes) -> None:
        if self._ended is not None:
            return
        self._unset_keepalive_if_required()
        unread: bytes | None = data
        while unread is not None:  # a read may hold thousands of requests that ask for an upgrade
            self._unparsed_bytes += len(unread)
            fed, unread = unread, None
            try:
                self.parser.feed_data(fed)
            except httptools.HttpParserUpgrade as upgrade:
                unread = self._upgrade(fed[upgrade.args[0] :])
                if unread is None:
                    return
            except httptools.HttpParserError:
                self._end("Invalid HTTP request received.")
                return
        if self._unparsed_bytes > HEAD_BYTES_MAX:
            self._end("The head of the request is too large.")
        else:
            # Blank lines before a request line begin no head that the parser tells of, and end the wait for one all the same.
            self._watch_head(waiting=self._head_begun or (self._in_head and not self._unanswered))

    # Called by the parser.

    def on_message_begin(self) -> None:
        self._in_head = self._head_begun = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            self._in_head, self._head_begun, self._unparsed_bytes = False, False, 0
            self.scope["method"] = self.parser.get_method().decode("ascii")
            return  # `_upgrade` says what becomes of it
        if self._is_misread():
            raise ValueError  # httptools ends with it: nothing more of this connection is believed
        refused = self._version_refused() or self._host_refused()
        self.app = self._served if refused is None else _Refused(*refused, self._told())
        super().on_headers_complete()  # raises for a target that is no path: then the head is what is broken
        if self.scope["method"] != "HEAD":  # no body is written behind that one's
            self.cycle.transport = _HeadWithBody(self.transport)  # type: ignore[assignment]  # all that it uses
        self._unanswered.append(self.cycle)
        self._in_head, self._head_begun, self._unparsed_bytes = False, False, 0
        if len(self.pipeline) < PIPELINED_MAX:
            self.flow.resume_reading()  # who does not read does not see its client leave

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head, self._unparsed_bytes = True, 0
        if not self.parser.should_upgrade():
            super().on_message_complete()

    # Upgrades.

    def _upgrade(self, rest: bytes) -> bytes | None:
        """The parser has stopped behind a head that asks for another protocol; `rest` came in the same read.

        Returns what is to be read again, by a new parser; None when nothing is.
        """
        if self._offers_upgrade() and not rest:
            self._watch_head(waiting=False)
            self.handle_websocket_upgrade()
            self._stop_watching_unread()  # what is left of an answer is the stream's now, and so is who does not read it
            if self.flow.write_paused:  # which the transport tells once only, and told us
                self.transport.get_protocol().pause_writing()
            self.parser = None  # type: ignore[assignment]  # both would be kept until the collector's next pass
            return None
        if self.scope["method"] == "CONNECT":
            self._end("This is no proxy.")
            return None
        again = self._head_without_upgrade() + rest
        self._in_head, self._unparsed_bytes = True, 0
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's constructor does
        return again

    def _offers_upgrade(self) -> bool:
        """A handshake as RFC 6455 section 4.1 has it, for us, on a connection that owes no answer."""
        asked = [value.strip().lower() for name, value in self.headers if name == b"upgrade"]
        framed = any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)
        return (
            asked == [b"websocket"]
            and self._should_upgrade_to_ws()
            and self.scope["method"] == "GET"
            and self.parser.get_http_version() == "1.1"
            and not framed
            and not self._unanswered
            and not self._is_misread()
            and self._host_refused() is None
        )

    def _head_without_upgrade(self) -> bytes:
        lines = [b"%s %s HTTP/%s" % (self.scope["method"].encode(), self.url, self.parser.get_http_version().encode())]
        for name, value in self.headers:
            if name == b"connection":
                value = b", ".join(token for token in value.split(b",") if token.strip().lower() != b"upgrade")
            if name != b"upgrade":
                lines.append(name + b": " + value)
        return b"\r\n".join([*lines, b"", b""])

    # Refusing.

    def _is_misread(self) -> bool:
        """Whether the parser has taken for plain what is not: a coding before `chunked`, or a fragment."""
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        return b"#" in self.url or any(coding != b"chunked" for coding in codings)

    def _version_refused(self) -> tuple[int, bytes] | None:
        return None if self.parser.get_http_version() in ("1.0", "1.1") else refused_with("version_unsupported")

    def _host_refused(self) -> tuple[int, bytes] | None:
        """Of the request whose head is complete. An HTTP/1.0 request without a host is no browser's."""
        hosts = [value.decode("latin-1").strip() for name, value in self.headers if name == b"host"]
        if not hosts and self.parser.get_http_version() == "1.0":
            return None
        if len(hosts) != 1 or not hosts[0]:
            return refusal(None)
        # Of `GET http://name/path`, where it counts more than the header.
        target = b"" if self.url.startswith(b"/") else httptools.parse_url(self.url).host or b""
        for authority in (*hosts, target.decode("latin-1")):
            if authority and not self._hosts.allow(authority):
                return refusal(authority)
        return None

    def _end(self, why: str) -> None:
        """Read nothing more. Whoever was asked for before is answered first."""
        self._ended = why
        self._watch_head(waiting=False)
        if not self._in_head and self._unanswered and self.cycle is self._unanswered[-1]:
            # The broken bytes are the body of this one: it will never be whole.
            broken = self._unanswered.pop()
            if self.pipeline and self.pipeline[0][0] is broken:
                self.pipeline.popleft()
            elif broken.response_started:
                self._close()
            _disconnect(broken)
        self._say_ended()

    def _say_ended(self) -> None:
        if self._ended is not None and not self._unanswered and not self.transport.is_closing():
            self.send_400_response(self._ended)

    def send_400_response(self, msg: str) -> None:
        """As uvicorn's, but a problem document: whoever reads answers reads this one too."""
        detail = f"{msg} {PROBLEMS['request_malformed'].detail}"
        more = "".join(f"{name.decode()}: {value.decode('latin-1')}\r\n" for name, value in self._told())
        self.transport.write(_whole(refused_with("request_malformed", detail=detail), more))
        self._close()

    def _told(self) -> Headers:
        """Of what is read of the head. Of a connection that finds no place nothing is, so no page can read why."""
        return () if self._told_pages is None else self._told_pages(self.headers)

    def on_response_complete(self) -> None:
        self._unanswered = [cycle for cycle in self._unanswered if not cycle.response_complete]
        super().on_response_complete()
        self._say_ended()
        if self.transport.is_closing():
            self._watch_the_last()

    # Time.

    def _watch_head(self, *, waiting: bool) -> None:
        if waiting and self._head_timer is None:
            self._head_timer = self.loop.call_later(self._head_ms / 1000, self._head_overdue)
        elif not waiting and self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _watch_unread(self) -> None:
        """From when an answer waits for its client: look whether it takes some, until it has taken enough."""
        unread_bytes = self.transport.get_write_buffer_size()
        self._unread_timer = self.loop.call_later(UNREAD_MS_MAX / 1000, self._look_at_unread, unread_bytes)

    def _look_at_unread(self, before_bytes: int) -> None:
        if self.transport.get_write_buffer_size() < before_bytes:
            self._watch_unread()
        else:
            self.transport.abort()

    def _stop_watching_unread(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _head_overdue(self) -> None:
        self._head_timer = None
        if self._head_begun:
            self._end("The head of the request did not come in time.")
        elif not self._unanswered and not self.transport.is_closing():
            self._close()


class _HeadWithBody:
    """The transport of one answer. A head that tells the length of its body waits for it: written apart, each of the two is
    a call of the system, a packet, and a client that wakes up for half an answer. The head of a stream leaves at once."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._begun = False

    def write(self, data: bytes) -> None:
        if not self._begun and not data.startswith(_CONTINUE):
            self._begun = True
            if _LENGTH in data:
                self._head = data
                return
        if self._head:
            data, self._head = self._head + data, b""
        self._transport.write(data)

    def close(self) -> None:
        if self._head:
            self._transport.write(self._head)
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


_CONTINUE: Final = b"HTTP/1.1 100 "
_LENGTH: Final = b"\r\ncontent-length: "
"""As uvicorn writes them."""


_SECURITY: Final = "".join(f"{name.decode()}: {value.decode()}\r\n" for name, value in (*ALWAYS, POLICY))


def _whole(refused: tuple[int, bytes], more: str = "") -> bytes:
    """A refusal as it is written where no application runs, the last answer of its connection."""
    status, body = refused
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {PROBLEM}\r\n{more}{_SECURITY}connection: close\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1") + body


_FULL: Final = _whole(
    refused_with(
        "overloaded",
        detail="Too many connections are open. Nothing was read from this one, or done. Try again soon with the same id.",
    ),
    "retry-after: 1\r\n",
)


def _disconnect(cycle: RequestResponseCycle) -> None:
    """What its application hears is that the client is gone."""
    cycle.disconnected = True
    cycle.message_event.set()


class _Refused:
    """An ASGI application with one answer."""

    def __init__(self, status: int, body: bytes, more: Headers) -> None:
        self._status = status
        self._body = body
        self._more = more

    async def __call__(self, _: Any, receive: Any, send: Any) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(REFUSED_BODY_SECONDS_MAX):
                while (await receive()).get("more_body", False):
                    pass
        headers = [
            (b"content-type", PROBLEM.encode()),
            (b"content-length", b"%d" % len(self._body)),
            (b"connection", b"close"),
            *ALWAYS,
            POLICY,
            *self._more,
        ]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})
