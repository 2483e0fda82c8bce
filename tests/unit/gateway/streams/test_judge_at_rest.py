"""A stream has the judge of RFC 6455 only while there is something to judge; what is right stays what it was."""

from __future__ import annotations

import gc
import json
import weakref
from typing import Any

from fanfold.api.close_codes import CloseCode
from tests.simulation.wire import Wire
from tests.virtual_gateway import VirtualGateway


def opened() -> Any:
    wire = Wire(VirtualGateway())
    wire.take(10_000)
    return wire


def asks(wire: Any) -> list[Any]:
    """What a ping of the protocol's own is answered with."""
    wire.say(json.dumps({"op": "ping", "id": 1}))
    return [json.loads(frame) for frame in wire.take(10_000)]


async def test_an_open_stream_at_rest_has_none_and_nothing_keeps_the_last() -> None:
    gc.collect()
    gc.disable()
    try:
        gateway = VirtualGateway()
        connection = gateway.connection()
        last = weakref.ref(connection._websocket)
        gateway.connection = lambda: connection  # type: ignore[method-assign]
        wire = Wire(gateway)
        wire.take(10_000)
        assert connection._websocket is None
        assert last() is None, "without the collector"
        wire.client.send_ping(b"")
        wire.send()
        assert connection._websocket is None
    finally:
        gc.enable()


async def test_it_judges_frames_and_closes_as_before() -> None:
    wire = opened()
    for _ in range(3):
        wire.client.send_ping(b"here")
        wire.send()
        wire.take(10_000)
    assert asks(wire) == [{"op": "pong", "id": 1}]
    wire._connection._take_raw(b"\x8b\x80\0\0\0\0")  # an opcode that is none
    wire._connection._write_protocol_bytes(wire._connection._websocket)
    wire.take(10_000)
    assert wire.closed_with == 1002


async def test_in_the_middle_of_a_message_it_stays() -> None:
    wire = opened()
    wire.client.send_text(b'{"op":"ping",', fin=False)
    wire.client.send_ping(b"between")
    wire.send()
    assert wire._connection._websocket is not None
    wire.client.send_continuation(b'"id":7}', fin=True)
    wire.send()
    assert [json.loads(frame) for frame in wire.take(10_000)] == [{"op": "pong", "id": 7}]
    assert wire._connection._websocket is None


async def test_a_close_is_answered_and_its_code_is_known() -> None:
    wire = opened()
    wire.client.send_close(1000)
    wire.send()
    wire.take(10_000)
    assert wire.closed_with == 1000
    judge = wire._connection._websocket
    assert judge.close_rcvd_then_sent
    assert judge.close_rcvd.code == 1000


async def test_who_is_sent_away_at_rest_reads_why() -> None:
    wire = opened()
    wire._connection.send_away(CloseCode.RESTARTING, 5)
    said = [json.loads(frame) for frame in wire.take(10_000)]
    assert (said[-1]["op"], wire.closed_with) == ("bye", CloseCode.RESTARTING)


async def test_a_message_that_is_too_long_ends_it() -> None:
    wire = opened()
    wire.client.send_text(b"x" * (wire.gateway.terms.message_bytes_max + 1))
    wire.send()
    wire.take(10_000)
    assert wire.closed_with == 1009


async def test_pings_of_its_own_leave_none_behind() -> None:
    wire = opened()
    wire._connection._ping()
    assert wire._connection._websocket is None
    wire.take(10_000)  # and the pong comes back
    assert wire._connection._heard
    assert wire._connection._websocket is None
