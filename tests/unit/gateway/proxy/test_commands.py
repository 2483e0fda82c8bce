"""Commands of a stream on their way to the write side say whose they are, together and one by one."""

from __future__ import annotations

import json

import msgspec

from gateway.identity.grants import Principal
from gateway.protocol.submits import Failed, Request
from gateway.proxy.asgi import Receive, Scope, Send
from gateway.proxy.commands import CommandDoor
from gateway.proxy.written import Written

PRINCIPAL = b"fanfold-principal"


class Stopped:
    """A write side that has a stopped partition; it keeps what it was asked."""

    def __init__(self) -> None:
        self.whose: list[bytes | None] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.whose.append(dict(scope["headers"]).get(PRINCIPAL))
        body = json.dumps({"code": "partition_stopped", "detail": "It is stopped."}).encode()
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        raise AssertionError("nothing is asked beside")

    async def close(self) -> None: ...


async def _asked(whose: Principal | None) -> list[bytes | None]:
    side = Stopped()
    door = CommandDoor(side, Written(lambda: 1), silence_ms=30_000)
    told = await door.ask(Request([1, 2], [1, 1], [msgspec.Raw(b"{}"), msgspec.Raw(b"{}")], 4, whose))
    assert all(isinstance(each, Failed) and each.code == "partition_stopped" for each in told)
    return side.whose


async def test_commands_of_a_stream_say_whose_they_are_together_and_one_by_one() -> None:
    assert await _asked(Principal("key:shop", ())) == [b"key:shop"] * 3


async def test_where_nobody_is_asked_who_is_there_nobody_is_named() -> None:
    assert await _asked(None) == [None] * 3
