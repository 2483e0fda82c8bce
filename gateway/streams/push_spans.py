"""How a write that was recorded came to those who watch, as spans: projected until the feed told it here, pushed until it was
written to the sockets of this gateway.

The feed carries no trace. An answer names its block, a batch of the feed the blocks that it is of; whichever comes first waits
for the other: a change is often pushed before its writer is answered. Other gateways push it, too, and record nothing of it.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple

from opentelemetry.trace import NonRecordingSpan, SpanContext, Tracer, set_span_in_context

from fanfold.doors.harmless import Harmless
from fanfold.doors.server_spans import Answered, Place, place_attributes
from read_side.contract.feed import FeedBatch

WAITING_MAX: Final = 1_024
"""Writes whose batch has not come; the oldest is given up, as where the feed is away."""
BATCHES_MAX: Final = 256
"""Of each partition that are remembered for answers that come later than they."""
WRITES_A_PLACE_MAX: Final = 32


class _Batch(NamedTuple):
    """Of blocks (after, upto]. began_ns: of its oldest change; 0 for none. flushed_ns: 0 before; None: nobody watches."""

    after: int
    upto: int
    began_ns: int
    heard_ns: int
    flushed_ns: int | None


class PushSpans:
    """Of one gateway. Inside the event loop."""

    def __init__(self, tracer: Tracer, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._tracer = tracer
        self._now_ns = now_ns
        self._harmless = Harmless("traces of pushes")
        self._waiting: OrderedDict[Place, list[SpanContext]] = OrderedDict()
        self._due: dict[int, list[int]] = {}
        """Heaps of the sequences that wait, by partition; those that were given up stay in them a while."""
        self._batches: dict[int, deque[_Batch]] = {}
        self._unflushed: dict[int, list[_Batch]] = {}

    def answered(self, request: Answered) -> None:
        """Follow the writes that an answer tells."""
        context = request.span.get_span_context()
        for place in request.places:
            batch = self._heard(place)
            if batch is not None and batch.heard_ns >= request.began_ns:
                self._tell(place, context, batch)
            elif batch is None:
                self._wait(place, context)

    def _wait(self, place: Place, context: SpanContext) -> None:
        waiting = self._waiting.get(place)
        if waiting is None:
            waiting = self._waiting[place] = []
            heappush(self._due.setdefault(place[0], []), place[1])
        if len(waiting) < WRITES_A_PLACE_MAX:
            waiting.append(context)
        if len(self._waiting) > WAITING_MAX:
            (partition, _), _ = self._waiting.popitem(last=False)
            if len(due := self._due[partition]) > 2 * WAITING_MAX:
                due[:] = [each[1] for each in self._waiting if each[0] == partition]
                heapify(due)

    def heard(self, batch: FeedBatch, *, is_watched: bool) -> None:
        """A batch of the feed. is_watched: whether it had something for a stream here, which is flushed next."""
        if batch.is_heartbeat:
            return
        with self._harmless:
            self._heard_of(batch, is_watched)

    def _heard_of(self, batch: FeedBatch, is_watched: bool) -> None:
        began_ns = int(batch.rows.at_us.min()) * 1_000 if len(batch.rows.at_us) else 0
        found = _Batch(batch.after, batch.upto, began_ns, self._now_ns(), 0 if is_watched else None)
        if is_watched:
            unflushed = self._unflushed.setdefault(batch.partition, [])
            unflushed.append(found)
            del unflushed[:-BATCHES_MAX]
        else:
            self._keep(batch.partition, found)

    def flushed(self) -> None:
        """What was heard is written to every stream that takes something."""
        if not self._unflushed:
            return
        unflushed, self._unflushed = self._unflushed, {}
        with self._harmless:
            now_ns = self._now_ns()
            for partition, batches in unflushed.items():
                for batch in batches:
                    self._keep(partition, batch._replace(flushed_ns=now_ns))

    def _keep(self, partition: int, batch: _Batch) -> None:
        self._batches.setdefault(partition, deque(maxlen=BATCHES_MAX)).append(batch)
        due = self._due.get(partition, [])
        while due and due[0] <= batch.upto:
            place = (partition, heappop(due))
            for context in self._waiting.pop(place, ()):
                if place[1] > batch.after:  # what a break of the feed left out was pushed by a repair
                    self._tell(place, context, batch)

    def _heard(self, place: Place) -> _Batch | None:
        partition, sequence = place
        batches = self._batches.get(partition, ())
        return next((each for each in reversed(batches) if each.after < sequence <= each.upto), None)

    def _tell(self, place: Place, context: SpanContext, batch: _Batch) -> None:
        here, attributes = set_span_in_context(NonRecordingSpan(context)), place_attributes(place)
        began_ns = min(batch.began_ns or batch.heard_ns, batch.heard_ns)  # clocks of two machines
        self._tracer.start_span("project", here, attributes=attributes, start_time=began_ns).end(batch.heard_ns)
        if batch.flushed_ns is not None:
            self._tracer.start_span("push", here, attributes=attributes, start_time=batch.heard_ns).end(
                batch.flushed_ns
            )
