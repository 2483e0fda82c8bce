"""Dry runs of one process: how many at once, how many may wait, and each over the states of all partitions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from write_side.contract.tell.answers import Answer
from write_side.intake.dry_run import dry_run
from write_side.intake.home import partitions_of_accounts
from write_side.intake.lane import Overloaded
from write_side.ledger.commands.commands import Capture, Command, Void
from write_side.owner.clock import Clock
from write_side.owner.outcomes import Outcomes

DRY_RUNS_AT_ONCE: Final = 1
"""A dry run of many legs decides dozens of small blocks, 25 ms here, in one of the few threads in which writers decide theirs."""
DRY_RUNS_MAX: Final = 64
"""Dry runs that wait or run: some 2 s of the longest. One more is refused as overloaded."""


class DryRuns:
    """clock, ids_max: what they go by, the latter as the writers have it."""

    def __init__(self, outcomes: Mapping[int, Outcomes], clock: Clock, ids_max: int) -> None:
        self._outcomes = outcomes
        self._clock = clock
        self._ids_max = ids_max
        self._asked = 0
        self._running = asyncio.Semaphore(DRY_RUNS_AT_ONCE)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Until the turn of one more has come. Raises Overloaded when `DRY_RUNS_MAX` wait."""
        if self._asked >= DRY_RUNS_MAX:
            raise Overloaded
        self._asked += 1
        try:
            async with self._running:
                yield
        finally:
            self._asked -= 1

    async def run(self, home: int, command: Command) -> Answer:
        """What would be answered, in its turn. Raises PartitionUnavailable, OutcomeUnknown."""
        for partition in self._touched(home, command):
            self._outcomes[partition].require()
        states = {partition: each.state for partition, each in self._outcomes.items()}
        said = await asyncio.to_thread(
            dry_run,
            states,
            home,
            command,
            len(states),
            self._clock.wall_us(),
            self._ids_max,
            self._outcomes[home].ids,
        )
        if isinstance(said, Answer):
            return said
        first = await self._outcomes[home].first(said)
        return Answer(first.status, first.document | {"dry_run": True})

    def _touched(self, home: int, command: Command) -> Iterable[int]:
        """The partitions that a command may go to. Which accounts a hold has, only its partition knows."""
        if isinstance(command, Capture | Void):
            return self._outcomes
        return {home, *partitions_of_accounts(command, len(self._outcomes))}
