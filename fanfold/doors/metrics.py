"""What a side's doors count, as Prometheus metrics of one registry."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

OTHER: Final = "other"
"""The route of requests to no known address: their paths are the client's text and would make labels without bound."""

SECONDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


class HttpMetrics:
    """Requests by route and status, and their time: `fanfold_{side}_http_*`."""

    def __init__(self, registry: CollectorRegistry, side: str) -> None:
        self._requests = Counter(
            f"fanfold_{side}_http_requests", "Requests answered.", ("route", "status"), registry=registry
        )
        self._seconds = Histogram(
            f"fanfold_{side}_http_seconds",
            "Time from a request's head to its answer, waits included.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        # Looking a label up costs more than counting, so each pair is looked up once.
        self._by_pair: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def answered(self, route: str, status: int, seconds: float) -> None:
        pair = self._by_pair.get((route, status))
        if pair is None:
            pair = self._requests.labels(route, str(status)), self._seconds.labels(route)
            self._by_pair[route, status] = pair
        pair[0].inc()
        pair[1].observe(seconds)
