"""A read side whose log may not be there yet: its doors answer from the first second, and it begins when the log is there.

Who starts everything at once starts the read side before the write side has made the topics. That is no failure, and nobody
should have to start it again; a log that is there and wrong ends it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import structlog

from fanfold.api.retry import Waits, retry
from read_side.wiring import OPENING, ReadSide, doors_without_log
from write_side.contract.log.log import Log, LogMissing

WAITS: Final = Waits(1.0, 1.0)
"""Between two looks for the log: a few requests to a broker each, and a first start is not kept waiting."""

_log = structlog.get_logger(__name__)


class LateReadSide:
    """`start`, then `run`, as a read side; itself the ASGI application of both, before and after.

    open_log: raises LogMissing while there is none. make: the read side over an open log.
    """

    def __init__(
        self,
        open_log: Callable[[], Awaitable[Log]],
        make: Callable[[Log], Awaitable[ReadSide]],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._open_log = open_log
        self._make = make
        self._sleep = sleep
        self._reason = OPENING
        self._app: Any = doors_without_log(lambda: self._reason)
        self._side: ReadSide | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)

    async def start(self) -> None:
        """Wait until there is a log, for as long as it takes, and start over it.

        Raises LogFailed for one that cannot be used, and as `ReadSide.start`."""
        log = await retry(self._open_log, LogMissing, WAITS, self._sleep, self._is_missing)
        if self._reason != OPENING:
            _log.info("log is there")
        self._side = await self._make(log)
        self._app = self._side.app
        await self._side.start()

    async def run(self) -> None:
        assert self._side is not None, "started"
        await self._side.run()

    def not_ready(self) -> list[str]:
        return [self._reason] if self._side is None else self._side.not_ready()

    async def drain(self) -> None:
        if self._side is not None:
            await self._side.drain()

    def _is_missing(self, missing: LogMissing) -> None:
        if str(missing) != self._reason:
            self._reason = str(missing)
            _log.warning("no log yet", reason=self._reason)
