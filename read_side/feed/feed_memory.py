"""The feed inside one process: a bounded queue a subscriber."""

from __future__ import annotations

from collections.abc import AsyncIterator
from weakref import WeakSet

from read_side.contract.feed import FeedBatch, Interest
from read_side.feed.waiting import Waiting


class MemoryFeed:
    """`Feed` (read_side/contract/feed.py) for projectors and gateways on one event loop: all rows are there, and cost nothing."""

    def __init__(self) -> None:
        # Weak: a subscriber that is dropped without being closed takes its queue with it.
        self._subscriptions: dict[int, WeakSet[Waiting[FeedBatch]]] = {}
        self._closed = False

    async def publish(self, batch: FeedBatch) -> None:
        for subscription in self._subscriptions.get(batch.partition, ()):
            subscription.put(batch)

    def subscribe(self, partition: int, interest: Interest | None = None) -> AsyncIterator[FeedBatch]:
        subscription = Waiting[FeedBatch]()
        if self._closed:
            subscription.end()
        self._subscriptions.setdefault(partition, WeakSet()).add(subscription)
        return subscription

    async def close(self) -> None:
        self._closed = True
        for subscriptions in self._subscriptions.values():
            for subscription in subscriptions:
                subscription.end()
