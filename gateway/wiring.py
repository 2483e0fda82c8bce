"""How the gateway is put together: the only file here that names adapters."""

from __future__ import annotations

import asyncio
import functools
import random
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import structlog
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from fanfold.api.answers.process import ReadSideReadiness
from fanfold.api.retry import Waits, retry
from fanfold.api.route_names import RouteNames
from fanfold.api.values import adapter
from gateway.arrivals.access_log import AccessLog
from gateway.arrivals.arrival import Arrivals
from gateway.arrivals.forwarded import TrustedProxies
from gateway.doors.admin import AdminDoor
from gateway.doors.front import Front
from gateway.doors.public_door import PublicDoor
from gateway.doors.static_files import static_files
from gateway.limits.rates import Quota
from gateway.limits.terms import Limits
from gateway.metrics import Metrics
from gateway.proxy.asgi import App
from gateway.proxy.breaker import Breaker
from gateway.proxy.circuit import Circuit
from gateway.proxy.commands import CommandDoor
from gateway.proxy.rated import RatedByAddress, RequestRates, quota_of_strangers
from gateway.proxy.reverse_proxy import ReverseProxy
from gateway.proxy.upstream import InProcess, Upstream, UpstreamUnavailable
from gateway.proxy.written import Written
from gateway.settings import GatewaySettings
from gateway.streams.account_names import ReadSideNames
from gateway.streams.balance_source import ReadSideBalances
from gateway.streams.drain import Drain
from gateway.streams.event_stream import EventStream
from gateway.streams.hub import Hub
from gateway.streams.lifetimes import LifeTerms, Lifetimes
from gateway.streams.long_poll import LongPoll
from gateway.streams.stream_access import StreamAccess
from gateway.streams.stream_places import StreamPlaces
from gateway.streams.stream_rates import StreamRates
from gateway.streams.stream_terms import StreamTerms
from gateway.streams.submit_tasks import CommandDoor as Commands
from gateway.streams.submit_tasks import SubmitTasks
from gateway.streams.websocket_server import StreamConnection
from read_side.contract.feed import Feed
from read_side.contract.kept_once import KeptOnce
from read_side.contract.topics import TopicFeed

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from gateway.identity.identity import Identity
    from gateway.identity.tickets import Tickets
    from gateway.proxy.checked_proxy import CheckedProxy
    from gateway.streams.push_spans import PushSpans
    from gateway.streams.sign_in import Door

CONNECTION_NAME_BYTES: Final = 8

WAITS: Final = Waits(0.5, 0.5)
"""How often the read side is asked for its partitions until it answers."""

_log = structlog.get_logger(__name__)


class Ways(NamedTuple):
    """To the sides. Who waits on one never waits on another: payments of requests, commands of streams, reads, subscriptions."""

    write: Upstream
    commands: Upstream
    read: Upstream
    balances: Upstream


class Followed(NamedTuple):
    """What of the read side is followed. partitions: how many the log has; None: the read side is asked."""

    feed: Feed
    topics: TopicFeed | None
    partitions: int | None


class Told(NamedTuple):
    """Where it is told what the gateway does. tracer: None: nothing is traced."""

    registry: CollectorRegistry
    metrics: Metrics
    tracer: Tracer | None


