"""Time as an argument of the shell: what a projector asks of the clock."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Timer(Protocol):
    """wall_us: UTC microseconds. sleep: at least that many seconds."""

    def wall_us(self) -> int: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemTimer:
    """The machine's clock."""

    def wall_us(self) -> int:
        return time.time_ns() // 1000

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
