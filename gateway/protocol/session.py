"""One client's stream as a state machine: text in, wishes and frames out. No sockets, no clock.

    subscribe --> Watch (wish) --> acknowledge --> released --> live <--> held (the feed broke; repaired) --> unsubscribe
                                \\-> refuse (the state could not be read: nothing stays subscribed)

`Subscription.newest` only rises, so a client never sees an older version after a newer one, whatever order state arrives in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gateway.protocol.close_codes import CloseCode
from gateway.protocol.messages import (
    Acknowledged,
    Item,
    Ping,
    StreamError,
    Subscribe,
    Unsubscribe,
    ack_frame,
    decode,
    error_frame,
    pong_frame,
    status_frame,
    transfer_frame,
    transfers_missed_frame,
)
from gateway.protocol.outbox import Outbox

SUBSCRIBES_AT_ONCE_MAX = 32
"""Subscribes of one client that wait for their state: each costs a read, however few accounts it names."""

PHASES_UNSENT_MAX = 64
"""Transfers of one account whose phase waits for a client that reads slowly; past it the oldest goes, and the client is told."""

ERRORS_MAX = 16
"""Refused messages before the connection ends: a client with a bug must not keep the gateway busy for ever."""


class Subscription:
    """One account watched by one client. `number` is the `sub` of its items; never used again in this session.

    newest: the newest version offered, or the client's `since`. due: the feed position at which it may be released.
    transfers: whether the client wants to know the phases of its transfers; phases: those unsent, None for none.
    """

    __slots__ = (
        "account", "due", "first", "live", "missed", "newest", "number", "open", "phases", "session", "transfers", "unanswered",
        "unsent",
    )  # fmt: skip

    def __init__(self, session: Session, account: str, number: int) -> None:
        self.session = session
        self.account = account
        self.number = number
        self.newest = -1
        self.due = -1
        self.unsent: Item | None = None
        self.first = True
        self.live = False
        self.unanswered = 0
        self.open = True
        self.transfers = False
        self.phases: dict[bytes, str] | None = None
        self.missed = False

    def offer(self, item: Item) -> None:
        """State of this account from anywhere, in any order. Only what is newer counts; it replaces what is unsent."""
        if item.version > self.newest:
            self.newest = item.version
            self.unsent = item
            if self.live:
                self.session.outbox.put(self)

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

    def hold(self) -> None:
        """Send nothing until `release`: this partition's state is being read again and is no cut at one position."""
        self.live = False
        self.session.outbox.withdraw(self)

    def release(self) -> None:
        """Live from now on. A subscription stays silent until every subscribe that named it has its ack."""
        if self.open and not self.unanswered and not self.live:
            self.live = True
            if self.unsent is not None:
                self.session.outbox.put(self)
            if self.phases or self.missed:
                self.session.outbox.put_phases(self)

    def encode_phases(self) -> list[bytes]:
        """The frames of the unsent phases."""
        frames = [transfers_missed_frame(self.number)] if self.missed else []
        frames += [transfer_frame(self.number, transfer, phase) for transfer, phase in (self.phases or {}).items()]
        self.phases, self.missed = None, False
        return frames

    def encode_unsent(self) -> bytes:
        """The item for the frame. The first of a subscription says so, and names the asset."""
        item = self.unsent
        assert item is not None, "only subscriptions with an unsent item wait in the outbox"
        self.unsent = None
        if self.first:
            self.first = False
            return b'{"sub":%d,"snapshot":true,"asset":"%s",%s' % (self.number, item.asset.encode(), item.tail)
        return b'{"sub":%d,%s' % (self.number, item.tail)


class Watch(NamedTuple):
    """Wish: read these accounts' state, feed them from now on, then `acknowledge` (or `refuse`)."""

    id: int
    subscriptions: list[Subscription]


class Unwatch(NamedTuple):
    """Wish: forget these; they are closed already."""

    subscriptions: list[Subscription]


class Close(NamedTuple):
    """Wish: end the connection."""

    code: CloseCode


Wish = Watch | Unwatch | Close


