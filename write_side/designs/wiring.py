"""How each design is put together over the servers it needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Final, NamedTuple

from write_side.designs import saga, try_confirm_cancel, two_phase_commit
from write_side.designs.design import NODE_PAUSED, Capabilities, Design, Witness
from write_side.designs.given import check_postgres, check_redis, clear, without_password
from write_side.designs.in_memory_sharding import InMemorySharding
from write_side.designs.node_map import NodeMap, publish
from write_side.designs.postgres_nodes import PostgresNodes, nodes_away_told


class Name(StrEnum):
    """The designs, as they are typed."""

    IN_MEMORY_SHARDING = "in_memory_sharding"
    TWO_PHASE_COMMIT = "two_phase_commit"
    TRY_CONFIRM_CANCEL = "try_confirm_cancel"
    SAGA = "saga"
    EVENT_SOURCING = "event_sourcing"
    EVENT_SOURCING_KAFKA = "event_sourcing_kafka"


class Places(NamedTuple):
    """Where the servers are, and how long they are waited for.

    answer_wait_s: for a node that hangs. postgres: an address a node; lock_wait_ms: for a lock there. zookeeper: `host:port`;
    it has the addresses of the Redis nodes (`publish_nodes`), which are `redis` at first. folder: of our file log. kafka: the
    address of a broker. prefix: of every table, key, znode and topic, a lower-case word.
    """

    postgres: tuple[str, ...] = ()
    lock_wait_ms: int = 2_000
    answer_wait_s: float = 10.0
    redis: tuple[str, ...] = ()
    zookeeper: str = ""
    folder: str = ""
    kafka: str = ""
    prefix: str = "fanfold_"


OURS: Final = (Name.EVENT_SOURCING, Name.EVENT_SOURCING_KAFKA)

_OverPostgres = two_phase_commit.TwoPhaseCommit | try_confirm_cancel.TryConfirmCancel | saga.Saga
_OVER_POSTGRES: Final[dict[Name, tuple[str, str, type[_OverPostgres]]]] = {
    Name.TWO_PHASE_COMMIT: (
        two_phase_commit.SCHEMA,
        two_phase_commit.TABLES,
        two_phase_commit.TwoPhaseCommit,
    ),
    Name.TRY_CONFIRM_CANCEL: (
        try_confirm_cancel.SCHEMA,
        try_confirm_cancel.TABLES,
        try_confirm_cancel.TryConfirmCancel,
    ),
    Name.SAGA: (saga.SCHEMA, saga.TABLES, saga.Saga),
}


def capabilities(name: Name) -> Capabilities:
    if name is Name.IN_MEMORY_SHARDING:
        return InMemorySharding.capabilities
    if name in OURS:
        from write_side.designs.event_sourcing import EventSourcing

        if name is Name.EVENT_SOURCING_KAFKA:  # one broker has all partitions here: while it hangs, nothing moves
            return replace(EventSourcing.capabilities, locked_at=frozenset({NODE_PAUSED}))
        return EventSourcing.capabilities
    return _OVER_POSTGRES[name][2].capabilities


async def open_design(name: Name, places: Places, witness: Witness) -> Design:
    """Connected, with its tables made where they are missing. Raises Unanswered where a server is away."""
    if name is Name.IN_MEMORY_SHARDING:
        nodes = NodeMap(places.zookeeper, _path(places))
        await nodes.start()
        secrets = {without_password(address): address for address in places.redis}
        return InMemorySharding(nodes, _key(places), witness, places.answer_wait_s, secrets)
    if name in OURS:
        # Here, because it takes a second, and the others do without.
        from write_side.designs.event_sourcing import EventSourcing, settings_of

        return await EventSourcing.open(settings_of(_log(name, places), places.prefix), witness)
    schema, tables, design = _OVER_POSTGRES[name]
    waits = (places.lock_wait_ms, places.answer_wait_s)
    databases = PostgresNodes(places.postgres, places.prefix + schema, tables, witness, *waits)
    with nodes_away_told():
        await databases.make_tables()
    return design(databases, witness)


async def read_balances(name: Name, places: Places) -> dict[str, int]:
    """As readers find them while no service runs."""
    if name in OURS:
        from write_side.designs.event_sourcing import read_log, settings_of

        return await read_log(settings_of(_log(name, places), places.prefix))
    design = await open_design(name, places, Witness())
    try:
        return await design.balances()
    finally:
        await design.close()


def _log(name: Name, places: Places) -> str:
    return f"file:{places.folder}" if name is Name.EVENT_SOURCING else f"kafka://{places.kafka}"


async def publish_nodes(places: Places, addresses: Sequence[str]) -> None:
    """Say in ZooKeeper which Redis nodes there are, in their order, without passwords; services that run take it over."""
    await publish(places.zookeeper, _path(places), [without_password(address) for address in addresses])


async def check_given(places: Places, *, prepares: bool) -> None:
    """prepares: whether two-phase commit is among the designs. Raises ServerUnfit."""
    await check_postgres(places.postgres, prepares=prepares)
    await check_redis(places.redis)


async def clear_given(places: Places) -> None:
    """Leave nothing in these servers."""
    await clear(places.postgres, places.redis, places.zookeeper, places.prefix, _key(places), _path(places))


def _key(places: Places) -> str:
    return f"{places.prefix}balances"


def _path(places: Places) -> str:
    return f"/{places.prefix}nodes"
