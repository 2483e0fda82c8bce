"""What became of a request in its block, as spans: it waited for it, the block was decided, and appended.

No trace is in a command or in the log: an answer names its block, and by that the block's times are found once it is given. So a
request that nobody samples costs nothing, and a block nothing but its three times.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from opentelemetry.trace import Link, SpanContext, Tracer, set_span_in_context

from fanfold.doors.server_spans import Answered, Place, place_attributes
from write_side.owner.block_times import BlockTime

LINKS_MAX: Final = 32
"""Of a block's span to other requests in it that were sampled."""
BLOCKS_MAX: Final = 1_024
"""Blocks whose requests are remembered for that."""


class BlockSpans:
    """times: of a partition's block, None where they are not known."""

    def __init__(self, tracer: Tracer, times: Callable[[int, int], BlockTime | None]) -> None:
        self._tracer = tracer
        self._times = times
        self._requests: OrderedDict[Place, list[SpanContext]] = OrderedDict()

    def answered(self, request: Answered) -> None:
        """Children of the request's span. An answer that was given before, or by another process, is of a block that began before
        this request, or is not known: nothing was waited for."""
        for place in request.places:
            time = self._times(*place)
            if time is not None and time.accepted_ns >= request.began_ns:
                self._tell(request, place, time)

    def _tell(self, request: Answered, place: Place, time: BlockTime) -> None:
        here, attributes = set_span_in_context(request.span), place_attributes(place)
        came_ns = max(request.whole_ns, request.began_ns)
        # A follower sees a block when it has been read; clocks of one process, but a block may be decided as the body ends.
        waiting = self._tracer.start_span("wait for the block", here, attributes=attributes, start_time=came_ns)
        waiting.end(max(came_ns, time.decided_ns))
        others = self._others(place, request.span.get_span_context())
        block = self._tracer.start_span(
            "block",
            here,
            attributes={**attributes, "fanfold.outcomes": time.outcomes},
            links=[Link(each) for each in others],
            start_time=time.decided_ns,
        )
        inside = set_span_in_context(block)
        for name, start_ns, end_ns in (
            ("decide", time.decided_ns, time.appended_ns),
            ("append", time.appended_ns, time.accepted_ns),
        ):
            self._tracer.start_span(name, inside, attributes=attributes, start_time=start_ns).end(end_ns)
        block.end(time.accepted_ns)

    def _others(self, place: Place, own: SpanContext) -> list[SpanContext]:
        """Requests of the same block that were answered before this one."""
        known = self._requests.setdefault(place, [])
        others = list(known)
        if len(known) < LINKS_MAX:
            known.append(own)
        if len(self._requests) > BLOCKS_MAX:
            self._requests.popitem(last=False)
        return others
