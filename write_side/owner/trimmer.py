"""The trimmer: has the command queue forget what accepted blocks have consumed, some time after.

One call for all partitions of a process, once a minute at most, and nothing of it on the way of a command. Only what an accepted
block has consumed is given back, so a writer that was overtaken and does not know it does no harm either. What fails (no right to
delete, a broker that is away or slow) is told once, counted, and tried again: it costs room in the queue and nothing else.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Final

import structlog

from write_side.owner.clock import Clock
from write_side.owner.partition import Consumed, Partition
from write_side.queue.command_queue import CommandQueue

LOOK_S: Final = 60.0
"""How often it is looked what may be given back."""
STEPS: Final = 16
"""Of the time that is kept: how many moments of it are remembered for each partition, so that a week costs no more than an hour.
What is given back is late by a step at most."""

_log = structlog.get_logger(__name__)


class Trimmer:
    """Of the partitions that a process writes.

    kept_us: how long commands stay after the block that consumed them, for who wants to look, or has to set a log back a little.
    trimmed_to: by partition, below which record all were given back by this process.
    """

    def __init__(self, partitions: Sequence[Partition], queue: CommandQueue, clock: Clock, kept_us: int) -> None:
        self.failures = 0
        self.trimmed_to: dict[int, int] = {}
        self._partitions = {each.number: each for each in partitions if each.owned}
        self._queue = queue
        self._clock = clock
        self._kept_us = kept_us
        self._seen: dict[int, deque[Consumed]] = {number: deque() for number in self._partitions}
        self._fails = False

    async def run(self) -> None:
        """Until it is cancelled. Raises nothing else."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Give back what is old enough now. Raises nothing."""
        below = self._old_enough()
        if not below:
            return
        try:
            await self._queue.consumed(below)
        except Exception as failure:
            self._failed(failure)
            return
        self.trimmed_to |= below
        if self._fails:
            self._fails = False
            _log.info("consumed commands are given back again", failures=self.failures)

    def _old_enough(self) -> dict[int, int]:
        now_us = self._clock.wall_us()
        below: dict[int, int] = {}
        for number, partition in self._partitions.items():
            seen = self._seen[number]
            self._see(seen, partition.consumed, now_us)
            while seen and now_us - seen[0].at_us >= self._kept_us:
                old = seen.popleft()
                if old.to > self.trimmed_to.get(number, 0):
                    below[number] = old.to
            if number in below:
                seen.appendleft(Consumed(below[number], 0))  # until it has been given back
        return below

    def _see(self, seen: deque[Consumed], consumed: Consumed | None, now_us: int) -> None:
        """Remember how far a partition was, where that is new and the last such moment is long enough ago."""
        if consumed is None:
            return
        # A log may be ahead of the clock, for years: what is there now is not younger than now.
        at_us = min(consumed.at_us, now_us)
        if not seen or (consumed.to > seen[-1].to and at_us - seen[-1].at_us >= self._kept_us // STEPS):
            seen.append(Consumed(consumed.to, at_us))

    def _failed(self, failure: Exception) -> None:
        self.failures += 1
        if not self._fails:
            self._fails = True
            reason = str(failure) or type(failure).__name__
            _log.warning("consumed commands are not given back", reason=reason, again_s=LOOK_S)
