"""Intake: gathers commands that arrive at the same time into records, one lane a partition, and answers from the log.

Smart batching without a timer: on an idle partition a command leaves at once; while `RECORDS_IN_FLIGHT` records wait for their
outcomes, newcomers gather and leave together as soon as one of them is answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from write_side.command_queue import CommandQueue, QueueFull
from write_side.contract.answers import Answer
from write_side.contract.atoms import WORLD, partition_of
from write_side.contract.log import LogFailed
from write_side.ledger.command_batch import CommandBatch
from write_side.ledger.commands import Command, Transfer
from write_side.outcomes import Outcomes, OutcomeUnknown

RECORDS_IN_FLIGHT = 2
"""One being made durable, one decided ahead: the writer's own depth, so that more would only wait there."""
GATHERED_MAX = 65_536
"""Commands that may gather in one lane: some 100 ms of full load, and some 30 MB."""


class Overloaded(Exception):
    """Too many commands wait already; this one was not taken."""


class Stopping(Exception):
    """The service is stopping; the command was not taken."""


class Intake:
    """`outcomes`: by partition. record_commands_max: commands a record. wait_s: how long an answer is waited for."""

    def __init__(
        self,
        queue: CommandQueue,
        outcomes: Mapping[int, Outcomes],
        *,
        partitions: int,
        record_commands_max: int = 8_192,
        wait_s: float = 10.0,
    ) -> None:
        self._partitions = partitions
        self._lanes = {p: _Lane(p, queue, outcomes[p], record_commands_max, wait_s) for p in range(partitions)}
        self._stopping = False

    async def submit(self, commands: Sequence[Command]) -> list[Answer]:
        """Decide these commands and answer each, in order. Commands of one partition are decided in this order.

        Raises Overloaded or Stopping when none was taken, OutcomeUnknown when some may have been.
        """
        if self._stopping:
            raise Stopping
        by_partition: dict[int, list[int]] = {}
        for i, command in enumerate(commands):
            by_partition.setdefault(home_partition(command, self._partitions), []).append(i)
        if any(self._lanes[p].gathered + len(rows) > GATHERED_MAX for p, rows in by_partition.items()):
            raise Overloaded
        groups = [(rows, self._lanes[p].add([commands[i] for i in rows])) for p, rows in by_partition.items()]
        results = await asyncio.gather(*(future for _, future in groups), return_exceptions=True)
        answers: dict[int, Answer] = {}
        for (rows, _), result in zip(groups, results, strict=True):
            if isinstance(result, BaseException):
                raise result if len(groups) == 1 else OutcomeUnknown() from result
            answers.update(zip(rows, result, strict=True))
        return [answers[i] for i in range(len(commands))]

    async def close(self) -> None:
        """Take nothing more; wait for what was taken."""
        self._stopping = True
        await asyncio.gather(*(lane.idle() for lane in self._lanes.values()))


def home_partition(command: Command, partitions: int) -> int:
    """Where a command is decided: the debited account's partition; the other leg's when that is `@world`."""
    if isinstance(command, Transfer):
        return partition_of(command.credit if command.debit == WORLD else command.debit, partitions)
    return partition_of(command.account, partitions)


class _Gathered(NamedTuple):
    commands: list[Command]
    future: asyncio.Future[list[Answer]]


class _Lane:
    """One partition's commands on their way to its writer."""

    def __init__(
        self, partition: int, queue: CommandQueue, outcomes: Outcomes, record_commands_max: int, wait_s: float
    ) -> None:
        self.gathered = 0
        self._partition = partition
        self._queue = queue
        self._outcomes = outcomes
        self._record_commands_max = record_commands_max
        self._wait_s = wait_s
        self._waiting: deque[_Gathered] = deque()
        self._in_flight: set[asyncio.Task[None]] = set()
        self._scheduled = False

    def add(self, commands: list[Command]) -> asyncio.Future[list[Answer]]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Answer]] = loop.create_future()
        self._waiting.append(_Gathered(commands, future))
        self.gathered += len(commands)
        if not self._scheduled:
            self._scheduled = True
            loop.call_soon(self._leave)
        return future

    async def idle(self) -> None:
        while self._waiting or self._in_flight:
            await asyncio.gather(*self._in_flight, return_exceptions=True)
            await asyncio.sleep(0)

    def _leave(self) -> None:
        self._scheduled = False
        while self._waiting and len(self._in_flight) < RECORDS_IN_FLIGHT:
            leaving: list[_Gathered] = []
            size = 0
            while self._waiting and (not leaving or size + len(self._waiting[0].commands) <= self._record_commands_max):
                leaving.append(self._waiting.popleft())
                size += len(leaving[-1].commands)
            self.gathered -= size
            task = asyncio.get_running_loop().create_task(self._send(leaving))
            self._in_flight.add(task)
            task.add_done_callback(self._arrived)

    def _arrived(self, task: asyncio.Task[None]) -> None:
        self._in_flight.discard(task)
        self._leave()

    async def _send(self, leaving: list[_Gathered]) -> None:
        try:
            batch = CommandBatch.of([command for gathered in leaving for command in gathered.commands])
            record = await self._queue.append(self._partition, batch)
            decided = await self._outcomes.wait(record, self._wait_s)
            first = 0
            for gathered in leaving:
                rows = range(first, first + len(gathered.commands))
                answers = await self._outcomes.answers(decided, rows)
                first += len(gathered.commands)
                if not gathered.future.done():
                    gathered.future.set_result(answers)
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
