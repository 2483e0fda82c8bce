"""One stream connection: bytes in and out of a session. A `ws` class for uvicorn, made by `websockets`' sans-I/O protocol.

uvicorn's HTTP protocol reads the upgrade request, makes one of these, and hands over the transport. From then on this class
is the connection's protocol: it accepts or refuses the handshake, feeds the session, and writes what the outbox holds, all of
it in one `transport.write` a flush. While the transport's buffer is full nothing is written and nothing is read, so the outbox
keeps only the newest balance of each subscription.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import structlog
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State

from fanfold.api.close_codes import CloseCode
from gateway.limits.rates import SECOND_NS, Meter, Quota
from gateway.metrics import Metrics
from gateway.protocol.lifetime import bye_frame
from gateway.protocol.submits import Request as Commands
from gateway.protocol.submits import Told
from gateway.protocol.wishes import Close, Unwatch, Watch, WatchPrefix, Whose, Wish
from gateway.protocol.wishes import SignIn as Presented
from gateway.proxy.reverse_proxy import NEVER_SENT
from gateway.streams.admitted_connection import AdmittedConnection
from gateway.streams.client_frames import ClientFrames, Raw
from gateway.streams.connection_bytes import bound_unsent
from gateway.streams.hub import Hub
from gateway.streams.stream_access import StreamAccess, submits_told
from gateway.streams.stream_places import StreamPlaces
from gateway.streams.stream_rates import StreamRates
from gateway.streams.stream_terms import StreamTerms
from gateway.streams.submit_tasks import SubmitTasks

if TYPE_CHECKING:
    from gateway.streams.sign_in import Door

_log = structlog.get_logger(__name__)

HELD_BACK_S_MAX: Final = 10
"""Who has sent so much more than he may that nothing would be heard of him for longer is cut off."""
MESSAGE_BYTES: Final = 16 * 1024
"""A message is as many as it has of these, and one."""


class Away(NamedTuple):
    """code: of the close frame; after_ms: when the client is to come back."""

    code: CloseCode
    after_ms: int


class StreamConnection(AdmittedConnection):
    """uvicorn passes `config`, `server_state` and `app_state`; `gateway/wiring.py` binds the rest."""

    __slots__ = (
        "_asked_s",
        "_away",
        "_connections",
        "_fragments",
        "_frames",
        "_goes",
        "_later",
        "_meter",
    )

    def __init__(
        self,
        hub: Hub,
        terms: StreamTerms,
        metrics: Metrics,
        stopping: Callable[[], bool],
        *,
        door: Door | None = None,
        submits: SubmitTasks | None = None,
        places: StreamPlaces | None = None,
        access: StreamAccess | None = None,
        rates: StreamRates | None = None,
        config: Any,
        server_state: Any,
        app_state: Any,
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(hub, terms, metrics, stopping, door, submits, places, access, rates)
        if door is not None:
            self._sign_in = door.sign_in(self)
        self._connections: set[Any] = server_state.connections
        self._asked_s = 0.0
        """When the commands that are under way were passed on, by the loop's time."""
        self._frames = ClientFrames(terms.message_bytes_max)
        rate = terms.messages_a_second
        self._meter = Meter(Quota(rate, 1)) if rate else None
        self._later: list[bytes | bytearray | memoryview] = []
        self._fragments: bytearray | None = None
        self._away: Away | None = None
        self._goes = False
        """Why it ends, once what is under way is answered."""

    # Called by the transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self._terms.buffer_bytes)
        bound_unsent(self._transport, self._terms.buffer_bytes)
        self._took_some()  # of an answer over HTTP before it there may be something left
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        self._set_timer(None)
        if self._held_back is not None:
            self._held_back.cancel()
        if self._place is not None:
            self._place.leave()
        self._closing = True
        if self._sign_in is not None:
            self._sign_in.end()
        if self._access is not None and self._arrival is not None:
            judge, close = self._websocket, None
            if judge is not None:
                close = judge.close_rcvd if judge.close_rcvd_then_sent else judge.close_sent
            principal = self.session.principal
            self._access.closed(
                self._arrival, self._written_bytes, close, None if principal is None else principal.name
            )
        if self._joined:
            self._joined = False
            self._hub.lifetimes.end(self)
            self._hub.leave(self)
        self.session.refused_submit = None  # it would keep both until the collector's next pass

    def eof_received(self) -> None:
        """The client half-closed: nothing more comes, so let asyncio close the transport."""

    def pause_writing(self) -> None:
        self._writable = False
        if not self._transport.is_closing():
            # Who does not read may not ask either: that bounds the answers in the outbox.
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._writable = True
        if not self._transport.is_closing():
            self._read_on()
            self.flush()
            self._pass_on()
            if self._goes and self._away is not None and not self._closing:
                self._go(self._away)

    def _read_on(self) -> None:
        """Unless something else is waited for."""
        waits = self._held_back is not None or bool(self._later) or (self._sign_in is not None and self._sign_in.waits)
        if self._writable and not waits and not self._transport.is_closing():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._said_all:
            return
        self._heard = True
        try:
            if not self._joined:
                self._take_raw(data)
                if not data.endswith(b"\r\n\r\n"):  # a client that did not wait for the answer to its handshake
                    self._frames.pass_through()
            else:
                frames, texts = len(data) // MESSAGE_BYTES, list[bytes]()
                for part in self._frames.feed(data):
                    frames += 1
                    if isinstance(part, Raw):
                        self._take_texts(texts)
                        texts.clear()
                        self._take_raw(part.data)
                    else:
                        texts.append(part.payload)
                self._take_texts(texts)
                self.flush()  # what was asked before a close, or before what is broken, is answered before it
                if self._meter is not None:
                    now_ns = int(asyncio.get_running_loop().time() * SECOND_NS)
                    self._hold_back(self._meter.charge(frames, now_ns))
            if self._websocket is not None:
                if self._websocket.handshake_exc is not None and not self._closing:
                    self._refuse_bytes()
                self._write_protocol_bytes(self._websocket)
                self._rest()
            self.flush()
            self._pass_on()
        except Exception:  # a bug of ours must not leave a connection behind that nobody serves
            _log.exception("stream_failed", connection=self._name)
            self.give_up()

    def _hold_back(self, wait_ns: int) -> None:
        """Who sends faster than he may is read as fast as he may. What came is heard: nothing of it is lost."""
        if not wait_ns or self._closing or self._transport.is_closing():
            return
        self._metrics.held_back.inc()
        if wait_ns > HELD_BACK_S_MAX * SECOND_NS:
            self.end_with(CloseCode.TOO_FAST)
            return
        if self._held_back is not None:
            self._held_back.cancel()
        self._held_back = asyncio.get_running_loop().call_later(wait_ns / SECOND_NS, self._hear_again)
        self._transport.pause_reading()

    def _hear_again(self) -> None:
        self._held_back = None
        self._read_on()

    def _rest(self) -> None:
        judge = self._websocket
        at_rest = self._joined and not self._closing and self._frames.between_messages
        if judge is not None and at_rest and judge.state is State.OPEN:
            self._websocket = None
            judge.let_go()

    def _take_raw(self, data: bytes) -> None:
        judge = self._judge()
        judge.receive_data(data)
        for event in judge.events_received():
            if isinstance(event, Request):
                self._shake_hands(event, judge)
            elif isinstance(event, Frame) and not self._closing:
                self._take_frame(event)

    def _begin(self) -> None:
        self._joined = True
        signs_in = self._sign_in is not None and self.session.principal is None and not self._sign_in.is_said
        self._name = self._hub.lifetimes.begin(self, self._terms.limits(self._submits is not None), signs_in)
        self._hub.join(self)
        self._set_timer(self._terms.ping_ms, self._ping)
        if self._sign_in is not None:
            self._sign_in.begin()

    def has_place_for(self, principal: str) -> bool:
        return self._place is None or self._place.sign_in(principal)

    # Frames.

    def _take_frame(self, frame: Frame) -> None:
        match frame.opcode:
            case Opcode.TEXT if frame.fin:
                self._take_text(frame.data)
            case Opcode.TEXT:
                self._fragments = bytearray(frame.data)
            case Opcode.CONT if self._fragments is not None:
                # Bounded: the sans-I/O protocol counts the whole message against its maximum size.
                self._fragments += frame.data
                if frame.fin:
                    whole, self._fragments = self._fragments, None
                    self._take_text(whole)
            case Opcode.BINARY | Opcode.CONT:
                self._close(CloseCode.NOT_TEXT)
            case Opcode.CLOSE:
                # The sans-I/O protocol has answered it, or this is the answer to ours.
                self.flush()
                self._closing = True
            case _:
                pass  # ping is answered by the sans-I/O protocol, pong is counted by data_received

    def _take_texts(self, texts: Sequence[bytes]) -> None:
        """Messages that came together, in order."""
        waits = self._sign_in is not None and self._sign_in.waits
        if len(texts) > 1 and not (waits or self._closing) and self.session.receive_submits(texts):
            return
        for text in texts:
            if not self._closing:
                self._take_text(text)

    def _take_text(self, data: bytes | bytearray | memoryview) -> None:
        if self._sign_in is not None and self._sign_in.waits:
            # Bounded: nothing is read meanwhile, and this came with what is being found out.
            self._later.append(bytes(data))
            self._transport.pause_reading()
            return
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError:
            self._close(CloseCode.NOT_UTF8)
            return
        self._take_wish(self.session.receive(text))

    def _take_wish(self, wish: Wish | None) -> None:
        match wish:
            case Watch() as watch:
                self._hub.watch(self.session, watch)
            case WatchPrefix() as prefix:
                self._hub.watch_prefix(self.session, prefix)
            case Unwatch() as ended:
                self._hub.unwatch(ended)
            case Presented() as presented:
                self._present(presented)
            case Whose() as whose:
                assert self._sign_in is not None, "only who is asked who is there has rights over an owner's accounts"
                self._sign_in.find_owners(whose, lambda found: None if self._closing else self._take_wish(found))
                self._transport.pause_reading()
            case Close(code):
                self.flush()
                self._close(code)
            case None:
                pass

    # Who is there.

    def _present(self, presented: Presented) -> None:
        assert self._sign_in is not None, "only a session that asks who is there hears it"
        refused = self._sign_in.present(presented)
        if refused is not None:
            self.end_with(refused.code)
        elif self._sign_in.waits:
            self._transport.pause_reading()

    def take_later(self) -> None:
        """It was found out who is there: what was said meanwhile is heard."""
        later, self._later = self._later, []
        try:
            for data in later:
                if not self._closing:
                    self._take_text(data)
            self._read_on()
            self.flush()
            self._pass_on()
        except Exception:  # as of `data_received`
            _log.exception("stream_failed", connection=self._name)
            self.give_up()

    def end_with(self, code: CloseCode) -> None:
        try:
            self.flush()
        except Exception:  # a bug of ours must keep no stream open for who has no right to it any more
            _log.exception("stream_failed", connection=self._name)
        self._close(code)

    def give_up(self) -> None:
        self._close(CloseCode.INTERNAL)
        if not self._closing:
            self._transport.abort()

    # Commands.

    def _pass_on(self) -> None:
        """What was submitted, if nothing of it is under way. Who does not take his answers gets no more done."""
        if self._submits is not None and (request := self._next_request()) is not None:
            self._submits.ask(self, request)

    def _next_request(self) -> Commands | None:
        if not self._joined or self._closing or self._away is not None or not self._writable:
            return None
        request = self.session.take_request()
        if request is None:
            return None
        self._asked_s = asyncio.get_running_loop().time()
        return request._replace(trace=self._trace)

    def take_answers(self, request: Commands, told: Sequence[Told]) -> Commands | None:
        """Called once what was under way is answered; the next request. Of a stream that is gone nobody is told."""
        try:
            self.session.answer_request(request, told)
            if self._away is not None:
                self._go(self._away)
            self.flush()
            self._tell_submits(request, told)
            return self._next_request()
        except Exception:  # whoever waits for his answers must not wait for ever
            _log.exception("stream_failed", connection=self._name)
            self._close(CloseCode.INTERNAL)
            return None

    def _tell_submits(self, request: Commands, told: Sequence[Told]) -> None:
        """In the access log, one line a submit."""
        if self._access is not None and self._arrival is not None:
            took_s = asyncio.get_running_loop().time() - self._asked_s
            for line in submits_told(request, told, took_s):
                self._access.submitted(self._arrival, line, None if request.whose is None else request.whose.name)

    # Writing.

    def flush(self) -> None:
        """Everything that waits, in one write."""
        if self._writable and not self._closing and self._joined:
            outbox = self.session.outbox
            data, items = outbox.take_bytes()
            if data:
                self._write(data)
                self._metrics.wrote(items)
            if outbox.paced:
                self._hub.let_rest(self.session)

    # Sent away.

    def shutdown(self) -> None:
        """Called by uvicorn when the server stops."""
        if self._away is not None:
            return  # it is ending, and everything that it waits for has its time
        if not self._joined or self._closing:
            self._leave()
        else:
            self.send_away(CloseCode.RESTARTING, self._hub.lifetimes.return_ms())

    def send_away(self, code: CloseCode, after_ms: int) -> None:
        """Say goodbye and close, once what is under way is answered, which has its time."""
        if self._away is not None or not self._joined or self._closing:
            return
        away = self._away = Away(code, after_ms)
        if self.session.asks and self._terms.drain_ms:
            self._set_timer(self._terms.drain_ms, lambda: self._go(away))  # or ended by the answers
        else:
            self._go(away)

    def _go(self, away: Away) -> None:
        self.session.refuse_waiting("stopping", NEVER_SENT)
        self.flush()
        if not self._writable and self._terms.drain_ms:
            self._goes = (
                True  # once the client has taken what lies before it: answers are not thrown away for a full buffer
            )
            self._set_timer(self._terms.drain_ms, lambda: self._close(away.code))
            return
        self.session.outbox.answer(bye_frame(away.code, away.after_ms))
        self.flush()
        self._close(away.code)
