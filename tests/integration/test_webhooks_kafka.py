"""Webhooks over a log in Kafka: from the first block on, at its end, and after a crash of the process that delivers."""

from __future__ import annotations

from pathlib import Path

import pytest

from read_side.webhooks import source
from read_side.webhooks.hooks import Wants
from tests.servers import unique_name
from tests.unit.read_side.webhooks.webhook_stage import Receivers, Stage, hook
from write_side.contract.log.log_kafka import KafkaLog

pytestmark = pytest.mark.kafka


async def test_what_is_in_the_topic_is_delivered_in_order_and_once_more_at_most_after_a_crash(
    kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "RECENT_EVENTS_MAX", 40)
    log = await KafkaLog.open(
        kafka_bootstrap, unique_name("webhooks"), create_partitions=2, replication=1, min_in_sync=1
    )
    try:
        stage = Stage(tmp_path, 2, log=log)
        await stage.open()
        for partition in range(2):
            await stage.move(partition, blocks=10, transfers=9)
        await stage.fold()
        one = stage.names(1)[0]
        stage.send = receivers = Receivers()
        stage.keep(hook("wh_1"), hook("wh_2", Wants(account=one)))
        wanted = {"wh_1": stage.accounts(), "wh_2": [one]}
        for _ in range(3):
            async with stage.delivering():
                await stage.until(lambda: receivers.have_all(stage, wanted))
                await stage.move(1, blocks=2)
                await stage.fold()
        async with stage.delivering():
            await stage.until(lambda: receivers.have_all(stage, wanted))
        versions = receivers.of["wh_2"].versions(one)
        assert [*dict.fromkeys(versions)] == [*range(stage.version(one) + 1)]
    finally:
        await log.close()
