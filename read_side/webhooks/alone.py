"""One process delivers over a file: who comes second waits for the first to end."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Final

from read_side.webhooks.apart import apart
from read_side.webhooks.database import HooksUnavailable
from read_side.webhooks.file_calls import LAST_CALL_S, THREAD

LOOK_S: Final = 2.0


def lock_of(path: Path) -> Path:
    """Held by the process that delivers."""
    return path.with_name(f"{path.name}.lock")


@asynccontextmanager
async def alone(
    path: Path,
    sleep: Callable[[float], Awaitable[None]],
    on_wait: Callable[[], None],
    waited_for: Callable[[], AbstractContextManager[None]],
) -> AsyncIterator[None]:
    """The kernel drops the lock with the process, however it ends. on_wait: called once when another one has it; waited_for:
    around what asks the disk. Raises HooksUnavailable."""
    try:
        with waited_for():
            descriptor = await apart(THREAD, os.open, lock_of(path), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as failed:
        raise HooksUnavailable(f"{lock_of(path)} cannot be made ({failed.strerror}): see its folder") from failed
    is_told = False
    try:
        while not await apart(THREAD, _locked, descriptor):
            if not is_told:
                is_told = True
                on_wait()
            await sleep(LOOK_S)
        yield
    finally:
        await asyncio.wait((apart(THREAD, os.close, descriptor),), timeout=LAST_CALL_S)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
