"""Who waits for a partition that does not move: a few, so that a gateway's places are not all taken by reads of that one.

A gateway has some hundred requests under way to a side at once (`gateway/proxy/over_http.py`), and every read of an account waits
for what was written. While a partition is brought on, its readers wait for milliseconds, however many they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

WAITING_MAX: Final = 32
"""Of one partition that stands still: an eighth of a gateway's places."""
STANDS_STILL_S: Final = 0.25
"""Without news for so long, though somebody waits for some: a projector brings a block on within milliseconds."""


class Crowd:
    """Those that wait for one partition. now_s: any clock that only rises."""

    def __init__(self) -> None:
        self._waiting = 0
        self._news_s = 0.0

    def is_full(self, now_s: float) -> bool:
        """Whether one more must not wait."""
        return self._waiting >= WAITING_MAX and now_s - self._news_s > STANDS_STILL_S

    @contextmanager
    def waiting(self, now_s: float) -> Iterator[None]:
        """While one waits; `news` tells of its end."""
        if not self._waiting:
            self._news_s = now_s
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    def news(self, now_s: float) -> None:
        """The partition has moved on."""
        self._news_s = now_s
