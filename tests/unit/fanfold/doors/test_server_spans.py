"""Which requests are recorded, under which trace, and what goes on in the place of what came."""

from __future__ import annotations

from typing import Any, cast

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan, Span, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler, SamplingResult

from fanfold.doors.server_spans import Answered, ServerSpans, places_of

SAMPLED = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NOT_SAMPLED = SAMPLED[:-1] + b"0"


class Asked:
    """A door that answers everything with one head."""

    def __init__(self, root: Sampler = ALWAYS_ON, *, status: int = 201, most: int = 200) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(ParentBased(root), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.status, self.now_ns = status, 10**18
        self.answered, self.fails = 0, False
        self.told: list[Answered] = []
        self.gone_on: list[bytes] = []
        self.door = ServerSpans(
            self._app, provider.get_tracer("t"), "door: ", self.told.append, None, lambda _, parent: self.gone_on.append(parent),
            lambda: self.now_ns, recorded_a_second_max=most,
        )  # fmt: skip

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if self.fails:
            raise ConnectionResetError
        await send(
            {"type": "http.response.start", "status": self.status, "headers": [(b"fanfold-position", b"0:7,1:9")]}
        )
        await send({"type": "http.response.body", "body": b""})

    async def ask(
        self, parent: bytes = b"", path: str = "/v1/accounts/alice", kind: str = "http", method: str = "PUT"
    ) -> None:
        headers = [(b"traceparent", parent)] if parent else []
        scope = {"type": kind, "method": method, "path": path, "headers": headers}

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            self.answered += message["type"] == "http.response.body"

        await self.door(scope, receive, send)

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()


async def test_a_span_names_the_address_and_nobody() -> None:
    asked = Asked()
    await asked.ask(SAMPLED)
    [span] = asked.spans
    assert span.name == "door: PUT /v1/accounts/{account}"
    assert "alice" not in span.to_json()
    assert span.parent is not None
    assert f"{span.parent.span_id:x}".encode() in SAMPLED
    assert asked.told[0].places == [(0, 7), (1, 9)]
    assert span.context is not None
    assert asked.gone_on == [b"00-%032x-%016x-01" % (span.context.trace_id, span.context.span_id)]


@pytest.mark.parametrize(("parent", "root", "recorded"), [
    (b"", ALWAYS_ON, 1), (b"", ALWAYS_OFF, 0), (SAMPLED, ALWAYS_OFF, 1), (NOT_SAMPLED, ALWAYS_ON, 0), (b"nonsense", ALWAYS_ON, 1),
])  # fmt: skip
async def test_who_sends_a_trace_says_whether_it_is_sampled_and_for_others_the_ratio_does(
    parent: bytes, root: Sampler, recorded: int
) -> None:
    asked = Asked(root)
    await asked.ask(parent)
    assert len(asked.spans) == recorded
    assert len(asked.gone_on) == recorded


async def test_clients_that_sample_everything_are_recorded_up_to_a_bound_each_second() -> None:
    asked = Asked(most=2)
    for _ in range(5):
        await asked.ask(SAMPLED)
    assert len(asked.spans) == 2
    assert asked.gone_on[2:] == [NOT_SAMPLED] * 3  # so that the sides record nothing of them, too
    asked.now_ns += 10**9
    await asked.ask(SAMPLED)
    assert len(asked.spans) == 3


async def test_a_method_that_is_none_of_http_names_no_span() -> None:
    asked = Asked()
    await asked.ask(method="S3CRET")
    [span] = asked.spans
    assert span.name == "door: _OTHER /v1/accounts/{account}"
    assert "S3CRET" not in span.to_json()


async def test_pages_probes_streams_and_sockets_are_not_recorded() -> None:
    asked = Asked()
    for path in ("/", "/healthz", "/metrics", "/v1/stream", "/v1/stream/sse", "/v1/nothing"):
        await asked.ask(SAMPLED, path)
    await asked.ask(SAMPLED, "/v1/stream", "websocket")
    assert asked.spans == ()


async def test_an_answer_of_the_service_that_failed_is_an_error_and_a_refusal_is_none() -> None:
    for status, failed in ((503, True), (422, False)):
        asked = Asked(status=status)
        await asked.ask(SAMPLED)
        assert (asked.spans[0].status.status_code.name == "ERROR") is failed


class _Raises(Sampler):
    """A sampler of somebody's."""

    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        raise RuntimeError("the plugin")

    def get_description(self) -> str:
        return "raises"


async def test_a_plugin_that_raises_costs_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked(_Raises())
    with structlog.testing.capture_logs() as told:
        for _ in range(3):
            await asked.ask()
    assert (asked.answered, asked.spans) == (3, ())
    assert [line["event"] for line in told] == ["observing_failed"], "once, and not for every request"


@pytest.mark.parametrize("name", ["set_attribute", "set_status", "end"])
async def test_an_answer_is_given_whatever_its_span_raises(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*_: Any, **__: Any) -> None:
        raise RuntimeError("the plugin")

    monkeypatch.setattr(Span, name, raising)
    asked = Asked(status=503)
    with structlog.testing.capture_logs() as told:
        await asked.ask()
    assert (asked.answered, len(told)) == (1, 1)


async def test_who_follows_an_answer_and_raises_keeps_it_from_nobody() -> None:
    asked = Asked()
    asked.told = cast("Any", None)
    asked.door._answered = lambda _: asked.told.append(_)
    with structlog.testing.capture_logs():
        await asked.ask()
    assert (asked.answered, len(asked.spans)) == (1, 1)


async def test_what_a_request_itself_raises_is_raised() -> None:
    asked = Asked()
    asked.fails = True
    with pytest.raises(ConnectionResetError):
        await asked.ask()
    assert asked.spans[0].status.status_code.name == "ERROR"


def test_positions_of_an_answer_are_bounded() -> None:
    many = b",".join(b"%d:1" % partition for partition in range(100))
    assert len(places_of([(b"fanfold-position", many), (b"fanfold-position", many)])) == 8
    assert places_of([(b"fanfold-position", b"x:1,:,3"), (b"other", b"0:1")]) == []
