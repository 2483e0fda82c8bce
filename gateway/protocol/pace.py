"""How often a client wants to be told of some of its accounts: what comes meanwhile waits, the newest of each. No clock.

The accounts of one subscribe have one pace, so what leaves at that pace is a cut among them, as a frame without one is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.protocol.outbox import Unsent


class Pace:
    """rest_ms: from one frame to the next. resting: something left, and less time has passed; whoever has a clock ends that.
    balances, phases: of what something waits until then."""

    __slots__ = ("balances", "phases", "rest_ms", "resting")

    def __init__(self, max_rate_hz: int) -> None:
        self.rest_ms = -(-1_000 // max_rate_hz)
        self.resting = False
        self.balances: dict[Unsent, None] = {}
        self.phases: dict[Unsent, None] = {}
