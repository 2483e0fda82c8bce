"""Answers on their way out: a status, a body of JSON, and the few headers they need."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, NamedTuple

import msgspec

from fanfold.api import routes
from fanfold.api.malformed import Malformed
from fanfold.api.problems import PROBLEMS, problem_document

JSON: Final = routes.JSON.encode()
NDJSON: Final = routes.NDJSON.encode()
ARROW: Final = routes.ARROW.encode()
PROBLEM: Final = routes.PROBLEM.encode()

CHALLENGE: Final = 'Bearer realm="fanfold"'
INVALID_TOKEN: Final = f'{CHALLENGE}, error="invalid_token"'
"""What a 401 says of how to ask (RFC 6750, section 3): to who said nothing, and to whose token is not accepted."""

RETRY_AFTER_SECONDS: Final = 1
"""What a 429, 502, 503 or 504 asks the client to wait: queues here drain in milliseconds, a restart takes seconds."""
_RETRY_AFTER_SECONDS: Final = {"id_memory_full": 60}
"""Codes whose reason lasts longer: ids are forgotten once an hour."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]
"""Names in lower case, as ASGI has them."""

_encode = msgspec.json.Encoder().encode
encode_line = _encode
encode_lines = msgspec.json.Encoder().encode_lines  # documents, one a line


class Response(NamedTuple):
    """One HTTP answer, ready to be sent."""

    status: int
    content_type: bytes
    body: bytes
    retry_after_s: int = RETRY_AFTER_SECONDS
    headers: Headers = ()


def json_response(status: int, document: dict[str, object], headers: Headers = ()) -> Response:
    """A document as it is; from 400 on it is a problem document (RFC 9457) and says so."""
    if status < 400:
        return Response(status, JSON, _encode(document), headers=headers)
    retry_after_s = _RETRY_AFTER_SECONDS.get(str(document.get("code")), RETRY_AFTER_SECONDS)
    return Response(status, PROBLEM, _encode(document), retry_after_s, headers)


def problem(word: str, **more: object) -> Response:
    """The refusal that `word` names in `fanfold/api/problems.py`, with its status."""
    return json_response(PROBLEMS[word].status, problem_document(word, **more))


def malformed(refusal: Malformed) -> Response:
    return json_response(PROBLEMS[refusal.code].status, malformed_document(refusal))


def malformed_document(refusal: Malformed) -> dict[str, object]:
    """How malformed input is told: the field by its name, never by what it held."""
    detail = f"{refusal.field} {refusal.detail}. {PROBLEMS[refusal.code].detail}"
    return problem_document(refusal.code, field=refusal.field, detail=detail)


async def send(
    send_message: Send, response: Response, *, head: bool = False, more: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Send an answer, with these headers more; of a HEAD everything but the body (RFC 9110, 9.3.2)."""
    headers = [
        (b"content-type", response.content_type),
        (b"content-length", b"%d" % len(response.body)),
        *response.headers,
        *more,
    ]
    if response.status in (429, 502, 503, 504):
        headers.append((b"retry-after", b"%d" % response.retry_after_s))
    if response.status in (408, 413):
        # What is left of the body is not worth reading, and without it the connection cannot be used again.
        headers.append((b"connection", b"close"))
    await send_message({"type": "http.response.start", "status": response.status, "headers": headers})
    await send_message({"type": "http.response.body", "body": b"" if head else response.body})
