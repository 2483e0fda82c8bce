"""One account watched by one client: where it stands, in one table, and what of it waits to be sent.

    NAMED     by requests that are not answered yet: silent
    UNREAD    acknowledged, and silent until its state has been read for the first time: its partition cannot be read
    WAITING   acknowledged, and silent until the feed has reached what was read of it
    LIVE      what changes is sent
    AGAIN     live, and named by requests that are not answered yet: what changes is sent on, or others would be told without it
    HELD      the feed of its partition broke: silent until everything watched there has been read again
    HELD_AGAIN  held, and named by requests that are not answered yet: it speaks with all others of its partition, answered or not
    ENDED     unsubscribed, refused, or its client is gone: nothing brings it back

Every request that names it is answered for itself. Only the last answer makes it speak; a refusal ends it when no other request
was granted, and leaves it with the granted one otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum, auto
from typing import Final, Protocol

from gateway.protocol.messages import (
    Item,
    ack_frame,
    acked,
    balance_frame,
    balances_frame,
    transfer_frame,
    transfers_missed_frame,
)
from gateway.protocol.outbox import Outbox, text_frame
from gateway.protocol.pace import Pace

PHASES_UNSENT_MAX: Final = 64
"""Transfers of one account whose phase waits for a client that reads slowly; past it the oldest goes, and the client is told."""


class WatchedPrefix(Protocol):
    """partitions: how many there are. acknowledged: whether it has been."""

    partitions: int
    acknowledged: bool

    @property
    def silent(self) -> Iterable[int]:
        """Partitions of which something of it may have still to be told."""
        ...


class Watcher(Protocol):
    """The client whose subscription it is (`session.py`); clients are told apart by identity."""

    live: bool
    by_number: dict[int, Subscription]

    @property
    def prefixes(self) -> Mapping[str, WatchedPrefix]:
        """All accounts whose names begin so are watched, too."""
        ...

    @property
    def outbox(self) -> Outbox:
        """What waits to be sent to it."""
        ...

    def tell_status(self, live: bool) -> None:
        """Say whether what it was told may be old."""
        ...

    def __hash__(self) -> int: ...


class Stage(Enum):
    NAMED = auto()
    UNREAD = auto()
    WAITING = auto()
    LIVE = auto()
    AGAIN = auto()
    HELD = auto()
    HELD_AGAIN = auto()
    ENDED = auto()


class Event(Enum):
    """What can happen to it. LAST_...: to the last request that names it and is not answered."""

    NAMED = auto()
    LAST_ANSWERED = auto()
    LAST_UNREAD = auto()
    """Acknowledged, and nothing of it could be read yet."""
    LAST_REFUSED = auto()
    """And none was granted."""
    READ = auto()
    """Its state was read, or that there is no such account."""
    REACHED = auto()
    BROKEN = auto()
    ENDED = auto()


_ACKNOWLEDGED: Final = {
    Event.NAMED: Stage.NAMED,
    Event.REACHED: Stage.LIVE,
    Event.BROKEN: Stage.HELD,
    Event.ENDED: Stage.ENDED,
}
NEXT: Final[dict[Stage, dict[Event, Stage]]] = {
    Stage.NAMED: {
        Event.NAMED: Stage.NAMED,
        Event.LAST_ANSWERED: Stage.WAITING,
        Event.LAST_UNREAD: Stage.UNREAD,
        Event.LAST_REFUSED: Stage.ENDED,
        Event.READ: Stage.NAMED,
        Event.REACHED: Stage.NAMED,
        Event.BROKEN: Stage.NAMED,
        Event.ENDED: Stage.ENDED,
    },
    Stage.UNREAD: {
        Event.NAMED: Stage.NAMED,
        Event.READ: Stage.WAITING,
        Event.REACHED: Stage.UNREAD,
        Event.BROKEN: Stage.UNREAD,
        Event.ENDED: Stage.ENDED,
    },
    Stage.WAITING: _ACKNOWLEDGED | {Event.READ: Stage.WAITING},
    Stage.LIVE: _ACKNOWLEDGED | {Event.NAMED: Stage.AGAIN, Event.READ: Stage.LIVE},
    Stage.AGAIN: {
        Event.NAMED: Stage.AGAIN,
        Event.LAST_ANSWERED: Stage.LIVE,
        Event.READ: Stage.AGAIN,
        Event.REACHED: Stage.AGAIN,
        Event.BROKEN: Stage.HELD_AGAIN,
        Event.ENDED: Stage.ENDED,
    },
    Stage.HELD: _ACKNOWLEDGED | {Event.NAMED: Stage.HELD_AGAIN, Event.READ: Stage.HELD},
    Stage.HELD_AGAIN: {
        Event.NAMED: Stage.HELD_AGAIN,
        Event.LAST_ANSWERED: Stage.HELD,
        Event.READ: Stage.HELD_AGAIN,
        Event.REACHED: Stage.AGAIN,
        Event.BROKEN: Stage.HELD_AGAIN,
        Event.ENDED: Stage.ENDED,
    },
    Stage.ENDED: dict.fromkeys(Event, Stage.ENDED),
}
"""A missing cell cannot be: there are no answers without a request; whoever is named is NAMED, AGAIN or HELD_AGAIN, and who was
live or held was granted and read."""

_NAMED: Final = Stage.NAMED
_LIVE: Final = Stage.LIVE
_AGAIN: Final = Stage.AGAIN
_FOLLOW: Final = frozenset({Stage.LIVE, Stage.AGAIN, Stage.HELD, Stage.HELD_AGAIN})
"""Found once: to look a member up takes as long as half of an offer."""


class Subscription:
    """`number` is the `sub` of its items; never used again in this session.

    pace: how often it may be told, as the last request that was granted says. partition: of the account, once registered.
    shown: the name that the client knows; another one than what is watched where that may not be read: then nobody has `account`.
    newest: the newest version offered, or the client's `since`; sent: the newest sent. due: the feed position of its release.
    before: what `newest` was before a grant took it back, so that the same is told again. again: what was sent last since a
    request named it while it was live: what that is answered with, unless its read has something else to tell.
    unanswered: requests that name it and have no answer; granted: None until one is acknowledged, then whether it wants phases.
    read: whether its state was ever read here (that there is no such account, too).
    asked_alone, alone: requests by its own name that are not answered; whether one was granted and not taken back since. Else it
    is there for a prefix.
    gone: None, but where what the client was told is of another history of the log than this one (`history`): "" until the
    account is looked for there, and if there is none the code to be told, in an ack of `id`: the last request that was granted.
    transfers: whether phases of its transfers are kept for the client; phases: those unsent, None for none.
    """

    __slots__ = (
        "account", "again", "alone", "asked_alone", "before", "due", "first", "gone", "granted", "history", "id", "missed",
        "newest", "number", "pace", "partition", "phases", "read", "sent", "session", "shown", "stage", "transfers", "unanswered",
        "unsent",
    )  # fmt: skip

    def __init__(self, session: Watcher, account: str, number: int, shown: str | None = None) -> None:
        self.session = session
        self.account = account
        self.shown = account if shown is None else shown
        self.number = number
        self.partition = -1
        self.pace: Pace | None = None
        self.stage = Stage.NAMED
        self.newest = -1
        self.before = -1
        self.sent = -1
        self.due = -1
        self.unsent: Item | None = None
        self.again: Item | None = None
        self.first = True
        self.asked_alone = 0
        self.alone = False
        self.gone: str | None = None
        self.history: str | None = None
        self.id = 0
        self.unanswered = 0
        self.read = False
        self.granted: bool | None = None
        self.transfers = False
        self.phases: dict[bytes, str] | None = None
        self.missed = False

    @property
    def live(self) -> bool:
        return self.stage is _LIVE or self.stage is _AGAIN

    @property
    def follows(self) -> bool:
        """Whether it is told what its partition tells, with all others: by the feed, and by a repair of it."""
        return self.stage in _FOLLOW

    @property
    def unread(self) -> bool:
        return self.stage is Stage.UNREAD

    @property
    def has(self) -> int:
        """The newest version that the client is known to have; -1 for none."""
        return self.newest if self.unsent is None else self.sent

    def is_ahead(self, item: Item) -> bool:
        """Whether a state that was read is newer than all that was offered so far."""
        return item.version > self.newest and item.version > self.before

    @property
    def open(self) -> bool:
        return self.stage is not Stage.ENDED

    # Where it stands.

    def name(self, transfers: bool) -> None:
        """One more request names it."""
        self.unanswered += 1
        self.transfers = self.transfers or transfers
        self._move(Event.NAMED)

    def grant(self, id: int, since: int | None, transfers: bool, read: bool = True, pace: Pace | None = None) -> None:
        """A request is acknowledged: its state is sent again, though never below what the client has.

        read: whether there is a state to be sent; what was read for another request counts, too.
        What is unsent may be what another request waits for: that is sent, though the `since` of this one has it.
        """
        if self.live:
            self.session.outbox.withdraw(self)  # nothing of it waits for the pace of before
        self.id, self.gone = id, None  # what is held of it is told by the ack
        has = -1 if since is None else since
        self.before = max(self.before, self.newest)
        if self.unsent is not None and self.unsent.version >= (has + 1 if self.granted is None else has):
            self.newest = self.unsent.version
        else:
            self.newest, self.unsent = has if self.granted is None else max(has, self.newest - 1), None
        if self.unsent is None and self.again is not None and self.again.version > self.newest:
            self.unsent, self.newest = self.again, self.again.version
        self.first, self.granted = True, transfers
        self.pace = pace
        self.read = self.read or read
        self._answered(self._granted_last)
        if self.live:
            self._put()

    def refuse(self) -> None:
        """A request is refused: nothing of it stays, and what was granted to another does."""
        if self.unsent is not None and self.unsent.version <= self.sent and not self.first:
            self.unsent = None  # it would only have been sent again, and no ack has promised that
            self.session.outbox.withdraw(self)
            if self.live:
                self._put()  # phases of its transfers go on waiting
        self._answered(Event.LAST_REFUSED if self.granted is None else self._granted_last)

    def found(self) -> None:
        """Its state was read, or that there is no such account."""
        self.read = True
        self._move(Event.READ)

    def hold(self) -> None:
        """Send nothing until `release`: this partition's state is being read again and is no cut at one position."""
        self._move(Event.BROKEN)

    def release(self) -> None:
        """The feed has reached what was read of it."""
        was_live = self.live
        self._move(Event.REACHED)
        if self.live and self.gone:
            self.session.outbox.put_acks(self)
        if self.live and not was_live:
            self._put()

    def _put(self) -> None:
        if self.unsent is not None:
            self.session.outbox.put(self)
        if self.phases or self.missed:
            self.session.outbox.put_phases(self)

    def end(self) -> None:
        self._move(Event.ENDED)

    @property
    def _granted_last(self) -> Event:
        return Event.LAST_ANSWERED if self.read else Event.LAST_UNREAD

    def _answered(self, last: Event) -> None:
        self.unanswered -= 1
        if not self.unanswered:
            self.again = None
            self._move(last)
            self.transfers = bool(self.granted)
            if not self.transfers:
                self.phases, self.missed = None, False

    def _move(self, event: Event) -> None:
        self.stage = NEXT[self.stage][event]
        if not self.live:
            self.session.outbox.withdraw(self)

    # What is sent of it.

    def offer(self, item: Item) -> None:
        """State of this account from anywhere, in any order. Only what is newer counts; it replaces what is unsent."""
        newest, stage = self.newest, self.stage
        if item.version > newest or (item.version == newest and stage is _NAMED and self.granted is not None):
            self.newest = item.version
            self.unsent, self.gone = item, None
            if stage is _LIVE or stage is _AGAIN:
                self.session.outbox.put(self)

    def begin_again(self, history: str | None) -> None:
        """What was told is of another history of the log than this one: whatever version is found next is told, and said to be a
        state; where none is, that is told."""
        self.session.outbox.withdraw(self)
        self.history = history
        if self.gone is None and self.newest >= 0:
            self.gone = ""
        self.newest = self.before = self.sent = self.due = -1
        self.unsent, self.again, self.first = None, None, True
        if self.live and (self.phases or self.missed):
            self.session.outbox.put_phases(self)

    def miss(self, code: str) -> None:
        """It was read, and there is none; code: whether it is known that there is none."""
        if self.gone is not None:
            self.gone = code

    def encode_acks(self) -> list[bytes]:
        """That there is no such account any more, unless one has been found since."""
        if not (self.live and self.gone):
            return []
        row = acked(self.shown, self.number, None, self.gone, self.history)
        self.gone = None
        return [ack_frame(self.id, [row])]

    def offer_phase(self, transfer: bytes, phase: str) -> None:
        """A transfer of this account has gone to a phase; the newest replaces what is unsent."""
        if not self.transfers:
            return
        if self.phases is None:
            self.phases = {}
        self.phases.pop(transfer, None)
        self.phases[transfer] = phase
        if len(self.phases) > PHASES_UNSENT_MAX:
            del self.phases[next(iter(self.phases))]
            self.missed = True
        if self.live:
            self.session.outbox.put_phases(self)

    def miss_phases(self) -> None:
        """The feed broke: phases may have gone by."""
        self.missed = self.transfers

    def encode_phases(self) -> list[bytes]:
        """The frames of the unsent phases."""
        frames = [transfers_missed_frame(self.number)] if self.missed else []
        frames += [transfer_frame(self.number, transfer, phase) for transfer, phase in (self.phases or {}).items()]
        self.phases, self.missed = None, False
        return frames

    def encode_alone(self) -> bytes:
        """The WebSocket frame with nothing but the item: made once for all whose number is the same."""
        item = self.unsent
        if item is None or self.first:
            return text_frame(balances_frame([self.encode_unsent()]))
        self.unsent, self.sent = None, item.version
        if self.stage is _AGAIN:
            self.again = item
        if item.number != self.number:
            item.number, item.frame = self.number, text_frame(balance_frame(self.number, item.tail))
        return item.frame

    def encode_unsent(self) -> bytes:
        """The item for the frame. The first of a subscription says so, and names the asset."""
        item = self.unsent
        assert item is not None, "only subscriptions with an unsent item wait in the outbox"
        self.unsent, self.sent = None, item.version
        if self.stage is _AGAIN:
            self.again = item
        if self.first:
            self.first = False
            return b'{"sub":%d,"snapshot":true,"asset":"%s",%s' % (self.number, item.asset.encode(), item.tail)
        return b'{"sub":%d,%s' % (self.number, item.tail)
