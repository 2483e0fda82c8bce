"""A lane: one partition's commands on their way to its writer, gathered into records.

Smart batching without a timer: on an idle partition a command leaves at once; while `RECORDS_IN_FLIGHT` records wait for their
outcomes, newcomers gather and leave together as soon as one of them is answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from write_side.command_queue import CommandQueue, QueueFull
from write_side.contract.limits import COMMANDS_BYTES_MAX
from write_side.contract.log import LogFailed
from write_side.ledger.command_batch import CommandBatch
from write_side.outcomes import Decided, Outcomes, OutcomeUnknown

RECORDS_IN_FLIGHT = 2
"""One being made durable, one decided ahead: the writer's own depth, so that more would only wait there."""


class Overloaded(Exception):
    """Too many commands wait already; this one was not taken."""


class _Gathered(NamedTuple):
    batch: CommandBatch
    future: asyncio.Future[Decided]


class Lane:
    """`add` commands that belong together, and fit into a block: they leave in one record.

    gathered: commands that have not left yet."""

    def __init__(
        self, partition: int, queue: CommandQueue, outcomes: Outcomes, record_commands_max: int, wait_s: float
    ) -> None:
        self.gathered = 0
        self.outcomes = outcomes
        self._partition = partition
        self._queue = queue
        self._record_commands_max = record_commands_max
        self._wait_s = wait_s
        self._waiting: deque[_Gathered] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._scheduled = False

    def add(self, batch: CommandBatch) -> asyncio.Future[Decided]:
        """The future of their outcomes: from `first_row` of a block, one a command, in order.

        It raises Overloaded when they were not taken, OutcomeUnknown when they may have been.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Decided] = loop.create_future()
        self._waiting.append(_Gathered(batch, future))
        self.gathered += len(batch)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._leave)
        return future

    async def idle(self) -> None:
        """Wait until everything that was added is answered."""
        while self._waiting or self._in_flight:
            await asyncio.gather(*self._in_flight, return_exceptions=True)
            await asyncio.sleep(0)

    def _leave(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._in_flight) < RECORDS_IN_FLIGHT:
            leaving: list[_Gathered] = []
            size = weight = 0
            while self._waiting:
                batch = self._waiting[0].batch
                weight += batch.weight()
                if leaving and (size + len(batch) > self._record_commands_max or weight > COMMANDS_BYTES_MAX):
                    break
                leaving.append(self._waiting.popleft())
                size += len(batch)
            self.gathered -= size
            task = asyncio.get_running_loop().create_task(self._send(leaving))
            self._in_flight.add(task)
            task.add_done_callback(self._arrived)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._leave()

    async def _send(self, leaving: list[_Gathered]) -> None:
        try:
            batch = CommandBatch.concatenated([gathered.batch for gathered in leaving])
            record = await self._queue.append(self._partition, batch)
            decided = await self.outcomes.wait(record, self._wait_s)
            first = decided.first_row
            for gathered in leaving:
                if not gathered.future.done():
                    gathered.future.set_result(Decided(decided.answers, first))
                first += len(gathered.batch)
        except Exception as error:
            failure = _failure(error)
            for gathered in leaving:
                if not gathered.future.done():
                    gathered.future.set_exception(failure)


def _failure(error: Exception) -> Exception:
    if isinstance(error, QueueFull):
        return Overloaded()
    if isinstance(error, LogFailed):
        return OutcomeUnknown()
    return error
