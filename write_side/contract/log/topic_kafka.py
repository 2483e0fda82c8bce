"""A Kafka topic that can hold money: how it is made, and what it is checked for at every start.

The checks ask for what keeps records whole, durable and for ever. What a setting is checked for is written beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple, TypeVar

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, UnknownTopicOrPartitionError, for_code

from fanfold.api.retry import Waits, retry
from write_side.contract.log.bounded_kafka import STOP_WAIT_S, answered_within, ended_within
from write_side.contract.log.log import LogFailed, LogMissing

T = TypeVar("T")

EVENTS_TOPIC: Final = "fanfold.events"
REPLICATION: Final = 3
MIN_IN_SYNC: Final = 2
"""Three brokers: one may die, and nothing is lost and nothing stops."""
CREATE_WAIT_S: Final = 10.0
CREATE_WAITS: Final = Waits(0.02, 0.5)
CREATE_LOOKS_MAX: Final = 25
"""A new topic has its leaders within 0.1 s here; brokers that take longer than the wait have a trouble of their own. The waits of
25 looks come to 10 s, too."""
BATCH_OVERHEAD_BYTES: Final = 1024
"""`max.message.bytes` counts the record batch: the record and, generously, the headers around it."""

_FIXED: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",  # compaction would drop records that have a newer one of the same key
    "retention.ms": "-1",  # the log is the money: no record is too old
    "retention.bytes": "-1",  # nor is the log ever too long
    "unclean.leader.election.enable": "false",  # a replica that lacks acknowledged records must not lead
}
_AT_CREATION: Final[Mapping[str, str]] = {
    "compression.type": "producer",  # blocks are narrow already: stored as sent
    "message.timestamp.type": "LogAppendTime",  # so that a producer's wrong clock cannot make the broker refuse a record
}


class CheckedTopic(NamedTuple):
    """min_in_sync: the topic's own, at least what the settings ask for."""

    partitions: int
    min_in_sync: int


class TopicSettings(NamedTuple):
    """What a topic must have at least."""

    replication: int
    min_in_sync: int
    record_bytes_max: int

    def batch_bytes_max(self) -> int:
        return self.record_bytes_max + BATCH_OVERHEAD_BYTES


_FEWER_BROKERS: Final = "With fewer than three brokers say so: of one, FANFOLD_REPLICATION=1 and FANFOLD_MIN_IN_SYNC=1."


async def create_topic(bootstrap: str, topic: str, partitions: int, settings: TopicSettings) -> bool:
    """Make the topic where it is missing; returns whether it was. An existing one is left as it is. Raises LogFailed."""
    configs = {
        **_FIXED,
        **_AT_CREATION,
        "min.insync.replicas": str(settings.min_in_sync),
        "max.message.bytes": str(settings.batch_bytes_max()),
    }
    async with _admin(bootstrap) as admin:
        new = NewTopic(topic, partitions, settings.replication, topic_configs=configs)
        response = await admin.create_topics([new])
        for _, code, *message in response.topic_errors:
            error = for_code(code)
            if error is TopicAlreadyExistsError:
                return False
            if code:
                raise LogFailed(
                    f"Kafka at {bootstrap} did not make the topic {topic} with {partitions} partitions, replication factor "
                    f"{settings.replication} ({error.__name__}: {next(iter(message), None)}). Nothing was changed. "
                    f"{_FEWER_BROKERS}"
                )
        await _wait_for_leaders(admin, topic)
    return True


