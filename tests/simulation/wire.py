"""What lies between a gateway and one client of its stream: the real connection on the one side, bytes that wait on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from gateway.streams.hub import Hub
from gateway.streams.websocket_server import StreamConnection
from tests.simulation.faults import Life

URI = parse_uri("ws://gateway/v1/stream")


class Serving(Protocol):
    """A gateway's process, as a connection to it needs it."""

    life: Life
    hub: Hub
    connections: set[Any]

    def connection(self) -> StreamConnection: ...


class Wire(asyncio.Transport):
    """As a socket's transport: what is written waits until the client takes it.

    high: from so many bytes on the gateway is told not to write.
    """

    def __init__(self, gateway: Serving, headers: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.gateway = gateway
        self.client = ClientProtocol(URI)
        self.closed_with: int | None = None
        """Why the gateway ended it, whether the client came to read that or not."""
        self.lost = False
        self._buffer = bytearray()
        self._high = 65_536
        self._paused = self._closing = self._reading = False
        self._unread: list[bytes] = []
        self._connection = gateway.connection()
        self._within(lambda: self._connection.connection_made(self))
        self._reading = True
        request = self.client.connect()
        for name, value in (headers or {}).items():
            request.headers[name] = value
        self.client.send_request(request)
        self.send()

    # The client's side.

    def say(self, text: str) -> None:
        """A message of the client's."""
        self.client.send_text(text.encode())
        self.send()

    def send(self) -> None:
        """What the client has to say goes to the gateway, which may not be reading just now."""
        self._unread += [each for each in self.client.data_to_send() if each]
        while self._unread and self._reading and not self._closing and not self.lost:
            data = self._unread.pop(0)
            self._within(partial(self._connection.data_received, data))

    def take(self, bytes_max: int) -> list[bytes]:
        """Take some of what waits: the messages that are complete by that."""
        if not self.gateway.life.alive:
            self.drop()
        if self.lost:
            return []
        self.client.receive_data(bytes(self._buffer[:bytes_max]))
        del self._buffer[:bytes_max]
        if self._paused and len(self._buffer) <= self._high // 4:
            self._paused = False
            self._within(self._connection.resume_writing)
        frames = [event for event in self.client.events_received() if isinstance(event, Frame)]
        for frame in frames:
            if frame.opcode is Opcode.CLOSE and self.client.close_rcvd is not None:
                self.closed_with = self.client.close_rcvd.code
        self.send()  # pongs
        if self._closing and not self._buffer:
            self.drop()
        return [bytes(frame.data) for frame in frames if frame.opcode is Opcode.TEXT]

    @property
    def open(self) -> bool:
        """Whether messages may be sent."""
        return not self.lost and self.client.state is State.OPEN

    def drop(self) -> None:
        """The connection is gone, whoever ended it."""
        if not self.lost:
            self.lost = True
            self._buffer.clear()
            self._within(lambda: self._connection.connection_lost(None))

    def _within(self, work: Callable[[], None]) -> None:
        self.gateway.life.within(work)

    # The gateway's side.

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high is not None
        self._high = high

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def write(self, data: Any) -> None:
        if self.lost:
            return
        self._buffer += data
        if len(self._buffer) > self._high and not self._paused:
            self._paused = True
            self._connection.pause_writing()

    def can_write_eof(self) -> bool:
        return False

    def is_closing(self) -> bool:
        return self._closing or self.lost

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        self._reading = True

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        judge = self._connection._websocket
        if judge is not None and judge.close_sent is not None:
            self.closed_with = judge.close_sent.code
        self._closing = True
        self._buffer.clear()
