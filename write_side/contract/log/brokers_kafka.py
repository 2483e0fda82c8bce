"""Whether a topic's brokers would take an append now: each of them is asked, and has to answer.

What one broker says of the others is not enough: when most are away nobody is left to change who leads and who is in sync, and
the last one goes on naming those that are gone. So a replica counts when it answers itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.errors import KafkaError
from aiokafka.protocol.metadata import MetadataRequest

LOOK_WAIT_MS: Final = 3_000
"""A broker that has not answered a look by then counts as away: it answers within milliseconds."""


class _Place(NamedTuple):
    host: str
    port: int


class _Led(NamedTuple):
    """A partition as one broker sees it: broker ids."""

    leader: int
    in_sync: tuple[int, ...]


class TopicBrokers:
    """One topic. A look is one small request to each broker, over connections that stay open."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, min_in_sync: int) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._partitions = partitions
        self._min_in_sync = min_in_sync
        self._known: dict[int, _Place] = {}
        self._connections: dict[_Place, AIOKafkaConnection] = {}
        self._looking = asyncio.Lock()
        self._closed = False

    async def troubles(self) -> Mapping[int, str]:
        """By partition, why it would not take an append; empty when all would. Returns within some LOOK_WAIT_MS, never raises."""
        async with self._looking:
            if not self._known:
                await self._learn()
            views = await self._ask_known()
        if not views:
            return dict.fromkeys(range(self._partitions), f"no broker of Kafka at {self._bootstrap} answers")
        found = {partition: self._trouble(partition, views) for partition in range(self._partitions)}
        return {partition: trouble for partition, trouble in found.items() if trouble is not None}

    async def close(self) -> None:
        self._closed = True
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            connection.close()

    def _trouble(self, partition: int, views: Mapping[int, Mapping[int, _Led]]) -> str | None:
        """views: by broker that answered, how it sees the partitions. Only a leader knows who is in sync with it."""
        for broker, view in views.items():
            led = view.get(partition)
            if led is None or led.leader != broker:
                continue
            answering = [replica for replica in led.in_sync if replica in views]
            if len(answering) >= self._min_in_sync:
                return None
            return (
                f"of {self._topic}, partition {partition}, {len(answering)} in-sync replica(s) answer (brokers "
                f"{sorted(answering)} of {sorted(led.in_sync)}), and a block counts when {self._min_in_sync} have it"
            )
        named = {view[partition].leader for view in views.values() if partition in view} - {-1}
        leader = f"broker {min(named)}, which leads it, does not answer" if named else "no broker leads it"
        return f"{leader} ({self._topic}, partition {partition}; brokers that answer: {sorted(views)})"

    async def _learn(self) -> None:
        """Who the brokers are, from those that the settings name."""
        for answer in await asyncio.gather(*(self._ask(place) for place in self._named())):
            self._note(answer)

    async def _ask_known(self) -> dict[int, Mapping[int, _Led]]:
        """All at once, those that the settings name too, for brokers may have moved: behind the others it took as long again."""
        known = dict(self._known)
        named = [place for place in self._named() if place not in known.values()]
        answers = await asyncio.gather(*(self._ask(place) for place in (*known.values(), *named)))
        views: dict[int, Mapping[int, _Led]] = {}
        for answer in answers:
            self._note(answer)
        for broker, answer in zip(known, answers, strict=False):
            if answer is not None:
                views[broker] = _seen(answer, self._topic)
        return views

    def _named(self) -> list[_Place]:
        return [_Place(host, port) for host, port, _ in collect_hosts(self._bootstrap)]

    def _note(self, answer: Any) -> None:
        # Those that it does not name may be away and come back, so they are asked still.
        if answer is not None:
            self._known |= {broker[0]: _Place(broker[1], broker[2]) for broker in answer.brokers}

    async def _ask(self, place: _Place) -> Any:
        """A broker's metadata of the topic, None when it does not answer in time."""
        try:
            async with asyncio.timeout(LOOK_WAIT_MS / 1000):
                connection = self._connections.get(place)
                if connection is None or not connection.connected():
                    connection = await create_conn(*place, request_timeout_ms=LOOK_WAIT_MS)
                    if self._closed:  # while it was being made: nobody would close it later
                        connection.close()
                        return None
                    self._connections[place] = connection
                # Asking must never make the topic.
                return await connection.send(MetadataRequest([self._topic], allow_auto_topic_creation=False))
        except (KafkaError, OSError):  # TimeoutError is an OSError
            connection = self._connections.pop(place, None)
            if connection is not None:
                connection.close()
            return None


def _seen(answer: Any, topic: str) -> dict[int, _Led]:
    return {
        number: _Led(leader, tuple(in_sync))
        for _, name, _, partitions in answer.topics
        if name == topic
        for _, number, leader, _, in_sync, *_ in partitions
    }
