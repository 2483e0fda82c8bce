"""What the read side tells of its projectors when Prometheus asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from read_side.follow.projector import Projector
from write_side.contract.log.log import Unit

Reading = tuple[type[GaugeMetricFamily] | type[CounterMetricFamily], str, str, Callable[[Projector, int], float | None]]

_READINGS: Final[tuple[Reading, ...]] = (
    (GaugeMetricFamily, "position", "The last block that readers see.", lambda p, _: p.how_far.shown.sequence),
    (GaugeMetricFamily, "blocks_behind", "Blocks folded and not yet seen by readers.", lambda p, _: p.how_far.blocks_behind),
    (GaugeMetricFamily, "unread_records", "In the log and not read yet, over Kafka, by the last look at its end.",
     lambda p, _: _unread(p, "records")),
    (GaugeMetricFamily, "unread_bytes", "In the log and not read yet, of a file log, by the last look at its end.",
     lambda p, _: _unread(p, "bytes")),
    (GaugeMetricFamily, "unfolded_blocks", "Read and not folded yet.", lambda p, _: p.distances().unfolded),
    (GaugeMetricFamily, "unstored_blocks", "Folded and not in the view yet.", lambda p, _: p.distances().unstored),
    (GaugeMetricFamily, "unpushed_blocks", "In the view, and gateways were not told yet.", lambda p, _: p.distances().unpushed),
    (GaugeMetricFamily, "oldest_unapplied_seconds", "Age of the oldest block that the view does not have, 0 when there is none.",
     lambda p, _: _oldest_s(p)),
    (GaugeMetricFamily, "stands_still", "1 when there is work and nothing moves, though log and view store answer.",
     lambda p, _: p.stands_still() is not None),
    (GaugeMetricFamily, "commit_to_view_seconds", "From a block's time to readers seeing it, the last one.",
     lambda p, now: p.lag(now).commit_to_view_ms / 1000),
    (GaugeMetricFamily, "last_block_age_seconds", "Age of the last block that readers see.",
     lambda p, now: p.lag(now).last_block_age_ms / 1000),
    (GaugeMetricFamily, "probed_age_seconds", "Since the view was last found right.",
     lambda p, now: p.lag(now).probed_age_ms / 1000),
    (GaugeMetricFamily, "stopped", "1 when the log is damaged and the partition goes no further.",
     lambda p, _: p.stopped is not None),
    (GaugeMetricFamily, "stale_since_seconds", "While the log is damaged: Unix time of the last block that could be read. No "
     "sample while the partition is followed, so that an alarm on its age is silent then.", lambda p, _: _stale_since_s(p)),
    (GaugeMetricFamily, "log_away", "1 while the log does not answer.", lambda p, _: p.log_away is not None),
    (GaugeMetricFamily, "given_up", "1 when this process follows the partition no more.", lambda p, _: p.ended is not None),
    (GaugeMetricFamily, "view_unavailable", "1 while the view store does not answer.",
     lambda p, _: p.unavailable is not None),
    (GaugeMetricFamily, "history_failing", "1 while the history of the partition cannot be read, sealed or joined.",
     lambda p, _: None if p.history is None else p.history.failing is not None),
    (GaugeMetricFamily, "generation", "The live generation of the view.", lambda p, _: p.owner.generation),
    (GaugeMetricFamily, "accounts", "Accounts, system accounts included.", lambda p, _: p.fold.state.count),
    (CounterMetricFamily, "blocks", "Blocks folded since the start, replay included.",
     lambda p, _: p.how_far.folded.sequence + 1),
    (CounterMetricFamily, "entries", "Entries folded since the start, replay included.", lambda p, _: p.fold.entries),
    (CounterMetricFamily, "skipped_records", "Records that do not count by the chain rule.",
     lambda p, _: p.fold.replay.skipped.total()),
    (CounterMetricFamily, "view_repairs", "Times the view was found wrong and brought right.", lambda p, _: p.owner.repairs),
    (CounterMetricFamily, "feed_failures", "Batches that the feed did not take.", lambda p, _: p.feed_failures),
)  # fmt: skip


def _unread(projector: Projector, unit: Unit) -> float | None:
    distances = projector.distances()
    return distances.unread if distances.unit == unit else None


def _oldest_s(projector: Projector) -> float | None:
    oldest_ms = projector.distances().oldest_unapplied_ms
    return None if oldest_ms is None else oldest_ms / 1000


def _stale_since_s(projector: Projector) -> float | None:
    return None if projector.stale_since_us is None else projector.stale_since_us / 1e6


class ProjectorMetrics(Collector):
    """`fanfold_projector_*`, one sample a partition; none where a number is not known: rather none than a wrong one."""

    def __init__(self, projectors: Iterable[Projector], wall_us: Callable[[], int]) -> None:
        self._projectors = list(projectors)
        self._wall_us = wall_us

    def collect(self) -> Iterator[Metric]:
        now_us = self._wall_us()
        for family, name, meaning, read in _READINGS:
            metric = family(f"fanfold_projector_{name}", meaning, labels=("partition",))
            for projector in self._projectors:
                if (value := read(projector, now_us)) is not None:
                    metric.add_metric((str(projector.partition),), float(value))
            yield metric
        outcomes = CounterMetricFamily(
            "fanfold_projector_outcomes",
            "Outcomes folded since the start, replay included, by the kind of command and what became of it.",
            labels=("partition", "kind", "outcome"),
        )
        for projector in self._projectors:
            for (kind, outcome), count in projector.fold.outcomes.told():
                outcomes.add_metric((str(projector.partition), kind, outcome), count)
        yield outcomes
