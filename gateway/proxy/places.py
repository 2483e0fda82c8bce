"""How many requests to a side may be under way at once, for one purpose. Who finds no place in time has sent nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class NoPlace(Exception):
    """Every place was taken for as long as one may wait."""


class Places:
    """First come, first served. A place is given back when its `async with` ends, however it ends."""

    def __init__(self, places: int, wait_ms: int) -> None:
        self._places = asyncio.Semaphore(places)
        self._wait_ms = wait_ms

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Raises NoPlace after `wait_ms`."""
        try:
            async with asyncio.timeout(self._wait_ms / 1000 if self._places.locked() else None):
                await self._places.acquire()
        except TimeoutError:
            raise NoPlace from None
        try:
            yield
        finally:
            self._places.release()
