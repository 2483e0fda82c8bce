"""Access lines are gathered and written together: a call of the system for each request would cost more than the line.

They go to standard output, which waits for nobody (`deploy/unread_output.py`). What a killed process had gathered, a second at
most, is lost: it is no record of money, the log is.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from fanfold.api.route_names import RouteNames
from gateway.arrivals.access_line import access_line
from gateway.arrivals.arrival import Arrival

FLUSH_S: Final = 1.0
"""So long a line waits at most for others."""
GATHERED_CHARS_MAX: Final = 64 * 1024
"""Some 200 lines; with more they are written at once."""


def to_standard_output(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


class AccessLog:
    """write: takes whole lines, and never waits. now_us: Unix time. Inside the event loop."""

    def __init__(
        self,
        own: RouteNames,
        write: Callable[[str], None] = to_standard_output,
        now_us: Callable[[], int] = lambda: time.time_ns() // 1_000,
    ) -> None:
        self._routes = own
        self._write = write
        self._now_us = now_us
        self._lines: list[str] = []
        self._chars = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, arrival: Arrival, event: str, method: str, path: str, **measured: Any) -> None:
        """measured: as of `access_line`."""
        line = access_line(arrival, event, method, self._routes.of(path), now_us=self._now_us(), **measured)
        self._lines.append(line)
        self._chars += len(line)
        if self._chars >= GATHERED_CHARS_MAX:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_S, self.flush)

    def flush(self) -> None:
        """Write what was gathered. Safe to call at any time, also after the loop has ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines, self._chars = self._lines, [], 0
        if lines:
            try:
                self._write("".join(lines))
            except (OSError, ValueError):  # nobody will ever read it: a service goes on
                return
