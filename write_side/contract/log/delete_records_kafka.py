"""Having Kafka forget the first records of partitions (DeleteRecords): one request a leader, all at once.

aiokafka asks leader by leader and ends with the first that refuses; here those that another broker leads are asked all the same.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError

from write_side.contract.log.bounded_kafka import REQUEST_WAIT_MS, STOP_WAIT_S, answered_within, ended_within
from write_side.contract.log.log import LogFailed


async def delete_records(bootstrap: str, topic: str, below: Mapping[int, int]) -> dict[int, int]:
    """Delete every record of these partitions below the offset that each is given with; returns where each begins now.

    Again is harmless. Raises ValueError for an offset below 0, by which Kafka would delete everything; LogFailed when a partition
    was not done, which says nothing of the others; ends in bounded time.
    """
    if any(offset < 0 for offset in below.values()):
        raise ValueError("records are deleted below an offset of 0 or more")
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=REQUEST_WAIT_MS)
    try:
        return await answered_within(_ask(admin, topic, below))
    except (KafkaError, OSError) as error:
        raise LogFailed(
            f"Kafka at {bootstrap} did not delete the first records of {topic} ({type(error).__name__}: {error}). "
            "Nothing is lost: they are not needed any more and only take room. It needs the right to delete records "
            "(the ACL `Delete` on the topic), and brokers that answer."
        ) from error
    finally:
        await ended_within(admin.close(), STOP_WAIT_S)


async def _ask(admin: Any, topic: str, below: Mapping[int, int]) -> dict[int, int]:
    await admin.start()
    led: defaultdict[int, dict[TopicPartition, RecordsToDelete]] = defaultdict(dict)
    # All topics are listed, because asking for one by its name may make it, with the broker's defaults.
    described = [each for each in await admin.describe_topics() if each["topic"] == topic]
    for partition in described[0]["partitions"] if described else ():
        offset = below.get(partition["partition"])
        if offset is not None:
            at = TopicPartition(topic, partition["partition"])
            led[partition["leader"]][at] = RecordsToDelete(before_offset=offset)
    if sum(map(len, led.values())) < len(below):
        raise KafkaError("the topic or a partition of it is not there")
    asked = [admin.delete_records(records, timeout_ms=REQUEST_WAIT_MS) for records in led.values()]
    begins: dict[int, int] = {}
    for told in await asyncio.gather(
        *asked, return_exceptions=True
    ):  # each has its turn, whatever became of the others
        if isinstance(told, BaseException):
            raise told
        begins |= {at.partition: begin for at, begin in told.items()}
    return begins