async def check_topic(bootstrap: str, topic: str, settings: TopicSettings, *, made: bool = False) -> CheckedTopic:
    """What the topic is, when its settings keep money safe. Raises LogFailed that names every one that does not.

    made: it was there a moment ago, so a broker that does not know it has not heard of it yet."""
    async with _admin(bootstrap) as admin:
        described = await _described(admin, topic, wait=made)
        if described is None:
            raise LogMissing(
                f"Kafka at {bootstrap} has no topic {topic}. Nothing was changed. The write side makes it at its first "
                "start, with FANFOLD_PARTITIONS partitions, which can never be changed later. If it has started, is "
                "FANFOLD_TOPIC the same there?"
            )
        partitions, found = described
    wrong = [
        f"{name} is {found.get(name)}, expected {expected}"
        for name, expected in _FIXED.items()
        if found.get(name) != expected
    ]
    smallest = min(len(partition["replicas"]) for partition in partitions)
    for name, value, least in (
        ("replication factor", smallest, settings.replication),
        ("min.insync.replicas", int(found["min.insync.replicas"]), settings.min_in_sync),
        ("max.message.bytes", int(found["max.message.bytes"]), settings.batch_bytes_max()),
    ):
        if value < least:
            wrong.append(f"{name} is {value}, expected at least {least}")
    if wrong:
        raise LogFailed(
            f"The topic {topic} on Kafka at {bootstrap} has settings under which acknowledged money could be lost: "
            f"{'; '.join(wrong)}. Nothing was written. Change the topic (kafka-configs --alter), then start again. "
            f"{_FEWER_BROKERS}"
        )
    return CheckedTopic(len(partitions), int(found["min.insync.replicas"]))


class _NotHeard(Exception):
    """The broker that was asked does not know of the topic, or of its leaders, yet."""


async def _heard(look: Callable[[], Awaitable[T]], looks_max: int) -> T:
    """Each question may go to another broker, and one may hear of a new topic later than another, and all of them later than the
    controller. Raises _NotHeard."""
    return await retry(look, _NotHeard, CREATE_WAITS, asyncio.sleep, lambda _: None, looks_max)


async def _wait_for_leaders(admin: AIOKafkaAdminClient, topic: str) -> None:
    async def look() -> None:
        described = await _listed(admin, topic)
        if described is None or any(partition["leader"] < 0 for partition in described):
            raise _NotHeard

    try:
        async with asyncio.timeout(CREATE_WAIT_S):
            await _heard(look, CREATE_LOOKS_MAX)
    except (_NotHeard, TimeoutError):
        raise LogFailed(
            f"The topic {topic} was made, and has no leaders yet. Look after the brokers, then start again."
        ) from None


async def _described(
    admin: AIOKafkaAdminClient, topic: str, *, wait: bool
) -> tuple[list[dict[str, Any]], dict[str, str]] | None:
    """The topic's partitions and settings, None when there is no such topic. wait: until every broker has heard of it."""

    async def look() -> tuple[list[dict[str, Any]], dict[str, str]]:
        described = await _listed(admin, topic)
        configs = None if described is None else await _configs(admin, topic)
        if described is None or configs is None:
            raise _NotHeard
        return described, configs

    try:
        return await _heard(look, CREATE_LOOKS_MAX if wait else 1)
    except _NotHeard:
        return None


async def _listed(admin: AIOKafkaAdminClient, topic: str) -> list[dict[str, Any]] | None:
    """The topic's partitions. All topics are listed: asking for one by its name may make it, with the broker's defaults."""
    described = [each for each in await admin.describe_topics() if each["topic"] == topic]
    return described[0]["partitions"] if described else None


async def _configs(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str] | None:
    """Every setting of the topic as it is in force, its own or the broker's default; None when that broker does not know it."""
    (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    ((code, message, _, _, entries),) = response.resources
    if for_code(code) is UnknownTopicOrPartitionError:
        return None
    if code:
        raise LogFailed(f"Kafka did not tell the settings of the topic {topic} ({for_code(code).__name__}: {message}).")
    return {entry[0]: entry[1] for entry in entries}


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin: Any = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await answered_within(admin.start())
        yield admin
    except (KafkaError, OSError) as error:
        raise LogFailed(
            f"Kafka at {bootstrap} cannot be reached or did not answer ({type(error).__name__}: {error}). Nothing was written "
            "and nothing is lost. Start the broker or correct the address, then start again."
        ) from error
    finally:
        await ended_within(admin.close(), STOP_WAIT_S)
