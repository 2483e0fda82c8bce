"""The command queue as a simulated process sees it: at least once, late, out of order, and sometimes nobody knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from tests.simulation.faults import LATE_MAX_S, Chaos, Life
from tests.simulation.overtaken import HeldBack
from write_side.contract.log.log import LogFailed, NotThere
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.step_batch import StepBatch
from write_side.queue.command_queue import Queued, QueueFull, QueueReader
from write_side.queue.queue_memory import MemoryQueue

Batch = CommandBatch | StepBatch

DOUBLED = {"command": 0.05, "message": 0.2}
"""Messages are few beside commands, and what a participant remembers of them is only asked by copies."""
SLOW = 0.2
"""Messages that take their time leave transfers open for long enough to be met by others."""
BEHIND_MAX_S = 1.0
"""How long after the message that overtook it a message may come: both in one block, or each in its own."""


class LastingQueue:
    """The records of one partition's command queue that outlives processes: offset -> batch. None: unreadable.

    begins_at: below it they can be taken no more, and are here for the auditor alone."""

    def __init__(self, chaos: Chaos) -> None:
        self.records: list[Batch | None] = []
        self.begins_at = 0
        self.grown = asyncio.Event()
        self.held_back = HeldBack(chaos)

    def put(self, batch: Batch | None) -> int:
        self.records.append(batch)
        self.grown.set()
        self.grown = asyncio.Event()
        return len(self.records) - 1


class LastingQueueOfLife:
    """`CommandQueue` of one process over `LastingQueue`s, one a partition."""

    def __init__(self, life: Life, shared: Sequence[LastingQueue]) -> None:
        self._life = life
        self._shared = shared

    async def append(self, partition: int, batch: Batch) -> int:
        chaos, shared = self._life.chaos, self._shared[partition]
        what = "message" if isinstance(batch, StepBatch) else "command"
        await self._life.turn()
        await _may_crash(self._life, what, "before")
        if chaos.strikes(f"{what} lost", 0.03):
            raise LogFailed("The broker did not answer.")
        if chaos.strikes("unreadable command record", 0.01):
            shared.put(None)
        goes_on: Batch | None = batch
        if isinstance(batch, StepBatch):
            goes_on, behind = shared.held_back.pass_through(batch)
            for late in behind:
                asyncio.get_running_loop().call_later(chaos.random.uniform(0, BEHIND_MAX_S), shared.put, late)
        if isinstance(goes_on, StepBatch) and chaos.strikes("slow message record", SLOW):
            asyncio.get_running_loop().call_later(chaos.random.uniform(0, LATE_MAX_S), shared.put, goes_on)
            goes_on = None
        offset = len(shared.records) if goes_on is None else self._put(shared, goes_on, what)
        if chaos.strikes(f"{what} appended, nobody told", 0.03):
            raise LogFailed("The broker did not answer.")
        await _may_crash(self._life, what, "after")
        await self._life.turn()
        return offset

    def _put(self, shared: LastingQueue, batch: Batch, what: str) -> int:
        chaos = self._life.chaos
        if chaos.strikes(f"doubled {what} record", DOUBLED[what]):
            shared.put(batch)
        if chaos.strikes(f"late {what} record", 0.05):
            asyncio.get_running_loop().call_later(chaos.random.uniform(0, LATE_MAX_S), shared.put, batch)
        return shared.put(batch)

    async def open_reader(self, partition: int, from_offset: int) -> QueueReader:
        await self._life.turn()
        return _LastingReader(self._life, self._shared[partition], from_offset)

    async def begins_at(self, partition: int) -> int:
        await self._life.turn()
        if self._life.chaos.strikes("queue does not say where it begins", 0.03):
            raise LogFailed("The broker did not answer.")
        begins_at = self._shared[partition].begins_at
        await self._life.turn()
        return begins_at

    async def consumed(self, below: Mapping[int, int]) -> None:
        chaos = self._life.chaos
        await self._life.turn()
        for partition, offset in below.items():
            if chaos.strikes("commands not given back", 0.1):
                raise LogFailed("A broker has no room for requests.")
            shared = self._shared[partition]
            shared.begins_at = max(shared.begins_at, offset)
            chaos.count("commands given back")
        if chaos.strikes("commands given back, nobody told", 0.1):
            raise LogFailed("The broker did not answer.")

    async def troubles(self) -> Mapping[int, str]:
        return {}

    async def close(self) -> None: ...


async def _may_crash(life: Life, what: str, when: str) -> None:
    """Around the append of a message between partitions, as around that of a block."""
    if what == "message" and life.chaos.strikes(f"crash {when} a message", 0.01):
        life.crash(f"{when} a message")
        raise asyncio.CancelledError


class _LastingReader:
    def __init__(self, life: Life, shared: LastingQueue, from_offset: int) -> None:
        self._life, self._shared, self._next = life, shared, from_offset

    async def take(self, commands_max: int) -> list[Queued]:
        while self._next >= len(self._shared.records):
            await self._shared.grown.wait()
        await self._life.turn()
        if self._next < self._shared.begins_at:
            raise NotThere("The queue begins behind where the reader goes on.")
        end = min(len(self._shared.records), self._next + self._life.chaos.random.randint(1, 4))
        taken = [Queued(offset, self._shared.records[offset]) for offset in range(self._next, end)]
        self._next = end
        return taken

    async def close(self) -> None: ...


class NotedQueue:
    """`CommandQueue` that dies with its process (the embedded one), noting what was put where for the auditor.

    Messages between partitions are lost, doubled, late and overtaken here too.
    """

    def __init__(self, life: Life, inner: MemoryQueue, partitions: int, require: Callable[[bool, str], None]) -> None:
        self._life = life
        self._inner = inner
        self._require = require
        self._held_back = [HeldBack(life.chaos) for _ in range(partitions)]
        self.records: dict[tuple[int, int], Batch] = {}

    async def append(self, partition: int, batch: Batch) -> int:
        await self._life.turn()
        if isinstance(batch, CommandBatch):
            return await self._put(partition, batch)
        chaos = self._life.chaos
        await _may_crash(self._life, "message", "before")
        if chaos.strikes("message lost", 0.03):
            raise QueueFull
        goes_on, behind = self._held_back[partition].pass_through(batch)
        offset = -1 if goes_on is None else await self._put_message(partition, goes_on)
        for late in behind:
            self._life.start(self._put_late(partition, late, chaos.random.uniform(0, BEHIND_MAX_S)))
        await _may_crash(self._life, "message", "after")
        return offset

    async def _put_message(self, partition: int, batch: StepBatch) -> int:
        chaos = self._life.chaos
        if chaos.strikes("doubled message record", DOUBLED["message"]):
            await self._put(partition, batch)
        if chaos.strikes("late message record", 0.05):
            self._life.start(self._put_late(partition, batch, chaos.random.uniform(0, LATE_MAX_S)))
        if chaos.strikes("slow message record", SLOW):
            self._life.start(self._put_late(partition, batch, chaos.random.uniform(0, LATE_MAX_S)))
            return -1
        return await self._put(partition, batch)

    async def _put(self, partition: int, batch: Batch) -> int:
        try:
            offset = await self._inner.append(partition, batch)
        except QueueFull:
            self._life.chaos.count("queue full")
            reader = self._inner._readers.get(partition)
            if isinstance(batch, StepBatch) and reader is not None and not reader.closed:
                room = self._inner._messages_max - reader.messages
                self._require(len(batch) > room, "a message is refused because of requests that wait")
            raise
        self.records[partition, offset] = batch
        return offset

    async def _put_late(self, partition: int, batch: Batch, late_s: float) -> None:
        await asyncio.sleep(late_s)
        await self._life.turn()
        with suppress(QueueFull):
            await self._put(partition, batch)

    async def open_reader(self, partition: int, from_offset: int) -> QueueReader:
        await self._life.turn()
        return await self._inner.open_reader(partition, from_offset)

    async def begins_at(self, partition: int) -> int:
        await self._life.turn()
        return await self._inner.begins_at(partition)

    async def consumed(self, below: Mapping[int, int]) -> None:
        await self._life.turn()
        await self._inner.consumed(below)

    async def troubles(self) -> Mapping[int, str]:
        return await self._inner.troubles()

    async def close(self) -> None:
        await self._inner.close()
