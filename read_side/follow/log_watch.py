"""Whether a quiet log is still there. A broker that is away looks like one that has no news, so once in a while it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from write_side.contract.log.log import LogFailed

QUIET_BEATS: Final = 10
"""After so many heartbeats without news the log is asked; with Kafka that is a connection of its own, so not at each."""
SILENT_BEATS: Final = 5
"""A log that was asked and has not answered after as many more is away. Some seconds each, and no exception ever."""
ABANDONED_BEATS: Final = 30
"""A look that has not answered by then never will, though the log may be back: the client that it waits for hangs. It is asked
anew."""
SILENT: Final = "the log does not answer"


class LogWatch:
    """One partition. `look` asks the log once, and raises LogFailed."""

    def __init__(self, look: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._look = look
        self._looking: asyncio.Task[None] | None = None
        self._folded = -1
        self._beats = 0

    def beat(self, folded: int, away: str | None) -> str | None:
        """At a heartbeat: why the log is away, None while it is there. folded: the offset; away: what was said last."""
        if folded != self._folded:
            self.stop()
            self._folded = folded
            return None
        self._beats += 1
        if self._looking is None:
            if self._beats >= QUIET_BEATS:
                self._looking, self._beats = asyncio.create_task(self._look()), 0
            return away
        if not self._looking.done():
            if self._beats >= ABANDONED_BEATS:
                self.stop()
                self._beats = QUIET_BEATS
            return away or (SILENT if self._beats >= SILENT_BEATS else None)
        looked, self._looking, self._beats = self._looking, None, 0
        try:
            looked.result()
        except LogFailed as failure:
            return str(failure)
        return None

    def stop(self) -> None:
        """Ask no more until the next quiet time."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking.add_done_callback(lambda looked: looked.cancelled() or looked.exception())
        self._looking, self._beats = None, 0
