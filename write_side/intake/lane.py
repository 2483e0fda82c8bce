"""A lane: one partition's commands on their way to its writer, gathered into records.

Smart batching without a timer: on an idle partition a command leaves at once; while `RECORDS_IN_FLIGHT` records wait for their
outcomes, newcomers gather and leave together as soon as one of them is answered. First come, first gone: nobody overtakes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from write_side.contract.block import limits
from write_side.contract.log.log import LogFailed
from write_side.ledger.commands.askers import Askers
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import OpenAccount, Transfer
from write_side.ledger.commands.weights import lone_weight
from write_side.owner.outcomes import Decided, Outcomes, OutcomeUnknown
from write_side.queue.command_queue import CommandQueue, QueueFull

RECORDS_IN_FLIGHT = 2
"""One being made durable, one decided ahead: the writer's own depth, so that more would only wait there."""


Lone = OpenAccount | Transfer
"""What may come as a value, and becomes a row when its record leaves: columns of its own took a fifth of a POST."""


GATHERED_RECORDS_MAX = 8
"""Of the heaviest records: what may gather in bytes. Each takes most of a second here when its transfers have 32 legs in many
partitions, and nobody should wait longer behind his neighbours than he waits for an answer."""


LOOKS = 16
"""How often within the time that a request may wait it is looked who has waited for longer: a look passes over all that wait."""


class Overloaded(Exception):
    """Too many commands wait already; this one was not taken."""


class _Gathered(NamedTuple):
    """asked_by: of a lone command; a batch says it itself."""

    commands: CommandBatch | Lone
    size: int
    weight: int
    future: asyncio.Future[Decided]
    until_s: float
    """By the loop's time: one that has not left by then is not taken."""
    asked_by: str = ""


class _Left(NamedTuple):
    """A record that left, with so many commands. at_s: by the loop's time."""

    at_s: float
    commands: int