class Gateway:
    """`app` and `ws_class` are for one uvicorn server; `run` goes on beside it. The caller closes the feed."""

    def __init__(
        self,
        settings: GatewaySettings,
        ways: Ways,
        followed: Followed,
        told: Told,
        *,
        admin: bool,
        kept_once: KeptOnce | None,
    ) -> None:
        registry, metrics, tracer = told
        pushes = None
        if tracer is not None:
            from gateway.streams.push_spans import PushSpans

            pushes = PushSpans(tracer)
        self._ways = ways
        self._sides = {"write_side": ways.write, "read_side": ways.read}
        written = Written(lambda: len(self.hub.partitions))
        clocks = (lambda: time.monotonic_ns() // 1_000_000), (lambda: time.time_ns() // 1_000)
        self.hub = Hub(
            followed.feed,
            read := ReadSideBalances(ways.balances, written),
            ReadSideNames(ways.balances, read),
            metrics,
            *clocks,
            snapshot_wait_ms=settings.snapshot_wait_ms,
            cut_wait_ms=settings.cut_wait_ms,
            feed_silence_ms=settings.feed_silence_ms,
            lifetimes=Lifetimes(
                _life_terms(settings),
                metrics,
                *clocks,
                random.randint,
                lambda: secrets.token_hex(CONNECTION_NAME_BYTES),
            ),
            topic_feed=followed.topics,
            pushes=pushes,
        )
        if followed.partitions is not None:
            self.hub.open(followed.partitions)
        proxy = ReverseProxy(ways.write, ways.read, metrics, settings.request_bytes_max, written)
        terms = _stream_terms(settings)
        limits = settings.limits
        places = StreamPlaces(limits)
        passed_on = LongPoll(self.hub, proxy, settings.stream_connections_max, places, metrics).or_pass_on
        rates = _rates(limits, metrics)
        self._identity = None if settings.auth == "off" else _identity(settings)
        checked: CheckedProxy | None = None
        self._door: Door | None = None
        tickets: App | None = None
        if self._identity is not None:
            assert kept_once is not None, "tickets are kept somewhere"
            kept = _tickets(settings, self._identity, kept_once)
            from gateway.doors.ticket_door import TicketDoor

            checked, self._door = _checked(settings, self._identity, proxy, passed_on, self.hub, metrics, rates, kept)
            tickets = TicketDoor(checked, self._identity, kept)
        asked: App = ways.commands
        if tracer is not None and pushes is not None:
            asked = _traced_commands(asked, tracer, pushes)
        plain_door = CommandDoor(asked, written, settings.upstream_silence_ms)
        command_door: Commands = plain_door
        if checked is not None:
            from gateway.proxy.checked_submits import CheckedSubmits

            command_door = CheckedSubmits(plain_door, checked.batch, checked.may_still)
        self._submits = SubmitTasks(
            command_door,
            metrics,
            bytes_max=settings.submit_bytes_max,
            stream_bytes_max=settings.stream_submit_bytes_max,
            share_percent=settings.submit_share_percent,
        )
        self.drain = Drain(self.hub, settings.drain_ms, random.randrange)
        metrics.draining.set_function(lambda: self.drain.begun)
        let_in = None if checked is None else checked.let_in
        self._events = EventStream(
            self.hub,
            terms,
            metrics,
            lambda: self._front.stopping,
            self._door,
            let_in,
            places,
            lambda: self.drain.begun,
        )
        events: App = self._events
        pages = static_files()
        if checked is None and rates is not None:
            passed_on, events = RatedByAddress(passed_on, rates), RatedByAddress(events, rates)
        self._front = Front(
            checked or passed_on,
            self._sides,
            self.hub,
            registry,
            pages,
            events,
            checked,
            settings.origins,
            whole=not admin and checked is None,
            draining=lambda: self.drain.begun,
            tickets=tickets,
        )
        arrivals = Arrivals(TrustedProxies(settings.trusted_proxies, settings.forwarded_header))
        self._accesses = AccessLog(RouteNames(self._front.own)) if settings.writes_accesses else None
        self.told_pages = None if self._front.cross_origin is None else self._front.cross_origin.told
        """What pages of other origins are told beside a refusal that comes before the application; None: nothing, to nobody."""
        front: App = self._front
        if tracer is not None and pushes is not None:
            front = _traced(front, tracer, pushes)
        self.app = PublicDoor(front, arrivals, self._accesses, self._front.cross_origin)
        self.ws_class = cast(
            "type[asyncio.Protocol]",
            functools.partial(
                StreamConnection,
                self.hub,
                terms,
                metrics,
                lambda: self._front.stopping or self.drain.begun,
                submits=self._submits,
                door=self._door,
                places=places,
                access=StreamAccess(arrivals, self._accesses),
                rates=StreamRates(rates) if self._door is None else self._door.rates,
            ),
        )
        """For `uvicorn.Config(ws=...)`, which only calls it."""

    def admin_door(self, *, is_reached_from_elsewhere: bool) -> App:
        """For a server of its own: metrics, all of readiness, and the drain."""
        return AdminDoor(
            self._front.inner, self.drain, self._front.is_of_the_system if is_reached_from_elsewhere else None
        )

    async def open(self) -> None:
        """Read who is let in, before anybody is. Raises ValueError for files that do not say it."""
        if self._identity is not None:
            await self._identity.open()

    async def run(self) -> None:
        """Follow the feed and push, until cancelled."""
        watching = []
        if self._identity is not None and self._door is not None:
            watching = [asyncio.create_task(part()) for part in (self._identity.run, self._door.run)]
        try:
            if not self.hub.ready:
                self.hub.open(await self._learn_partitions())
            await self.hub.run()
        finally:
            for each in watching:
                each.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    def stop(self) -> None:
        """The server stops: new streams are refused, and those that are open end, sockets with 1012 when what is under way is
        answered. Everybody is told when to come back, each at another time. Twice is once."""
        if not self._front.stopping:
            self._front.stopping = True
            self.drain.cancel()
            self.hub.lifetimes.end_all()

    async def close(self) -> None:
        """Close connections to the sides. Safe to call twice."""
        self._front.stopping = True
        await self._submits.close()
        for side in self._ways:
            await side.close()
        if self._accesses is not None:
            self._accesses.flush()

    async def _learn_partitions(self) -> int:
        """The read side knows how many the log has, whichever of them it projects."""
        told: type[Exception] | None = None

        async def ask() -> int:
            _, body = await self._sides["read_side"].ask("GET", "/readyz")
            ready: ReadSideReadiness = adapter(ReadSideReadiness).validate_json(body)
            return ready.partitions_of_log

        def tell(failure: Exception) -> None:
            nonlocal told
            if type(failure) is not told:  # it is asked twice a second, for as long as the read side is not there
                _log.warning("partitions_unknown", reason=type(failure).__name__)
            told = type(failure)

        return await retry(ask, (UpstreamUnavailable, ValidationError), WAITS, asyncio.sleep, tell)


def _stream_terms(settings: GatewaySettings) -> StreamTerms:
    return StreamTerms(
        connections_max=settings.stream_connections_max,
        subscriptions_max=settings.stream_subscriptions_max,
        message_bytes_max=settings.stream_message_bytes_max,
        buffer_bytes=settings.stream_buffer_bytes,
        ping_ms=settings.stream_ping_ms,
        pong_ms=settings.stream_pong_ms,
        close_ms=settings.stream_close_ms,
        origins=settings.origins,
        drain_ms=settings.stream_drain_ms,
        messages_a_second=settings.limits.messages_a_second,
        submit_bytes_max=settings.stream_submit_bytes_max,
        prefix_watchers=settings.stream_prefixes,
    )


def _life_terms(settings: GatewaySettings) -> LifeTerms:
    return LifeTerms(
        heartbeat_ms=settings.stream_heartbeat_ms,
        age_ms=settings.stream_age_max_s * 1_000,
        return_ms=settings.stream_return_ms,
        sign_in_ms=settings.stream_sign_in_ms,
    )


def _rates(limits: Limits, metrics: Metrics) -> RequestRates | None:
    """Of whoever asks, principals or addresses. None: any number of requests is granted."""
    if not limits.requests:
        return None
    rates = RequestRates(Quota(limits.requests, limits.requests_window_s), metrics, time.monotonic_ns)
    metrics.asking.set_function(lambda: len(rates.by_key))
    return rates


def _identity(settings: GatewaySettings) -> Identity:
    """Who is let in. Imported only where it is asked: what checks signatures is some MB."""
    from gateway.identity.identity import Files, Identity
    from gateway.identity.jwks_file import KeysInFile
    from gateway.identity.keys import Keys, KeySource
    from gateway.identity.tokens import TokenTerms
    from gateway.identity.watched import WatchedFile

    terms = TokenTerms(
        settings.auth_issuer,
        settings.auth_audience,
        settings.algorithms,
        settings.auth_leeway_s,
        settings.auth_token_bytes_max,
        settings.auth_grants_claim,
    )
    keys = None
    if settings.auth_keys:
        source: KeySource
        if settings.auth_keys.startswith("file:"):
            source = KeysInFile(Path(settings.auth_keys.removeprefix("file:")))
        else:
            from gateway.identity.jwks_http import KeysOverHttp

            source = KeysOverHttp(settings.auth_keys)
        ask_again_s, max_age_s = settings.auth_keys_ask_again_s, settings.auth_keys_max_age_s
        keys = Keys(source, settings.algorithms, time.monotonic, ask_again_s, max_age_s)
    files = Files(*(WatchedFile(Path(path)) if path else None for path in (settings.auth_grants, settings.api_keys)))
    return Identity(terms if keys is not None else None, keys, files, time.time, time.monotonic)


def _tickets(settings: GatewaySettings, identity: Identity, kept_once: KeptOnce) -> Tickets:
    from gateway.identity.tickets import Tickets

    return Tickets(identity, kept_once, settings.stream_ticket_ms, time.monotonic, secrets.token_bytes)


def _checked(
    settings: GatewaySettings,
    identity: Identity,
    proxy: ReverseProxy,
    passed_on: App,
    hub: Hub,
    metrics: Metrics,
    rates: RequestRates | None,
    tickets: Tickets,
) -> tuple[CheckedProxy, Door]:
    """The doors of a gateway that asks who asks."""
    from gateway.identity.hidden import absent_account
    from gateway.proxy.checked_proxy import CheckedProxy
    from gateway.streams.sign_in import Door, DoorTerms

    def hide(account: str) -> str:
        return absent_account(account, len(hub.partitions) or 1, secrets.randbits)

    terms = DoorTerms(
        settings.stream_sign_in_ms, settings.stream_unauthenticated_max, settings.stream_unauthenticated_percent
    )
    refused = None
    if rates is not None:
        refused = RequestRates(quota_of_strangers(rates.by_key.quota), metrics, time.monotonic_ns)
    checked = CheckedProxy(
        proxy, passed_on, identity, lambda: len(hub.partitions), secrets.randbits, metrics, rates, refused
    )
    return checked, Door(identity, terms, hide, tickets, checked.owners, StreamRates(rates, refused))


def _traced(front: App, tracer: Tracer, pushes: PushSpans) -> App:
    """Imported only where traces are sent."""
    from fanfold.doors.server_spans import ServerSpans
    from gateway.arrivals.traced import go_on_as, parent_sent

    return ServerSpans(front, tracer, "", pushes.answered, parent_sent, go_on_as)


def _traced_commands(commands: App, tracer: Tracer, pushes: PushSpans) -> App:
    """What streams ask of the write side, each request of many commands one span in the trace of the first stream's."""
    from fanfold.doors.server_spans import ServerSpans
    from gateway.arrivals.traced import ask_as

    return ServerSpans(commands, tracer, "stream: ", pushes.answered, begun=ask_as)


def build_gateway(
    settings: GatewaySettings,
    write_upstream: App | str,
    read_upstream: App | str,
    feed: Feed,
    registry: CollectorRegistry,
    partitions: int | None = None,
    topic_feed: TopicFeed | None = None,
    *,
    admin: bool = False,
    kept_once: KeptOnce | None = None,
    tracer: Tracer | None = None,
) -> Gateway:
    """A gateway before two sides, each an ASGI application of this process or a URL.

    partitions: how many the log has; None: the read side is asked. topic_feed: None: there are no topics. admin: whether
    there is a server of the admin door, so that the public one tells only that it is alive and ready (as where it is asked who
    asks). kept_once: what keeps tickets, needed where it is asked who asks. tracer: None: nothing is traced. Must be called
    inside the event loop.
    """

    metrics = Metrics(registry)

    def ways(name: str, side: Any, silence_ms: int) -> list[Upstream]:
        """Two, which know of each other whether the side answers."""
        if not isinstance(side, str):
            return [InProcess(side, silence_ms) for _ in range(2)]
        from gateway.proxy.over_http import OverHttp  # its client is 10 MB that one process alone has no use for

        connect_ms = settings.upstream_connect_ms
        breaker = Breaker(settings.upstream_failures_max, settings.upstream_pause_ms / 1000, 2 * connect_ms / 1000)
        circuit = Circuit(name, breaker, metrics)
        total_ms = settings.upstream_total_ms
        return [OverHttp(side, connect_ms, silence_ms, circuit, total_ms=total_ms) for _ in range(2)]

    # Money, reads and subscriptions each have their own way to a side: who waits for one never waits for another. Nor does a
    # payment over HTTP wait for the commands of streams.
    write, commands = ways("write_side", write_upstream, settings.upstream_silence_ms)
    read, balances = ways("read_side", read_upstream, settings.upstream_read_silence_ms)
    return Gateway(
        settings,
        Ways(write, commands, read, balances),
        Followed(feed, topic_feed, partitions),
        Told(registry, metrics, tracer),
        admin=admin,
        kept_once=kept_once,
    )
