"""The port of a topic of events: where `publish.py` puts them, and where it finds how far it is. Adapters:
`event_topic_kafka.py`, `event_topic_memory.py`.

Order: the records of a partition are in the order of their `append`s. Durability: when `append` has returned, they survive a
crash of every process and machine that the topic is set up to survive. Failure: after an `append` raised, the first records of it
may be there, and the rest may still come, so whoever goes on asks `last` again and may put some a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class CannotPublish(Exception):
    """The topic and the log do not go together; a person has to look at it. The message says what to do."""


class EventTopic(Protocol):
    """One instance serves all partitions of one process, on one event loop. Partition p of it has the events of partition p of
    the log."""

    async def last(self, partition: int) -> bytes | None:
        """The value of the last record; None where there was never any.

        Raises LogFailed where the topic does not answer, TopicEmptied where it has forgotten all it had.
        """
        ...

    async def append(self, partition: int, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        """Put records behind the last ones. At most one append a partition is under way. Raises LogFailed, CannotPublish."""
        ...

    async def close(self) -> None:
        """Release sockets. Safe to call twice."""
        ...


class TopicEmptied(CannotPublish):
    """The records that would tell how far it is are gone."""
