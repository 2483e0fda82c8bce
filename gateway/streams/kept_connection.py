"""A stream's connection, kept open by pings and ended so that its client can read why, however slowly it reads."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from websockets.protocol import State

from fanfold.api.close_codes import MEANINGS, CloseCode
from gateway.metrics import Metrics
from gateway.protocol.session import Session
from gateway.proxy.reverse_proxy import NEVER_SENT
from gateway.streams.connection_bytes import unacknowledged_bytes
from gateway.streams.judge import Judge
from gateway.streams.stream_terms import StreamTerms


class KeptConnection(asyncio.Protocol, ABC):
    """What is said on it the session knows, and what is heard `websocket_server.py`."""

    __slots__ = (
        "_closing",
        "_heard",
        "_held_back",
        "_metrics",
        "_ping_ends",
        "_said_all",
        "_taken_bytes",
        "_terms",
        "_timer",
        "_transport",
        "_websocket",
        "_writable",
        "_written_bytes",
        "session",
    )

    def __init__(self, terms: StreamTerms, metrics: Metrics, session: Session) -> None:
        self.session = session
        self._terms = terms
        self._metrics = metrics
        self._transport: asyncio.Transport = None  # type: ignore[assignment]  # set by connection_made
        self._websocket: Judge | None = Judge(terms.message_bytes_max)
        """None while nothing is said that it judges: see `websocket_server.py`, which lets it go."""
        self._held_back: asyncio.TimerHandle | None = None
        """Set while nothing is read because messages came too fast."""
        self._writable = True
        self._written_bytes = self._taken_bytes = self._ping_ends = 0
        self._heard = True
        self._closing = False
        self._said_all = False
        self._timer: asyncio.TimerHandle | None = None

    def _write(self, data: bytes) -> None:
        self._written_bytes += len(data)
        self._transport.write(data)

    def _judge(self) -> Judge:
        """The sans-I/O protocol, from its handshake on or, between two messages, a new one."""
        if self._websocket is None:
            self._websocket = Judge(self._terms.message_bytes_max, State.OPEN)
        return self._websocket

    @abstractmethod
    def _rest(self) -> None:
        """Between two messages nothing has to be judged."""

    def _write_protocol_bytes(self, judge: Judge) -> None:
        """What the sans-I/O protocol itself says: handshake, pong, close. An empty part means: end the connection."""
        parts = judge.data_to_send()
        if parts and not self._transport.is_closing():
            self._write(b"".join(parts))
        if b"" in parts or judge.state is State.CLOSED:
            self._closing = True
            closed = judge.close_sent
            if closed is not None and judge.close_rcvd is None:
                self._metrics.closes.labels(str(closed.code)).inc()
            self._end()

    # Ending.

    def _end(self) -> None:
        """All is said. What the client still sends is passed over until it has left, or for a moment: a connection that is closed
        over unread bytes is reset, and its client would read that in the place of why."""
        if self._said_all:
            return
        self._said_all = True
        if self._transport.is_closing() or not self._transport.can_write_eof():
            self._leave()
            return
        self._transport.write_eof()
        self._transport.resume_reading()
        self._set_timer(self._terms.close_ms, self._hang_up if self._writable else self._transport.abort)

    def _leave(self) -> None:
        """As soon as everything is written."""
        self._transport.close()
        self._set_timer(self._terms.close_ms, self._hang_up)

    def _close(self, code: CloseCode) -> None:
        """Say why, then wait a moment for the client's answer: closing at once could destroy what it has not read yet."""
        if self._closing or (judge := self._judge()).state is not State.OPEN:
            return
        judge.send_close(code, MEANINGS[code].reason)
        self._closing = True
        self._metrics.closes.labels(str(int(code))).inc()
        # A client that does not read cannot answer either. Set first: whatever fails in writing, it ends.
        self._set_timer(self._terms.close_ms, self._hang_up if self._writable else self._transport.abort)
        self._write_protocol_bytes(judge)

    def _hang_up(self) -> None:
        """The time for its answer is over. Who takes what is left for him has more of it; a transport that is closed would wait
        for who takes nothing as long as he likes, and keep his place and his descriptor."""
        if self._transport.get_write_buffer_size() and self._took_some():
            self._set_timer(self._terms.close_ms, self._hang_up)
        else:
            self._transport.abort()

    # Keep-alive: a ping, and later a look whether anything at all came back.

    def _ping(self) -> None:
        if not self._writable:
            # What waits for who takes nothing would keep the room of all others' commands.
            self.session.refuse_waiting("overloaded", NEVER_SENT)
            # Slowly is not never: only who took nothing since the last ping is cut off.
            if self._took_some():
                self._set_timer(self._terms.ping_ms, self._ping)
            else:
                self._close(CloseCode.NOT_READING)
            return
        self._heard = False
        judge = self._judge()
        judge.send_ping(b"")
        self._write_protocol_bytes(judge)
        self._rest()
        self._ping_ends = self._written_bytes
        self._took_some()
        self._set_timer(self._terms.pong_ms, self._look_for_pong)

    def _took_some(self) -> bool:
        """Whether the client has taken bytes since this was asked last."""
        waiting = self._transport.get_write_buffer_size() + unacknowledged_bytes(self._transport)
        before, self._taken_bytes = self._taken_bytes, self._written_bytes - waiting
        return self._taken_bytes > before

    def _look_for_pong(self) -> None:
        if self._heard or not self._writable or self._held_back is not None:
            # The pong of who is not read from lies behind what it has not taken; `_ping` looks whether it takes any.
            self._set_timer(self._terms.ping_ms, self._ping)
        elif self._taken_bytes < self._ping_ends and self._took_some():
            # The ping itself lay behind what the client had not taken yet, and it takes some: the pong has time from then on.
            self._set_timer(self._terms.pong_ms, self._look_for_pong)
        else:
            self._close(CloseCode.PONG_MISSED)

    def _set_timer(self, delay_ms: int | None, then: Callable[[], None] | None = None) -> None:
        """One timer at a time: the next ping, the pong's time, or the end of closing."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if delay_ms is not None and then is not None:
            self._timer = asyncio.get_running_loop().call_later(delay_ms / 1000, then)