class Session:
    """One client, from handshake to close."""

    __slots__ = ("_errors", "_next_number", "_unanswered", "by_account", "by_number", "outbox", "subscriptions_max")

    def __init__(self, subscriptions_max: int) -> None:
        self.subscriptions_max = subscriptions_max
        self.by_account: dict[str, Subscription] = {}
        self.by_number: dict[int, Subscription] = {}
        self.outbox = Outbox()
        self._next_number = 1
        self._unanswered = 0
        self._errors = 0

    def receive(self, text: str) -> Wish | None:
        """One client message. Answers that need nobody else are in the outbox afterwards."""
        message = decode(text)
        match message:
            case Subscribe():
                return self._subscribe(message)
            case Unsubscribe(id, subs):
                closed = self._close(subs)
                self.outbox.answer(ack_frame(id))
                return Unwatch(closed) if closed else None
            case Ping(id):
                self.outbox.answer(pong_frame(id))
                return None
            case StreamError():
                return self._refuse(message)

    def _subscribe(self, message: Subscribe) -> Wish | None:
        new = sum(wanted.account not in self.by_account for wanted in message.accounts)
        if len(self.by_account) + new > self.subscriptions_max:
            detail = f"at most {self.subscriptions_max} accounts a connection; unsubscribe some, or open another"
            return self._refuse(StreamError(message.id, "too_many_subscriptions", detail))
        if self._unanswered >= SUBSCRIBES_AT_ONCE_MAX:
            return self._refuse(StreamError(message.id, "overloaded", "wait for the acks of the subscribes before"))
        self._unanswered += 1
        return Watch(
            message.id, [self._open(wanted.account, wanted.since, message.transfers) for wanted in message.accounts]
        )

    def _open(self, account: str, since: int | None, transfers: bool) -> Subscription:
        """A second subscribe to an account keeps its number and starts it again, never below what was sent."""
        known = self.by_account.get(account)
        newest = -1 if since is None else since
        if known is None:
            subscription = Subscription(self, account, self._next_number)
            self._next_number += 1
            self.by_account[account] = self.by_number[subscription.number] = subscription
        else:
            subscription = known
            subscription.hold()
            newest = max(newest, subscription.newest - 1)
            subscription.unsent = None
        subscription.transfers = transfers
        if not transfers:
            subscription.phases, subscription.missed = None, False
        subscription.first = True
        subscription.unanswered += 1
        subscription.newest = newest
        return subscription

    def acknowledge(self, watch: Watch, versions: Mapping[str, int]) -> None:
        """Answer a Watch with what is held of each account; one missing in `versions` does not exist (yet)."""
        self._unanswered -= 1
        rows = []
        for subscription in watch.subscriptions:
            subscription.unanswered -= 1
            rows.append(Acknowledged(subscription.account, subscription.number, versions.get(subscription.account)))
        self.outbox.answer(ack_frame(watch.id, rows))

    def refuse(self, watch: Watch, code: str, detail: str) -> Unwatch:
        """The state could not be read: an error instead of the ack, and nothing of it stays subscribed."""
        self._unanswered -= 1
        self.outbox.answer(error_frame(StreamError(watch.id, code, detail)))
        return Unwatch(self._close([subscription.number for subscription in watch.subscriptions]))

    def tell_status(self, live: bool) -> None:
        self.outbox.answer(status_frame(live))

    def end(self) -> Unwatch:
        """The connection is gone."""
        return Unwatch(self._close(list(self.by_number)))

    def _close(self, numbers: list[int]) -> list[Subscription]:
        """Numbers that are not open are passed over: unsubscribing twice equals once."""
        closed = []
        for number in numbers:
            subscription = self.by_number.pop(number, None)
            if subscription is not None:
                del self.by_account[subscription.account]
                subscription.hold()
                subscription.open = False
                closed.append(subscription)
        return closed

    def _refuse(self, error: StreamError) -> Close | None:
        self._errors += 1
        self.outbox.answer(error_frame(error))
        return Close(CloseCode.TOO_MANY_ERRORS) if self._errors >= ERRORS_MAX else None
