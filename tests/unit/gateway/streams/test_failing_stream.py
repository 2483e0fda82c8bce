"""A bug of ours with one stream is none with all others: that one is closed, and its client comes back."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from fanfold.api.close_codes import CloseCode
from gateway.protocol.session import Session
from gateway.streams.waiting_request import WaitingRequest
from tests.simulation.wire import Wire
from tests.virtual_gateway import VirtualGateway

LIMIT_S = 30.0


class Stream:
    """One that writes everything, or fails."""

    def __init__(self, *, fails: bool) -> None:
        self.session = Session(1)
        self.flushed, self.given_up = asyncio.Event(), 0
        self._fails = fails

    def flush(self) -> None:
        if self._fails:
            raise RuntimeError
        self.flushed.set()

    def give_up(self) -> None:
        self.given_up += 1


async def test_a_stream_that_cannot_be_written_to_is_closed_and_the_others_are_pushed_to() -> None:
    hub = VirtualGateway().hub
    broken, whole = Stream(fails=True), Stream(fails=False)
    pushing = asyncio.create_task(hub._flush_for_ever())
    for stream in (broken, whole):
        hub.join(stream)
        hub._touched[stream.session] = None
    hub._wake.set()
    async with asyncio.timeout(LIMIT_S):
        await whole.flushed.wait()
    assert (broken.given_up, whole.given_up) == (1, 0)
    pushing.cancel()
    await asyncio.gather(pushing, return_exceptions=True)


async def test_a_connection_that_is_given_up_is_closed_as_what_may_come_back() -> None:
    wire: Any = Wire(VirtualGateway())
    wire.take(10_000)
    wire._connection.give_up()
    wire._connection.give_up()
    wire.say(json.dumps({"op": "ping", "id": 1}))
    wire.take(10_000)
    assert wire.closed_with == CloseCode.INTERNAL
    assert not wire.gateway.connections


async def test_a_request_that_is_given_up_tells_nothing_more() -> None:
    waiting = WaitingRequest(Session(1))
    waiting.give_up()
    assert waiting.ended
    assert waiting.news.is_set()
