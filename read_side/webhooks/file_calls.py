"""The file of the webhooks beside the loop: one call at a time, and none that a stop waits for longer than some seconds.

A call to a disk that hangs cannot be taken back. Whoever is cancelled waits for it a moment; where it goes on, the file is left
to it as it is, and every later call is refused until the file is opened anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
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
SILENT_S: Final = 10.0
"""A call that takes longer is told: more than waiting for a command's transaction takes (`database.BUSY_S`)."""
THREAD: Final = "webhooks-file"


class FileCalls:
    """tell: told why the file cannot be used, each time. wall_us: the wall clock, UTC microseconds."""

    def __init__(
        self,
        path: Path,
        sleep: Callable[[float], Awaitable[None]],
        tell: Callable[[Exception], None],
        wall_us: Callable[[], int],
    ) -> None:
        self._path, self._sleep, self._tell, self._wall_us = path, sleep, tell, wall_us
        self._asked_us: dict[object, int] = {}
        self._kept: KeptHooks | None = None
        self._using = asyncio.Lock()
        self._is_left = False

    def silence(self) -> str | None:
        """That the disk does not answer, for a person: nobody can end its call, and none fails while it hangs."""
        silent_s = (self._wall_us() - min(self._asked_us.values(), default=self._wall_us())) / 1e6
        if silent_s <= SILENT_S:
            return None
        return (
            f"the disk under {self._path} has not answered for {silent_s:.0f} s, and nothing is delivered that has to be stored. "
            "No money is affected, and nothing is lost: it is delivered once the disk answers. See the disk; if it is well, "
            "start the service again."
        )

    @contextmanager
    def waited_for(self) -> Iterator[None]:
        """Around whatever asks the disk."""
        call = object()
        self._asked_us[call] = self._wall_us()
        try:
            yield
        finally:
            del self._asked_us[call]

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
        with self.waited_for():
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
            with self.waited_for():
                return await asyncio.shield(call)
        except asyncio.CancelledError:
            call.add_done_callback(lambda ended: ended.exception())  # nobody else hears of it
            self._is_left = True  # also for who is cancelled once more
            await asyncio.wait((call,), timeout=LAST_CALL_S)
            self._is_left = not call.done()
            raise
