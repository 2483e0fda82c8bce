"""Ids for transfers that carry their time, so that the service can tell for ever which are too old to run."""

from __future__ import annotations

import secrets
import time
import uuid


def uuid7(at_ms: int | None = None) -> uuid.UUID:
    """A UUID of version 7 (RFC 9562, 5.7): 48 bits of Unix time in ms, then 74 bits of chance."""
    time_ms = time.time_ns() // 1_000_000 if at_ms is None else at_ms
    chance = secrets.randbits(74)
    high, low = chance >> 62, chance & ((1 << 62) - 1)
    return uuid.UUID(int=(time_ms & ((1 << 48) - 1)) << 80 | 7 << 76 | high << 64 | 0b10 << 62 | low)


def new_id() -> str:
    """An id for a command that is made now."""
    return str(uuid7())
