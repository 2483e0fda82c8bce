"""A Kafka topic that somebody gave more partitions: nobody starts over it, for accounts would be looked for in the wrong ones."""

from __future__ import annotations

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from deploy.named_log import open_log_to_read
from deploy.services import write_side
from tests.servers import unique_name
from tests.unit.read_side.block_maker import BlockMaker, opened
from write_side.contract.log.log import LogFailed
from write_side.contract.log.log_kafka import KafkaLog
from write_side.settings import WriteSettings
from write_side.wiring import open_log

pytestmark = pytest.mark.kafka


@pytest.fixture
async def topic(kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A log of two partitions with a block, and the environment that names it."""
    name = unique_name("grown")
    log = await KafkaLog.open(kafka_bootstrap, f"{name}.events", create_partitions=2, replication=1, min_in_sync=1)
    await BlockMaker(log).append(opened("alice"))
    await log.close()
    for variable, value in {
        "LOG": f"kafka://{kafka_bootstrap}",
        "TOPIC": name,
        "REPLICATION": "1",
        "MIN_IN_SYNC": "1",
        "WRITE_PORT": "0",
    }.items():
        monkeypatch.setenv(f"FANFOLD_{variable}", value)
    return name


async def grow(bootstrap: str, topic: str, partitions: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_partitions({f"{topic}.events": NewPartitions(total_count=partitions)})
    finally:
        await admin.close()


async def test_a_topic_that_was_given_more_partitions_is_refused_at_every_start(
    kafka_bootstrap: str, topic: str
) -> None:
    await grow(kafka_bootstrap, topic, 4)
    said = "written with 2 partitions and now has 4"
    with pytest.raises(LogFailed, match=said):
        await write_side(lambda *_: None)
    with pytest.raises(LogFailed, match=said):  # projector, verify, export, tail
        await open_log_to_read()
    for writing in (True, False):
        for partitions in (2, 3, 4):  # also whoever left the setting as it was: no other one would help
            with pytest.raises(LogFailed, match=said):
                await open_log(WriteSettings(partitions=partitions), writing=writing)


async def test_a_setting_that_differs_from_the_topic_is_refused(topic: str) -> None:
    for writing in (True, False):
        with pytest.raises(LogFailed, match="has 2 partitions, and FANFOLD_PARTITIONS is 4"):
            await open_log(WriteSettings(partitions=4), writing=writing)
