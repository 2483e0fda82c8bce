"""Around everything that the public port answers: where a request comes from, its name in all logs, what every answer says to a
browser, and the line of the access log."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import structlog

from fanfold.api.routes import EVENT_STREAM
from fanfold.doors.answer import problem
from fanfold.doors.answer import send as send_answer
from fanfold.doors.security_headers import ALWAYS, HTTPS_ONLY, POLICY
from gateway.arrivals.access_log import AccessLog
from gateway.arrivals.arrival import SCOPE, Arrival, Arrivals, request_id_of
from gateway.doors.cross_origin import CrossOrigin
from gateway.proxy.asgi import App, Message, Receive, Scope, Send

Headers = Sequence[tuple[bytes, bytes]]

_log = structlog.get_logger(__name__)
_EVENTS: Final = (b"content-type", EVENT_STREAM.encode())


class PublicDoor:
    """ASGI 3, around the gateway's own application, which finds the client in `scope["client"]` and the scheme that it used in
    `scope["scheme"]`, and all of what is known in `scope[SCOPE]`. log: None: nothing is written of it. cross_origin: what the
    application tells pages of other origins, for the answers that are made here."""

    def __init__(
        self, app: App, arrivals: Arrivals, log: AccessLog | None = None, cross_origin: CrossOrigin | None = None
    ) -> None:
        self._app = app
        self._cross_origin = cross_origin
        self._arrivals = arrivals
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        arrival = self._arrivals.of(scope.get("client"), scope.get("scheme", "http"), scope["headers"])
        inner = {**scope, "client": arrival.client, "scheme": arrival.scheme, SCOPE: arrival}
        if self._log is None:
            await self._answered(inner, receive, _Answer(arrival, send))
            return
        answer = _ToldAnswer(arrival, send, scope, self._log, self._arrivals.clock)
        try:
            await self._answered(inner, receive, answer)
        finally:
            answer.tell()

    async def _answered(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        """What fails is answered in the words of the API, as long as nothing was said; else the server cuts the answer off."""
        try:
            await self._app(scope, receive, answer.send)
        except Exception:
            if answer.begun:
                raise
            _log.exception("request_failed", request_id=request_id_of(scope))
            send = answer.send if self._cross_origin is None else self._cross_origin.telling(scope, answer.send)
            await send_answer(send, problem("internal"))


class _Answer:
    """One answer on its way out."""

    __slots__ = ("_arrival", "_send", "begun")

    def __init__(self, arrival: Arrival, send: Send) -> None:
        self._arrival = arrival
        self._send = send
        self.begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            message["headers"] = self._with_ours(message.get("headers", ()))
        await self._send(message)

    def _with_ours(self, headers: Headers) -> Headers:
        told = [*headers, *ALWAYS, (b"x-request-id", self._arrival.trace.request_id)]
        if not any(name == POLICY[0] for name, _ in headers):
            told.append(POLICY)
        if self._arrival.scheme == "https":
            told.append(HTTPS_ONLY)
        return told


class _ToldAnswer(_Answer):
    """One that is written down."""

    __slots__ = ("_bytes", "_clock", "_ended", "_log", "_scope", "_status", "_stream")

    def __init__(self, arrival: Arrival, send: Send, scope: Scope, log: AccessLog, clock: Callable[[], float]) -> None:
        super().__init__(arrival, send)
        self._scope = scope
        self._log = log
        self._clock = clock
        self._status = self._bytes = 0
        self._ended = self._stream = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            self._status = message["status"]
            self._stream = _EVENTS in message.get("headers", ())
            message["headers"] = self._with_ours(message.get("headers", ()))
            if self._stream:
                self._tell("open")
        else:
            self._bytes += len(message.get("body", b""))
            self._ended = not message.get("more_body", False)
        await self._send(message)

    def tell(self) -> None:
        """It is over."""
        self._tell("close" if self._stream else "request")

    def _tell(self, event: str) -> None:
        scope = self._scope
        self._log.add(
            self._arrival,
            event,
            scope["method"],
            scope["path"],
            status=self._status,
            sent_bytes=0 if scope["method"] == "HEAD" else self._bytes,
            took_s=self._clock() - self._arrival.began_s,
            cut=bool(self._status) and not self._ended and not self._stream,
        )
