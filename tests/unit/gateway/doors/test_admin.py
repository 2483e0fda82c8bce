"""Who keeps a connection to the admin port: whoever may ask there, and nobody else."""

from __future__ import annotations

from typing import Any, cast

import pytest

from fanfold.doors.answer import json_response, problem
from fanfold.doors.answer import send as send_answer
from gateway.doors.admin import AdminDoor
from gateway.proxy.asgi import Message, Receive, Scope, Send, own_request

CLOSE = (b"connection", b"close")


async def answer(_: Scope, send: Send) -> None:
    await send_answer(send, json_response(200, {}))


async def only_with_a_name(scope: Scope, _: Receive, send: Send) -> bool:
    if scope["headers"]:
        return True
    await send_answer(send, problem("unauthenticated"))
    return False


@pytest.mark.parametrize(
    ("path", "named", "elsewhere", "kept"),
    [
        ("/healthz", False, True, False),
        ("/metrics", False, True, False),
        ("/nowhere", False, True, False),
        ("/metrics", True, True, True),
        ("/healthz", False, False, True),
        ("/metrics", False, False, True),
    ],
)
async def test_elsewhere_than_on_loopback_who_has_not_said_that_he_may_keeps_no_connection(
    path: str, named: bool, elsewhere: bool, kept: bool
) -> None:
    """32 connections that asked for /healthz now and then kept all others away."""
    sent = list[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    door = AdminDoor(
        {"/healthz": answer, "/metrics": answer}, cast("Any", None), only_with_a_name if elsewhere else None
    )
    await door(own_request("GET", path, [(b"authorization", b"x")] if named else []), receive, send)
    assert (CLOSE not in sent[0]["headers"]) == kept
