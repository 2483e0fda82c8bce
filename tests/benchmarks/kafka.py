"""`fanfold bench kafka`: as `bench writes`, with the event log in a real Kafka broker beside it on the same cores.

A block is acknowledged only when it was read back as accepted, and one block a partition is on its way: so the blocks are larger.
"""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.writes import measure
from tests.servers import shared_kafka, unique_name
from write_side.contract.log.log_kafka import KafkaLog


async def run(folder: Path, *, transfers: int, accounts: int, partitions: int, block: int) -> str:
    """Returns the report line. Uses the broker at KAFKA_BOOTSTRAP, or starts one (which keeps its log in a folder of its own)."""
    with shared_kafka() as bootstrap:
        log = await KafkaLog.open(
            bootstrap, unique_name("bench"), create_partitions=partitions, replication=1, min_in_sync=1
        )
        return await measure(
            "kafka", log, transfers=transfers, accounts=accounts, block=block, log_kind="Kafka, acks=all, read back"
        )
