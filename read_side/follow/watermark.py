"""Waiting until a number that only rises has reached a value; and until a block, or all of a log, is shown."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import Final

from read_side.contract.how_far import Place

_SWEEP_MIN: Final = 64
"""Waiters that gave up are swept out once they are half of the heap, and not for fewer than this."""


class Watermark:
    """A rising number and those who wait for it. Waiters are woken in the order of what they wait for."""

    def __init__(self, value: int) -> None:
        self.value = value
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrival = itertools.count()
        self._gave_up = 0

    def advance(self, value: int) -> None:
        """Set the mark, and wake whom it satisfies. A lower value than the held one is ignored."""
        if value <= self.value:
            return
        self.value = value
        while self._waiting and self._waiting[0][0] <= value:
            future = heapq.heappop(self._waiting)[2]
            if future.done():
                self._gave_up -= 1
            else:
                future.set_result(None)

    async def reach(self, value: int, timeout_s: float) -> bool:
        """Wait until the mark is at `value` or beyond; False when it is not after `timeout_s`."""
        if self.value >= value:
            return True
        if timeout_s <= 0:
            return False
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (value, next(self._arrival), future))
        try:
            async with asyncio.timeout(timeout_s):
                await future
        except TimeoutError:
            return False
        finally:
            if future.cancelled():
                self._sweep()
        return True

    def _sweep(self) -> None:
        """Clients that wait for what never comes must not fill the heap."""
        self._gave_up += 1
        if self._gave_up >= max(_SWEEP_MIN, len(self._waiting) // 2):
            self._waiting = [waiter for waiter in self._waiting if not waiter[2].done()]
            heapq.heapify(self._waiting)
            self._gave_up = 0


class Shown:
    """What readers of the view find, of one partition, and who waits for it on either scale (`contract/how_far.py`)."""

    def __init__(self) -> None:
        self.sequence = Watermark(-1)
        self.offset = Watermark(-1)

    @property
    def place(self) -> Place:
        return Place(self.sequence.value, self.offset.value)

    def advance(self, place: Place) -> None:
        self.sequence.advance(place.sequence)
        self.offset.advance(place.offset)
