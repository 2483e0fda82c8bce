"""A read that waits for a change of its account: `GET /v1/accounts/{account}?after_version=7`, for who has nothing but requests.

The gateway waits, as if the client had subscribed, and asks the read side when there is something to tell or the time is over. A
read side that waited itself would look again at every block of the partition, and has places for some hundred waits.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final
from urllib.parse import parse_qsl, urlencode

from fanfold.api.answer_headers import PRINCIPAL
from fanfold.api.frames.asked import Subscribe, Wanted
from fanfold.api.frames.members import NUMBER_MAX
from fanfold.api.malformed import Malformed
from fanfold.api.questions import OfAccount
from fanfold.api.routes import ACCOUNT
from fanfold.doors.answer import problem
from fanfold.doors.answer import send as send_answer
from fanfold.doors.query_names import naming
from fanfold.doors.request import named_by_path, read_query
from gateway.limits.addresses import address_key
from gateway.metrics import Metrics
from gateway.protocol.session import Session
from gateway.protocol.wishes import Watch
from gateway.proxy.asgi import App, Receive, Scope, Send, said_again
from gateway.streams.hub import Hub
from gateway.streams.stream_places import StreamPlaces
from gateway.streams.waiting_request import WaitingRequest
from write_side.contract.words.atoms import parse_account

QUERY_BYTES_MAX: Final = 8 * 1024
SHOWN_WITHIN_MS: Final = 1_000
"""What is told of a change may reach the view that is read a moment after the feed."""
_waits_for_change: Final = naming("after_version")
_ACCOUNT: Final = ACCOUNT.path.partition("{")[0]


class LongPoll:
    """Before a proxy, for requests that `is_one` says are such."""

    def __init__(self, hub: Hub, proxy: App, connections_max: int, places: StreamPlaces, metrics: Metrics) -> None:
        self._hub = hub
        self._proxy = proxy
        self._connections_max = connections_max
        self._places = places
        self._metrics = metrics

    def is_one(self, scope: Scope) -> bool:
        """Whether the request waits for a change. With too many streams, or while the partitions are not known, none does here:
        the read side waits."""
        return (
            _waits_for_change(scope["query_string"])
            and scope["method"] in ("GET", "HEAD")
            and scope["path"].startswith(_ACCOUNT)
            and self._hub.ready
            and self._hub.streams < self._connections_max
        )

    async def or_pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Any request, which waits here if it is one."""
        await (self if self.is_one(scope) else self._proxy)(scope, receive, send)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            account = parse_account(named_by_path(scope, ACCOUNT))
            asked = read_query(OfAccount, scope["query_string"], bytes_max=QUERY_BYTES_MAX)
        except Malformed:
            return await self._proxy(scope, receive, send)  # which refuses it
        place, principal = self._places.one(), scope.get(PRINCIPAL)
        why = place.refusal(address_key(scope.get("client")), None if principal is None else principal.decode())
        if why is not None:
            self._metrics.refused_with("too_many_connections")
            return await send_answer(send, problem("too_many_connections", detail=why))
        client = WaitingRequest(Session(1, self._hub.topics))
        since = None if asked.after_version is None else min(asked.after_version, NUMBER_MAX)
        try:
            changed = await self._wait(client, Wanted(account, since), asked.wait_ms / 1000, receive)
        finally:
            place.leave()
        if client.left:
            return None
        left_ms = min(asked.wait_ms, SHOWN_WITHIN_MS) if changed else 0
        # What the request began with was heard while it waited.
        return await self._proxy(_with_wait(scope, left_ms), said_again(b"", receive), send)

    async def _wait(self, client: WaitingRequest, wanted: Wanted, wait_s: float, receive: Receive) -> bool:
        """Until there is a balance to be told, the client has left, or the time is over. Whether there is one."""
        hub, session = self._hub, client.session
        hub.join(client)
        leaving = asyncio.create_task(client.leave(receive))
        try:
            wish = session.ask(Subscribe(1, [wanted]))
            assert isinstance(wish, Watch), "one account is never too many"
            hub.watch(session, wish)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    while not (session.outbox.waiting or client.left) and session.by_number:
                        client.news.clear()
                        await client.news.wait()
            return bool(session.outbox.waiting)
        finally:
            leaving.cancel()
            hub.leave(client)


def _with_wait(scope: Scope, wait_ms: int) -> Scope:
    pairs = [pair for pair in parse_qsl(scope["query_string"].decode("latin-1")) if pair[0] != "wait_ms"]
    return {**scope, "query_string": urlencode([*pairs, ("wait_ms", wait_ms)]).encode()}
