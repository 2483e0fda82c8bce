"""The port of what is kept for a moment and given out once: between the processes of a deployment, in one where there is one.

Adapters: `read_side/feed/kept_once_memory.py`, `kept_once_redis.py`. Nothing is durable: what a server loses was never kept.
"""

from __future__ import annotations

from typing import Protocol


class NotKept(Exception):
    """What keeps it does not answer. Whether it was kept, or taken, is not known; nothing is given out twice for it."""


class KeptOnce(Protocol):
    """How much is kept at once its users bound: each says for how long, and that is short."""

    async def keep(self, name: str, data: bytes, for_ms: int) -> None:
        """Keep it under a name that was never used, for so long. Raises NotKept."""
        ...

    async def take(self, name: str) -> bytes | None:
        """What is kept under the name, which nobody gets again: of those who ask at once one. None: nothing is, or not any more.

        Raises NotKept."""
        ...

    async def close(self) -> None:
        """Safe to call twice."""
        ...
