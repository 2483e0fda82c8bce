"""A stream's handshake: whose it is, whether it is let in, and what is written down of that."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from fanfold.api.malformed import Malformed
from fanfold.api.questions import OfStream
from fanfold.api.routes import STREAM_PATH
from fanfold.doors.request import read_query
from gateway.arrivals.arrival import Arrival
from gateway.arrivals.trace import Trace
from gateway.limits.addresses import address_key
from gateway.metrics import Metrics
from gateway.protocol.session import Session
from gateway.streams.handshake import NOT_ASKED, Refusal, origin_allowed, refusal_response
from gateway.streams.hub import Hub
from gateway.streams.judge import Judge
from gateway.streams.kept_connection import KeptConnection
from gateway.streams.stream_access import StreamAccess, refused_submit
from gateway.streams.stream_places import StreamPlaces
from gateway.streams.stream_rates import StreamRates
from gateway.streams.stream_terms import StreamTerms
from gateway.streams.submit_tasks import SubmitTasks

if TYPE_CHECKING:
    from gateway.streams.sign_in import Door, SignIn

QUERY_BYTES_MAX: Final = 1024
"""Of its address: a ticket."""


class AdmittedConnection(KeptConnection):
    """Once it is let in it is one of the hub's streams; `websocket_server.py` serves it."""

    __slots__ = (
        "_access",
        "_arrival",
        "_hub",
        "_joined",
        "_name",
        "_place",
        "_rates",
        "_sign_in",
        "_stopping",
        "_submits",
        "_trace",
    )

    def __init__(
        self,
        hub: Hub,
        terms: StreamTerms,
        metrics: Metrics,
        stopping: Callable[[], bool],
        door: Door | None,
        submits: SubmitTasks | None,
        places: StreamPlaces | None,
        access: StreamAccess | None,
        rates: StreamRates | None,
    ) -> None:
        session = Session(
            terms.subscriptions_max,
            hub.topics,
            None if submits is None else submits.queue(),
            None if door is None else door.hide,
            terms.prefix_watchers,
        )
        super().__init__(terms, metrics, session)
        self._hub = hub
        self._stopping = stopping
        self._submits = submits
        self._access = access
        self._rates = rates
        self._arrival: Arrival | None = None
        """During the handshake; after it only where its end is written down."""
        self._trace: Trace | None = None
        self._sign_in: SignIn | None = None
        """None where nobody is asked who is there."""
        self._place = None if places is None else places.one()
        self._joined = False
        self._name = ""

    def _refuse_bytes(self) -> None:
        """What uvicorn took for a handshake is more than its second reader takes: too many headers, or one too long."""
        self._closing = True
        self._metrics.refused_with("handshake_malformed")
        response = refusal_response(Refusal("handshake_malformed"))
        self._arrive(Headers())
        self._tell_access(response)
        self._transport.write(response.serialize())
        self._leave()

    def _shake_hands(self, request: Request, judge: Judge) -> None:
        self._arrive(request.headers)
        try:
            refused = self._refusal(request)
        except (ValueError, LookupError):  # headers that appear twice, an Origin that is no address
            refused = Refusal("handshake_malformed")
        if refused is not None:
            self._metrics.refused_with(refused.word)
            response = refusal_response(refused)
        else:
            response = judge.accept(request)
        self._tell_access(response)
        judge.send_response(response)
        if response.status_code != 101:
            self._closing = True
            return
        self._begin()

    @abstractmethod
    def _begin(self) -> None:
        """It is let in."""

    def _arrive(self, headers: Headers) -> None:
        """Before anything else: whose address it is decides what is granted."""
        if self._access is not None:
            self._arrival = self._access.arrived(self._transport, headers)

    def _tell_access(self, response: Response) -> None:
        if self._access is not None and self._arrival is not None:
            self._trace = self._arrival.trace
            self._arrival = self._access.answered(self._arrival, response)
            if self._arrival is not None:
                self.session.refused_submit = self._tell_refused

    def _refusal(self, request: Request) -> Refusal | None:
        """Why the handshake may not even be looked at. Paths first: what is elsewhere is no secret of the stream."""
        path, _, query = request.path.partition("?")
        if path != STREAM_PATH:
            return Refusal("not_found")
        try:
            ticket = read_query(OfStream, query.encode("latin-1", "replace"), bytes_max=QUERY_BYTES_MAX).ticket
            if ticket is not None and self._sign_in is None:
                raise Malformed("parameter_malformed", "ticket", NOT_ASKED)
        except Malformed as malformed:
            return Refusal(malformed.code, f"Nothing changed: {malformed.detail}.")
        if self._stopping():
            return Refusal("stopping")
        if not self._hub.ready:
            return Refusal("upstream_unavailable", "The gateway does not know the partitions yet. Try again soon.")
        if self._hub.streams >= self._terms.connections_max:
            return Refusal("overloaded", "This gateway has as many streams as it may. Try again later.")
        if not origin_allowed(request.headers, self._terms.origins):
            return Refusal("origin_refused")
        if self._sign_in is not None:
            refused = self._sign_in.refusal(request.headers.get_all("Authorization"), self._from(), ticket)
            if refused is not None:
                return refused
        return self._refused_for_rate() or self._refused_for_place()

    def _refused_for_rate(self) -> Refusal | None:
        """Who signs in later is counted then."""
        principal = self.session.principal
        if self._rates is None or (principal is None and self._sign_in is not None):
            return None
        return self._rates.refusal(self._from() if principal is None else principal.name)

    def _refused_for_place(self) -> Refusal | None:
        """Last: nobody else's place is held by who is refused for something else."""
        if self._place is None:
            return None
        principal = self.session.principal
        refused = self._place.refusal(self._from(), None if principal is None else principal.name)
        return None if refused is None else Refusal("too_many_connections", refused)

    def _from(self) -> str:
        """During the handshake."""
        arrival = self._arrival
        return address_key(self._transport.get_extra_info("peername") if arrival is None else arrival.client)

    def _tell_refused(self, id: int, code: str) -> None:
        if self._access is not None and self._arrival is not None:
            principal = self.session.principal
            self._access.submitted(
                self._arrival, refused_submit(id, code), None if principal is None else principal.name
            )
