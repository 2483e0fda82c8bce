"""Requests of streams to the write side: one of each stream at a time, whatever becomes of the stream meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from gateway.metrics import Metrics
from gateway.protocol.submits import Failed, Request, SubmitBudget, Submits, Told


class CommandDoor(Protocol):
    """Where commands are run."""

    async def ask(self, request: Request) -> list[Told]:
        """What became of each submit of the request, in their order. Raises nothing."""
        ...


class Asking(Protocol):
    """The stream that a request is of."""

    def take_answers(self, request: Request, told: Sequence[Told]) -> Request | None:
        """Tell them, if there is still somebody to be told; the next request."""
        ...


class SubmitTasks:
    """Those of one gateway. bytes_max: of commands that wait or are under way; share_percent: see `SubmitBudget`;
    stream_bytes_max: of one stream, that wait."""

    def __init__(
        self, door: CommandDoor, metrics: Metrics, *, bytes_max: int, stream_bytes_max: int, share_percent: int = 100
    ) -> None:
        self.budget = SubmitBudget(bytes_max, share_percent)
        self._door = door
        self._metrics = metrics
        self._stream_bytes_max = stream_bytes_max
        self._tasks: set[asyncio.Task[None]] = set()
        metrics.submitted_bytes.set_function(lambda: self.budget.used)

    def queue(self) -> Submits:
        """Of a new stream."""
        return Submits(self._stream_bytes_max, self.budget)

    def ask(self, stream: Asking, request: Request) -> None:
        task = asyncio.create_task(self._ask(stream, request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for nobody: what is under way may be done, and its ids tell."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _ask(self, stream: Asking, first: Request) -> None:
        request: Request | None = first
        while request is not None:
            told = await self._door.ask(request)
            self._count(request, told)
            request = stream.take_answers(request, told)

    def _count(self, request: Request, told: Sequence[Told]) -> None:
        unknown = not_done = 0
        for count, each in zip(request.counts, told, strict=True):
            if isinstance(each, Failed):
                unknown, not_done = (unknown + count, not_done) if each.may_be_done else (unknown, not_done + count)
        self._metrics.commands_answered.inc(len(request.commands) - unknown - not_done)
        if unknown or not_done:
            self._metrics.commands_unknown.inc(unknown)
            self._metrics.commands_not_done.inc(not_done)
