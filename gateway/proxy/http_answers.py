"""The gateway's own HTTP answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from fanfold.doors.answer import JSON, problem, send
from gateway.proxy.upstream import Send

Headers = Sequence[tuple[bytes, bytes]]


async def send_bytes(send_message: Send, status: int, content_type: bytes, body: bytes, headers: Headers = ()) -> None:
    """A whole answer, with no header but these and what the body needs."""
    fixed = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send_message({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send_message({"type": "http.response.body", "body": body})


async def send_json(send_message: Send, status: int, document: dict[str, Any]) -> None:
    await send_bytes(send_message, status, JSON, msgspec.json.encode(document))


async def send_problem(send_message: Send, word: str, *, allow: str | None = None, **more: object) -> None:
    """An RFC 9457 document of the code table; `allow` tells which methods the address has."""
    await send(send_message, problem(word, **more), more=() if allow is None else [(b"allow", allow.encode())])
