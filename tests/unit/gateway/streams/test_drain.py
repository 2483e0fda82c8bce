"""Streams that are sent away before a stop, on virtual time."""

from __future__ import annotations

import asyncio
import random

import pytest

from fanfold.api.close_codes import CloseCode
from gateway.protocol.lifetime import Limits as StreamLimits
from gateway.protocol.session import Session
from gateway.streams.drain import STEPS_MAX, Drain
from gateway.streams.waiting_request import WaitingRequest
from tests.simulation import virtual_time
from tests.simulation.processes import STREAM_TERMS
from tests.simulation.wire import Wire
from tests.virtual_gateway import VirtualGateway

WITHIN_MS = 10_000
LIMITS = StreamLimits(1, 1, 1)
MANY = STEPS_MAX + 200


class Fails:
    session = Session(1)

    def flush(self) -> None: ...

    def send_away(self, code: CloseCode, after_ms: int) -> None:
        raise RuntimeError

    def give_up(self) -> None:
        raise RuntimeError


def gateway_of(streams: int) -> tuple[VirtualGateway, list[Wire]]:
    gateway = VirtualGateway(STREAM_TERMS._replace(connections_max=streams + 1))
    wires = [Wire(gateway) for _ in range(streams)]
    for wire in wires:
        wire.take(10_000)
    return gateway, wires


@pytest.mark.parametrize("streams", [0, 1, 2, 7, MANY])
def test_all_are_sent_away_each_at_its_time_and_told_to_come_back(streams: int) -> None:
    async def story() -> list[int]:
        gateway, wires = gateway_of(streams)
        drain = Drain(gateway.hub, WITHIN_MS, random.Random(0).randrange)
        drain.begin()
        drain.begin()
        left = []
        for _ in range(WITHIN_MS // 1_000 + 2):
            await asyncio.sleep(1)
            for wire in wires:
                wire.take(10_000)
            left.append(drain.streams)
        assert {wire.closed_with for wire in wires} <= {CloseCode.RESTARTING}
        assert all(wire.closed_with is not None for wire in wires)
        return left

    left = virtual_time.run(story, lambda: 0.0)
    assert left[-1] == 0
    if streams == MANY:
        gone = [before - after for before, after in zip([streams, *left], left, strict=False)]
        assert max(gone) < streams / 5, "not all at once"


def test_reads_that_wait_are_none_of_those_who_are_still_to_leave() -> None:
    """Whoever waits for 0 before the stop waited for ever while anybody asked again and again."""

    async def story() -> None:
        gateway, [wire] = gateway_of(1)
        gateway.hub.join(WaitingRequest(Session(1)))
        drain = Drain(gateway.hub, WITHIN_MS, random.Random(0).randrange)
        assert drain.streams == 1
        drain.begin()
        await asyncio.sleep(1)
        wire.take(10_000)
        assert wire.closed_with == CloseCode.RESTARTING
        assert (drain.streams, gateway.hub.streams) == (0, 1)

    virtual_time.run(story, lambda: 0.0)


def test_who_is_first_is_chance() -> None:
    async def story() -> list[int]:
        gateway, wires = gateway_of(20)
        Drain(gateway.hub, WITHIN_MS, random.Random(1).randrange).begin()
        order = list[int]()
        while len(order) < 20:
            for number, wire in enumerate(wires):
                wire.take(10_000)
                if wire.closed_with is not None and number not in order:
                    order.append(number)
            await asyncio.sleep(0.05)
        return order

    order = virtual_time.run(story, lambda: 0.0)
    assert sorted(order) == list(range(20))
    assert order != sorted(order)


def test_a_stream_that_fails_keeps_nobody_else_and_a_stop_ends_it() -> None:
    async def story() -> None:
        gateway, wires = gateway_of(3)

        fails = Fails()
        gateway.hub.lifetimes.begin(fails, LIMITS, signs_in=False)
        gateway.hub.join(fails)
        drain = Drain(gateway.hub, 1, random.Random(0).randrange)
        drain.begin()
        await asyncio.sleep(1)
        for wire in wires:
            wire.take(10_000)
        assert None not in [wire.closed_with for wire in wires]
        assert drain.streams == 1
        drain.cancel()

    virtual_time.run(story, lambda: 0.0)
