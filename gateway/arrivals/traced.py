"""A request's own span in the place of what it came with: what goes on to the sides, and stands in the access log, names it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gateway.arrivals.arrival import SCOPE, Arrival
from gateway.arrivals.trace import TRACEPARENT

_TRACE_ID: Final = slice(3, 35)


def parent_sent(scope: Mapping[str, Any]) -> bytes:
    """The `traceparent` that a client sent; b"" where it sent none, or none that is well-formed, and one was made."""
    arrival: Arrival | None = scope.get(SCOPE)
    if arrival is None:
        return b""
    trace_id = arrival.trace.parent[_TRACE_ID]
    sent = any(name == TRACEPARENT and value[_TRACE_ID] == trace_id for name, value in scope["headers"])
    return arrival.trace.parent if sent else b""


def go_on_as(scope: Mapping[str, Any], parent: bytes) -> None:
    """parent: of a span that was begun, or b"" for what came."""
    arrival: Arrival | None = scope.get(SCOPE)
    if arrival is not None and parent:
        arrival.trace = arrival.trace._replace(parent=parent)


def ask_as(scope: Mapping[str, Any], parent: bytes) -> None:
    """The same of a request of the gateway itself: its own headers say the trace."""
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    headers[:] = [(name, parent if name == TRACEPARENT else value) for name, value in headers]
