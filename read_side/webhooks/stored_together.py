"""What lanes have stored, several in one transaction: the disk is not asked for a sync a delivery."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from read_side.webhooks.file_calls import FileCalls
from read_side.webhooks.kept_hooks import KeptHooks, Stored

REST_S: Final = 0.02
"""Between two transactions of lanes, which share the disk with the log."""


class StoredTogether:
    def __init__(self, file: FileCalls, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._file, self._sleep = file, sleep
        self._waiting: list[tuple[Stored, asyncio.Future[bool]]] = []
        self._storing: asyncio.Task[None] | None = None

    async def store(self, wanted: Stored) -> bool:
        """Whether it was: not where its webhook was removed or replayed meanwhile."""
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((wanted, stored))
        if self._storing is None or self._storing.done():
            self._storing = asyncio.create_task(self._store_waiting())
        return await stored

    async def end(self) -> None:
        """Nobody waits for it any more."""
        if self._storing is not None:
            self._storing.cancel()
            await asyncio.gather(self._storing, return_exceptions=True)
        self._waiting, self._storing = [], None

    async def _store_waiting(self) -> None:
        while self._waiting:
            taken, self._waiting = self._waiting, []
            try:
                results = await self._file.lasting(KeptHooks.store, [each for each, _ in taken])
            except Exception as bug:  # each of them tells it
                for _, stored in taken:
                    if not stored.done():
                        stored.set_exception(bug)
                continue  # those that came meanwhile wait for nobody else
            for (_, stored), result in zip(taken, results, strict=True):
                if not stored.done():
                    stored.set_result(result)
            await self._sleep(REST_S)
