"""Spans on their way out: a bounded number in memory, one thread that sends them, and what finds no room is counted.

The SDK's own batch processor says of each span that it drops that it does, on standard error, and drops those that wait: here the
newcomer goes, so that a trace that has begun to leave leaves whole. It sends; this only keeps it from being full.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final, Protocol

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry, Counter

BATCH_MAX: Final = 512
SEND_EVERY_MS: Final = 1_000


class SpanQueue(SpanProcessor):
    """on_end never waits, whatever the exporter does."""

    def __init__(self, exporter: SpanExporter, registry: CollectorRegistry, waiting_max: int) -> None:
        self._waiting_max = waiting_max
        self._lock = threading.Lock()
        self._waiting = 0
        self._spans = Counter(
            "fanfold_trace_spans", "Spans of traces, by what became of them.", ["told"], registry=registry
        )
        self._sent, self._failed, self._dropped = (self._spans.labels(told) for told in ("sent", "failed", "dropped"))
        # One more than ever wait: it is never full.
        self._batches = BatchSpanProcessor(
            _Counted(exporter, self._gone), waiting_max + 1, SEND_EVERY_MS, min(BATCH_MAX, waiting_max)
        )

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing: a span is of interest once it has ended."""

    def on_end(self, span: ReadableSpan) -> None:
        if span.context is None or not span.context.trace_flags.sampled:
            return
        with self._lock:
            has_room = self._waiting < self._waiting_max
            self._waiting += has_room
        if has_room:
            self._batches.on_end(span)
        else:
            self._dropped.inc()

    def shutdown(self) -> None:
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return bool(self._batches.force_flush(timeout_millis))

    def _gone(self, spans: int, *, sent: bool) -> None:
        with self._lock:
            self._waiting -= spans
        (self._sent if sent else self._failed).inc(spans)


class _Gone(Protocol):
    def __call__(self, spans: int, *, sent: bool) -> None: ...


class _Counted(SpanExporter):
    """In the thread that sends."""

    def __init__(self, exporter: SpanExporter, gone: _Gone) -> None:
        self._exporter = exporter
        self._gone = gone

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = SpanExportResult.FAILURE
        try:
            result = self._exporter.export(spans)
        finally:
            self._gone(len(spans), sent=result is SpanExportResult.SUCCESS)
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()
