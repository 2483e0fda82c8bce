"""Requests as ASGI has them: the types, and what is made of a request that the gateway makes or says again itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def own_request(method: str, address: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> Scope:
    """The scope of a request of the gateway itself. address: path, and query. headers: names in lower case."""
    path, _, query = address.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": list(headers),
        "client": None,
        "server": None,
        "state": {},
    }


def said_again(body: bytes, receive: Receive) -> Receive:
    """A body that was read, or is the gateway's own, for who reads it next; behind it what `receive` says."""
    left = [body]

    async def again() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return again


def with_headers(send: Send, told: Iterable[tuple[bytes, bytes]]) -> Send:
    """In the place of `send`: the head of the answer has these, too."""

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *told]
        await send(message)

    return tell


async def nothing_more() -> Message:
    """Behind a body: whoever asked may leave, and what they asked goes on."""
    await asyncio.Future()
    raise AssertionError("nothing more comes")


async def gone() -> Message:
    """Behind a body: nobody is there any more."""
    return {"type": "http.disconnect"}
