"""Where a partition's log ends now: asked before anything is called unknown, so that what was acknowledged never is."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Final

from write_side.contract.log.log import Log, LogFailed

LOOK_RUNS_MAX: Final = 16
"""Runs (some MB each) between what is folded and the end. Further behind than that nobody catches up in half a second."""

LOOK_S_MAX: Final = 30.0
"""A look that has not ended by then never will: a client of brokers that hung may wait for ever, also when they are back (two of
three paused for 300 s: the feed of a partition was silent 180 s later). Longer than any answer that is on its way."""


class TooFarBehind(Exception):
    """The end is so far ahead that it was not looked for."""


class LogEnd:
    """The end of one partition. Questions that arrive while one look is under way share the next one."""

    def __init__(self, log: Log, partition: int) -> None:
        self._log = log
        self._partition = partition
        self._looking: asyncio.Task[int] | None = None
        self._next: asyncio.Task[int] | None = None
        self._began_s = 0.0

    async def offset(self, seen: int) -> int:
        """The offset of the last record that was in the log when this was called, or a later one.

        seen: an offset known to be in the log, where looking starts. Raises LogFailed, TooFarBehind.
        """
        now_s = asyncio.get_running_loop().time()
        if self._looking is not None and now_s - self._began_s > LOOK_S_MAX:
            self._abandon()
        if self._looking is None or self._looking.done():
            self._looking, self._began_s = asyncio.create_task(self._look(seen)), now_s
            return await self._told(self._looking)
        if self._next is None or self._next.done():
            self._next = asyncio.create_task(self._look_after(self._looking, seen))
        return await self._told(self._next)

    async def _told(self, look: asyncio.Task[int]) -> int:
        """Raises LogFailed when it takes too long: the one before it, and its own."""
        await asyncio.wait((look,), timeout=2 * LOOK_S_MAX)
        if look.done() and not look.cancelled():
            return look.result()
        raise LogFailed(f"partition {self._partition}: the log did not say where it ends. Nothing is lost.")

    def _abandon(self) -> None:
        for look in (self._looking, self._next):
            if look is not None:
                look.cancel()
                look.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        self._looking = self._next = None

    async def _look_after(self, before: asyncio.Task[int], seen: int) -> int:
        await asyncio.wait((before,))
        # From here on it may miss what is appended, so whoever asks now waits for a later look.
        self._looking, self._next, self._began_s = asyncio.current_task(), None, asyncio.get_running_loop().time()
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
