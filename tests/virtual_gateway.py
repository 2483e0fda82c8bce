"""A gateway's streams on virtual time: the real hub and the real connections, before balances that a test makes up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry

from gateway.limits.terms import UNLIMITED, Limits
from gateway.metrics import Metrics
from gateway.streams.account_names import AccountNames
from gateway.streams.balance_source import BalanceSource, Found
from gateway.streams.hub import Hub
from gateway.streams.lifetimes import LifeTerms, Lifetimes
from gateway.streams.stream_places import StreamPlaces
from gateway.streams.stream_rates import StreamRates
from gateway.streams.stream_terms import StreamTerms
from gateway.streams.websocket_server import StreamConnection
from read_side.feed.feed_memory import MemoryFeed
from tests.simulation.faults import Chaos, Life
from tests.simulation.processes import LIFE_TERMS, STREAM_TERMS

WAIT_MS = 1_000


class NoBalances:
    async def read(self, partition: int, accounts: Any, min_position: int, wait_ms: int) -> Found:
        return Found({}, -1)


class NoNames:
    async def with_prefix(self, *_asked: object) -> list[str]:
        return []


class VirtualGateway:
    """`Serving` (`tests/simulation/wire.py`) of one partition. now_ms: of the hub."""

    def __init__(
        self,
        terms: StreamTerms = STREAM_TERMS,
        limits: Limits = UNLIMITED,
        rates: StreamRates | None = None,
        balances: BalanceSource | None = None,
        life_terms: LifeTerms = LIFE_TERMS,
        now_ms: Callable[[], int] = lambda: 0,
        names: AccountNames | None = None,
    ) -> None:
        self.life = Life("gateway", Chaos(0), lambda text: None)
        self.connections: set[Any] = set()
        self.terms = terms
        self.places = StreamPlaces(limits)
        self.metrics = Metrics(CollectorRegistry())
        self.feed = MemoryFeed()
        self._rates = rates
        self.stopping = False
        self.hub = Hub(
            self.feed,
            balances or NoBalances(),
            names or NoNames(),
            self.metrics,
            now_ms,
            lambda: 0,
            snapshot_wait_ms=WAIT_MS,
            cut_wait_ms=WAIT_MS,
            feed_silence_ms=1_000 * WAIT_MS,
            lifetimes=Lifetimes(life_terms, self.metrics, now_ms, lambda: 0, lambda least, _: least, lambda: "name"),
        )
        self.hub.open(1)

    def connection(self) -> StreamConnection:
        return StreamConnection(
            self.hub,
            self.terms,
            self.metrics,
            lambda: self.stopping,
            places=self.places,
            rates=self._rates,
            config=None,
            server_state=self,
            app_state=None,
        )
