"""The file of the webhooks beside the loop: one call at a time, and none that a stop waits for longer than some seconds.

A call to a disk that hangs cannot be taken back. Whoever is cancelled waits for it a moment; where it goes on, the file is left
to it as it is, and every later call is refused until the file is opened anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar

from fanfold.api.retry import Waits, retry
from read_side.webhooks.apart import apart
from read_side.webhooks.database import HooksUnavailable
from read_side.webhooks.kept_hooks import KeptHooks

P = ParamSpec("P")
T = TypeVar("T")

WAITS: Final = Waits(1.0, 30.0)
LAST_CALL_S: Final = 3.0
"""So long is waited for a call of somebody who is cancelled: as a rule that is one sync of the disk."""
THREAD: Final = "webhooks-file"


class FileCalls:
    """tell: told why the file cannot be used, each time."""

    def __init__(
        self, path: Path, sleep: Callable[[float], Awaitable[None]], tell: Callable[[Exception], None]
    ) -> None:
        self._path, self._sleep, self._tell = path, sleep, tell
        self._kept: KeptHooks | None = None
        self._using = asyncio.Lock()
        self._is_left = False

    async def call(self, method: Callable[Concatenate[KeptHooks, P], T], *given: P.args, **named: P.kwargs) -> T:
        """One method of the file. Raises HooksUnavailable."""
        async with self._using:
            assert self._kept is not None, "opened"
            if self._is_left:
                raise HooksUnavailable(f"{self._path} does not answer. What is stored in it stays.")
            return await self._whole(apart(THREAD, method, self._kept, *given, **named))

    async def lasting(self, method: Callable[Concatenate[KeptHooks, P], T], *given: P.args, **named: P.kwargs) -> T:
        """As `call`, tried again until the file can be used: a delivery that cannot be stored is followed by no other."""

        async def attempt() -> T:
            return await self.call(method, *given, **named)

        return await retry(attempt, HooksUnavailable, WAITS, self._sleep, self._tell)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Raises HooksUnavailable."""
        self._kept, self._is_left = await apart(THREAD, KeptHooks.opened, self._path), False
        try:
            yield
        finally:
            async with self._using:
                kept, self._kept = self._kept, None
                if not self._is_left:
                    await asyncio.wait((apart(THREAD, kept.close),), timeout=LAST_CALL_S)

    async def _whole(self, call: asyncio.Future[T]) -> T:
        """Also by who is cancelled meanwhile: no two use the connection at a time."""
        try:
            return await asyncio.shield(call)
        except asyncio.CancelledError:
            call.add_done_callback(lambda ended: ended.exception())  # nobody else hears of it
            self._is_left = True  # also for who is cancelled once more
            await asyncio.wait((call,), timeout=LAST_CALL_S)
            self._is_left = not call.done()
            raise
