"""Writes that wait to be pushed, as spans: bounded, found without a look through all, and harmless."""

from __future__ import annotations

from typing import Any, cast

import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fanfold.doors.server_spans import Answered
from gateway.streams.push_spans import WAITING_MAX, PushSpans
from read_side.contract.feed import FeedBatch
from read_side.contract.phases import NO_PHASES
from read_side.contract.rows import AccountRow, AccountRows

ROWS = AccountRows.of([AccountRow("alice", "USD/2", 0, 0, 0, 0, 1)])


class Story:
    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("t")
        self.pushes = PushSpans(self.tracer, lambda: 10**18)

    def answered(self, partition: int, sequence: int) -> None:
        self.pushes.answered(Answered(self.tracer.start_span("asked"), [(partition, sequence)], 0, 0))

    def heard(self, partition: int, after: int, upto: int) -> None:
        self.pushes.heard(FeedBatch(partition, 1, "boot", after, upto, ROWS, NO_PHASES), is_watched=True)
        self.pushes.flushed()

    @property
    def pushed(self) -> list[str]:
        spans = self.exporter.get_finished_spans()
        return [str((span.attributes or {})["fanfold.position"]) for span in spans if span.name == "push"]


class _Looked(dict[Any, Any]):
    """Counts what is looked at one by one."""

    looked = 0

    def __iter__(self) -> Any:
        for each in super().__iter__():
            self.looked += 1
            yield each


def test_writes_are_told_with_the_batch_that_they_are_in_whatever_waits_beside() -> None:
    story = Story()
    for sequence in (9, 5, 7, 6):
        story.answered(0, sequence)
    story.answered(1, 5)
    story.heard(0, 3, 4)
    assert story.pushed == []
    story.heard(0, 4, 7)
    assert story.pushed == ["0:5", "0:6", "0:7"]
    story.heard(0, 8, 9)
    story.heard(1, 3, 6)
    assert story.pushed == ["0:5", "0:6", "0:7", "0:9", "1:5"]


def test_a_batch_does_not_look_through_all_that_waits() -> None:
    story = Story()
    story.pushes._waiting = looked = cast("Any", _Looked())
    for sequence in range(WAITING_MAX):
        story.answered(1, sequence)
    for upto in range(100):
        story.heard(0, upto, upto + 1)
    story.heard(1, -1, 9)
    assert looked.looked == 0
    assert len(story.pushed) == 10


def test_what_waits_for_a_feed_that_is_away_is_bounded_and_the_oldest_is_given_up() -> None:
    story = Story()
    for sequence in range(5 * WAITING_MAX):
        story.answered(0, sequence)
        assert len(story.pushes._due[0]) <= 2 * WAITING_MAX + 1
    assert len(story.pushes._waiting) == WAITING_MAX
    story.heard(0, -1, 5 * WAITING_MAX)
    assert len(story.pushed) == WAITING_MAX
    assert (len(story.pushes._waiting), story.pushes._due[0]) == (0, [])


def test_a_plugin_that_raises_keeps_no_batch_of_the_feed_from_anybody() -> None:
    class Raises:
        def start_span(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("the plugin")

    story = Story()
    story.answered(0, 1)
    story.pushes._tracer = cast("Any", Raises())
    with structlog.testing.capture_logs() as told:
        story.heard(0, 0, 1)
        story.answered(0, 3)
        story.heard(0, 2, 3)
    assert [line["event"] for line in told] == ["observing_failed"]
