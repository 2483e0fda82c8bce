"""How the gateway is put together: the only file here that names adapters."""

from __future__ import annotations

import asyncio
import functools
import random
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import msgspec
import structlog
from prometheus_client import CollectorRegistry

from fanfold.api.retry import Waits, retry
from gateway.arrivals.access_line import RouteNames
from gateway.arrivals.access_log import AccessLog
from gateway.arrivals.arrival import Arrivals
from gateway.arrivals.forwarded import TrustedProxies
from gateway.doors.front import Front
from gateway.doors.public_door import PublicDoor
from gateway.doors.static_files import static_files
from gateway.metrics import Metrics
from gateway.proxy.asgi import App
from gateway.proxy.breaker import Breaker
from gateway.proxy.circuit import Circuit
from gateway.proxy.commands import CommandDoor
from gateway.proxy.reverse_proxy import ReverseProxy
from gateway.proxy.upstream import InProcess, Upstream, UpstreamUnavailable
from gateway.proxy.written import Written
from gateway.settings import GatewaySettings
from gateway.streams.balance_source import ReadSideBalances
from gateway.streams.event_stream import EventStream
from gateway.streams.hub import Hub
from gateway.streams.long_poll import LongPoll
from gateway.streams.stream_access import StreamAccess
from gateway.streams.submit_tasks import CommandDoor as Commands
from gateway.streams.submit_tasks import SubmitTasks
from gateway.streams.websocket_server import StreamConnection, StreamTerms
from read_side.contract.feed import Feed
from read_side.contract.topics import TopicFeed

if TYPE_CHECKING:
    from gateway.identity.identity import Identity
    from gateway.proxy.checked_proxy import CheckedProxy
    from gateway.streams.sign_in import Door

WAITS: Final = Waits(0.5, 0.5)
"""How often the read side is asked for its partitions until it answers."""

_log = structlog.get_logger(__name__)


class Gateway:
    """`app` and `ws_class` are for one uvicorn server; `run` goes on beside it. The caller closes the feed."""

    def __init__(
        self,
        settings: GatewaySettings,
        write_side: Upstream,
        read_side: Upstream,
        balances: Upstream,
        commands: Upstream,
        feed: Feed,
        registry: CollectorRegistry,
        metrics: Metrics,
        partitions: int | None,
        topic_feed: TopicFeed | None,
    ) -> None:
        self._sides = {"write_side": write_side, "read_side": read_side}
        self._balances = balances
        self._commands = commands
        self._partitions = partitions
        written = Written(lambda: len(self.hub.partitions))
        self.hub = Hub(
            feed,
            ReadSideBalances(balances, written),
            metrics,
            lambda: time.monotonic_ns() // 1_000_000,
            lambda: time.time_ns() // 1_000,
            snapshot_wait_ms=settings.snapshot_wait_ms,
            cut_wait_ms=settings.cut_wait_ms,
            feed_silence_ms=settings.feed_silence_ms,
            topic_feed=topic_feed,
        )
        if partitions is not None:
            self.hub.open(partitions)
        proxy = ReverseProxy(write_side, read_side, metrics, settings.request_bytes_max, written)
        terms = _stream_terms(settings)
        passed_on = LongPoll(self.hub, proxy, settings.stream_connections_max).or_pass_on
        self._identity = None if settings.auth == "off" else _identity(settings)
        checked: CheckedProxy | None = None
        self._door: Door | None = None
        if self._identity is not None:
            checked, self._door = _checked(settings, self._identity, proxy, passed_on, self.hub, metrics)
        plain_door = CommandDoor(commands, written, settings.upstream_silence_ms)
        command_door: Commands = plain_door
        if checked is not None:
            from gateway.proxy.checked_submits import CheckedSubmits

            command_door = CheckedSubmits(plain_door, checked.batch, checked.may_still)
        self._submits = SubmitTasks(
            command_door,
            metrics,
            bytes_max=settings.submit_bytes_max,
            stream_bytes_max=settings.stream_submit_bytes_max,
        )
        admitted = None if checked is None else checked.admitted
        self._events = EventStream(
            self.hub, terms, metrics, lambda: self._front.stopping, random.randint, self._door, admitted
        )
        pages = static_files()
        self._front = Front(checked or passed_on, self._sides, self.hub, registry, pages, self._events, checked)
        arrivals = Arrivals(TrustedProxies(settings.trusted_proxies, settings.forwarded_header))
        self._accesses = AccessLog(RouteNames(self._front.own)) if settings.writes_accesses else None
        self.app = PublicDoor(self._front, arrivals, self._accesses)
        self.ws_class = cast(
            "type[asyncio.Protocol]",
            functools.partial(
                StreamConnection,
                self.hub,
                terms,
                metrics,
                lambda: self._front.stopping,
                submits=self._submits,
                door=self._door,
                access=StreamAccess(arrivals, self._accesses),
            ),
        )
        """For `uvicorn.Config(ws=...)`, which only calls it."""

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
        """The server stops: new streams are refused, event streams end. uvicorn tells the sockets to come back (1012)."""
        self._front.stopping = True
        self._events.wake()

    async def close(self) -> None:
        """Close connections to the sides. Safe to call twice."""
        self._front.stopping = True
        await self._submits.close()
        for side in (*self._sides.values(), self._balances, self._commands):
            await side.close()
        if self._accesses is not None:
            self._accesses.flush()

    async def _learn_partitions(self) -> int:
        """The read side knows how many the log has, whichever of them it projects."""
        told: type[Exception] | None = None

        async def ask() -> int:
            _, body = await self._sides["read_side"].ask("GET", "/readyz")
            return msgspec.json.decode(body, type=_Ready).partitions_of_log

        def tell(failure: Exception) -> None:
            nonlocal told
            if type(failure) is not told:  # it is asked twice a second, for as long as the read side is not there
                _log.warning("partitions_unknown", reason=type(failure).__name__)
            told = type(failure)

        return await retry(ask, (UpstreamUnavailable, msgspec.DecodeError), WAITS, asyncio.sleep, tell)


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
    )


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


def _checked(
    settings: GatewaySettings, identity: Identity, proxy: ReverseProxy, passed_on: App, hub: Hub, metrics: Metrics
) -> tuple[CheckedProxy, Door]:
    """The doors of a gateway that asks who asks."""
    from gateway.identity.hidden import absent_account
    from gateway.proxy.checked_proxy import CheckedProxy
    from gateway.streams.sign_in import Door, DoorTerms

    def hide(account: str) -> str:
        return absent_account(account, len(hub.partitions) or 1, secrets.randbits)

    terms = DoorTerms(settings.stream_sign_in_ms, settings.stream_unauthenticated_max)
    return CheckedProxy(proxy, passed_on, identity, lambda: len(hub.partitions), secrets.randbits, metrics), Door(
        identity, terms, hide
    )


class _Ready(msgspec.Struct):
    """What is used of a read side's `/readyz`."""

    partitions_of_log: Annotated[int, msgspec.Meta(ge=1)]


def build_gateway(
    settings: GatewaySettings,
    write_upstream: App | str,
    read_upstream: App | str,
    feed: Feed,
    registry: CollectorRegistry,
    partitions: int | None = None,
    topic_feed: TopicFeed | None = None,
) -> Gateway:
    """A gateway before two sides, each an ASGI application of this process or a URL.

    partitions: how many the log has; None: the read side is asked. topic_feed: None: there are no topics. Must be
    called inside the event loop.
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
    return Gateway(settings, write, read, balances, commands, feed, registry, metrics, partitions, topic_feed)
