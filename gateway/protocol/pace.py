"""How often a client wants to be told of some of its accounts: what comes meanwhile waits, the newest of each. No clock.

The accounts of one subscribe have one pace, so what leaves at that pace is a cut among them, as a frame without one is.
"""

from __future__ import annotations

from typing import Protocol


class Unsent(Protocol):
    """One account of the client, of which something waits. What it is then is asked when it leaves.

    pace: how often it may be told; None: whenever there is something.
    """

    pace: Pace | None

    def encode_unsent(self) -> bytes:
        """The newest balance."""
        ...

    def encode_alone(self) -> bytes:
        """The WebSocket frame with nothing but that."""
        ...

    def encode_phases(self) -> list[bytes]:
        """The newest phase of each transfer that waits."""
        ...


class Pace:
    """rest_ms: from one frame to the next. resting: something left, and less time has passed; whoever has a clock ends that.
    balances, phases: of what something waits until then."""

    __slots__ = ("balances", "phases", "rest_ms", "resting")

    def __init__(self, max_rate_hz: int) -> None:
        self.rest_ms = -(-1_000 // max_rate_hz)
        self.resting = False
        self.balances: dict[Unsent, None] = {}
        self.phases: dict[Unsent, None] = {}
