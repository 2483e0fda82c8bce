"""Whatever a client sends, in whatever pieces it comes: what is read of it is what the sans-I/O protocol alone would read."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from gateway.streams.client_frames import ClientFrames, Text

SIZE_MAX = 300

Event = tuple[Opcode, bytes, bool]


def _server() -> ServerProtocol:
    return ServerProtocol(max_size=SIZE_MAX, state=State.OPEN)


def _told(frames: Sequence[object]) -> list[Event]:
    return [(each.opcode, bytes(each.data), each.fin) for each in frames if isinstance(each, Frame)]


def _alone(data: bytes) -> tuple[list[Event], State, bytes]:
    server = _server()
    server.receive_data(data)
    events = _told(server.events_received())
    return events, server.state, b"".join(server.data_to_send())


def _together(pieces: list[bytes]) -> tuple[list[Event], State, bytes]:
    server, frames, events = _server(), ClientFrames(SIZE_MAX), list[Event]()
    for piece in pieces:
        for part in frames.feed(piece):
            if isinstance(part, Text):
                if server.state is State.OPEN:
                    events.append((Opcode.TEXT, bytes(part.payload), True))
            else:
                server.receive_data(part.data)
                events += _told(server.events_received())
    return events, server.state, b"".join(server.data_to_send())


def _cut(data: bytes, cuts: list[int]) -> list[bytes]:
    at = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(at)]


FRAMES = st.builds(
    lambda opcode, size, fin, masked: Frame(
        opcode, b"a" * (min(size, 125) if opcode >= 8 else size), True if opcode >= 8 else fin
    ).serialize(mask=masked),
    st.sampled_from([Opcode.TEXT, Opcode.TEXT, Opcode.TEXT, Opcode.CONT, Opcode.BINARY, Opcode.PING, Opcode.PONG]),
    st.sampled_from([0, 1, 5, 125, 126, 127, 200, SIZE_MAX, SIZE_MAX + 1, 70_000]),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([True] * 9 + [False]),
)
CLOSE = st.just(Frame(Opcode.CLOSE, b"\x03\xe8").serialize(mask=True))
BROKEN = st.binary(min_size=1, max_size=20)


@given(
    st.lists(FRAMES | FRAMES | FRAMES | CLOSE | BROKEN, max_size=8).map(b"".join),
    st.lists(st.integers(0, 2_000), max_size=6),
)
def test_what_is_read_is_what_the_protocol_alone_reads(data: bytes, cuts: list[int]) -> None:
    events, state, sent = _alone(data)
    own_events, own_state, own_sent = _together(_cut(data, cuts))
    if own_state == state:
        assert own_events == events
        assert (own_sent != b"") == (sent != b"")
    else:  # it waits for the rest of fragments that are too many together, or out of order
        assert state is not State.OPEN
        assert own_events == events[: len(own_events)]


@given(st.lists(st.binary(max_size=SIZE_MAX), max_size=20), st.lists(st.integers(0, 4_000), max_size=10))
def test_texts_come_whole_and_in_order_however_they_are_cut(texts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(Frame(Opcode.TEXT, text).serialize(mask=True) for text in texts)
    frames = ClientFrames(SIZE_MAX)
    found = [part for piece in _cut(data, cuts) for part in frames.feed(piece)]
    assert [part.payload if isinstance(part, Text) else None for part in found] == texts


def test_a_frame_that_is_too_large_is_refused_by_its_head_and_nothing_of_it_kept() -> None:
    server, frames = _server(), ClientFrames(SIZE_MAX)
    for part in frames.feed(b"\x81\xff" + (1 << 62).to_bytes(8, "big")):
        assert not isinstance(part, Text)
        server.receive_data(part.data)
    assert server.close_sent is not None
    assert server.close_sent.code == 1009
    assert frames._rest == b""
