"""What the gateway counts."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from fanfold.doors.metrics import SECONDS
from gateway.plain_counter import PlainCounter


class Metrics:
    """One per process; names are an interface: dashboards use them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.connections = Gauge("fanfold_gateway_streams", "open streams", registry=registry)
        self.subscriptions = Gauge(
            "fanfold_gateway_subscriptions", "accounts watched, a stream each", registry=registry
        )
        self.topic_subscriptions = Gauge(
            "fanfold_gateway_topic_subscriptions", "topics watched, a stream each", registry=registry
        )
        self.prefix_subscriptions = Gauge(
            "fanfold_gateway_prefix_subscriptions", "prefixes watched, a stream each", registry=registry
        )
        self.prefix_rows = Counter(
            "fanfold_gateway_prefix_rows",
            "rows taken from the feed while somebody watches a prefix, beside those of accounts that are watched",
            registry=registry,
        )
        self.batches = Counter(
            "fanfold_gateway_feed_batches", "feed batches by what they were", ["verdict"], registry=registry
        )
        self.repairs = Counter(
            "fanfold_gateway_repairs", "reads of all watched accounts after a break of the feed", registry=registry
        )
        self.frames = PlainCounter("fanfold_gateway_flushes", "writes to streams", registry=registry)
        self.heartbeats = Counter(
            "fanfold_gateway_heartbeats", "heartbeats told to streams that heard nothing else", registry=registry
        )
        self.items = PlainCounter("fanfold_gateway_pushed_balances", "balances pushed", registry=registry)
        self.commit_to_socket = Histogram(
            "fanfold_gateway_commit_to_socket_seconds",
            "From a block's time to its change written to all who watch it and read: of the oldest change of each flush",
            buckets=SECONDS,
            registry=registry,
        )
        self.conflated = Counter(
            "fanfold_gateway_conflated_balances",
            "balances replaced by newer ones before their client had taken them",
            registry=registry,
        )
        self._refused = Counter(
            "fanfold_gateway_refused",
            "requests and streams that the gateway itself refused",
            ["code"],
            registry=registry,
        )
        self._refused_by_code: dict[str, Counter] = {}
        self.held_back = Counter(
            "fanfold_gateway_held_back_streams",
            "times that a stream was not read for a while, or closed, because its messages came too fast",
            registry=registry,
        )
        self.draining = Gauge(
            "fanfold_gateway_draining", "1 once its streams are sent away and no new one is let in", registry=registry
        )
        self.asking = Gauge(
            "fanfold_gateway_asking", "principals and addresses whose requests are counted", registry=registry
        )
        self.closes = Counter("fanfold_gateway_closes", "streams closed, by code", ["code"], registry=registry)
        self.submitted = Counter(
            "fanfold_gateway_submitted_commands",
            "commands of streams, by what was told of them",
            ["told"],
            registry=registry,
        )
        self.submitted_bytes = Gauge(
            "fanfold_gateway_submitted_bytes",
            "of commands of streams that wait or are under way",
            registry=registry,
        )
        self.feed_silence = Gauge(
            "fanfold_gateway_feed_silence_seconds",
            "since the last word of a partition's feed",
            ["partition"],
            registry=registry,
        )
        self.heard = Gauge(
            "fanfold_gateway_heard_position",
            "The last block that a partition's feed told, -1 before the first word",
            ["partition"],
            registry=registry,
        )
        self.requests = Counter(
            "fanfold_gateway_proxied_requests", "REST requests passed on", ["side", "status"], registry=registry
        )
        self.circuit_open = Gauge(
            "fanfold_gateway_circuit_open",
            "1 while a side that did not answer is not asked",
            ["side"],
            registry=registry,
        )
        self.circuit_openings = Counter(
            "fanfold_gateway_circuit_openings", "times that began", ["side"], registry=registry
        )
        # Looking a label up costs more than counting, so each is looked up once.
        self.commands_answered, self.commands_not_done, self.commands_unknown = (
            self.submitted.labels(told) for told in ("answered", "not_done", "unknown")
        )
        self._by_pair: dict[tuple[str, int], Counter] = {}

    def wrote(self, items: int) -> None:
        """One write to a stream, with so many balances."""
        self.frames.value += 1
        self.items.value += items

    def refused_with(self, code: str) -> None:
        """Count what the gateway refused by itself: a side's own refusals are counted as passed on."""
        counter = self._refused_by_code.get(code)
        if counter is None:
            counter = self._refused_by_code[code] = self._refused.labels(code)
        counter.inc()

    def passed_on(self, side: str, status: int) -> None:
        """Count a request to a side by its status, 0 when there was no answer."""
        pair = self._by_pair.get((side, status))
        if pair is None:
            pair = self._by_pair[side, status] = self.requests.labels(side, str(status or "none"))
        pair.inc()
