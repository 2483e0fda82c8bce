"""One POST is one tree of spans, from the gateway through the block to the push; an exporter that hangs keeps nobody waiting."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry

from deploy.tracing import read_door, traced
from gateway.settings import GatewaySettings
from gateway.wiring import Gateway, build_gateway
from read_side.settings import ReadSettings
from tests.both_sides import both_sides
from write_side.settings import WriteSettings

HANGS_S = 30
PARENT = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@asynccontextmanager
async def _wallet(folder: Path, tracer: Tracer) -> AsyncIterator[Gateway]:
    writing = WriteSettings(log=f"file:{folder}", data=str(folder), snapshots="off")
    reading = ReadSettings(log=f"file:{folder}", data=str(folder), archive="off")
    async with both_sides(writing, reading, tracer=tracer) as sides:
        gateway = build_gateway(
            GatewaySettings(),
            sides.write_side.door,
            read_door(sides.read_side.app, tracer),
            sides.feed,
            CollectorRegistry(),
            partitions=1,
            tracer=tracer,
        )
        running = asyncio.create_task(gateway.run())
        try:
            yield gateway
        finally:
            gateway.stop()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            await gateway.close()


async def _asked(
    app: Any,
    method: str,
    path: str,
    body: Any = None,
    headers: Sequence[tuple[bytes, bytes]] = (),
    query: bytes = b"",
    on_body: Callable[[bytes], None] = lambda _: None,
) -> tuple[int, dict[bytes, bytes]]:
    sent = b"" if body is None else json.dumps(body).encode()
    given = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(sent))] if sent else []
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query, "scheme": "http",
        "headers": [(b"host", b"localhost"), *given, *headers], "client": ("127.0.0.1", 1), "server": None, "root_path": "",
        "asgi": {"version": "3.0"}, "http_version": "1.1", "state": {},
    }  # fmt: skip
    messages = [{"type": "http.request", "body": sent, "more_body": False}]
    told: list[Any] = []

    async def receive() -> Any:
        if messages:
            return messages.pop()
        await asyncio.Future()
        raise AssertionError("nothing more comes")

    async def send(message: Any) -> None:
        told.append(message)
        if message["type"] == "http.response.body":
            on_body(message.get("body", b""))

    await app(scope, receive, send)
    return told[0]["status"], dict(told[0]["headers"])


async def _moved(gateway: Gateway, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
    """Two accounts, one of them watched, and a transfer that is pushed before this returns."""
    watched, pushed = asyncio.Event(), asyncio.Event()

    def on_body(body: bytes) -> None:
        watched.set() if b'"snapshot":true' in body.replace(b" ", b"") else None
        pushed.set() if b'"posted":"1000"' in body.replace(b" ", b"") else None

    for account in ("alice", "bob"):
        status, _ = await _asked(gateway.app, "PUT", f"/v1/accounts/{account}", {"asset": "USD/2"})
        assert status == 201
    watching = asyncio.create_task(
        _asked(gateway.app, "GET", "/v1/stream/sse", query=b"accounts=alice", on_body=on_body)
    )
    async with asyncio.timeout(HANGS_S):
        await watched.wait()
        transfer = {"from": "@world", "to": "alice", "amount": "1000", "asset": "USD/2"}
        key = (b"idempotency-key", b"one")
        status, _ = await _asked(gateway.app, "POST", "/v1/transfers", transfer, [key, *headers])
        assert status == 201
        await pushed.wait()
        await asyncio.sleep(0)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def _tree(spans: Sequence[ReadableSpan], top: ReadableSpan) -> dict[str, Any]:
    assert top.context is not None
    below = [span for span in spans if span.parent is not None and span.parent.span_id == top.context.span_id]
    return {span.name: _tree(spans, span) for span in below}


async def test_one_post_is_one_tree_from_the_gateway_through_its_block_to_the_push(tmp_path: Path) -> None:
    exporter, registry = InMemorySpanExporter(), CollectorRegistry()
    with traced("fanfold", exporter, registry) as tracer:
        async with _wallet(tmp_path, tracer) as gateway:
            await _moved(gateway, [(b"traceparent", PARENT)])
    spans = exporter.get_finished_spans()
    [top] = [span for span in spans if span.name == "POST /v1/transfers"]
    assert top.parent is not None
    assert top.context is not None
    assert f"{top.parent.trace_id:032x}-{top.parent.span_id:016x}".encode() in PARENT
    assert _tree(spans, top) == {
        "write side: POST /v1/transfers": {"wait for the block": {}, "block": {"decide": {}, "append": {}}},
        "project": {},
        "push": {},
    }
    one = [span for span in spans if span.context is not None and span.context.trace_id == top.context.trace_id]
    assert len(one) == 8
    for span in one:
        assert span.attributes is not None
        assert (span.attributes["fanfold.partition"], span.attributes["fanfold.position"]) == (0, "0:3")
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time
    assert all("alice" not in span.to_json() and "idempotency" not in span.to_json() for span in spans)
    assert registry.get_sample_value("fanfold_trace_spans_total", {"told": "sent"}) == len(spans)


class _Hanging(SpanExporter):
    """An exporter that takes nothing until it is let go."""

    def __init__(self) -> None:
        self.go_on = threading.Event()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.go_on.wait(HANGS_S)
        return SpanExportResult.FAILURE


async def test_an_exporter_that_hangs_stops_nobody_and_what_finds_no_room_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.tracing.END_S", 0.01)
    exporter, registry = _Hanging(), CollectorRegistry()
    with traced("fanfold", exporter, registry, waiting_max=4) as tracer:
        async with _wallet(tmp_path, tracer) as gateway:
            await _moved(gateway)
            dropped = registry.get_sample_value("fanfold_trace_spans_total", {"told": "dropped"})
            assert dropped is not None
            assert dropped > 0
    exporter.go_on.set()
