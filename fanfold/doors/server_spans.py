"""A span for each request at a door (OpenTelemetry), and what follows from its answer. Imported only where traces are exported.

Who asks may say that a request is to be sampled (`traceparent`), and anybody may ask: so many a second are recorded at most.
Nothing of a span is somebody's: its address is a template, and its attributes are what the access log has, and positions.

Source: OpenTelemetry's semantic conventions for HTTP servers.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NamedTuple

from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)

from fanfold.api.answer_headers import POSITION
from fanfold.api.route_names import METHODS, RouteNames
from fanfold.api.routes import EVENTS, STREAM_PATH
from fanfold.doors.answer import Send
from fanfold.doors.harmless import Harmless
from fanfold.doors.incoming import Message, Receive
from fanfold.doors.request import Scope

App = Callable[[Scope, Receive, Send], Awaitable[None]]
Place = tuple[int, int]
"""Partition and sequence of a block."""

RECORDED_A_SECOND_MAX: Final = 100
"""0.7 ms of processor time each in one process, sending included: 7 % of a core."""
PLACES_MAX: Final = 8
"""Positions of one answer that are followed: a batch may be in as many blocks as there are partitions."""

TRACEPARENT: Final = b"traceparent"
_POSITION: Final = POSITION.lower().encode()


class Answered(NamedTuple):
    """A request that is recorded, once its answer has a head. began_ns, whole_ns: Unix time of its own head, and body's end."""

    span: Span
    places: list[Place]
    began_ns: int
    whole_ns: int


class ServerSpans:
    """ASGI 3, around an application. door: how names of spans begin. parent_of: the trace that a request is of, b"" for none of
    its own; begun: told the header that goes on in its place. answered: told before who asked is. What fails of a trace (a
    sampler of somebody's, what follows an answer) leaves the request as it is."""

    def __init__(
        self,
        app: App,
        tracer: Tracer,
        door: str,
        answered: Callable[[Answered], None] = lambda _: None,
        parent_of: Callable[[Scope], bytes] | None = None,
        begun: Callable[[Scope, bytes], None] = lambda *_: None,
        now_ns: Callable[[], int] = time.time_ns,
        *,
        recorded_a_second_max: int = RECORDED_A_SECOND_MAX,
    ) -> None:
        self._app = app
        self._tracer = tracer
        self._door = door
        self._answered = answered
        self._parent_of = parent_of or _parent_header
        self._begun = begun
        self._now_ns = now_ns
        self._max = recorded_a_second_max
        self._second = 0
        self._recorded = 0
        self._routes = RouteNames(())
        self._harmless = Harmless("traces")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = self._routes.of(scope["path"]) if scope["type"] == "http" else None
        if route is None or route in (EVENTS.path, STREAM_PATH):
            await self._app(scope, receive, send)
            return
        began_ns = self._now_ns()
        span: Span | None = None
        with self._harmless:
            span = self._begin(scope, route, began_ns)
        if span is None:
            await self._app(scope, receive, send)
        else:
            await self._recorded_request(scope, receive, send, span, began_ns)

    def _begin(self, scope: Scope, route: str, began_ns: int) -> Span | None:
        """The request's span; None where it is not recorded. What goes on in the place of its trace is told."""
        parent = self._parent_of(scope)
        context = span_context(parent)
        if not self._may_record(began_ns):
            if context is not None and context.trace_flags.sampled:
                self._begun(scope, unsampled(parent))
            return None
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        span = self._tracer.start_span(
            f"{self._door}{method} {route}",
            None if context is None else set_span_in_context(NonRecordingSpan(context)),
            SpanKind.SERVER,
            {"http.request.method": method, "http.route": route},
            start_time=began_ns,
        )
        if not span.is_recording():
            return None
        self._recorded += 1
        self._begun(scope, traceparent(span.get_span_context()))
        return span

    async def _recorded_request(self, scope: Scope, receive: Receive, send: Send, span: Span, began_ns: int) -> None:
        whole_ns = began_ns

        async def reading() -> Message:
            nonlocal whole_ns
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                whole_ns = self._now_ns()
            return message

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                with self._harmless:
                    self._headed(message, span, began_ns, whole_ns)
            await send(message)

        try:
            await self._app(scope, reading, sending)
        except BaseException:
            with self._harmless:
                span.set_status(StatusCode.ERROR)
            raise
        finally:
            with self._harmless:
                span.end(self._now_ns())

    def _headed(self, head: Message, span: Span, began_ns: int, whole_ns: int) -> None:
        status = head["status"]
        span.set_attribute("http.response.status_code", status)
        if status >= 500:
            span.set_status(StatusCode.ERROR)
        places = places_of(head.get("headers", ()))
        _tell_places(span, places)
        self._answered(Answered(span, places, began_ns, whole_ns))

    def _may_record(self, now_ns: int) -> bool:
        second = now_ns // 1_000_000_000
        if second != self._second:
            self._second, self._recorded = second, 0
        return self._recorded < self._max


def span_context(parent: bytes) -> SpanContext | None:
    """Of a `traceparent` of version 00 that is known to be well-formed; None for none."""
    parts = parent.split(b"-")
    if len(parts) < 4:
        return None
    try:
        found = SpanContext(
            int(parts[1], 16), int(parts[2], 16), is_remote=True, trace_flags=TraceFlags(int(parts[3], 16))
        )
    except ValueError:
        return None
    return found if found.is_valid else None


def traceparent(context: SpanContext) -> bytes:
    return b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, context.trace_flags)


def unsampled(parent: bytes) -> bytes:
    """The same trace, in which who comes next records nothing."""
    return b"-".join([*parent.split(b"-")[:3], b"00"])


def places_of(headers: Iterable[tuple[bytes, bytes]]) -> list[Place]:
    """The first positions of an answer."""
    found: list[Place] = []
    for name, value in headers:
        if name.lower() == _POSITION:
            for token in value.split(b",")[: PLACES_MAX - len(found)]:
                partition, _, sequence = token.partition(b":")
                if partition.isdigit() and sequence.isdigit():
                    found.append((int(partition), int(sequence)))
    return found


def place_attributes(place: Place) -> dict[str, int | str]:
    """How a block is named in every span that is about it: they are found by these."""
    return {"fanfold.partition": place[0], "fanfold.position": f"{place[0]}:{place[1]}"}


def _tell_places(span: Span, places: list[Place]) -> None:
    if len(places) == 1:
        span.set_attributes(place_attributes(places[0]))
    elif places:
        span.set_attribute("fanfold.position", ",".join(f"{p}:{s}" for p, s in places))


def _parent_header(scope: Scope) -> bytes:
    return next((value for name, value in scope["headers"] if name == TRACEPARENT), b"")
