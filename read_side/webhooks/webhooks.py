"""The webhooks of a process: what delivers them, over what it folds; beside everything else that the process does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from read_side.webhooks.deliverer import Deliverer
from read_side.webhooks.lane import Clock
from read_side.webhooks.sender import Sender
from read_side.webhooks.source import Followed, Source
from write_side.contract.log.log import Log


class Webhooks(Collector):
    """`run` beside the projectors. path: of the file that commands keep them in, which need not be there. Its metrics are
    `fanfold_webhook_*`, a sample a webhook."""

    def __init__(
        self,
        path: Path,
        log: Log,
        followed: Sequence[Followed],
        wall_us: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._sender = Sender()
        clock = Clock(wall_us, random.random, sleep)
        turn = asyncio.Semaphore(1)
        self.deliverer = Deliverer(path, [Source(log, each, turn) for each in followed], self._sender.send, clock)

    async def run(self) -> None:
        """For ever; raises nothing."""
        try:
            await self.deliverer.run()
        finally:
            await self._sender.close()

    def degraded(self) -> list[str]:
        return self.deliverer.degraded()

    def collect(self) -> Iterator[Metric]:
        told = self.deliverer
        for name, meaning in (
            ("deliveries", "Deliveries that receivers took."),
            ("changes", "Balance changes in them."),
            ("failures", "Tries that failed."),
        ):
            counted = {each: getattr(counts, name) for each, counts in [*told.counts.items()]}
            yield _metric(CounterMetricFamily, name, meaning, counted)
        hooks = [*told.hooks.values()]
        letters = {each: told.letters[each] for each in [*told.letters]}
        yield _metric(
            GaugeMetricFamily, "dead_letters", "Deliveries that were given up and nobody has tried again.", letters
        )
        yield _metric(
            GaugeMetricFamily,
            "behind_blocks",
            "Blocks that are not delivered yet, of all partitions. No sample while it is paused, or nothing is delivered.",
            {each.id: count for each in hooks if each.paused is None and (count := told.behind(each.id)) is not None},
        )
        paused = {each.id: each.paused is not None for each in hooks}
        yield _metric(GaugeMetricFamily, "paused", "1 while nothing is sent until a person resumes it.", paused)


def _metric(
    family: type[CounterMetricFamily] | type[GaugeMetricFamily], name: str, meaning: str, values: Mapping[str, float]
) -> Metric:
    metric = family(f"fanfold_webhook_{name}", meaning, labels=("webhook",))
    for hook_id, value in values.items():
        metric.add_metric((hook_id,), float(value))
    return metric
