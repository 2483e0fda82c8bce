"""The stream for who has only HTTP: server-sent events (HTML Living Standard, 9.2), a request a client.

Each event is a frame of `wallet.v1`. Session, hub and outbox are those of the sockets, so versions never go back here either, and
who reads slowly gets the newest balance: nothing is taken out of an outbox while the server waits for its client. Who reads
nothing at all is cut off by the server (`deploy/bounded_http.py`).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Final

from fanfold.api.close_codes import CloseCode
from fanfold.api.frames.asked import Subscribe
from fanfold.api.malformed import Malformed
from fanfold.api.questions import EVENT_ACCOUNTS_MAX, EVENT_TOPICS_MAX, OfEvents
from fanfold.api.routes import EVENT_STREAM
from fanfold.doors.answer import malformed, problem
from fanfold.doors.answer import send as send_answer
from fanfold.doors.request import read_query
from gateway.identity.grants import Right
from gateway.identity.owners import NotLookedUp
from gateway.limits.addresses import address_key
from gateway.metrics import Metrics
from gateway.protocol.lifetime import Limits, bye_frame
from gateway.protocol.partition_watch import PartitionWatch
from gateway.protocol.resume import Question
from gateway.protocol.session import Session
from gateway.protocol.wishes import Watch, WatchPrefix
from gateway.proxy.asgi import Receive, Scope, Send
from gateway.streams.handshake import NOT_ASKED, ticket_in
from gateway.streams.hub import Hub
from gateway.streams.stream_places import StreamPlaces
from gateway.streams.stream_terms import StreamTerms
from gateway.streams.waiting_request import WaitingRequest
from write_side.contract.words.atoms import partition_of

if TYPE_CHECKING:
    from gateway.proxy.checked_proxy import ByTicket, LetIn
    from gateway.streams.sign_in import Door

    Admit = Callable[[Scope, Receive, Send, ByTicket | None], Awaitable[LetIn | None]]

QUERY_BYTES_MAX: Final = 16 * 1024
"""As many names as may be asked for, of 64 characters each, and room for what is escaped in them."""

_HEAD: Final = (
    (b"content-type", EVENT_STREAM.encode()),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx passes events on as they come
)
_LIMITS: Final = Limits(EVENT_ACCOUNTS_MAX, EVENT_ACCOUNTS_MAX, EVENT_TOPICS_MAX)
_ALIVE: Final = b": alive\n\n"
_OP: Final = re.compile(rb'\{"op":"([a-z_]+)"')


class EventStream:
    """One of a gateway."""

    def __init__(
        self,
        hub: Hub,
        terms: StreamTerms,
        metrics: Metrics,
        stopping: Callable[[], bool],
        door: Door | None = None,
        let_in: Admit | None = None,
        places: StreamPlaces | None = None,
        draining: Callable[[], bool] = lambda: False,
    ) -> None:
        """door, let_in: who is let in, and who a request says that asks (None: it is refused and answered); None where
        nobody is asked. draining: whether nobody is let in any more, while those who are there are sent away one by one."""
        self._door = door
        self._let_in = let_in
        self._hub = hub
        self._terms = terms
        self._metrics = metrics
        self._stopping = stopping
        self._places = places
        self._draining = draining

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._door is None or self._let_in is None:
            return await self._serve(self._session(None), scope, receive, send)
        ticket = ticket_in(scope["query_string"])
        by_ticket = None if ticket is None else partial(self._door.tickets.who, ticket)
        let_in = await self._let_in(scope, receive, send, by_ticket)
        if let_in is None:
            return None
        session = self._session(self._door.hide)
        session.admit(let_in.principal, None)
        return await self._serve(session, scope, let_in.receive, let_in.send)

    def _session(self, hide: Callable[[str], str] | None) -> Session:
        return Session(EVENT_ACCOUNTS_MAX, self._hub.topics, None, hide, self._terms.prefix_watchers)

    async def _serve(self, session: Session, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            question, wanted = _asked(scope["query_string"])
            if wanted.ticket is not None and self._door is None:
                raise Malformed("parameter_malformed", "ticket", NOT_ASKED)
        except Malformed as refusal:
            return await send_answer(send, malformed(refusal))
        refused = self._refused()
        if refused is None and wanted.prefix is not None and not session.may_watch_prefixes:
            refused = "prefix_refused"
        if refused is not None:
            self._metrics.refused_with(refused)
            return await send_answer(send, problem(refused))
        try:
            if self._door is not None and session.principal is not None:
                who = session.principal
                names = [name for name in question.accounts if who.unclear(Right.READ, name)]
                session.principal = await self._door.owners.knowing_soon(who, names)
        except NotLookedUp:
            return await send_answer(send, problem("upstream_unavailable"))
        place = None if self._places is None else self._places.one()
        if place is not None and (why := place.refusal(*_whose(scope, session))) is not None:
            self._metrics.refused_with("too_many_connections")
            return await send_answer(send, problem("too_many_connections", detail=why))
        try:
            await self._tell_all(session, question, wanted, scope, receive, send)
        finally:
            if place is not None:
                place.leave()

    async def _tell_all(
        self, session: Session, question: Question, wanted: OfEvents, scope: Scope, receive: Receive, send: Send
    ) -> None:
        head = scope["method"] == "HEAD"
        await send({"type": "http.response.start", "status": 200, "headers": list(_HEAD)})
        await send({"type": "http.response.body", "body": b"", "more_body": not head})
        if head:
            return
        client = WaitingRequest(session)
        sign_in = None if self._door is None else self._door.sign_in(client)
        self._hub.lifetimes.begin(client, _LIMITS, signs_in=False)
        self._hub.join(client)
        leaving = asyncio.create_task(client.leave(receive))
        try:
            if sign_in is not None:
                sign_in.begin()
            if self._stopping() or self._draining():  # while the head was sent
                client.send_away(CloseCode.RESTARTING, self._hub.lifetimes.return_ms())
            if not client.ended and client.away is None:  # who was shut out or sent away meanwhile is told nothing
                self._subscribe(client, question, wanted, _last_id(scope) or wanted.last_event_id or "")
            await self._tell(client, question, send)
        finally:
            leaving.cancel()
            self._hub.lifetimes.end(client)
            self._hub.leave(client)
            if sign_in is not None:
                sign_in.end()

    def _refused(self) -> str | None:
        if self._stopping() or self._draining():
            return "stopping"
        if not self._hub.ready:
            return "upstream_unavailable"
        return "overloaded" if self._hub.streams >= self._terms.connections_max else None

    def _subscribe(self, client: WaitingRequest, question: Question, wanted: OfEvents, last_id: str) -> None:
        accounts, topics = question.resumed(last_id)
        transfers = wanted.transfers == "true"
        wish = client.session.ask(
            Subscribe(1, accounts, topics, transfers, wanted.max_rate_hz, wanted.prefix), whose_is_known=True
        )
        if isinstance(wish, WatchPrefix):
            self._hub.watch_prefix(client.session, wish)
        elif isinstance(wish, Watch):
            self._hub.watch(client.session, wish)
        client.flush()

    async def _tell(self, client: WaitingRequest, question: Question, send: Send) -> None:
        """Until the client has left, the gateway stops, or nothing is watched: then it is to come back."""
        session = client.session
        watches = [self._hub.partitions[partition_of(name, len(self._hub.partitions))] for name in question.accounts]
        while not client.left:
            try:
                async with asyncio.timeout(self._terms.ping_ms / 1000):
                    await client.news.wait()
                client.news.clear()
                # Who was shut out while he did not read is told nothing of what came meanwhile.
                written = b"" if client.ended else self._events(session, question, watches)
            except TimeoutError:
                written = _ALIVE
            over = (
                client.away is not None or client.ended or not (session.by_number or session.topics or session.prefixes)
            )
            if over:
                written += _goodbye(client.away, self._hub.lifetimes.return_ms())
            if written or over:
                await send({"type": "http.response.body", "body": written, "more_body": not over})
            if over:
                return

    def _events(self, session: Session, question: Question, watches: Iterable[PartitionWatch]) -> bytes:
        """Everything that waits. The last event has the id: who has that has all before it."""
        if not session.outbox:
            return b""
        frames, items = session.outbox.take()
        if not frames:
            return b""
        self._metrics.wrote(items)
        self._hub.let_rest(session)
        # Who goes before the ack comes back with the id that it came with.
        last_id = question.id_of(session, [watch.history for watch in watches]) if session.answered else None
        return _written(frames, last_id)


def _whose(scope: Scope, session: Session) -> tuple[str, str | None]:
    return address_key(scope.get("client")), None if session.principal is None else session.principal.name


def _goodbye(away: tuple[CloseCode, int] | None, return_ms: int) -> bytes:
    """When to come back, which an EventSource does by itself; where the gateway sends it away, with the frame that says so."""
    if away is None:
        return b"retry: %d\n\n" % return_ms
    return b"event: bye\ndata: %s\nretry: %d\n\n" % (bye_frame(*away), away[1])


def _asked(query: bytes) -> tuple[Question, OfEvents]:
    """Raises Malformed."""
    asked = read_query(OfEvents, query, bytes_max=QUERY_BYTES_MAX)
    if asked.accounts is None and asked.topics is None and asked.prefix is None:
        raise Malformed("parameter_malformed", "query", "must have accounts, prefix or topics")
    if asked.accounts is not None and asked.prefix is not None:
        raise Malformed("parameter_malformed", "prefix", "takes no accounts beside it: open two streams")
    accounts = _names("accounts", asked.accounts, EVENT_ACCOUNTS_MAX)
    topics = _names("topics", asked.topics, EVENT_TOPICS_MAX)
    return Question(accounts, topics), asked


def _names(field: str, text: str | None, most: int) -> list[str]:
    names = [] if text is None else text.split(",")
    if len(names) > most or len(set(names)) < len(names):
        raise Malformed("parameter_malformed", field, f"must be {most} at most, each once")
    return names


def _last_id(scope: Scope) -> str:
    """What an EventSource says that comes back; "" when it says nothing, or more than one thing."""
    said = [value for name, value in scope["headers"] if name == b"last-event-id"]
    return said[0].decode("latin-1") if len(said) == 1 else ""


def _written(frames: Iterable[bytes], last_id: str | None) -> bytes:
    events = []
    for frame in frames:
        op = _OP.match(frame)
        assert op is not None, "a frame begins with its op"
        events.append(b"event: %s\ndata: %s\n" % (op[1], frame))
    return b"\n".join(events) + (b"\n" if last_id is None else b"id: %s\n\n" % last_id.encode())
