"""What becomes of a delivery, as a table. A lane is a webhook in one partition: one delivery is under way in it at most, and the
next one is behind it, so that the changes of an account come in the order of their versions.

| answered | last try? | the webhook | the place | then |
|---|---|---|---|---|
| 2xx | | goes on | behind the delivery | the next one |
| 410 Gone | | is paused | stays | a person resumes it |
| anything else, or nothing | no | goes on | stays | the same delivery again, after `WAITS` or what `Retry-After` says |
| | yes, `go-on` | goes on | behind the delivery | it is a dead letter; the next one |
| | yes, `go-on`, and the list is full | is paused | stays | a person empties the list and resumes it |
| | yes, `pause` | is paused | stays | a person resumes it |
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NamedTuple

from fanfold.api.retry import Waits
from read_side.webhooks.hooks import Hook
from read_side.whole_log.event_place import NOWHERE, Place

WAITS: Final = Waits(1.0, 3_600.0)
"""After a failure: up to an hour, each spread over half of itself, so that what comes back is not met by all at once."""
RETRY_AFTER_MAX_S: Final = 3_600.0
WAIT_MOST_S: Final = 3_700.0
"""A next try that is further away was set by a clock that was wrong."""
LATE_US: Final = 600_000_000
"""A try that comes so much later than it was due: the process was away, or a clock was put forward."""
DEAD_MAX: Final = 500
"""Letters of one webhook, of at most `BODY_BYTES_MAX` each. With more it pauses: what is lost must be seen."""
GONE: Final = 410
ERROR_CHARACTERS_MAX: Final = 600

_HOUR_US: Final = 3_600_000_000


class Answer(NamedTuple):
    """What a receiver said. status: None where it said nothing (`error` says why); retry_after_s: when it may be asked again."""

    status: int | None
    error: str = ""
    retry_after_s: float | None = None

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    def __str__(self) -> str:
        return (self.error or f"answered {self.status}")[:ERROR_CHARACTERS_MAX]


@dataclass(frozen=True)
class Lane:
    """place: what is up to it was taken, is a dead letter, or is wanted by nobody. block_hash: of its block, b"" where not known.

    until: the last change of the delivery that failed, which is tried again as it was. failing_since_us, next_at_us, error: 0, 0,
    "" while none fails. begun: False where only the error means something.
    """

    place: Place = NOWHERE
    block_hash: bytes = b""
    until: Place | None = None
    failures: int = 0
    failing_since_us: int = 0
    next_at_us: int = 0
    error: str = ""
    begun: bool = True


class Then(Enum):
    """What is done besides storing the lane."""

    GO_ON = "go on"
    DEAD_LETTER = "dead letter"
    PAUSE = "pause"


class Verdict(NamedTuple):
    """lane: as it is from now on; reason: of a pause."""

    lane: Lane
    then: Then
    reason: str = ""


def judge(
    hook: Hook, lane: Lane, ends: Place, block_hash: bytes, answer: Answer, now_us: int, chance: float, dead: int
) -> Verdict:
    """After an answer to the delivery that ends there. chance: 0 to 1; dead: letters that are on the webhook's list."""
    if answer.is_taken:
        return Verdict(Lane(ends, block_hash), Then.GO_ON)
    failures = lane.failures + 1
    since_us = lane.failing_since_us or now_us
    if lane.failures and now_us - lane.next_at_us > LATE_US:
        # Nobody tried meanwhile: that is no time in which it failed.
        since_us = min(now_us, since_us + now_us - lane.next_at_us)
    wait_s = WAITS.before(failures, chance)
    if answer.retry_after_s is not None:
        wait_s = max(wait_s, min(answer.retry_after_s, RETRY_AFTER_MAX_S))
    failed = replace(
        lane,
        until=ends,
        failures=failures,
        failing_since_us=since_us,
        next_at_us=now_us + int(wait_s * 1e6),
        error=str(answer),
    )
    if answer.status == GONE:
        return Verdict(failed, Then.PAUSE, "the receiver answered 410: it wants no more")
    if failures < hook.attempts and failed.next_at_us - since_us < hook.hours * _HOUR_US:
        return Verdict(failed, Then.GO_ON)
    tried = f"it was tried {failures} times in {(now_us - since_us) / _HOUR_US:.1f} hours ({answer})"
    if hook.exhausted == "pause":
        return Verdict(failed, Then.PAUSE, tried)
    if dead >= DEAD_MAX:
        return Verdict(failed, Then.PAUSE, f"{tried}, and {dead:,} dead letters are as many as are kept")
    return Verdict(Lane(ends, block_hash), Then.DEAD_LETTER)


def resumed(lane: Lane) -> Lane:
    """A person resumed the webhook: what failed is tried at once, and has all its tries before it."""
    return replace(lane, failures=0, failing_since_us=0, next_at_us=0, error="")
