"""Two partitions in one process over a log in memory: writers, relays, the doors to them, and a read side of the same log."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any

from prometheus_client import CollectorRegistry

from tests.unit.read_side.doors.test_http_api import Side
from tests.unit.write_side.deciding import NOON_US, id_at
from tests.unit.write_side.http_edge import Reply, ask
from tests.unit.write_side.running import DEADLINE_S, SimulatedClock
from write_side.contract.block.block import Block
from write_side.contract.state.state import State
from write_side.contract.words.atoms import format_transfer_id, partition_of
from write_side.doors.http_api import create_app
from write_side.intake.intake import Intake
from write_side.owner.outcomes import Outcomes
from write_side.owner.relay import Relay
from write_side.owner.writer import Writer, WriterLimits
from write_side.queue.queue_memory import MemoryQueue

PARTITIONS = 2


def account(partition: int, word: str) -> str:
    """An account id that lives in this partition and begins with `word`."""
    return next(name for n in range(100) if partition_of(name := f"{word}-{n}", PARTITIONS) == partition)


def transfer_id(number: int) -> str:
    return format_transfer_id(id_at(NOON_US, number))


class TwoPartitions:
    """`async with`: started and running. `restart` ends the writing process as if it were killed, and starts another.

    carried: whether messages go between the partitions; without, no transfer between them ends.
    """

    def __init__(self, *, carried: bool = True, limits: WriterLimits | None = None) -> None:
        self._limits = limits or WriterLimits()
        self._carried = carried
        self.reading = Side(PARTITIONS)
        self.clock = SimulatedClock()
        self._log = self.reading.log
        self._running: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> TwoPartitions:
        await self._start()
        await self.reading.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._kill()
        await self.reading.stop()

    @property
    def states(self) -> list[State]:
        """Of the writers, by partition."""
        return [self._outcomes[p].state for p in range(PARTITIONS)]

    async def restart(self) -> None:
        await self._kill()
        await self._start()

    async def ask(self, method: str, path: str, document: Any, prefer: str = "wait=20") -> Reply:
        """One command, by the door that it comes in."""
        headers = [(b"content-type", b"application/json"), (b"prefer", prefer.encode())]
        body = json.dumps(document).encode()
        return await asyncio.wait_for(ask(self.app, method, path, body, headers), DEADLINE_S)

    async def done(self, method: str, path: str, document: Any) -> dict[str, Any]:
        """The same, and it is done."""
        reply = await self.ask(method, path, document)
        assert reply.status < 300, reply.document
        return reply.document

    async def told_later(self, id: str, position: str) -> dict[str, Any]:
        """`GET /v1/transfers/{id}`, once this position is visible."""
        target = f"min_position={position}&wait_ms=10000"
        app = self.reading.app()
        reply = await asyncio.wait_for(ask(app, "GET", f"/v1/transfers/{id}", b"", [], target), DEADLINE_S)
        return reply.document

    async def _start(self) -> None:
        queue, clock = MemoryQueue(), self.clock
        writers = [
            Writer(p, self._log, queue, clock, self._limits, lambda block, at: self._accepted(block, at))
            for p in range(PARTITIONS)
        ]
        self._outcomes = {writer.partition: Outcomes(writer.partition, writer.replay, self._log) for writer in writers}
        self._relays = {p: Relay(p, queue, clock) for p in range(PARTITIONS)}
        self.intake = Intake(queue, self._outcomes, partitions=PARTITIONS, clock=clock)
        self.app = create_app(self.intake, registry=CollectorRegistry(), ready=list)
        for writer in writers:
            await writer.start()
            self._outcomes[writer.partition].serve()
            self._relays[writer.partition].start(writer.state)
        runs = [writer.run() for writer in writers]
        runs += [relay.run() for relay in self._relays.values()] if self._carried else []
        self._running = [asyncio.create_task(run) for run in runs]
        await asyncio.sleep(0)

    def _accepted(self, block: Block, offset: int) -> None:
        self._outcomes[block.header.partition].accepted(block, offset)
        self._relays[block.header.partition].accepted(block)

    async def _kill(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
