"""The gateway's own HTTP answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from fanfold.api.problems import PROBLEMS, problem_document
from gateway.proxy.upstream import Send

RETRY_AFTER_SECONDS: Final = 1
"""What a 503 asks a client to wait: a side that starts again takes seconds."""

Headers = Sequence[tuple[bytes, bytes]]


async def send_bytes(send: Send, status: int, content_type: bytes, body: bytes, headers: Headers = ()) -> None:
    """A whole answer."""
    fixed = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, status: int, document: dict[str, Any]) -> None:
    await send_bytes(send, status, b"application/json", msgspec.json.encode(document))


async def send_problem(send: Send, word: str, *, allow: str | None = None, **more: object) -> None:
    """An RFC 9457 document of the code table."""
    headers: list[tuple[bytes, bytes]] = []
    status = PROBLEMS[word].status
    if allow is not None:
        headers.append((b"allow", allow.encode()))
    if status == 413:
        # What is left of the body is not worth reading, and without it the connection cannot be used again.
        headers.append((b"connection", b"close"))
    if status == 503:
        headers.append((b"retry-after", b"%d" % RETRY_AFTER_SECONDS))
    body = msgspec.json.encode(problem_document(word, **more))
    await send_bytes(send, status, b"application/problem+json", body, headers)
