"""An answer that is held until all of it is there, because what may be shown of it has to be looked at first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from gateway.proxy.asgi import Message, Send

Headers = tuple[tuple[bytes, bytes], ...]


class CutShort(Exception):
    """An answer began, and its end never came: nobody is told a part of it as if it were all."""


class WholeAnswer(NamedTuple):
    """status: 0 when there was none, for the client has left."""

    status: int
    headers: Headers
    body: bytes

    def document(self) -> Any:
        return msgspec.json.decode(self.body)

    def content_type(self) -> bytes:
        return next((value for name, value in self.headers if name == b"content-type"), b"")

    def with_document(self, document: object) -> WholeAnswer:
        return self._replace(body=msgspec.json.encode(document))

    async def send(self, send: Send) -> None:
        if self.status:
            headers = [each for each in self.headers if each[0] != b"content-length"]
            headers.append((b"content-length", b"%d" % len(self.body)))
            await send({"type": "http.response.start", "status": self.status, "headers": headers})
            await send({"type": "http.response.body", "body": self.body})


async def whole_answer(ask: Callable[[Send], Awaitable[None]]) -> WholeAnswer:
    """What `ask` sends. Raises CutShort."""
    status, headers, ended = 0, (), False
    parts: list[bytes] = []

    async def send(message: Message) -> None:
        nonlocal status, headers, ended
        if message["type"] == "http.response.start":
            status, headers = message["status"], tuple(message.get("headers", ()))
        else:
            parts.append(message.get("body", b""))
            ended = not message.get("more_body", False)

    await ask(send)
    if status and not ended:
        raise CutShort
    return WholeAnswer(status, headers, b"".join(parts))
