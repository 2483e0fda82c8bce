"""The door of whoever runs the gateway: what it counts, why it is not ready, and the drain. A port of its own, on loopback.

Elsewhere than on loopback who asks must have the right `system`. No page may ask: browsers reach what is on this machine, and
anybody's page could drain it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from fanfold.doors.answer import json_response, problem
from fanfold.doors.answer import send as send_answer
from gateway.doors.front import NO_PARAMETERS, Handler, lifespan
from gateway.proxy.asgi import Message, Receive, Scope, Send
from gateway.proxy.reverse_proxy import discard
from gateway.streams.drain import Drain

DRAIN_PATH: Final = "/drain"

MayAsk = Callable[[Scope, Receive, Send], Awaitable[bool]]


class AdminDoor:
    """ASGI 3. inner: the handlers of addresses that are read; may_ask: whether who asks may, or is answered that not; None:
    anybody who gets here may."""

    def __init__(self, inner: Mapping[str, Handler], drain: Drain, may_ask: MayAsk | None) -> None:
        self._inner = inner
        self._drain = drain
        self._may_ask = may_ask

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        path, method = scope["path"], scope["method"]
        allowed = ("GET", "HEAD", "POST") if path == DRAIN_PATH else ("GET", "HEAD")
        # Elsewhere than on loopback nobody keeps one of the few connections who has not said that he may.
        last = send if self._may_ask is None else _last(send)
        if path != DRAIN_PATH and path not in self._inner:
            await send_answer(last, problem("not_found"))
        elif method not in allowed:
            await send_answer(last, problem("method_not_allowed"), more=[(b"allow", ", ".join(allowed).encode())])
        elif scope["query_string"]:
            await send_answer(last, problem("parameter_malformed", detail=NO_PARAMETERS))
        elif any(name == b"origin" for name, _ in scope["headers"]):
            await discard(receive)
            await send_answer(last, problem("origin_refused", detail="Nothing was done. This port is for no page."))
        elif path == "/healthz":
            await self._serve(scope, receive, last)
        elif self._may_ask is None or await self._may_ask(scope, receive, last):
            await self._serve(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] != DRAIN_PATH:
            await self._inner[scope["path"]](scope, send)
            return
        drain = self._drain
        if scope["method"] == "POST":
            await discard(receive)
            drain.begin()
        document: dict[str, object] = {"draining": drain.begun, "streams": drain.streams, "within_ms": drain.within_ms}
        await send_answer(send, json_response(202 if scope["method"] == "POST" else 200, document))


def _last(send: Send) -> Send:
    """In the place of `send`: the connection ends with this answer."""

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), (b"connection", b"close")]
        await send(message)

    return tell
