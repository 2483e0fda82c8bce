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
LOADED_WITHIN_S: Final = 120.0
"""So long rows without a checkpoint are taken for a view that is being loaded: 30 million of them. Then it was given up."""
LOOKS_AT_ONCE: Final = 16
"""When all partitions are asked about."""


class Followed:
    """All partitions. caught_up: waits a moment until the view of a partition reflects the log from an offset to its end as it
    is now, or raises Unanswerable (`balances.BalanceReader`)."""

    def __init__(self, view: ViewStore, caught_up: Callable[[int, int], Awaitable[None]]) -> None:
        self._view = view
        self._caught_up = caught_up
        self._found_at_s: dict[int, float] = {}
        self._failed_at_s: dict[int, tuple[float, Unanswerable]] = {}
        self._loading_since_s: dict[int, float] = {}
        self._places = asyncio.Semaphore(LOOKS_AT_ONCE)
        self._looks: dict[int, asyncio.Task[Unanswerable | None]] = {}

    async def check(self, partition: int) -> None:
        """Raises Unanswerable unless somebody was seen to bring this view on lately. Questions at once share a look."""
        age_s = asyncio.get_running_loop().time() - self._found_at_s.get(partition, -inf)
        if age_s <= FOLLOWED_FOR_S / 2:
            return
        look = self._look_of(partition)
        if age_s <= FOLLOWED_FOR_S:
            return  # who asks all the time waits for no look
        if (failure := await asyncio.shield(look)) is not None:
            raise failure

    async def newest(self, partition: int) -> Unanswerable | None:
        """Why this view is not answered from, as of `FOLLOWED_FOR_S` ago at most; None when it is. For who asks about all of them
        again and again: a failure is kept as long as a success."""
        now_s = asyncio.get_running_loop().time()
        failed_at_s, failure = self._failed_at_s.get(partition, (-inf, None))
        if now_s - self._found_at_s.get(partition, -inf) <= FOLLOWED_FOR_S:
            return None
        if failure is not None and now_s - failed_at_s <= FOLLOWED_FOR_S:
            return failure
        async with self._places:
            return await asyncio.shield(self._look_of(partition))

    def _look_of(self, partition: int) -> asyncio.Task[Unanswerable | None]:
        look = self._looks.get(partition)
        if look is None or look.done():
            look = self._looks[partition] = asyncio.create_task(self._look(partition))
        return look

    async def _look(self, partition: int) -> Unanswerable | None:
        began_s = asyncio.get_running_loop().time()
        failure = await self._failure(partition, began_s)
        if failure is None:
            self._found_at_s[partition] = began_s
            self._failed_at_s.pop(partition, None)
        else:
            self._failed_at_s[partition] = began_s, failure
        return failure

    async def _failure(self, partition: int, now_s: float) -> Unanswerable | None:
        try:
            before = await self._view.checkpoint(partition)
            if before is None:
                return await self._not_there(partition, now_s)
            self._loading_since_s.pop(partition, None)
            try:
                await self._caught_up(partition, before.log_offset)
            except Rebuilding:
                if await self._view.checkpoint(partition) == before:
                    return Elsewhere(partition, reason="the log goes on, and no process brings its view on")
        except Unanswerable as failure:
            return failure
        except ViewUnavailable as failure:
            return Rebuilding(partition, reason=str(failure))
        return None

    async def _not_there(self, partition: int, now_s: float) -> Unanswerable:
        """There is no view. Only rows say that somebody makes one: `view_rebuilding` promises that there will be one soon."""
        if await self._view.generations(partition):
            since_s = self._loading_since_s.setdefault(partition, now_s)
            if now_s - since_s <= LOADED_WITHIN_S:
                return Rebuilding(partition)
        else:
            self._loading_since_s.pop(partition, None)
        return Elsewhere(
            partition, reason="there is no view of it: no process projects it, or one that does is still folding"
        )
