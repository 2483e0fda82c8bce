"""A stream that ends over what its client has not taken: who takes some has time for it, who takes nothing keeps nothing."""

from __future__ import annotations

import asyncio
import json

from fanfold.api.close_codes import CloseCode
from tests.simulation import virtual_time
from tests.simulation.processes import STREAM_TERMS
from tests.simulation.wire import Wire
from tests.virtual_gateway import VirtualGateway

TERMS = STREAM_TERMS._replace(buffer_bytes=65_536)
"""So much that the gateway is never told not to write."""
QUESTIONS = 60


def _asked() -> Wire:
    """A client that has asked a lot, and has taken nothing of the answers when its stream ends."""
    wire = Wire(VirtualGateway(TERMS))
    wire.take(10_000)
    for number in range(QUESTIONS):
        wire.say(json.dumps({"op": "ping", "id": number}))
    wire._connection.end_with(CloseCode.REVOKED)
    return wire


def test_who_takes_nothing_of_what_is_left_of_a_stream_that_has_ended_keeps_no_connection() -> None:
    async def story() -> tuple[int, bool]:
        wire = _asked()
        await asyncio.sleep(3 * TERMS.close_ms / 1000)
        return wire.get_write_buffer_size(), wire.is_closing()

    assert virtual_time.run(story, lambda: 0.0) == (0, True)


def test_who_takes_what_is_left_slowly_is_told_all_of_it_and_why() -> None:
    async def story() -> tuple[int, int | None]:
        wire, told = _asked(), 0
        for _ in range(100_000):
            if wire.closed_with is not None:
                break
            await asyncio.sleep(TERMS.close_ms / 2_000)
            told += len(wire.take(10))
        return told, wire.closed_with

    assert virtual_time.run(story, lambda: 0.0) == (QUESTIONS, CloseCode.REVOKED)
