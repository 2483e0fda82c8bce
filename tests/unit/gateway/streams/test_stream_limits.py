"""What a stream may send and how many there may be, on virtual time over the real connection."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from fanfold.api.close_codes import CloseCode
from gateway.limits.terms import Limits
from gateway.streams.handshake import Refusal, refusal_response
from tests.simulation import virtual_time
from tests.simulation.processes import STREAM_TERMS
from tests.simulation.wire import Wire
from tests.virtual_gateway import VirtualGateway

A_SECOND = 10


def gateway_with(limits: Limits) -> VirtualGateway:
    terms = STREAM_TERMS._replace(messages_a_second=limits.messages_a_second, connections_max=3)
    return VirtualGateway(terms, limits)


def ping(wire: Wire, number: int) -> None:
    wire.say(json.dumps({"op": "ping", "id": number}))


def test_who_sends_faster_than_he_may_is_heard_as_fast_as_he_may_and_loses_nothing() -> None:
    async def story() -> tuple[list[int], int | None]:
        wire = Wire(gateway_with(Limits(messages_a_second=A_SECOND)))
        wire.take(10_000)
        for number in range(8 * A_SECOND):
            ping(wire, number)
        told = list[int]()
        answered = 0
        while answered < 8 * A_SECOND and not wire.lost:
            found = wire.take(100_000)
            answered += len(found)
            told.append(answered)
            await asyncio.sleep(1.0)
            wire.send()
        return told, wire.closed_with

    told, closed_with = virtual_time.run(story, lambda: 0.0)
    assert closed_with is None, "its pongs lie behind what is not read yet"
    assert told[0] <= A_SECOND + 1
    assert all(later - earlier <= A_SECOND + 1 for earlier, later in pairwise(told))
    assert told[-1] == 8 * A_SECOND


def test_who_is_far_ahead_in_one_go_is_cut_off_and_may_come_back() -> None:
    async def story() -> tuple[int | None, int]:
        gateway = gateway_with(Limits(messages_a_second=A_SECOND))
        wire = Wire(gateway)
        wire.take(10_000)
        for number in range(12 * A_SECOND):
            wire.client.send_text(json.dumps({"op": "ping", "id": number}).encode())
        # As one read of the socket: what has come is heard, so it cannot be held back any more.
        data = b"".join(wire.client.data_to_send())
        wire._connection.data_received(data)
        wire.take(100_000)
        await asyncio.sleep(10)
        return wire.closed_with, len(gateway.places.addresses)

    closed_with, left = virtual_time.run(story, lambda: 0.0)
    assert (closed_with, left) == (CloseCode.TOO_FAST, 0)


def test_a_pong_that_lies_behind_what_is_not_read_yet_is_waited_for() -> None:
    """Nothing is read from 3.9 s to 8.4; the ping leaves at 4, and a pong has 0.1 s."""

    async def story() -> int | None:
        gateway = gateway_with(Limits(messages_a_second=A_SECOND))
        gateway.terms = gateway.terms._replace(pong_ms=100)
        wire = Wire(gateway)
        wire.take(10_000)
        await asyncio.sleep(3.9)
        for number in range(round(A_SECOND * 5.5)):
            wire.client.send_text(json.dumps({"op": "ping", "id": number}).encode())
        wire._connection.data_received(b"".join(wire.client.data_to_send()))
        for _ in range(100):
            wire.take(100_000)
            await asyncio.sleep(0.05)
        assert wire._reading
        return wire.closed_with

    assert virtual_time.run(story, lambda: 0.0) is None


def test_control_frames_are_messages_too() -> None:
    async def story() -> float:
        wire = Wire(gateway_with(Limits(messages_a_second=A_SECOND)))
        wire.take(10_000)
        for _ in range(2 * A_SECOND):
            wire.client.send_ping(b"")
            wire.send()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while wire._unread:
            await asyncio.sleep(0.1)
            wire.send()
        return loop.time() - begun

    assert 0.5 <= virtual_time.run(story, lambda: 0.0) <= 1.5


@pytest.mark.parametrize(
    ("limits", "opened", "status"),
    [(Limits(), 3, 503), (Limits(address_streams=2), 2, 429), (Limits(principal_streams=1), 3, 503)],
)
def test_a_stream_for_which_there_is_no_place_is_told_so_before_it_is_one(
    limits: Limits, opened: int, status: int
) -> None:
    async def story() -> None:
        gateway = gateway_with(limits)
        wires = [Wire(gateway) for _ in range(opened)]
        refused = Wire(gateway)
        head = bytes(refused._buffer).decode()
        assert head.startswith(f"HTTP/1.1 {status} ")
        assert "Retry-After: 1\r\n" in head
        assert "othing was done" in head or "not taken" in head or "ry again" in head
        wires[0].drop()
        assert b" 101 " in bytes(Wire(gateway)._buffer)[:20], "a place that was left is free"

    virtual_time.run(story, lambda: 0.0)


@pytest.mark.parametrize("word", ["stopping", "upstream_unavailable", "overloaded", "too_many_connections"])
def test_whatever_passes_says_when_to_come_back(word: str) -> None:
    assert refusal_response(Refusal(word)).headers["Retry-After"] == "1"


@pytest.mark.parametrize("word", ["not_found", "origin_refused", "token_invalid", "handshake_malformed"])
def test_what_does_not_pass_does_not(word: str) -> None:
    assert "Retry-After" not in refusal_response(Refusal(word)).headers


def test_who_is_sent_away_with_a_full_buffer_is_told_first_what_waited_for_him() -> None:
    async def story() -> tuple[list[dict[str, Any]], int | None]:
        gateway = gateway_with(Limits())
        gateway.terms = gateway.terms._replace(drain_ms=5_000)
        wire = Wire(gateway)
        wire.take(10_000)
        for number in range(200):  # who takes nothing has a full buffer, and is read from no more
            ping(wire, number)
        wire._connection.session.outbox.answer(b'{"op":"answers","id":7}')
        wire._connection.send_away(CloseCode.RESTARTING, 500)
        told = []
        while not wire.lost:
            told += [json.loads(frame) for frame in wire.take(100)]
        return told, wire.closed_with

    told, closed_with = virtual_time.run(story, lambda: 0.0)
    assert [frame["op"] for frame in told[-2:]] == ["answers", "bye"]
    assert closed_with == CloseCode.RESTARTING


def test_who_is_sent_away_and_takes_nothing_is_cut_off_when_his_time_is_over() -> None:
    async def story() -> bool:
        gateway = gateway_with(Limits())
        gateway.terms = gateway.terms._replace(drain_ms=5_000)
        wire = Wire(gateway)
        wire.take(10_000)
        for number in range(200):
            ping(wire, number)
        wire._connection.send_away(CloseCode.RESTARTING, 500)
        await asyncio.sleep(10)
        wire.take(0)
        return wire.lost

    assert virtual_time.run(story, lambda: 0.0)
