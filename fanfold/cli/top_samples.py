"""What one process said of itself at a moment, and how fast its counters went since the moment before. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]
Values = Mapping[str, Mapping[Labels, float]]
"""By the name of a sample, by its labels in the order of their names."""

STARTED: Final = "process_start_time_seconds"
"""When the process began: of another life the counters begin again."""


class Told(NamedTuple):
    """Of one address. at_s: of a clock that does not go back. readiness: the document of `/readyz`, empty where it has none.
    trouble: why there are no values, or not all; None where there are."""

    at_s: float
    values: Values
    readiness: Mapping[str, Any]
    trouble: str | None = None

    def all_of(self, name: str) -> Mapping[Labels, float]:
        return self.values.get(name, {})

    def value(self, name: str, **labels: str) -> float | None:
        return self.all_of(name).get(_key(labels))


def values_of(text: str) -> Values:
    """Prometheus's text format (exposition format 0.0.4); a value that is no number is left out. Raises ValueError."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if math.isfinite(sample.value):
                found.setdefault(sample.name, {})[_key(sample.labels)] = float(sample.value)
    return found


def label_of(labels: Labels, name: str) -> str:
    """ "" where there is none."""
    return dict(labels).get(name, "")


def _key(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


class Since(NamedTuple):
    """Two moments of one address. before: None where there was none, or the address was away."""

    before: Told | None
    now: Told

    @property
    def tells_rates(self) -> bool:
        """Whether there are two moments of one life of the process."""
        return self._before()[0] is not None

    def rates(self, name: str) -> Iterator[tuple[Labels, float | None]]:
        """A counter's rates a second, by labels; None where nobody knows: one look, or the process started again between. What
        was not there before has begun at 0."""
        for labels, value in self.now.all_of(name).items():
            yield labels, self._rate(name, labels, value)

    def rate(self, name: str, **labels: str) -> float | None:
        """Of all samples with these labels together; None where there is none, or of one of them nobody knows."""
        wanted = set(labels.items())
        return total(rate for found, rate in self.rates(name) if wanted <= set(found))

    def _rate(self, name: str, labels: Labels, value: float) -> float | None:
        before, took_s = self._before()
        if before is None:
            return None
        more = value - before.all_of(name).get(labels, 0.0 if self._counts_from_zero(name) else value)
        return None if more < 0 else more / took_s

    def _counts_from_zero(self, name: str) -> bool:
        """A gauge that is looked at as a counter (the last block) does not begin at 0 when it is told first."""
        return name.endswith(("_total", "_bucket", "_count", "_sum"))

    def _before(self) -> tuple[Told | None, float]:
        before = self.before
        if before is None or self.now.at_s <= before.at_s or before.value(STARTED) != self.now.value(STARTED):
            return None, 0.0
        return before, self.now.at_s - before.at_s

    def quantile_s(self, name: str, share: float) -> float | None:
        """Of what a histogram of seconds counted between the two moments, within its bucket as if spread evenly (as Prometheus's
        histogram_quantile); its last bound where it lies beyond; None where it counted nothing, or nobody knows."""
        counts: dict[float, float] = {}
        for labels, rate in self.rates(f"{name}_bucket"):
            if rate is None:
                return None
            bound = float(label_of(labels, "le"))
            counts[bound] = counts.get(bound, 0.0) + rate
        return _quantile(sorted(counts.items()), share)


def total(rates: Iterable[float | None]) -> float | None:
    """None where there is none, or one of them is not known."""
    found = list(rates)
    if not found or None in found:
        return None
    return sum(rate for rate in found if rate is not None)


def _quantile(buckets: Sequence[tuple[float, float]], share: float) -> float | None:
    """buckets: (upper bound, how many up to there), the last one without a bound."""
    if not buckets or buckets[-1][1] <= 0:
        return None
    wanted = share * buckets[-1][1]
    low, before = 0.0, 0.0
    for bound, count in buckets:
        if count >= wanted:
            if bound == float("inf"):
                return low
            return low + (bound - low) * ((wanted - before) / (count - before) if count > before else 0.0)
        low, before = bound, count
    return None
