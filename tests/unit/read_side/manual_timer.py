"""A clock that moves when the test says so."""

from __future__ import annotations

import asyncio

from tests.unit.read_side.block_maker import START_US


class ManualTimer:
    """`Timer` of the read side. Who sleeps is woken by `tick`, however long the sleep was meant to be."""

    def __init__(self) -> None:
        self.now_us = START_US
        self._sleepers: list[asyncio.Future[None]] = []
        self._slept = asyncio.Condition()

    def wall_us(self) -> int:
        return self.now_us

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append(future)
        async with self._slept:
            self._slept.notify_all()
        await future

    async def tick(self) -> None:
        """Wake everybody who sleeps; returns once somebody sleeps again (so the woken one has done its round)."""
        async with self._slept:
            await self._slept.wait_for(lambda: any(not each.done() for each in self._sleepers))
            self.now_us += 1_000_000
            for future in self._sleepers:
                if not future.done():
                    future.set_result(None)
            self._sleepers.clear()
            await self._slept.wait_for(lambda: bool(self._sleepers))
