"""The breaker of one side at work: with a clock, with the gateway's own question as its probe, counted and logged.

The probe is never a client's request: one that hangs by itself, or was made to, would keep the side from everybody, and money
would be what tries whether it is there.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

import structlog

from gateway.metrics import Metrics
from gateway.proxy.breaker import PASS, Breaker, Probe, Refused, State
from gateway.proxy.upstream import NotSent

_log = structlog.get_logger(__name__)


class CircuitOpen(NotSent):
    """The side did not answer others just now, so it was not asked."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("it did not answer just now")
        self.retry_after_s = max(1, math.ceil(retry_after_s))


class Circuit:
    """side: its name. Shared by everything that asks the same process."""

    def __init__(
        self, side: str, breaker: Breaker, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._side = side
        self._breaker = breaker
        self._clock = clock
        self._openings = metrics.circuit_openings.labels(side)
        self._is_open = metrics.circuit_open.labels(side)
        self._probing: asyncio.Task[None] | None = None

    async def enter(self, is_there: Callable[[], Awaitable[bool]]) -> None:
        """Before a request is sent. is_there: asks the side whether it answers, in a bounded time, and raises nothing. Who finds
        that it is time to ask waits for what comes of it. Raises CircuitOpen."""
        verdict = self._breaker.admit(self._clock())
        if verdict == PASS:
            return
        if isinstance(verdict, Refused):
            raise CircuitOpen(verdict.retry_after_s)
        self._probing = asyncio.create_task(self._probe(verdict, is_there))
        await asyncio.shield(self._probing)  # who leaves keeps nobody from knowing
        if self._breaker.state != "closed":
            raise CircuitOpen(self._breaker.open_s)

    async def _probe(self, probe: Probe, is_there: Callable[[], Awaitable[bool]]) -> None:
        before = self._breaker.state
        answered = await is_there()
        self._breaker.probed(probe, answered=answered, now_s=self._clock())
        self._tell(before)

    def answered(self) -> None:
        before = self._breaker.state
        self._breaker.answered()
        self._tell(before)

    def failed(self) -> None:
        before = self._breaker.state
        self._breaker.failed(self._clock())
        self._tell(before)

    def _tell(self, before: State) -> None:
        """Once each way; a probe that fails is no news."""
        after = self._breaker.state
        if (before == "closed") == (after == "closed"):
            return
        if after == "closed":
            self._is_open.set(0)
            _log.info("circuit_closed", side=self._side)
        else:
            self._is_open.set(1)
            self._openings.inc()
            _log.warning("circuit_opened", side=self._side)

    async def close(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
