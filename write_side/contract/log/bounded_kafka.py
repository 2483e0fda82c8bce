"""Asking aiokafka's clients, and letting go of them, in bounded time, whatever they do.

They swallow being cancelled while they wait for a task of theirs that is being cancelled too, and wait on for ever when that one
has swallowed it as well. So a time-out that cancels them is no bound: what does not end is left behind instead, and cancelled
again until it has ended, because a loop that is closed cancels its tasks once and waits for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog

if TYPE_CHECKING:
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer  # a process without Kafka ends its tasks by this, too

STOP_WAIT_S: Final = 5.0
"""A producer or consumer that is closed waits this long for what is in flight; a broker that is gone must not hold up an exit,
nor the next life of a partition."""

REQUEST_WAIT_MS: Final = 20_000
"""A broker that does not answer one request within this is asked again, over a new connection."""

T = TypeVar("T")

AGAIN_S: Final = 0.5
"""What was left behind is cancelled again after so long. What swallowed it once is by then where it can hear it."""

ANSWER_WAIT_S: Final = 90.0
"""A client is asked for no longer: it may have to try three brokers that take a connection and answer nothing, 20 s each, and
some of its waits have no bound at all (two of three brokers paused for 300 s, and it waited on when they were back)."""

_log = structlog.get_logger(__name__)
_left: set[asyncio.Task[Any]] = set()
"""Those that were left behind and have not ended yet: the loop itself keeps no task from the collector."""


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Again once what was asked of it meanwhile has ended: a question that is under way connects anew behind its stop."""
    await ended_within(consumer.stop(), STOP_WAIT_S)
    await ended_within(consumer._client.close(), STOP_WAIT_S)


async def stop_producer(producer: AIOKafkaProducer, *, flush: bool) -> None:
    """`AIOKafkaProducer.stop` sends what is waiting first, which never ends when the broker is gone."""
    if flush and await ended_within(producer.stop(), STOP_WAIT_S):
        return
    producer._closed = True
    await ended_within(producer._sender.close(), STOP_WAIT_S)
    await ended_within(producer.client.close(), STOP_WAIT_S)


class NotAnswered(TimeoutError):
    """A client did not end its work in time. It is left behind; who asks again asks with another one."""


async def answered_within(work: Coroutine[Any, Any, T], wait_s: float = ANSWER_WAIT_S) -> T:
    """What it returns, or raises, when that comes in time. Raises NotAnswered otherwise: it is cancelled, and not waited for any
    more, then and when the caller is cancelled."""
    task = asyncio.get_running_loop().create_task(work)
    try:
        await asyncio.wait((task,), timeout=wait_s)
    finally:
        if not task.done():
            _leave(task)
    if task.done():
        return task.result()
    _log.warning("a Kafka client does not end and is left behind", work=getattr(work, "__qualname__", ""))
    raise NotAnswered(f"no answer within {wait_s:g} s")


async def ended_within(work: Coroutine[Any, Any, object], wait_s: float) -> bool:
    """Whether it has ended in time. Raises what it raises."""
    try:
        await answered_within(work, wait_s)
    except NotAnswered:
        return False
    return True


def _leave(task: asyncio.Task[Any]) -> None:
    _left.add(task)
    task.add_done_callback(_left.discard)
    cancel_until_ended(task)
    task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())  # heard, so that nobody is told of it


def cancel_until_ended(task: asyncio.Task[Any]) -> None:
    """Now, and again and again: what swallowed it once hears it then."""
    if not task.done():
        task.cancel()
        task.get_loop().call_later(AGAIN_S, cancel_until_ended, task)
