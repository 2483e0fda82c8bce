"""A stream whose ping waits behind what its client has not taken yet, on virtual time over the real connection."""

from __future__ import annotations

import asyncio
import json

from fanfold.api.close_codes import CloseCode
from tests.simulation import virtual_time
from tests.simulation.processes import STREAM_TERMS
from tests.simulation.wire import Wire
from tests.virtual_gateway import VirtualGateway

TERMS = STREAM_TERMS._replace(buffer_bytes=65_536)
"""So much that the gateway is never told not to write: what waits is less, and takes longer than a pong may."""
QUESTIONS = 60


async def _asked() -> Wire:
    """A client that has asked a lot and has taken nothing of the answers."""
    wire = Wire(VirtualGateway(TERMS))
    wire.take(10_000)
    for number in range(QUESTIONS):
        wire.say(json.dumps({"op": "ping", "id": number}))
    return wire


def test_who_takes_a_little_all_the_time_is_not_cut_off_though_his_pong_comes_late() -> None:
    async def story() -> tuple[int | None, int]:
        wire, told = await _asked(), 0
        while told < QUESTIONS:
            await asyncio.sleep(1.0)
            told += len(wire.take(10))
            if wire.lost:
                break
        wire.take(100)
        return wire.closed_with, told

    assert virtual_time.run(story, lambda: 0.0) == (None, QUESTIONS)


def test_who_takes_nothing_is_cut_off_and_leaves_nothing() -> None:
    async def story() -> tuple[int | None, int, int]:
        wire = await _asked()
        await asyncio.sleep((TERMS.ping_ms + TERMS.pong_ms) / 1000 + 0.1)
        wire.take(100_000)
        return wire.closed_with, len(wire.gateway.connections), wire.gateway.hub.streams

    assert virtual_time.run(story, lambda: 0.0) == (CloseCode.PONG_MISSED, 0, 0)
