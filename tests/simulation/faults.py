"""Everything that goes wrong, from one seed: what a simulated process sees instead of its log.

Its queue is in `queue_faults.py`, its view and feed in `read_faults.py`.

A process is a `Life`. Each of its ports asks the life first: a dead one does nothing any more, a paused one (a zombie) goes
on when it wakes up. `Chaos` decides; once it is `calm` nothing fails, and only the delays remain.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

from tests.simulation.virtual_time import OWNER
from write_side.contract.log.log import START, LogFailed, Record, Unit
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords

T = TypeVar("T")

LATE_MAX_S = 3.0
"""How long a record of a dead process may still be on its way."""
ZOMBIE_MAX_S = 8.0
AWAY_MAX_S = 6.0
"""How long one partition of the log may be away from one process, while the others answer."""


class Chaos:
    """The seed's random numbers, in one stream. rate: how often things go wrong, 0..1 of the usual."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.calm = False
        self.rate = self.random.choice((0.3, 1.0, 1.0, 2.0))
        self.slow_s = self.random.choice((0.001, 0.01, 0.1))
        self.counts: dict[str, int] = {}

    def strikes(self, what: str, probability: float) -> bool:
        """Whether this fault happens now."""
        if self.calm or self.random.random() >= probability * self.rate:
            return False
        self.count(what)
        return True

    def count(self, what: str) -> None:
        """Note that something rare has come to pass."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def delay_s(self) -> float:
        return self.random.choice((0.0, 0.0, 0.3, 1.0, 3.0)) * self.slow_s * self.random.random()


class Life:
    """One process from start to end. `trace(text)` notes what happens to it."""

    def __init__(self, name: str, chaos: Chaos, trace: Callable[[str], None]) -> None:
        self.name = name
        self.chaos = chaos
        self.trace = trace
        self.alive = True
        self.tasks: dict[asyncio.Task[Any], None] = {}
        self.ended = asyncio.Event()
        self.awake = asyncio.Event()
        self.awake.set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something as part of this process."""
        return self.within(lambda: asyncio.get_running_loop().create_task(work))

    def within(self, work: Callable[[], T]) -> T:
        """Do something as this process: the tasks and timers that it starts are its own."""
        before = OWNER.set(self)
        try:
            return work()
        finally:
            OWNER.reset(before)

    def crash(self, why: str) -> None:
        """End at once: whatever its tasks still do in their last moment, no port does anything for them."""
        if self.alive:
            self.alive = False
            self.trace(f"{self.name} ends: {why}")
            self.ended.set()
            self.awake.set()
            for task in list(self.tasks):
                task.cancel()

    def pause(self, for_s: float) -> None:
        """Stop as under SIGSTOP, and wake up later without having noticed."""
        if self.awake.is_set() and self.alive:
            self.trace(f"{self.name} sleeps")
            self.awake.clear()
            asyncio.get_running_loop().call_later(for_s, self._wake)

    def _wake(self) -> None:
        if self.alive:
            self.trace(f"{self.name} wakes up")
        self.awake.set()

    async def turn(self) -> None:
        """Before anything that others can see. Raises CancelledError in a dead process."""
        await asyncio.sleep(self.chaos.delay_s())
        while not self.awake.is_set():
            await self.awake.wait()
        if not self.alive:
            raise asyncio.CancelledError


class FaultyLog:
    """`Log` of one process. `deciders` notes whose records of a block landed, in this order."""

    def __init__(self, life: Life, records: MemoryRecords, deciders: dict[bytes, list[Life]]) -> None:
        self._life = life
        self._records = records
        self._inner = MemoryLog(records)
        self._deciders = deciders
        self._away_until_s: dict[int, float] = {}

    def _require(self, partition: int) -> None:
        """Raises LogFailed while the partition's brokers are away from this process."""
        now_s = asyncio.get_running_loop().time()
        if not self._life.chaos.calm and now_s < self._away_until_s.get(partition, 0.0):
            raise LogFailed("The brokers of this partition do not answer.")

    @property
    def partitions(self) -> int:
        return self._inner.partitions

    @property
    def unit(self) -> Unit:
        return self._inner.unit

    async def append(self, partition: int, block: bytes) -> int:
        life, chaos, fails, lands = self._life, self._life.chaos, False, True
        if chaos.strikes("zombie", 0.03):
            life.pause(chaos.random.uniform(0.1, ZOMBIE_MAX_S))
        await life.turn()
        if chaos.strikes("crash before append", 0.02):
            life.crash("before an append")
        elif chaos.strikes("record lands after the crash", 0.02):
            late_s = chaos.random.uniform(0, LATE_MAX_S)
            asyncio.get_running_loop().call_later(late_s, self._land_late, partition, block)
            life.crash("with a record on its way")
        elif chaos.strikes("failed append", 0.02):
            fails, lands = True, chaos.random.random() < 0.5
        elif chaos.strikes("partition of the log away", 0.02):
            self._away_until_s[partition] = asyncio.get_running_loop().time() + chaos.random.uniform(0.1, AWAY_MAX_S)
        if not life.alive:
            raise asyncio.CancelledError
        self._require(partition)
        if fails:
            self._inner.fail_next_append(record_is_there=lands, partition=partition)
        if lands:
            self._note(block)
        offset = await self._inner.append(partition, block)
        if chaos.strikes("doubled record", 0.03):
            self._records.append(partition, block)
        if chaos.strikes("crash after append", 0.02):
            life.crash("after an append")
        if chaos.strikes("zombie", 0.02):
            life.pause(chaos.random.uniform(0.1, ZOMBIE_MAX_S))
        await life.turn()
        return offset

    def _note(self, block: bytes) -> None:
        self._deciders.setdefault(block, []).append(self._life)

    def _land_late(self, partition: int, block: bytes) -> None:
        self._note(block)
        self._records.append(partition, block)

    async def read(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        async with aclosing(self._inner.read(partition, after)) as runs:
            async for run in runs:
                await self._life.turn()
                self._require(partition)
                yield run

    async def tail(self, partition: int, after: int = START) -> AsyncGenerator[Sequence[Record], None]:
        async with aclosing(self._inner.tail(partition, after)) as runs:
            async for run in runs:
                if self._life.chaos.strikes("slow reader", 0.02):
                    await asyncio.sleep(self._life.chaos.random.uniform(0, 3.0))
                await self._life.turn()
                self._require(partition)
                yield run

    async def fetch(self, partition: int, offset: int) -> bytes | memoryview:
        await self._life.turn()
        return await self._inner.fetch(partition, offset)

    async def resume(self, partition: int) -> None:
        await self._life.turn()
        self._require(partition)
        await self._inner.resume(partition)

    async def end(self, partition: int) -> int:
        await self._life.turn()
        self._require(partition)
        return await self._inner.end(partition)

    async def begin(self, partition: int) -> int:
        await self._life.turn()
        self._require(partition)
        return await self._inner.begin(partition)

    async def trim(self, partition: int, before: int) -> int:
        life, chaos = self._life, self._life.chaos
        await life.turn()
        self._require(partition)
        begin = await self._inner.trim(partition, before)
        if chaos.strikes("crash after a trim", 0.3):
            life.crash("after a trim")
        await life.turn()
        return begin

    async def troubles(self) -> Mapping[int, str]:
        return await self._inner.troubles()

    async def close(self) -> None:
        await self._inner.close()
