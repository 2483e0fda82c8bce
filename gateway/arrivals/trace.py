"""By what name a request is found in every log that it went through: its request id, and its trace (W3C Trace Context). Pure.

What a client or a proxy says is passed on when it is well-formed, so that one name holds from end to end; else a new one is made.
Where no span is made a trace is passed on as it came (Trace Context, 4.3: who takes no part passes on unchanged); `traced.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from fanfold.api import grammar

REQUEST_ID: Final = b"x-request-id"
TRACEPARENT: Final = b"traceparent"
TRACESTATE: Final = b"tracestate"
TRACESTATE_BYTES_MAX: Final = 512
"""What must be passed on at least (Trace Context, 3.3.1.5); longer ones are left out."""

_ID: Final = re.compile(grammar.REQUEST_ID.encode())
_PARENT: Final = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]{0,64})?\Z")
_STATE: Final = re.compile(rb"[\x20-\x7e]{1,%d}\Z" % TRACESTATE_BYTES_MAX)


class Trace(NamedTuple):
    """All of it plain ASCII without blanks, as it goes into headers and logs. state: b"" for none."""

    request_id: bytes
    parent: bytes
    state: bytes = b""

    def of_submit(self, id: int) -> Trace:
        """Of commands that came over a stream with this trace, in its submit `id`: `REQUEST.17`."""
        behind = b".%d" % id
        return self._replace(request_id=self.request_id[: grammar.REQUEST_ID_BYTES_MAX - len(behind)] + behind)

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What is passed on of it."""
        told = [(REQUEST_ID, self.request_id), (TRACEPARENT, self.parent)]
        return [*told, (TRACESTATE, self.state)] if self.state else told


def trace_of(headers: Iterable[tuple[bytes, bytes]], bits: Callable[[int], int]) -> Trace:
    """headers: names in lower case. bits: a random number of so many bits; ids must differ, nobody must be kept from guessing."""
    request_id = parent = None
    states: list[bytes] = []
    for name, value in headers:
        if name == REQUEST_ID:
            request_id = b"" if request_id is not None else value  # said twice is said not at all
        elif name == TRACEPARENT:
            parent = b"" if parent is not None else value
        elif name == TRACESTATE:
            states.append(value)
    if request_id is None or not _ID.fullmatch(request_id):
        request_id = b"%032x" % bits(128)
    known = None if parent is None else _parent(parent)
    if known is None:
        # Not sampled: nothing here records spans. Neither part may be all zeros.
        return Trace(request_id, b"00-%032x-%016x-00" % (bits(128) or 1, bits(64) or 1))
    state = b",".join(states)
    return Trace(request_id, known, state if _STATE.match(state) else b"")


def _parent(value: bytes) -> bytes | None:
    """As version 00 has it, also of a later version (Trace Context, 3.2.4); None of what is none."""
    found = _PARENT.match(value)
    if found is None or found[1] == b"ff" or not found[2].strip(b"0") or not found[3].strip(b"0"):
        return None
    if found[1] == b"00":
        return value if found[5] is None else None
    return b"00-%b-%b-%02x" % (found[2], found[3], int(found[4], 16) & 1)
