"""Commands of a stream on their way to the write side."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fanfold.api.answer_headers import PRINCIPAL
from gateway.identity.grants import Principal
from gateway.protocol.submits import Request
from gateway.proxy.commands import CommandDoor
from gateway.proxy.written import Written


class WriteSide:
    """Refuses what has several submits, as one whose partition is stopped, and does what has one. whose: as it was told."""

    def __init__(self) -> None:
        self.whose: list[bytes | None] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.whose.append(dict(scope["headers"]).get(PRINCIPAL.lower().encode()))
        lines = (await receive())["body"].split(b"\n")
        one = len(lines) == 1
        await send({"type": "http.response.start", "status": 200 if one else 503, "headers": []})
        body = b'{"status":201}\n' if one else b'{"code":"partition_stopped","detail":"It is."}'
        await send({"type": "http.response.body", "body": body})


@pytest.mark.parametrize("whose", [None, Principal("anna", ())])
async def test_the_write_side_is_told_whose_commands_these_are_also_one_by_one(whose: Principal | None) -> None:
    """Or all who submit would have one share of its room, and together all of it."""
    side: Any = WriteSide()
    door = CommandDoor(side, Written(lambda: 1), 10_000)
    told = await door.ask(Request([1, 2], [1, 1], [msgspec.Raw(b"{}")] * 2, 4, whose))
    assert told == [[b'{"status":201}']] * 2
    assert side.whose == [None if whose is None else b"anna"] * 3
