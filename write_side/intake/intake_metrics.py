"""What waits for its outcome, read when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from write_side.intake.intake import Intake


class IntakeMetrics(Collector):
    """Of this process's doors: another process may send commands to the same partition, and counts its own."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def collect(self) -> Iterator[GaugeMetricFamily]:
        under_way = GaugeMetricFamily(
            "fanfold_intake_commands_under_way",
            "Commands that this process took and that have no outcome yet",
            labels=["partition"],
        )
        for partition, commands in self._intake.under_way().items():
            under_way.add_metric([str(partition)], commands)
        yield under_way
