"""The line of the access log: what is in it is chosen here, one by one, so that nothing else ever is. Pure.

Ids of accounts and transfers are somebody's, and a query may hold what should not be kept, so a path is told as the address that
it is one of. All text is ASCII and without control characters: whatever a principal's name holds, it is one line, and a terminal
that shows it is told nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from json.encoder import encode_basestring_ascii
from typing import Final

from fanfold.api.route_names import METHODS
from gateway.arrivals.arrival import Arrival

_TOLD: Final = METHODS | {"SUBMIT"}
"""Any other is told as `other`. SUBMIT is no method: commands that came over a stream."""


def access_line(
    arrival: Arrival,
    event: str,
    method: str,
    route: str | None,
    *,
    now_us: int,
    status: int,
    sent_bytes: int,
    took_s: float,
    cut: bool = False,
    code: int | None = None,
    commands: int | None = None,
    passed_as: bytes | None = None,
) -> str:
    """One line with its end. event: `request`, `submit`, `open`, `close`; now_us: Unix time, microseconds; status: 0: no answer;
    code: of a socket that is closed (RFC 6455 section 7.4). commands: of a submit; passed_as: by which request id the sides have
    them."""
    trace, client = arrival.trace, arrival.client
    seconds, micros = divmod(now_us, 1_000_000)
    parts = [
        f'{{"time":"{_second(seconds)}.{micros:06d}Z","event":"{event}"',
        f'"request_id":{_text(trace.request_id.decode("latin-1"))}',
        f'"traceparent":{_text(trace.parent.decode("latin-1"))}',
        f'"principal":{_text(arrival.principal)}',
        f'"client":{_text(None if client is None else client[0])}',
        f'"method":"{method if method in _TOLD else "other"}"',
        f'"route":{_text(route)}',
        f'"status":{status},"bytes":{sent_bytes},"ms":{took_s * 1000:.3f}',
    ]
    if arrival.upstream_s is not None:
        parts.append(f'"upstream_ms":{arrival.upstream_s * 1000:.3f}')
    if commands is not None:
        parts.append(f'"commands":{commands}')
    if passed_as is not None:
        parts.append(f'"passed_as":{_text(passed_as.decode("latin-1"))}')
    if code is not None:
        parts.append(f'"code":{code}')
    if cut:
        parts.append('"cut":true')
    return ",".join(parts) + "}\n"


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring_ascii(value).replace("\x7f", "\\u007f")


_last_second: tuple[int, str] = (-1, "")


def _second(seconds: int) -> str:
    """Many lines are of one second."""
    global _last_second
    known, told = _last_second
    if known != seconds:
        told = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        _last_second = seconds, told
    return told
