"""`POST /v1/stream/tickets`: a ticket for who asks (`gateway/identity/tickets.py`)."""

from __future__ import annotations

from typing import Final

import msgspec

from fanfold.api.answers.tickets import TicketGiven
from fanfold.api.malformed import Malformed
from fanfold.api.values import document_of
from fanfold.doors.answer import JSON, Response, malformed, problem
from fanfold.doors.answer import send as send_answer
from fanfold.doors.request import refuse_query
from gateway.identity.identity import Identity
from gateway.identity.tickets import Tickets
from gateway.proxy.asgi import Receive, Scope, Send
from gateway.proxy.checked_proxy import NO_TICKETS_NOW, CheckedProxy
from gateway.proxy.reverse_proxy import discard
from read_side.contract.kept_once import NotKept

NO_ROOM: Final = "As many tickets count at once as may. Nothing was done; use those that you have, or ask again soon."
_NOT_KEPT: Final = ((b"cache-control", b"no-store"),)
_TAKES_NONE: Final = "has a parameter, and none is known here: who asks is said by Authorization"


class TicketDoor:
    """ASGI 3, where it is asked who asks. By a ticket no other one is given."""

    def __init__(self, checked: CheckedProxy, identity: Identity, tickets: Tickets) -> None:
        self._checked = checked
        self._identity = identity
        self._tickets = tickets

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        let_in = await self._checked.let_in(scope, receive, send)
        if let_in is None:
            return None
        principal, receive, send = let_in
        await discard(receive)
        try:
            refuse_query(scope["query_string"], _TAKES_NONE)
            values = [value for name, value in scope["headers"] if name == b"authorization"]
            given = await self._tickets.give(principal, self._identity.credential(values))
        except Malformed as refusal:
            return await send_answer(send, malformed(refusal))
        except NotKept:
            return await send_answer(send, problem("upstream_unavailable", detail=NO_TICKETS_NOW))
        if given is None:
            return await send_answer(send, problem("overloaded", detail=NO_ROOM))
        body = msgspec.json.encode(document_of(TicketGiven(given.text, given.counts_ms)))
        return await send_answer(send, Response(201, JSON, body), more=_NOT_KEPT)
