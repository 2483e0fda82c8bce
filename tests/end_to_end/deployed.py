"""The deployed set-up on one machine: write side, projector and gateway as processes over a real Kafka and a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.end_to_end import processes
from tests.servers import unique_name
from write_side.contract.log.log_kafka import KafkaLog


def environment_of(kafka_bootstrap: str, redis_url: str, partitions: int) -> dict[str, str]:
    """Names of its own, so that tests share the servers."""
    name = unique_name("deployed")
    return {
        "FANFOLD_LOG": f"kafka://{kafka_bootstrap}",
        "FANFOLD_TOPIC": name,
        "FANFOLD_REPLICATION": "1",
        "FANFOLD_MIN_IN_SYNC": "1",
        "FANFOLD_PARTITIONS": str(partitions),
        "FANFOLD_VIEW": redis_url,
        "FANFOLD_VIEW_PREFIX": name,
        "FANFOLD_PORT": "0",
        "FANFOLD_WRITE_PORT": "0",
        "FANFOLD_READ_PORT": "0",
    }


async def open_log(environment: dict[str, str]) -> KafkaLog:
    return await KafkaLog.open(
        environment["FANFOLD_LOG"].removeprefix("kafka://"),
        f"{environment['FANFOLD_TOPIC']}.events",
        replication=1,
        min_in_sync=1,
    )


@asynccontextmanager
async def running(environment: dict[str, str], errors: Path) -> AsyncIterator[processes.Service]:
    """All three sides; yields the gateway."""
    async with (
        processes.running("write-side", environment=environment, errors=errors) as write_side,
        processes.running("projector", environment=environment, errors=errors) as projector,
        processes.running(
            "gateway",
            environment={
                **environment,
                "FANFOLD_WRITE_URL": write_side.address,
                "FANFOLD_READ_URL": projector.address,
            },
            errors=errors,
        ) as gateway,
    ):
        yield gateway
