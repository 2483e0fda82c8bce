"""Whether somebody still brings the view of a partition on that another process projects.

A view that nobody writes looks like one of a partition where nothing happens. So what is shared is answered from only while it
was found to reflect the whole log, or to move, within `FOLLOWED_FOR_S`; afterwards the next reader's question looks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from math import inf
from typing import Final

from read_side.contract.no_answer import Elsewhere, Rebuilding, Unanswerable
from read_side.contract.view import ViewStore, ViewUnavailable

FOLLOWED_FOR_S: Final = 5.0
"""How old an answer from another process's view may be, beyond that process's own lag, when it has ended. A look at the log is a
connection of its own with Kafka, so it is not made for each question."""


class Followed:
    """All partitions. caught_up: waits a moment until the view of a partition reflects the log from an offset to its end as it
    is now, or raises Unanswerable (`balances.BalanceReader`)."""

    def __init__(self, view: ViewStore, caught_up: Callable[[int, int], Awaitable[None]]) -> None:
        self._view = view
        self._caught_up = caught_up
        self._found_at_s: dict[int, float] = {}
        self._looks: dict[int, asyncio.Task[Unanswerable | None]] = {}

    async def check(self, partition: int) -> None:
        """Raises Unanswerable unless somebody was seen to bring this view on lately. Questions at once share a look."""
        age_s = asyncio.get_running_loop().time() - self._found_at_s.get(partition, -inf)
        if age_s <= FOLLOWED_FOR_S / 2:
            return
        look = self._looks.get(partition)
        if look is None or look.done():
            look = self._looks[partition] = asyncio.create_task(self._look(partition))
        if age_s <= FOLLOWED_FOR_S:
            return  # who asks all the time waits for no look
        if (failure := await asyncio.shield(look)) is not None:
            raise failure

    async def _look(self, partition: int) -> Unanswerable | None:
        began_s = asyncio.get_running_loop().time()
        try:
            before = await self._view.checkpoint(partition)
            if before is None:
                return None  # nothing old can be read there
            try:
                await self._caught_up(partition, before.log_offset)
            except Rebuilding:
                if await self._view.checkpoint(partition) == before:
                    return Elsewhere(partition, reason="the log goes on, and no process brings its view on")
        except Unanswerable as failure:
            return failure
        except ViewUnavailable as failure:
            return Rebuilding(partition, reason=str(failure))
        self._found_at_s[partition] = began_s
        return None
