"""The ASGI application at the public port: the gateway's own addresses, and the proxy for the rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from fanfold.api.asyncapi import stream_document
from fanfold.api.openapi import public_document
from fanfold.api.routes import EVENTS, STREAM_PATH, TICKETS
from fanfold.doors.answer import JSON, Response, json_response, problem
from fanfold.doors.answer import send as send_answer
from gateway.doors.cross_origin import CrossOrigin
from gateway.doors.static_files import StaticFile
from gateway.proxy.asgi import App, Receive, Scope, Send
from gateway.proxy.circuit import CircuitOpen
from gateway.proxy.upstream import Upstream, UpstreamUnavailable
from gateway.streams.hub import Hub

if TYPE_CHECKING:
    from gateway.proxy.checked_proxy import CheckedProxy

READY_WAIT_MS: Final = 2_000
"""How long a side may take to say whether it is ready."""

NOT_READY: Final = "not ready"

ELSEWHERE: Final = "Nothing changed. Metrics, and all of /readyz, are told on the admin port (FANFOLD_ADMIN_PORT)."

_log = structlog.get_logger(__name__)

NO_PARAMETERS: Final = "Nothing changed. This address takes no query parameters."

Handler = Callable[[Scope, Send], Awaitable[None]]


class Front:
    """ASGI 3. Knows no state of its own but whether the gateway is stopping."""

    def __init__(
        self,
        proxy: App,
        sides: dict[str, Upstream],
        hub: Hub,
        registry: CollectorRegistry,
        pages: dict[str, StaticFile],
        events: App,
        checked: CheckedProxy | None = None,
        origins: frozenset[str] = frozenset(),
        *,
        whole: bool = True,
        draining: Callable[[], bool] = lambda: False,
        tickets: App | None = None,
    ) -> None:
        """proxy: for all that is no address of the gateway's own. checked: the same, where it is asked who asks; None where
        nobody is. origins: of pages that may ask here, beside its own. whole: whether everybody is told all that is the matter
        and what is counted; otherwise only that the gateway is alive and ready. tickets: who gives them; None where nobody is
        asked."""
        self.stopping = False
        self.cross_origin = CrossOrigin(origins) if origins else None
        self._draining = draining
        self._readiness: asyncio.Task[dict[str, Any]] | None = None
        self._checked = checked
        self._proxy = proxy
        self._sides = sides
        self._hub = hub
        self._registry = registry
        self._pages = pages
        self._events = events
        self._tickets = tickets
        self._own: dict[str, Handler] = {
            "/healthz": self._alive,
            "/readyz": self._ready_briefly,
            "/metrics": self._elsewhere,
            "/openapi.json": self._described,
            "/asyncapi.json": self._described,
            STREAM_PATH: self._stream,
        }
        self.inner: dict[str, Handler] = {"/healthz": self._alive, "/readyz": self._ready, "/metrics": self._metrics}
        """What the admin door tells."""
        if whole:
            self._own |= self.inner
        self._own.update(dict.fromkeys(pages, self._page))

    @property
    def own(self) -> frozenset[str]:
        """The addresses that are answered here."""
        return frozenset({*self._own, EVENTS.path, TICKETS.path})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        if self.cross_origin is not None:
            if await self.cross_origin.answers_preflight(scope, send):
                return
            send = self.cross_origin.telling(scope, send)
        handler = self._own.get(scope["path"])
        if self._tickets is not None and scope["path"] == TICKETS.path:
            if scope["method"] == TICKETS.method:
                await self._tickets(scope, receive, send)
            else:
                await send_answer(send, problem("method_not_allowed"), more=[(b"allow", TICKETS.method.encode())])
        elif handler is None and scope["path"] != EVENTS.path:
            await self._proxy(scope, receive, send)
        elif scope["method"] not in ("GET", "HEAD"):
            await send_answer(send, problem("method_not_allowed"), more=[(b"allow", b"GET, HEAD")])
        elif handler is None:
            await self._events(scope, receive, send)
        elif scope["query_string"] and not _takes_any_query(scope["path"]):
            # Whoever asks for something special must not get the usual and take it for that.
            await send_answer(send, problem("parameter_malformed", detail=NO_PARAMETERS))
        else:
            await handler(scope, send)

    async def is_of_the_system(self, scope: Scope, receive: Receive, send: Send) -> bool:
        """Whether who asks may see how much is going on; the refusal is sent."""
        assert self._checked is not None, "where nobody is asked the admin door is on loopback"
        principal = await self._checked.admitted(scope, receive, send)
        if principal is not None and not principal.is_of_the_system:
            await send_answer(send, problem("forbidden"))
            return False
        return principal is not None

    async def _page(self, scope: Scope, send: Send) -> None:
        page = self._pages[scope["path"]]
        headers = [
            (b"etag", page.tag),
            (b"cache-control", b"no-cache"),
            (b"content-security-policy", page.policy),
        ]
        held = {value for name, value in scope["headers"] if name == b"if-none-match"}
        if page.tag in held:
            await send({"type": "http.response.start", "status": 304, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        else:
            await send_answer(send, Response(200, page.content_type, page.body), more=headers)

    async def _alive(self, _: Scope, send: Send) -> None:
        await send_answer(send, json_response(200, {"status": "alive"}))

    async def _ready(self, _: Scope, send: Send) -> None:
        document = await self._how_ready()
        # Said of the gateway itself, so it is no problem document, ready or not.
        status = 503 if document["status"] == NOT_READY else 200
        await send_answer(send, Response(status, JSON, msgspec.json.encode(document)))

    async def _ready_briefly(self, _: Scope, send: Send) -> None:
        """What a balancer needs; what is the matter is told where whoever runs it asks."""
        document = await self._how_ready()
        ready = document["status"] != NOT_READY
        brief = {"status": "ready" if ready else NOT_READY, "auth": document["auth"]}
        await send_answer(send, Response(200 if ready else 503, JSON, msgspec.json.encode(brief)))

    async def _how_ready(self) -> dict[str, Any]:
        """Whoever asks at once is told the same: each asks both sides, which have places for so many."""
        if self._readiness is None or self._readiness.done():
            self._readiness = asyncio.create_task(self._look_how_ready())
        return await asyncio.shield(self._readiness)

    async def _look_how_ready(self) -> dict[str, Any]:
        """Ready is a door through which a write would be answered. What else is the matter is told as degraded."""
        writes, reads = await asyncio.gather(
            *(_ask_ready(name, self._sides[name]) for name in ("write_side", "read_side"))
        )
        reasons = ["the gateway is stopping"] if self.stopping else []
        if self._draining():
            reasons.append(
                "the gateway is draining: its streams are sent away, and requests are answered until it is stopped"
            )
        if not self._hub.ready:
            reasons.append("the partitions are not known yet")
        reasons += writes.reasons
        degraded = [*writes.degraded, *reads.reasons, *reads.degraded, *self._old_streams()]
        return {
            "status": NOT_READY if reasons else "degraded" if degraded else "ready",
            "reasons": [*reasons, *degraded] if reasons else [],
            "degraded": degraded,
            "unread": reads.said("unread"),
            "stale": reads.said("stale"),
            "streams": self._hub.streams,
            "auth": "off" if self._checked is None else "tokens",
            "write_side": writes.document,
            "read_side": reads.document,
        }

    def _old_streams(self) -> list[str]:
        silent = "feed is silent, or what it lost cannot be read: balances on open streams may be old"
        if self._hub.ready and len(self._hub.silent) == len(self._hub.partitions):
            return [f"the {silent}"]
        return [f"partition {partition}: its {silent}" for partition in sorted(self._hub.silent)]

    async def _elsewhere(self, _: Scope, send: Send) -> None:
        await send_answer(send, problem("not_found", detail=ELSEWHERE))

    async def _metrics(self, _: Scope, send: Send) -> None:
        await send_answer(send, Response(200, CONTENT_TYPE_LATEST.encode(), generate_latest(self._registry)))

    async def _described(self, scope: Scope, send: Send) -> None:
        await send_answer(send, Response(200, JSON, _documents()[scope["path"]]))

    async def _stream(self, _: Scope, send: Send) -> None:
        headers = [(b"upgrade", b"websocket"), (b"connection", b"upgrade")]
        await send_answer(send, problem("upgrade_required"), more=headers)


class _Told(NamedTuple):
    """What a side says of itself: why it is not ready, empty when it is; what is the matter all the same; all of it.

    said: a member of that; of the read side `unread`, the partitions whose accounts cannot be read there, each with a code, and
    `stale`, those whose logs are damaged; None while nobody says which.
    """

    reasons: list[str]
    degraded: list[str]
    document: Any

    def said(self, member: str) -> Any:
        return self.document.get(member) if isinstance(self.document, dict) else None


async def _ask_ready(name: str, side: Upstream) -> _Told:
    label = name.replace("_", " ")
    try:
        async with asyncio.timeout(READY_WAIT_MS / 1000):
            status, body = await side.ask("GET", "/readyz")
        document = msgspec.json.decode(body) if body else None
    except CircuitOpen:
        return _Told([f"the {label} did not answer, so requests for it are refused at once until it does"], [], None)
    except (UpstreamUnavailable, TimeoutError):
        return _Told([f"the {label} does not answer"], [], None)
    except msgspec.DecodeError:
        return _Told([f"the {label} does not say whether it is ready"], [], None)

    def said(member: str) -> list[str]:
        found = document.get(member) if isinstance(document, dict) else None
        return [f"{label}: {each}" for each in found] if isinstance(found, list) else []

    if status == 200:
        return _Told([], said("degraded"), document)
    return _Told(said("reasons") or [f"the {label} is not ready"], [], document)


@cache
def _documents() -> dict[str, bytes]:
    """Made when first asked for, in some 0.2 s: a gateway that nobody asks starts without them."""
    return {
        "/openapi.json": msgspec.json.encode(public_document()),
        "/asyncapi.json": msgspec.json.encode(stream_document()),
    }


def _takes_any_query(path: str) -> bool:
    """The console, which bookmarks and links of others lead to, and its files. What is read as a document takes none."""
    return path == "/" or path.startswith("/console/")


async def lifespan(receive: Receive, send: Send) -> None:
    """Opening and closing are the composition's; a server that asks is told that all is well."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return
