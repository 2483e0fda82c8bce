"""What the HTTP edge counts, as Prometheus metrics of one registry."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

OTHER: Final = "other"
"""The route of requests to no known address: their paths are the client's text and would make labels without bound."""

SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
ITEMS: Final = (1, 8, 64, 256, 1024, 4096, 8192)


class HttpMetrics:
    """Requests by route and status, their time, and the sizes of batches."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "fanfold_write_http_requests", "Requests answered.", ("route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "fanfold_write_http_seconds",
            "Time from a request's head to its answer.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self._items = Histogram(
            "fanfold_write_http_batch_items", "Lines of a batch request.", buckets=ITEMS, registry=registry
        )
        # Looking a label up costs more than counting, so each pair is looked up once.
        self._by_pair: dict[tuple[str, int], Counter] = {}
        self._by_route: dict[str, Histogram] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        counter = self._by_pair.get((route, status))
        if counter is None:
            counter = self._by_pair[route, status] = self._requests.labels(route, str(status))
            self._by_route.setdefault(route, self._seconds.labels(route))
        counter.inc()
        self._by_route[route].observe(seconds)

    def batch(self, items: int) -> None:
        self._items.observe(items)
