"""Speaks ASGI to an application directly: no server, no socket."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from tests.documented import check_documented


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> Any:
        return self.document.get("code")


async def ask(app: Any, method: str, target: str, body: bytes = b"", more: Sequence[tuple[bytes, bytes]] = ()) -> Reply:
    """One request; `target` is path and query as in a request line. more: headers."""
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "scheme": "http",
        "headers": [(b"content-type", b"application/json"), *more],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    headers = {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}
    reply = Reply(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))
    if reply.body and "json" in headers.get("content-type", "") and "ndjson" not in headers["content-type"]:
        check_documented("read", method, path, reply.status, reply.document)
    return reply
