"""Watching a topic over the gateway's WebSocket: the whole answer each time, connected again by itself from the one it has."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

import msgspec
from websockets.asyncio.client import ClientConnection

from fanfold.answers import ConnectionState, TopicAnswer
from fanfold.api.frames.asked import Subscribe, WantedTopic
from fanfold.api.frames.written import written_as
from fanfold.api.problems import PASSING
from fanfold.stream_connection import Passing, StreamEnded, kept_connected, messages

_subscribe: Final = written_as(Subscribe)
_wanted: Final = written_as(WantedTopic)


async def watch_topic(url: str, topic: str, token: str = "") -> AsyncGenerator[TopicAnswer | ConnectionState, None]:
    """The topic's answer as it is now, then each newer one, whole; and the connection's state.

    An outage shows as a state, and the watch goes on from the answer that it has. Raises StreamEnded, also where there is no such
    topic.
    """
    newest: TopicAnswer | None = None

    def updates(connection: ClientConnection) -> AsyncIterator[TopicAnswer | ConnectionState]:
        return _updates(connection, topic, newest)

    async with aclosing(kept_connected(url, updates, token)) as found:
        async for update in found:
            if isinstance(update, TopicAnswer):
                newest = update
            yield update


async def _updates(
    connection: ClientConnection, topic: str, newest: TopicAnswer | None
) -> AsyncIterator[TopicAnswer | ConnectionState]:
    """All of one connection. Raises Passing, StreamEnded, websockets.ConnectionClosed."""
    wanted = _wanted(topic) if newest is None else _wanted(topic, newest.number, newest.history)
    await connection.send(msgspec.json.encode(_subscribe(0, topics=[wanted])).decode())
    async for message in messages(connection):
        match message["op"]:
            case "ack":
                [row] = message["topics"]
                if row.get("code") == "topic_not_found":
                    raise StreamEnded(
                        f"There is no topic {topic} here. FANFOLD_TOPICS of the service names projections."
                    )
                yield ConnectionState(True, "connected" if "code" not in row else "connected, no answer yet")
            case "topic":
                if message.get("code") == "topic_not_found":
                    raise StreamEnded(
                        f"There is no topic {topic} any more: FANFOLD_TOPICS of the service has not named it."
                    )
                rows = message["rows"]
                yield TopicAnswer(
                    topic,
                    message["history"],
                    message["number"],
                    message["positions"],
                    None if rows is None else tuple(rows),
                    message.get("code"),
                )
            case "error" if message.get("code") in PASSING:
                raise Passing("the gateway does not know its topics yet")
            case "error":
                raise StreamEnded(f"The gateway refused to watch: {message.get('title')}: {message.get('detail')}.")
            case _:
                pass  # of balances, and what a newer gateway may say
