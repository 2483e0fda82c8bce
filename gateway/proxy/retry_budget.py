"""How many requests may be sent a second time: a share of all, so that a side in trouble is not asked twice for everything (as
Finagle's RetryBudget). Pure."""

from __future__ import annotations

from typing import Final

SHARE: Final = 0.1
"""Of the requests; gRPC's throttle has the same."""
SAVED_MAX: Final = 10.0
"""So many at once after a time without any: a restart ends some connections together."""


class RetryBudget:
    def __init__(self) -> None:
        self._saved = SAVED_MAX

    def asked(self) -> None:
        """A request is sent for the first time."""
        self._saved = min(SAVED_MAX, self._saved + SHARE)

    def take(self) -> bool:
        """Whether one may be sent again; it is counted."""
        if self._saved < 1.0:
            return False
        self._saved -= 1.0
        return True
