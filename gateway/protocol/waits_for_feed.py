"""Accounts of one partition that are read and wait for the feed to reach the position of that read, so that it is a cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.protocol.subscription import Subscription


@dataclass(slots=True)
class _Held:
    """Subscriptions that are read and wait for the feed, all due at one position."""

    finished_at_ms: int
    subscriptions: list[Subscription]
    let_go: bool = False


class WaitsForFeed:
    """By the position that they wait for, and by their age."""

    def __init__(self) -> None:
        self.held: list[tuple[int, int, _Held]] = []
        """A heap: 20,000 may subscribe at once."""
        self._by_age: deque[_Held] = deque()
        self._added = 0

    def add(self, subscriptions: Iterable[Subscription], now_ms: int) -> None:
        """Each at its own position: another read of the same subscription may be due later, and may be let go before."""
        by_due: dict[int, list[Subscription]] = {}
        for subscription in subscriptions:
            by_due.setdefault(subscription.due, []).append(subscription)
        for due, share in by_due.items():
            held = _Held(now_ms, share)
            self._added += 1
            heappush(self.held, (due, self._added, held))
            self._by_age.append(held)

    def reached(self, position: int) -> Iterator[Subscription]:
        """Those whose position this is, or an earlier one: they wait no more."""
        while self.held and (self.held[0][0] <= position or self.held[0][2].let_go):
            _, _, held = heappop(self.held)
            if not held.let_go:
                held.let_go = True
                # A later read of the same subscription may be due later: that one releases it then.
                yield from (subscription for subscription in held.subscriptions if subscription.due <= position)
        while self._by_age and self._by_age[0].let_go:
            self._by_age.popleft()

    def overdue(self, since_ms: int) -> Iterator[Subscription]:
        """Those that have waited since then, or longer: they wait no more."""
        while self._by_age and (self._by_age[0].let_go or self._by_age[0].finished_at_ms <= since_ms):
            held = self._by_age.popleft()
            if not held.let_go:
                held.let_go = True
                yield from held.subscriptions
        if not self._by_age:
            self.held.clear()
