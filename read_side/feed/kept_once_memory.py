"""What is kept for a moment and given out once, in one process."""

from __future__ import annotations

import time
from collections.abc import Callable


class MemoryKeptOnce:
    """`KeptOnce` (read_side/contract/kept_once.py). clock: seconds that only rise."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[str, tuple[float, bytes]] = {}

    async def keep(self, name: str, data: bytes, for_ms: int) -> None:
        now_s = self._clock()
        while self._kept and next(iter(self._kept.values()))[0] <= now_s:  # the oldest first
            del self._kept[next(iter(self._kept))]
        self._kept[name] = (now_s + for_ms / 1000, data)

    async def take(self, name: str) -> bytes | None:
        ends_s, data = self._kept.pop(name, (0.0, b""))
        return data if self._clock() < ends_s else None

    async def close(self) -> None:
        self._kept.clear()
