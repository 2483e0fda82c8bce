"""What a projector may tell gateways after it was silent: nothing before it has what the log had when it came back.

Gateways tell their clients that they are live when they hear a batch. A projector whose store or log was away, or whose process
was stopped, comes back to a log that has gone on: the first batch would be heard seconds before all that was missed is shown.
"""

from __future__ import annotations

import asyncio
from typing import Final

from write_side.contract.log.log import LogFailed
from write_side.contract.log.log_end import LogEnd, TooFarBehind

SILENT_S: Final = 3.0
"""After this long without a word: less than gateways wait before they say that a feed is silent (`feed_silence_ms`)."""


class Silence:
    """One partition. `may_tell` before a batch, `told` after each that went out; times: the projector's clock, in µs."""

    def __init__(self, end: LogEnd) -> None:
        self._end = end
        self._told_us = 0
        self._log_end: int | None = None
        self._looking: asyncio.Task[int] | None = None
        self.withheld = False
        """Whether the last batch was not told, as not all is shown that was in the log."""

    def told(self, now_us: int) -> None:
        self._told_us = now_us

    def may_tell(self, now_us: int, shown: int) -> bool:
        """shown: the offset. What is not told is a gap, and gateways read again."""
        self.withheld = not self._may_tell(now_us, shown)
        return not self.withheld

    def _may_tell(self, now_us: int, shown: int) -> bool:
        if self._log_end is None and self._looking is None:
            if now_us - self._told_us <= SILENT_S * 1e6:
                return True
            self._looking = asyncio.create_task(self._end.offset(shown))
        if self._looking is not None and self._looking.done():
            looked, self._looking = self._looking, None
            try:
                self._log_end = looked.result()
            except (LogFailed, TooFarBehind):
                return False  # asked again before the next batch
        if self._log_end is None or shown < self._log_end:
            return False
        self._log_end = None
        self._told_us = now_us
        return True

    def stop(self) -> None:
        """Ask no more."""
        if self._looking is not None:
            self._looking.cancel()
            self._looking.add_done_callback(lambda looked: looked.cancelled() or looked.exception())
        self._looking = None
