"""The view store and the feed as a simulated process sees them: away, slow, stuck, doubled, lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from read_side.contract.feed import FeedBatch, FeedUnavailable, Interest
from read_side.contract.rows import AccountRow, AccountRows
from read_side.contract.view import Checkpoint, Owner, Reserved, ViewUnavailable
from read_side.feed.notice_bytes import cut, encode_batch
from read_side.views.view_memory import MemoryViewStore
from tests.simulation.faults import ZOMBIE_MAX_S, FaultyLog, Life
from write_side.contract.log.log import START, LogFailed, Record
from write_side.contract.log.log_memory import MemoryRecords

T = TypeVar("T")


class FaultyView:
    """`ViewStore` of one process over a store that outlives it. `written(store)` is told after every change."""

    shared = True

    def __init__(self, life: Life, store: MemoryViewStore, written: Callable[[], None]) -> None:
        self._life = life
        self._store = store
        self._written = written

    async def _do(self, work: Callable[[], Coroutine[Any, Any, T]], writes: bool = False) -> T:
        chaos = self._life.chaos
        if writes and chaos.strikes("stuck view write", 0.02):
            self._life.pause(chaos.random.uniform(0.1, ZOMBIE_MAX_S))
        await self._life.turn()
        if chaos.strikes("view away", 0.03):
            raise ViewUnavailable("The store did not answer.")
        result = await work()
        if writes:
            self._written()
            if chaos.strikes("view written, nobody told", 0.03):
                raise ViewUnavailable("The store did not answer.")
            if chaos.strikes("projector crashes after a write", 0.01):
                self._life.crash("after a view write")
        await self._life.turn()
        return result

    async def claim(self, partition: int, generation: int) -> Owner:
        return await self._do(lambda: self._store.claim(partition, generation), writes=True)

    async def checkpoint(self, partition: int, generation: int | None = None) -> Checkpoint | None:
        return await self._do(lambda: self._store.checkpoint(partition, generation))

    async def apply(
        self, owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint, loaded: int = 0
    ) -> int:
        return await self._do(lambda: self._store.apply(owner, expected, rows, checkpoint, loaded), writes=True)

    async def clear(self, owner: Owner) -> None:
        await self._do(lambda: self._store.clear(owner), writes=True)

    async def load(self, owner: Owner, rows: AccountRows) -> None:
        await self._do(lambda: self._store.load(owner, rows), writes=True)

    async def live(self, partition: int) -> int | None:
        return await self._do(lambda: self._store.live(partition))

    async def generations(self, partition: int) -> list[int]:
        return await self._do(lambda: self._store.generations(partition))

    async def kept(self, partition: int) -> int | None:
        return await self._do(lambda: self._store.kept(partition))

    async def switch(self, owner: Owner, replaces: int) -> None:
        await self._do(lambda: self._store.switch(owner, replaces), writes=True)

    async def reserve(self, token: str, for_s: float, unfinished: str | None = None) -> Reserved:
        return await self._do(lambda: self._store.reserve(token, for_s, unfinished), writes=True)

    async def read(
        self, partition: int, accounts: Sequence[str], generation: int | None = None
    ) -> tuple[Checkpoint | None, list[AccountRow | None]]:
        return await self._do(lambda: self._store.read(partition, accounts, generation))

    async def read_columns(
        self, partition: int, accounts: list[str], generation: int
    ) -> tuple[Checkpoint | None, AccountRows]:
        return await self._do(lambda: self._store.read_columns(partition, accounts, generation))

    def scan(self, partition: int, generation: int) -> AsyncIterator[AccountRows]:
        return self._store.scan(partition, generation)

    async def close(self) -> None: ...


class LogThatLeaves(FaultyLog):
    """`Log` of a read side: now and then one partition of it does not answer for a while, alone; to some it says so."""

    def __init__(self, life: Life, records: MemoryRecords, deciders: dict[bytes, list[Life]]) -> None:
        super().__init__(life, records, deciders)
        self._away_until: dict[int, float] = {}

    async def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        await self._answer(partition)
        async with aclosing(super().read(partition, after)) as runs:
            async for run in runs:
                yield run

    async def tail(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        await self._answer(partition)
        async with aclosing(super().tail(partition, after)) as runs:
            async for run in runs:
                await self._answer(partition)
                yield run

    async def end(self, partition: int) -> int:
        if not self._life.chaos.calm and asyncio.get_running_loop().time() < self._away_until.get(partition, 0.0):
            raise LogFailed(f"Partition {partition} does not answer.")
        return await super().end(partition)

    async def _answer(self, partition: int) -> None:
        now_s, chaos = asyncio.get_running_loop().time(), self._life.chaos
        if now_s >= self._away_until.get(partition, 0.0) and chaos.strikes("a partition of the log leaves", 0.01):
            self._away_until[partition] = now_s + chaos.random.uniform(0.1, 12.0)
        left_s = self._away_until.get(partition, 0.0) - now_s
        if left_s <= 0 or chaos.calm:
            return
        if chaos.random.random() < 0.5:
            raise LogFailed(f"Partition {partition} does not answer.")
        await asyncio.sleep(left_s)


class SharedFeed:
    """What lies between projectors and gateways: one queue a subscriber and partition, in order."""

    def __init__(self) -> None:
        self.subscribers: list[_FeedQueue] = []


class _FeedQueue(AsyncIterator[FeedBatch]):
    def __init__(self, life: Life, partition: int, interest: Interest | None) -> None:
        self.life = life
        self.partition = partition
        self._interest = interest
        self._queue: asyncio.Queue[FeedBatch] = asyncio.Queue()

    def put(self, batch: FeedBatch) -> None:
        chaos = self.life.chaos
        if chaos.strikes("feed batch lost", 0.05):
            return
        batch = _wanted(batch, self._interest)
        self._queue.put_nowait(batch)
        if chaos.strikes("feed batch doubled", 0.05):
            self._queue.put_nowait(batch)

    async def __anext__(self) -> FeedBatch:
        if self.life.chaos.strikes("feed ends", 0.005):
            raise StopAsyncIteration
        batch = await self._queue.get()
        if self.life.chaos.strikes("slow feed", 0.05):
            await asyncio.sleep(self.life.chaos.random.uniform(0, 3.0))
        await self.life.turn()
        return batch


def _wanted(batch: FeedBatch, interest: Interest | None) -> FeedBatch:
    """What a gateway reads of it, asked when it has come there; it is heard later (`slow feed`)."""
    if interest is None:
        return batch
    notice, beside = encode_batch(batch)
    picked = notice.pick(interest)
    return notice.batch(picked, cut(beside or notice.rows, picked.ranges(notice.shape)))


class FaultyFeed:
    """`Feed` of one process."""

    def __init__(self, life: Life, shared: SharedFeed) -> None:
        self._life = life
        self._shared = shared

    async def publish(self, batch: FeedBatch) -> None:
        chaos = self._life.chaos
        await self._life.turn()
        if chaos.strikes("feed away", 0.03):
            raise FeedUnavailable("The feed did not answer.")
        for subscriber in self._shared.subscribers:
            if subscriber.life.alive and subscriber.partition == batch.partition:
                subscriber.put(batch)
        if chaos.strikes("feed took it, nobody told", 0.02):
            raise FeedUnavailable("The feed did not answer.")

    def subscribe(self, partition: int, interest: Interest | None = None) -> AsyncIterator[FeedBatch]:
        queue = _FeedQueue(self._life, partition, interest)
        others = [
            each for each in self._shared.subscribers if each.life is not self._life or each.partition != partition
        ]
        self._shared.subscribers = [*others, queue]
        return queue

    async def close(self) -> None: ...
