"""Where a partition's log ends now: asked before anything is called unknown, so that what was acknowledged never is."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Final

from write_side.contract.log.log import Log

LOOK_RUNS_MAX: Final = 16
"""Runs (some MB each) between what is folded and the end. Further behind than that nobody catches up in half a second."""


class TooFarBehind(Exception):
    """The end is so far ahead that it was not looked for."""


class LogEnd:
    """The end of one partition. Questions that arrive while one look is under way share the next one."""

    def __init__(self, log: Log, partition: int) -> None:
        self._log = log
        self._partition = partition
        self._looking: asyncio.Task[int] | None = None
        self._next: asyncio.Task[int] | None = None

    async def offset(self, seen: int) -> int:
        """The offset of the last record that was in the log when this was called, or a later one.

        seen: an offset known to be in the log, where looking starts. Raises LogFailed, TooFarBehind.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look(seen))
            return await asyncio.shield(self._looking)
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(self._look_after(self._looking, seen))
        return await asyncio.shield(self._next)

    async def _look_after(self, before: asyncio.Task[int], seen: int) -> int:
        await asyncio.wait((before,))
        # From here on it may miss what is appended, so whoever asks now waits for a later look.
        self._looking, self._next = asyncio.current_task(), None
        return await self._look(seen)

    async def _look(self, seen: int) -> int:
        end, runs_read = seen, 0
        async with aclosing(self._log.read(self._partition, seen)) as runs:
            async for records in runs:
                end = records[-1].offset
                runs_read += 1
                if runs_read > LOOK_RUNS_MAX:
                    raise TooFarBehind
        return end
