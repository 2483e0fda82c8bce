"""What waits to be sent to one client. Its size is bounded by the client's subscriptions, however slow the client is.

Answers (ack, pong, error, status) go out in order and first; of each subscription only the newest balance waits, of its transfers
a few, each with its newest phase, and of a topic only that there is a newer answer. Answers are bounded by what the client may
still ask: the shell stops reading from a client that does not read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from gateway.protocol.messages import balances_frame
from gateway.protocol.pace import Pace, Unsent


class UnsentTopic(Protocol):
    """One topic of the client, of which something waits."""

    def encode_newest(self) -> bytes:
        """The frame of its newest answer."""
        ...


class Names(Protocol):
    """What names accounts outside an answer: a prefix with which some were found, an account that is there no more."""

    def encode_acks(self) -> list[bytes]:
        """The frames that do."""
        ...


class Outbox:
    """Everything that waits leaves in one `take`: one write per client per flush."""

    __slots__ = ("_answers", "_begun", "_names", "_phases", "_resting", "_topics", "_waiting", "held", "paced", "told")

    def __init__(self) -> None:
        self._answers: list[bytes] = []
        self._begun: list[Pace] | None = None
        self._resting: dict[Pace, None] | None = None
        """None until something with a pace leaves: most clients never ask for one."""
        self._waiting: dict[Unsent, None] = {}
        self._phases: dict[Unsent, None] | None = None
        """None until the client's first: most clients never ask for phases."""
        self._topics: dict[UnsentTopic, None] | None = None
        """Likewise."""
        self._names: dict[Names, None] | None = None
        """Likewise."""
        self.held = False
        """Whether all but answers waits: what commands under way cause must not come before their answers."""
        self.paced = False
        """Whether anything in here may have a pace."""
        self.told = False
        """Whether anything has left since this was set to False."""

    def __bool__(self) -> bool:
        return bool(self._answers) or (
            not self.held and bool(self._waiting or self._phases or self._topics or self._names)
        )

    @property
    def empty(self) -> bool:
        """Whether nothing waits at all, held or not."""
        rests = any(pace.balances or pace.phases for pace in self._resting or ())
        return not (self._answers or self._waiting or self._phases or self._topics or self._names or rests)

    @property
    def waiting(self) -> int:
        """How many subscriptions have an unsent balance."""
        return len(self._waiting)

    def answer(self, frame: bytes) -> None:
        self._answers.append(frame)

    def answer_all(self, frames: Iterable[bytes]) -> None:
        self._answers += frames

    def put(self, subscription: Unsent) -> None:
        """Send `subscription.unsent` at the next flush that its pace allows, whatever it is by then."""
        pace = subscription.pace
        if pace is None or not pace.resting:
            self._waiting[subscription] = None
        else:
            pace.balances[subscription] = None

    def put_phases(self, subscription: Unsent) -> None:
        """Send the unsent phases of the subscription's transfers at the next flush that its pace allows."""
        pace = subscription.pace
        if pace is not None and pace.resting:
            pace.phases[subscription] = None
            return
        if self._phases is None:
            self._phases = {}
        self._phases[subscription] = None

    def withdraw(self, subscription: Unsent) -> None:
        self._waiting.pop(subscription, None)
        if self._phases is not None:
            self._phases.pop(subscription, None)
        if (pace := subscription.pace) is not None:
            pace.balances.pop(subscription, None)
            pace.phases.pop(subscription, None)

    def put_acks(self, prefix: Names) -> None:
        """Name what it names, before the next item of any of that."""
        if self._names is None:
            self._names = {}
        self._names[prefix] = None

    def put_topic(self, subscription: UnsentTopic) -> None:
        """Send the newest answer of the topic at the next flush, whatever it is by then."""
        if self._topics is None:
            self._topics = {}
        self._topics[subscription] = None

    def withdraw_topic(self, subscription: UnsentTopic) -> None:
        if self._topics is not None:
            self._topics.pop(subscription, None)

    def take(self) -> tuple[list[bytes], int]:
        """The JSON frames to send now, at most one of them with balances, and how many balances that one has.

        Phases come behind the balances that they explain. What is held stays: of each the newest, so no more than without that.
        """
        frames, self._answers = self._answers, []
        self.told = True
        if self.held:
            return frames, 0
        if self._names:
            opened, self._names = self._names, None
            frames += [frame for prefix in opened for frame in prefix.encode_acks()]
        if self.paced:
            self._rest()
        count = len(self._waiting)
        if count:
            frames.append(balances_frame([subscription.encode_unsent() for subscription in self._waiting]))
            # A new dict instead of clear(), so that one burst does not keep its memory for the life of the client.
            self._waiting = {}
        if self._phases:
            phases, self._phases = self._phases, None
            frames += [frame for subscription in phases for frame in subscription.encode_phases()]
        if self._topics:
            topics, self._topics = self._topics, None
            frames += [subscription.encode_newest() for subscription in topics]
        return frames, count

    def take_bytes(self) -> tuple[bytes, int]:
        """The same as WebSocket frames; nothing where nothing is to be sent now."""
        waiting = self._waiting
        if len(waiting) != 1 or self.held or self.paced or self._answers or self._names or self._phases or self._topics:
            if not self:
                return b"", 0
            frames, count = self.take()
            return b"".join([text_frame(frame) for frame in frames]), count
        # Nearly every push: one account of the client has changed.
        self.told = True
        self._waiting = {}
        [subscription] = waiting
        return subscription.encode_alone(), 1

    def _rest(self) -> None:
        """Whatever leaves now with a pace is not told again before that allows it."""
        for subscription in (*self._waiting, *(self._phases or ())):
            pace = subscription.pace
            if pace is not None and not pace.resting:
                pace.resting = True
                if self._begun is None:
                    self._begun = []
                self._begun.append(pace)
                if self._resting is None:
                    self._resting = {}
                self._resting[pace] = None

    def rests_begun(self) -> list[Pace]:
        """Those that began since this was asked last: call `go_on` with each when its time is over."""
        begun, self._begun = self._begun, None
        return begun or []

    def go_on(self, pace: Pace) -> None:
        """What waited for this pace may leave."""
        pace.resting = False
        if self._resting is not None:
            self._resting.pop(pace, None)
        balances, phases, pace.balances, pace.phases = pace.balances, pace.phases, {}, {}
        self._waiting |= balances
        for each in phases:
            self.put_phases(each)


def text_frame(payload: bytes) -> bytes:
    """An unmasked, unfragmented text frame of a server without extensions (RFC 6455 section 5.2)."""
    size = len(payload)
    if size < 126:
        head = bytes((0x81, size))
    elif size < 65_536:
        head = _HEADS[size] if size < len(_HEADS) else b"\x81\x7e" + size.to_bytes(2, "big")
    else:
        head = b"\x81\x7f" + size.to_bytes(8, "big")
    return head + payload


_HEADS: Final = tuple(b"\x81\x7e" + size.to_bytes(2, "big") for size in range(1_024))
"""Of an answer with both accounts of a transfer, too."""
