"""One rebuild or rollback of a view at a time, wherever it runs; and what one that was killed has left to be ended.

Who is at it says so every second. A second one looks for as long as a first one that was killed would keep it waiting, and is
refused as soon as it sees that the first one lives.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from read_side.contract.view import Reserved, ViewStore, ViewUnavailable
from read_side.whole_log.switching import NotSwitched

RESERVED_S: Final = 5.0
"""After a kill the next one waits for as long."""
PROLONGED_S: Final = 1.0
LOOKED_S: Final = 0.25


class AtWork(NotSwitched):
    """Another rebuild or rollback of this view is running."""


class Alone:
    """The right to make generations of a view. unfinished: what the one before has left to be ended; "" for nothing."""

    def __init__(self, view: ViewStore) -> None:
        self.unfinished = ""
        self._view = view
        self._token = secrets.token_hex(8)

    async def note(self, unfinished: str) -> None:
        """What is to be ended if we do not, from now on. Before every step that others must not take meanwhile. Raises AtWork."""
        if not (await self._view.reserve(self._token, RESERVED_S, unfinished)).is_ours:
            raise _at_work()
        self.unfinished = unfinished

    async def begin(self) -> None:
        """Raises AtWork, ViewUnavailable."""
        seen: Reserved | None = None
        while not (found := await self._view.reserve(self._token, RESERVED_S)).is_ours:
            if seen is not None and found.until_us > seen.until_us:
                raise _at_work()
            seen = found
            await asyncio.sleep(LOOKED_S)
        self.unfinished = found.unfinished

    async def go_on(self) -> None:
        """Prolong it for ever. While the store is away nobody else can begin."""
        while True:
            await asyncio.sleep(PROLONGED_S)
            with suppress(ViewUnavailable):
                await self._view.reserve(self._token, RESERVED_S)

    async def end(self) -> None:
        with suppress(ViewUnavailable):  # then it ends by itself
            await self._view.reserve(self._token, 0.0)


@asynccontextmanager
async def alone(view: ViewStore) -> AsyncIterator[Alone]:
    """Nobody else makes generations of this view meanwhile. Raises AtWork, ViewUnavailable."""
    reserved = Alone(view)
    await reserved.begin()
    going_on = asyncio.create_task(reserved.go_on())
    try:
        yield reserved
    finally:
        going_on.cancel()
        await asyncio.gather(going_on, return_exceptions=True)
        await reserved.end()


def _at_work() -> AtWork:
    return AtWork(
        "another rebuild or rollback of this view is running. Nothing was changed here; see what that one says, then try again."
    )
