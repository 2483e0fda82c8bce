"""Streams sent away before a gateway is stopped, one after the other: whoever comes back does so at another moment than others.

Nothing is lost by it: a client resumes by version, and requests go on to be answered. No new stream is let in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from gateway.streams.hub import Hub

STEPS_MAX: Final = 1_000
"""Waits of a drain: beyond so many streams several leave at once."""

_log = structlog.get_logger(__name__)


class Drain:
    """Of one gateway. within_ms: from the first to the last; chance: a number below another one."""

    def __init__(
        self,
        hub: Hub,
        within_ms: int,
        chance: Callable[[int], int],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.begun = False
        self.within_ms = within_ms
        self._hub = hub
        self._chance = chance
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None

    @property
    def streams(self) -> int:
        """How many are still open of those that are sent away: a read that waits for a change is a request, and is answered."""
        return len(self._hub.lifetimes.streams)

    def begin(self) -> None:
        """Twice is once."""
        if not self.begun:
            self.begun = True
            _log.warning("draining", streams=self.streams, within_ms=self.within_ms)
            self._task = asyncio.create_task(self._send_all_away())

    def cancel(self) -> None:
        """The server stops: it tells who is left by itself."""
        if self._task is not None:
            self._task.cancel()

    async def _send_all_away(self) -> None:
        lifetimes = self._hub.lifetimes
        streams = lifetimes.streams
        for at in range(len(streams) - 1, 0, -1):  # so that no order of theirs decides who is first
            other = self._chance(at + 1)
            streams[at], streams[other] = streams[other], streams[at]
        steps = max(1, min(STEPS_MAX, len(streams)))
        for step in range(steps):
            lifetimes.send_away(streams[step::steps])
            if step < steps - 1:
                await self._sleep(self.within_ms / 1000 / (steps - 1))
        _log.warning("drained", streams=self.streams)