class Lane:
    """`add` commands that belong together, and fit into a block: they leave in one record.

    gathered: commands that have not left yet; gathered_bytes: what they weigh."""

    def __init__(
        self, partition: int, queue: CommandQueue, outcomes: Outcomes, record_commands_max: int, wait_s: float
    ) -> None:
        self.gathered = 0
        self.gathered_bytes = 0
        self.outcomes = outcomes
        self._partition = partition
        self._queue = queue
        self._record_commands_max = record_commands_max
        self._wait_s = wait_s
        self._waiting: deque[_Gathered] = deque()
        self._in_flight: dict[asyncio.Task[None], _Left] = {}
        """Oldest first."""
        self._scheduled = False
        self._watching = False
        self._overdue: set[int] = set()

    @property
    def is_heavy(self) -> bool:
        """Whether as much has gathered as may, in bytes: newcomers are not taken."""
        return self.gathered_bytes > GATHERED_RECORDS_MAX * limits.COMMANDS_BYTES_MAX

    @property
    def unanswered(self) -> int:
        """Records that nobody has taken within `wait_s`, and that are still on their way."""
        return len(self._overdue)

    @property
    def oldest_s(self) -> float:
        """For how long the oldest record has been on its way, to the queue or to its outcomes."""
        left = next(iter(self._in_flight.values()), None)
        return 0.0 if left is None else asyncio.get_running_loop().time() - left.at_s

    @property
    def under_way(self) -> int:
        """Commands that were taken and have no outcome yet."""
        return self.gathered + sum(left.commands for left in self._in_flight.values())

    def add(self, commands: CommandBatch | Lone, *, behind: int = 0, asked_by: str = "") -> asyncio.Future[Decided]:
        """The future of their outcomes: from `first_row` of a block, one a command, in order.

        behind: how many records of the same request go before: each may take `wait_s`. asked_by: who asked for a lone command, ""
        for nobody; a batch says it itself.

        It raises Overloaded or PartitionUnavailable when they were not taken, OutcomeUnknown when they may have been.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Decided] = loop.create_future()
        if isinstance(commands, CommandBatch):
            size, weight = len(commands), limits.ASKER_ROW + commands.weight()
        else:
            size, weight = 1, lone_weight(commands) + limits.ASKER_ROW + len(asked_by)
        until_s = loop.time() + self._wait_s * (1 + behind)
        self._waiting.append(_Gathered(commands, size, weight, future, until_s, asked_by))
        self.gathered += size
        self.gathered_bytes += weight
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
                more = self._waiting[0]
                size, weight = size + more.size, weight + more.weight
                if leaving and (size > self._record_commands_max or weight > limits.COMMANDS_BYTES_MAX):
                    size, weight = size - more.size, weight - more.weight
                    break
                leaving.append(self._waiting.popleft())
            self.gathered -= size
            self.gathered_bytes -= weight
            task = asyncio.get_running_loop().create_task(self._send(leaving))
            self._in_flight[task] = _Left(asyncio.get_running_loop().time(), size)
            task.add_done_callback(self._arrived)

        self._watch()

    def _watch(self) -> None:
        if self._waiting and not self._watching:
            self._watching = True
            loop = asyncio.get_running_loop()
            until_s = min(gathered.until_s for gathered in self._waiting)
            loop.call_at(max(until_s, loop.time() + self._wait_s / LOOKS), self._give_up)

    def _give_up(self) -> None:
        """Nobody waits longer behind records that do not arrive, or are many: what has not left by its time is not taken."""
        self._watching = False
        now_s = asyncio.get_running_loop().time()
        late = [gathered for gathered in self._waiting if gathered.until_s <= now_s]
        if late:
            self._waiting = deque(gathered for gathered in self._waiting if gathered.until_s > now_s)
        for gathered in late:
            self.gathered -= gathered.size
            self.gathered_bytes -= gathered.weight
            if not gathered.future.done():
                gathered.future.set_exception(Overloaded())
        self._watch()

    def _arrived(self, task: asyncio.Task[None]) -> None:
        del self._in_flight[task]
        self._leave()

    async def _send(self, leaving: list[_Gathered]) -> None:
        try:
            self.outcomes.require()  # what gathered behind records that do not arrive has not left: nothing of it was taken
            columns = _columns(leaving)
            record = await self._taken(leaving, columns)
            decided = await self.outcomes.wait(record, self._wait_s)
            if not decided.is_of(columns):
                raise OutcomeUnknown  # what was at this offset before the topic was made again: that of ours may come, or not
            first = decided.first_row
            for gathered in leaving:
                if not gathered.future.done():
                    gathered.future.set_result(Decided(decided.answers, first))
                first += gathered.size
        except Exception as error:
            failure = _failure(error)
            for gathered in leaving:
                if not gathered.future.done():
                    gathered.future.set_exception(failure)

    async def _taken(self, leaving: list[_Gathered], columns: CommandBatch) -> int:
        """Their record's offset. Whoever waits is told after `wait_s` that the outcome is unknown. The record may arrive still,
        and until it does nothing leaves in its place."""
        timer = asyncio.get_running_loop().call_later(self._wait_s, self._late, leaving)
        try:
            return await self._queue.append(self._partition, columns)
        finally:
            timer.cancel()
            self._overdue.discard(id(leaving))

    def _late(self, leaving: list[_Gathered]) -> None:
        self._overdue.add(id(leaving))
        for gathered in leaving:
            if not gathered.future.done():
                gathered.future.set_exception(OutcomeUnknown())
        self._watch()


def _columns(leaving: Sequence[_Gathered]) -> CommandBatch:
    """All of them in order; those that stand alone side by side become columns together."""
    batches: list[CommandBatch] = []
    lone: list[Lone] = []
    names: list[str] = []

    def together() -> None:
        batches.append(replace(CommandBatch.of(lone), askers=Askers.each(names)))
        lone.clear()
        names.clear()

    for gathered in leaving:
        if isinstance(gathered.commands, CommandBatch):
            if lone:
                together()
            batches.append(gathered.commands)
        else:
            lone.append(gathered.commands)
            names.append(gathered.asked_by)
    if lone:
        together()
    return CommandBatch.concatenated(batches)


def _failure(error: Exception) -> Exception:
    if isinstance(error, QueueFull):
        return Overloaded()
    if isinstance(error, LogFailed):
        return OutcomeUnknown()
    return error
