"""Commands of a stream on their way to the write side say whose they are, together and one by one."""

from __future__ import annotations

import json

import msgspec
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fanfold.doors.server_spans import Answered, ServerSpans
from gateway.arrivals.trace import Trace
from gateway.arrivals.traced import ask_as
from gateway.identity.grants import Principal
from gateway.protocol.submits import Failed, Request
from gateway.proxy.asgi import Receive, Scope, Send
from gateway.proxy.commands import CommandDoor
from gateway.proxy.written import Written

PRINCIPAL = b"fanfold-principal"


class Stopped:
    """A write side that has a stopped partition; it keeps what it was asked."""

    def __init__(self) -> None:
        self.whose: list[bytes | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.whose.append(dict(scope["headers"]).get(PRINCIPAL))
        body = json.dumps({"code": "partition_stopped", "detail": "It is stopped."}).encode()
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        raise AssertionError("nothing is asked beside")

    async def close(self) -> None: ...


async def _asked(whose: Principal | None) -> list[bytes | None]:
    side = Stopped()
    door = CommandDoor(side, Written(lambda: 1), silence_ms=30_000)
    told = await door.ask(Request([1, 2], [1, 1], [msgspec.Raw(b"{}"), msgspec.Raw(b"{}")], 4, whose))
    assert all(isinstance(each, Failed) and each.code == "partition_stopped" for each in told)
    return side.whose


async def test_commands_of_a_stream_say_whose_they_are_together_and_one_by_one() -> None:
    assert await _asked(Principal("key:shop", ())) == [b"key:shop"] * 3


async def test_where_nobody_is_asked_who_is_there_nobody_is_named() -> None:
    assert await _asked(None) == [None] * 3


async def test_commands_of_a_stream_have_a_span_in_its_trace_and_their_blocks_are_followed() -> None:
    exporter, told, passed = InMemorySpanExporter(), list[Answered](), list[bytes]()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    async def side(scope: Scope, receive: Receive, send: Send) -> None:
        passed.extend(value for name, value in scope["headers"] if name == b"traceparent")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"fanfold-position", b"0:7")]})
        await send({"type": "http.response.body", "body": b"{}\n"})

    spans = ServerSpans(side, provider.get_tracer("t"), "stream: ", told.append, begun=ask_as)
    trace = Trace(b"4bf9.17", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    door = CommandDoor(spans, Written(lambda: 1), silence_ms=30_000)
    assert await door.ask(Request([17], [1], [msgspec.Raw(b"{}")], 2, None, trace)) == [(b"{}",)]
    [span] = exporter.get_finished_spans()
    assert (span.name, told[0].places) == ("stream: POST /v1/transfers:batch", [(0, 7)])
    assert span.context is not None
    assert span.parent is not None
    assert b"%032x-%016x" % (span.parent.trace_id, span.parent.span_id) in trace.parent
    assert passed == [b"00-%032x-%016x-01" % (span.context.trace_id, span.context.span_id)]
