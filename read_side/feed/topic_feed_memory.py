"""Topics inside one process: of each the newest answer, for every subscriber."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from weakref import WeakSet

from read_side.contract.topics import NO_ANSWER, TopicAnswer


class _Subscription(AsyncIterator[TopicAnswer]):
    def __init__(self, newest: Iterable[TopicAnswer]) -> None:
        self._waiting = {each.topic: each for each in newest}
        self._something = asyncio.Event()
        self._ended = False
        if self._waiting:
            self._something.set()

    def put(self, answer: TopicAnswer) -> None:
        self._waiting[answer.topic] = answer
        self._something.set()

    def end(self) -> None:
        self._ended = True
        self._something.set()

    async def __anext__(self) -> TopicAnswer:
        await self._something.wait()
        if self._ended:
            raise StopAsyncIteration
        answer = self._waiting.pop(next(iter(self._waiting)))
        if not self._waiting:
            self._something.clear()
        return answer


class MemoryTopicFeed:
    """`TopicFeed` (read_side/contract/topics.py) on one event loop."""

    def __init__(self) -> None:
        self._newest: dict[str, TopicAnswer] = {}
        self._subscriptions: WeakSet[_Subscription] = WeakSet()
        self._closed = False

    def tell(self, answer: TopicAnswer, *, catching_up: bool = False) -> None:
        if answer.number == NO_ANSWER and answer.topic in self._newest:
            return
        self._newest[answer.topic] = answer
        for subscription in self._subscriptions:
            subscription.put(answer)

    def withdraw(self, topic: str) -> None:
        """There is no other process that could tell it."""

    def subscribe(self) -> AsyncIterator[TopicAnswer]:
        subscription = _Subscription(self._newest.values())
        if self._closed:
            subscription.end()
        self._subscriptions.add(subscription)
        return subscription

    async def close(self) -> None:
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end()
