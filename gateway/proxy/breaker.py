"""A circuit breaker (M. Nygard, Release It!): a side that does not answer is not asked for a moment, and then asked once whether
it is there. Pure: time is an argument, seconds of any clock that does not go back.

    closed ---- so many failures in a row, no answer between ----> open
    open ------ its time is over, somebody asks ----------------> half-open: one probe is under way
    half-open - the probe is answered --------------------------> closed
    half-open - the probe fails --------------------------------> open
    half-open - nobody hears of the probe in its time ----------> half-open, with another probe
    any ------- something that was asked is answered -----------> closed

It only ever says that a request is not sent. What becomes of one that was sent is no concern of it.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

State = Literal["closed", "open", "half-open"]

PASS: Final = "pass"
"""Ask."""


class Probe(NamedTuple):
    """Whoever is told this finds out whether the side is there, and tells `probed`."""

    number: int


class Refused(NamedTuple):
    """The side is not asked; it may be in so many seconds."""

    retry_after_s: float


class Breaker:
    """failures_max: in a row, 1 at least; open_s: so long nobody asks; probe_s: so long a probe is waited for."""

    def __init__(self, failures_max: int, open_s: float, probe_s: float) -> None:
        self._failures_max = failures_max
        self.open_s = open_s
        self._probe_s = probe_s
        self.state: State = "closed"
        self._failures = 0
        self._until_s = 0.0
        self._probe = 0

    def admit(self, now_s: float) -> Probe | Refused | Literal["pass"]:
        """Whether a request may be sent now."""
        if self.state == "closed":
            return PASS
        if now_s < self._until_s:
            return Refused(self._until_s - now_s)
        self.state = "half-open"
        self._until_s = now_s + self._probe_s
        self._probe += 1
        return Probe(self._probe)

    def answered(self) -> None:
        """Something that was asked, now or before, has an answer, whatever it says."""
        self.state, self._failures = "closed", 0

    def failed(self, now_s: float) -> None:
        """Something that was asked has none. What was under way when it opened tells nothing new."""
        if self.state != "closed":
            return
        self._failures += 1
        if self._failures >= self._failures_max:
            self._open(now_s)

    def probed(self, probe: Probe, *, answered: bool, now_s: float) -> None:
        """What came of a probe. One that was given up tells only that the side is there."""
        if answered:
            self.answered()
        elif self.state == "half-open" and probe.number == self._probe:
            self._open(now_s)

    def _open(self, now_s: float) -> None:
        self.state, self._failures, self._until_s = "open", 0, now_s + self.open_s
