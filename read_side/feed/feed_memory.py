"""The feed inside one process: a bounded queue a subscriber."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final
from weakref import WeakSet

from read_side.contract.feed import FeedBatch

BATCHES_WAITING_MAX: Final = 256
"""Some seconds of a busy partition for a subscriber that is held up; past it the oldest goes, and the gap shows."""


class _Subscription(AsyncIterator[FeedBatch]):
    def __init__(self) -> None:
        self._waiting: deque[FeedBatch] = deque(maxlen=BATCHES_WAITING_MAX)
        self._something = asyncio.Event()
        self._ended = False

    def put(self, batch: FeedBatch) -> None:
        self._waiting.append(batch)
        self._something.set()

    def end(self) -> None:
        self._ended = True
        self._something.set()

    async def __anext__(self) -> FeedBatch:
        await self._something.wait()
        if self._ended:
            raise StopAsyncIteration
        batch = self._waiting.popleft()
        if not self._waiting:
            self._something.clear()
        return batch

    async def aclose(self) -> None:
        self.end()


class MemoryFeed:
    """`Feed` (read_side/contract/feed.py) for projectors and gateways on one event loop."""

    def __init__(self) -> None:
        # Weak: a subscriber that is dropped without being closed takes its queue with it.
        self._subscriptions: dict[int, WeakSet[_Subscription]] = {}
        self._closed = False

    async def publish(self, batch: FeedBatch) -> None:
        for subscription in self._subscriptions.get(batch.partition, ()):
            subscription.put(batch)

    def subscribe(self, partition: int) -> AsyncIterator[FeedBatch]:
        subscription = _Subscription()
        if self._closed:
            subscription.end()
        self._subscriptions.setdefault(partition, WeakSet()).add(subscription)
        return subscription

    async def close(self) -> None:
        self._closed = True
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.end()
