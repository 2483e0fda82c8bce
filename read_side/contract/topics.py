"""The topic port: the answer of a projection's question, from whoever keeps the projection to gateways.

Adapters: `read_side/feed/topic_feed_memory.py`, `topic_feed_redis.py`. An answer is whole and replaces the one before, so nothing
is missed: who is slow, or comes later, gets the newest.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Protocol

NO_ANSWER: Final = 0
"""The number of a topic that has none yet; answers count from 1."""


@dataclass(frozen=True, slots=True)
class TopicAnswer:
    """number: one more for each other answer, within a history: one making of the rows. positions: what is in it, as
    `0:17,1:4`. rows: a JSON array of at most `fanfold.api.frames.pushed.TOPIC_BYTES_MAX`; None with a code that says why not."""

    topic: str
    history: str
    number: int
    positions: str
    rows: bytes | None
    code: str | None = None


def without_answer(topic: str) -> TopicAnswer:
    """There is such a topic, and nothing is known of it yet."""
    return TopicAnswer(topic, "", NO_ANSWER, "", None, "topic_unavailable")


def no_such_topic(topic: str) -> TopicAnswer:
    """There was such a topic, and nobody keeps it any more."""
    return TopicAnswer(topic, "none", NO_ANSWER, "", None, GONE)


GONE: Final = "topic_not_found"
"""The code of `no_such_topic`."""


class TopicFeed(Protocol):
    """`tell` is for who keeps projections, `subscribe` for gateways."""

    def tell(self, answer: TopicAnswer, *, catching_up: bool = False) -> None:
        """Hand the newest answer of a topic to every subscriber, without waiting for any. None yet does not replace one.

        Between processes one tells a topic: what others tell of it meanwhile is told when that one has ended. catching_up: its
        rows are not at the end of the log yet. They replace none of another making, and who is at the end takes over."""
        ...

    def withdraw(self, topic: str) -> None:
        """Nothing more is told of it from here: what was told last goes on being shown, until another process tells more.

        It is still a topic here. One that no process names any more, while others do tell topics, is `no_such_topic` after some
        minutes."""
        ...

    def subscribe(self) -> AsyncIterator[TopicAnswer]:
        """Of every topic what was told last, then each newer answer; of several that wait the newest. Ends with `close`.

        An environment that fails for a while delays answers, and never shows as an exception."""
        ...

    async def close(self) -> None:
        """End every subscription. Safe to call twice."""
        ...
