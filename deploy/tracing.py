"""Traces, where the environment names somewhere to send them: OpenTelemetry's own variables, its SDK, OTLP over HTTP.

Nothing of it is imported otherwise. Spans wait in memory for a thread that sends them; where that is slow, gone or full they are
left out and counted, and nobody waits: not a request, not a partition, not the end of the process.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

import structlog
from prometheus_client import CollectorRegistry

from deploy.repeated_logs import say_seldom
from fanfold.doors.harmless import Harmless

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Tracer

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
EXPORTERS: Final = "OTEL_TRACES_EXPORTER"
PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
WAITING_MAX: Final = 2_048
"""Spans in memory, those being sent with them: some 4 MB."""
END_S: Final = 2.0
"""A process that ends waits so long at most for the last spans."""
_WRONG: Final = "a variable of OpenTelemetry (OTEL_...) has a wrong value"

_log = structlog.get_logger(__name__)


def wants_traces(environment: Mapping[str, str]) -> bool:
    """Whether somewhere is named to send them to."""
    exporter = environment.get(EXPORTERS, "").strip().lower()
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    return bool(exporter) or any(environment.get(name) for name in ENDPOINTS)


def why_not(environment: Mapping[str, str]) -> str | None:
    """What is wanted and not had here; None for nothing."""
    exporter = environment.get(EXPORTERS, "").strip().lower()
    if exporter not in ("", "otlp"):
        return f"{EXPORTERS}={exporter}: traces are sent by otlp"
    for name in PROTOCOLS:
        if environment.get(name) not in (None, "", "http/protobuf"):
            return f"{name}: traces are sent by http/protobuf (port 4318 as a rule)"
    return None


@contextmanager
def tracing(service: str, registry: CollectorRegistry) -> Iterator[Tracer | None]:
    """Of this process, until it ends; None where nobody wants traces, and where they cannot be sent: these variables are often
    set for all that runs on a machine, so that is said in the log and keeps nothing from starting. service: its name, unless
    OTEL_SERVICE_NAME gives one."""
    exporter = _exporter() if wants_traces(os.environ) else None
    if exporter is None:
        yield None
        return
    say_seldom("opentelemetry")
    with ExitStack() as stack:
        tracer = None
        try:
            tracer = stack.enter_context(traced(service, exporter, registry))
        except Exception as failed:  # limits of spans, a sampler or a detector of somebody's: whatever the SDK reads
            _log.warning("traces_not_sent", reason=f"{_WRONG} ({type(failed).__name__})")
        yield tracer


def _exporter() -> SpanExporter | None:
    reason = why_not(os.environ)
    if reason is None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            return OTLPSpanExporter()
        except ModuleNotFoundError as missing:
            reason = f"{missing.name} is not installed: pip install 'fanfold[otel]'"
        except Exception as failed:  # a file of a certificate, a plugin; its words may hold a value, and that a secret
            reason = f"{_WRONG} ({type(failed).__name__})"
    _log.warning("traces_not_sent", reason=reason)
    return None


@contextmanager
def traced(
    service: str, exporter: SpanExporter, registry: CollectorRegistry, waiting_max: int = WAITING_MAX
) -> Iterator[Tracer]:
    """Spans go to this exporter, from a thread; so many wait at most. Which requests are sampled OTEL_TRACES_SAMPLER and _ARG
    say, as the SDK reads them: parent-based."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider

    from deploy.span_queue import SpanQueue

    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: service}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    queue = SpanQueue(exporter, registry, waiting_max)
    provider.add_span_processor(queue)
    try:
        yield provider.get_tracer("fanfold")
    finally:
        _end(provider)


def _end(provider: Any) -> None:
    def shut_down() -> None:
        with Harmless("the last spans"):
            provider.shutdown()

    with Harmless("the last spans"):  # no thread can be had
        ending = threading.Thread(target=shut_down, daemon=True)
        ending.start()
        ending.join(END_S)


def read_door(app: Any, tracer: Tracer | None) -> Any:
    """A read side's application, and around it what traces its requests."""
    if tracer is None:
        return app
    from fanfold.doors.server_spans import ServerSpans

    return ServerSpans(app, tracer, "read side: ")
