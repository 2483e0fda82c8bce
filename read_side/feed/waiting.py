"""What waits for a subscriber, bounded."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Final, TypeVar

T = TypeVar("T")

WAITING_MAX: Final = 256
"""Some seconds of a busy partition for a subscriber that is held up; past it the oldest goes, and the gap shows."""


class Waiting(AsyncIterator[T]):
    """A queue of one reader."""

    def __init__(self) -> None:
        self._waiting: deque[T] = deque(maxlen=WAITING_MAX)
        self._something = asyncio.Event()
        self._ended = False

    def put(self, each: T) -> None:
        self._waiting.append(each)
        self._something.set()

    def end(self) -> None:
        self._ended = True
        self._something.set()

    async def __anext__(self) -> T:
        await self._something.wait()
        if self._ended:
            raise StopAsyncIteration
        each = self._waiting.popleft()
        if not self._waiting:
            self._something.clear()
        return each

    def more(self, count: int) -> list[T]:
        """So many of those that wait, at most, and without waiting."""
        found = [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]
        if not self._waiting and not self._ended:
            self._something.clear()
        return found

    async def aclose(self) -> None:
        self.end()
