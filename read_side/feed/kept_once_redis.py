"""What is kept for a moment and given out once, by every process that has this Redis: SET with an end, and GETDEL (Redis 6.2)."""

from __future__ import annotations

import asyncio
from typing import Final

from read_side.contract.kept_once import NotKept
from read_side.views.redis_client import FAILURES, LaterClient

ANSWER_S: Final = 2.0
"""A client waits for this with its stream: longer, and asking again is better."""
CONNECTIONS_MAX: Final = 16


class RedisKeptOnce:
    """`KeptOnce` (read_side/contract/kept_once.py). Connects on first use. A replica that takes over may not know yet that
    something was taken in the moment before: once is once for each server that was told of it."""

    def __init__(self, url: str, prefix: str = "fanfold") -> None:
        self._prefix = prefix
        self._client = LaterClient(
            url, connections_max=CONNECTIONS_MAX, connect_s=ANSWER_S, answer_s=ANSWER_S, retries=1
        )

    async def keep(self, name: str, data: bytes, for_ms: int) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):  # those who wait for one connection to be made, too
                await (await self._client.get()).set(self._key(name), data, px=for_ms)
        except FAILURES as failure:
            raise NotKept(type(failure).__name__) from failure

    async def take(self, name: str) -> bytes | None:
        try:
            async with asyncio.timeout(ANSWER_S):
                found = await (await self._client.get()).getdel(self._key(name))
        except FAILURES as failure:
            raise NotKept(type(failure).__name__) from failure
        return found if isinstance(found, bytes) else None

    async def close(self) -> None:
        await self._client.close()

    def _key(self, name: str) -> str:
        return f"{self._prefix}:once:{name}"
