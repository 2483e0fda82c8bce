"""Traces are sent where the environment names somewhere, and nothing of them is imported otherwise."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry

from deploy.span_queue import SpanQueue
from deploy.tracing import traced, tracing, wants_traces

SOMEWHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        (SOMEWHERE, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        (SOMEWHERE | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (SOMEWHERE | {"OTEL_SDK_DISABLED": "true"}, False),
        (SOMEWHERE | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
    ],
)
def test_traces_are_wanted_where_the_standard_variables_name_somewhere(
    environment: dict[str, str], wanted: bool
) -> None:
    assert wants_traces(environment) is wanted


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"OTEL_TRACES_EXPORTER": "jaeger"}, "otlp"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, None),
        ({"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "-1"}, "wrong value"),
    ],
)
def test_what_is_not_supported_is_said_and_keeps_nothing_from_starting(
    more: dict[str, str], reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (SOMEWHERE | more).items():
        monkeypatch.setenv(name, value)
    with structlog.testing.capture_logs() as told, tracing("fanfold", CollectorRegistry()) as tracer:
        assert (tracer is None) is bool(told)
    if reason is not None:
        [line] = told
        assert reason in line["reason"]


def test_without_the_extra_a_service_starts_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SOMEWHERE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with structlog.testing.capture_logs() as told, tracing("fanfold", CollectorRegistry()) as tracer:
        assert tracer is None
    assert "fanfold[otel]" in told[0]["reason"]


def test_an_exporter_that_cannot_be_made_keeps_no_service_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SOMEWHERE.items():
        monkeypatch.setenv(name, value)

    def raising(*_: object) -> None:
        raise OSError("no such certificate: /etc/secret.pem")

    monkeypatch.setattr("opentelemetry.exporter.otlp.proto.http.trace_exporter.OTLPSpanExporter", raising)
    with structlog.testing.capture_logs() as told, tracing("fanfold", CollectorRegistry()) as tracer:
        assert tracer is None
    assert "OSError" in told[0]["reason"]
    assert "secret" not in str(told)


def test_an_exporter_whose_end_raises_ends_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def raising(*_: object, **__: object) -> None:
        raise RuntimeError("the plugin")

    monkeypatch.setattr(TracerProvider, "shutdown", raising)
    with structlog.testing.capture_logs() as told, traced("fanfold", _Broken(), CollectorRegistry()):
        pass
    assert [line["event"] for line in told] == ["observing_failed"]


def test_without_an_exporter_nothing_of_it_is_imported() -> None:
    """FastAPI imports the API by itself; no SDK, no exporter, and none of what makes spans here."""
    ours = (
        "deploy.span_queue",
        "fanfold.doors.server_spans",
        "write_side.doors.block_spans",
        "gateway.streams.push_spans",
    )
    code = (
        "import sys, deploy.services, deploy.one_process\n"
        f"print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'opentelemetry.exporter', *{ours}))])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_without_an_exporter_there_is_no_tracer_and_no_metric(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    registry = CollectorRegistry()
    with tracing("fanfold", registry) as tracer:
        assert tracer is None
    assert list(registry.collect()) == []


class _Broken(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise OSError("the collector is gone")


@pytest.mark.filterwarnings("ignore")
def test_what_an_exporter_that_fails_does_not_take_is_counted_and_makes_room_again() -> None:
    registry = CollectorRegistry()
    queue = SpanQueue(_Broken(), registry, waiting_max=4)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(queue)
    tracer = provider.get_tracer("t")
    for _ in range(3):
        for _ in range(4):
            tracer.start_span("one").end()
        queue.force_flush()
    counted = {
        told: registry.get_sample_value("fanfold_trace_spans_total", {"told": told}) for told in ("failed", "dropped")
    }
    assert counted == {"failed": 12, "dropped": 0}
    provider.shutdown()
