"""Answers on their way out, and what is read from a request's head: status, JSON, a few headers, strict parameters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from fanfold.api.malformed import Malformed
from fanfold.api.problems import PROBLEMS, problem_document
from fanfold.api.queries import WAIT_MS_DEFAULT, WAIT_MS_MAX
from read_side.questions import Wanted
from write_side.contract.limits import PARTITIONS_MAX
from write_side.contract.position import TOKEN_BYTES_MAX, parse_positions

JSON: Final = b"application/json"
NDJSON: Final = b"application/x-ndjson"
PROBLEM: Final = b"application/problem+json"
RETRY_AFTER_SECONDS: Final = 1
"""What a 503 asks the client to wait: a view is brought right in well under this for all but the largest logs."""

QUERY_BYTES_MAX: Final = 4_096 + TOKEN_BYTES_MAX + 4 * PARTITIONS_MAX
"""A position token with its colons and commas percent-encoded, and whatever else may be asked."""
WANTED: Final = frozenset(("min_position", "wait_ms"))

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_encode = msgspec.json.Encoder().encode


class Response(NamedTuple):
    """One HTTP answer, ready to be sent."""

    status: int
    content_type: bytes
    body: bytes


def json_response(status: int, document: dict[str, Any]) -> Response:
    """A document as it is; from 400 on it is a problem document (RFC 9457) and says so."""
    return Response(status, JSON if status < 400 else PROBLEM, _encode(document))


def problem(word: str, **more: object) -> Response:
    """The refusal that `word` names in `write_side/contract/codes.py`, with its status."""
    return json_response(PROBLEMS[word].status, problem_document(word, **more))


async def send(send_message: Send, response: Response, *, head: bool = False) -> None:
    """Send an answer; of a HEAD everything but the body (RFC 9110, 9.3.2)."""
    headers = [(b"content-type", response.content_type), (b"content-length", b"%d" % len(response.body))]
    if response.status == 503:
        headers.append((b"retry-after", b"%d" % RETRY_AFTER_SECONDS))
    await send_message({"type": "http.response.start", "status": response.status, "headers": headers})
    await send_message({"type": "http.response.body", "body": b"" if head else response.body})


def parameters(scope: Scope, known: frozenset[str]) -> dict[str, str]:
    """The query's parameters. Raises Malformed for one that is unknown or there twice, and for a query that is too long."""
    query: bytes = scope["query_string"]
    if not query:
        return {}
    if len(query) > QUERY_BYTES_MAX:
        raise Malformed("parameter_malformed", "query", f"must not be longer than {QUERY_BYTES_MAX} bytes")
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("parameter_malformed", "query", "must not have the same parameter twice")
    if not found.keys() <= known:
        raise Malformed("parameter_malformed", "query", f"takes {', '.join(sorted(known)) or 'no parameters'}")
    return found


def wanted(found: dict[str, str]) -> Wanted:
    """`min_position`, `min_version` and `wait_ms` as values. Who wants nothing waits for nothing. Raises Malformed."""
    positions = parse_positions(found["min_position"]) if "min_position" in found else {}
    version = number(found["min_version"], "min_version", 2**62) if "min_version" in found else None
    wait_ms = number(found["wait_ms"], "wait_ms", WAIT_MS_MAX) if "wait_ms" in found else WAIT_MS_DEFAULT
    return Wanted(positions, version, wait_ms / 1000 if positions or version is not None else 0.0)


def number(text: str, field: str, most: int, least: int = 0) -> int:
    """A whole number in decimal digits. Raises Malformed."""
    if text.isascii() and text.isdigit() and len(text) < 20 and least <= (value := int(text)) <= most:
        return value
    raise Malformed("parameter_malformed", field, f"must be a number from {least} to {most}")
