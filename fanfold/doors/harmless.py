"""What only observes may fail, and costs nobody anything: not the request that it is about, not the service."""

from __future__ import annotations

from types import TracebackType

import structlog

_log = structlog.get_logger(__name__)


class Harmless:
    """`with`, as often as wanted: an exception ends what is within, and goes no further. The first one is said in the log, for
    what an SDK's plugin raises it raises for every request. A cancellation, and what ends the process, passes."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._is_said = False

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, failed: BaseException | None, _: TracebackType | None) -> bool:
        if not isinstance(failed, Exception):
            return False
        if not self._is_said:
            self._is_said = True
            _log.error("observing_failed", what=self._what, exc_info=failed)
        return True
