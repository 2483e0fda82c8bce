"""One prefix of one client: all accounts whose names begin so, also those that open later. No sockets, no clock.

    subscribe --> registered at every partition: from now on each of their rows is looked at by its name
              --> listed, partition by partition (what rows name meanwhile is kept)
              --> `snapshot` (`prefixes_of_client.py`): read as accounts are
              --> acknowledged: an account that a row names first is told from that row, with no read: every row is a whole state

A feed that broke may have lost the row of an account that opened: its partition is *unlisted* until it has been listed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal, Protocol

from fanfold.api.frames.acks import AckedAccount
from gateway.protocol.messages import StreamError, acked, error_frame, prefix_ack_frame
from gateway.protocol.pace import Pace
from gateway.protocol.subscription import Subscription, Watcher

PREFIXES_MAX: Final = 16
"""Of one client: each is looked for in the name of every account that changes."""

PrefixWatchers = Literal["all", "system", "nobody"]
"""Who may watch a prefix: whoever may read all with it; who has the right `system` as well; nobody."""

LEFT_OUT: Final = (
    "More accounts begin with the prefix than this connection may watch: the others are not told, those that it has go on. "
    "Unsubscribe from some, or watch a longer prefix over another connection, and subscribe to this prefix anew."
)


class PrefixWatcher(Watcher, Protocol):
    """The client whose prefix it is (`prefixes_of_client.py`)."""

    by_account: dict[str, Subscription]
    subscriptions_max: int

    def open_under(self, prefix: PrefixSubscription, account: str) -> Subscription:
        """Watch one more account, acknowledged with the prefix."""
        ...


class PrefixSubscription:
    """One prefix of one client. id: of its subscribe. read_as: what is listed in its place: another one where it may not be read,
    with which no account begins. unlisted: partitions of which it is not known which accounts are there, or were opened while the
    feed was broken. found: accounts named by lists and rows that have no subscription yet.
    unread: those found by a list after the ack, until their state has been read."""

    __slots__ = (
        "_told_complete",
        "_told_full",
        "acknowledged",
        "found",
        "full",
        "id",
        "open",
        "opened",
        "pace",
        "partitions",
        "prefix",
        "read_as",
        "session",
        "transfers",
        "unlisted",
        "unread",
    )

    def __init__(
        self, session: PrefixWatcher, id: int, prefix: str, read_as: str, transfers: bool, pace: Pace | None
    ) -> None:
        self.session = session
        self.id = id
        self.prefix = prefix
        self.read_as = read_as
        self.transfers = transfers
        self.pace = pace
        self.partitions = 0
        self.open = True
        self.acknowledged = False
        self.unlisted: set[int] = set()
        self.found: dict[str, None] = {}
        self.unread: dict[Subscription, None] = {}
        self.opened: list[AckedAccount] = []
        self.full = False
        self._told_complete = False
        self._told_full = False

    @property
    def hidden(self) -> bool:
        """Whether it may not be read: then it looks like one with which no account begins."""
        return self.read_as != self.prefix

    def covers(self, account: str) -> bool:
        return self.open and not self.hidden and account.startswith(self.prefix)

    @property
    def silent(self) -> Iterable[int]:
        """Partitions of which something may have still to be told."""
        return self.unlisted if self.acknowledged else range(self.partitions)

    # What is heard of it.

    def keep(self, accounts: Iterable[str]) -> None:
        """These begin with it. Bounded: of more than the client may watch it is only known that there are more."""
        for account in accounts:
            if len(self.found) > self.session.subscriptions_max:
                return
            self.found[account] = None

    def take_found(self) -> list[str]:
        """Those that have no subscription, as many as there is room for; of the others the client is told that they are."""
        found, self.found = self.found, {}
        by_account = self.session.by_account
        new = [account for account in found if account not in by_account]
        room = max(0, self.session.subscriptions_max - len(by_account))
        if len(new) > room:
            self.leave_out()
        return new[:room]

    def offer(self, account: str, history: str | None, version: int) -> Subscription | None:
        """A row names an account that begins with it. The account's subscription, where it has been made for that."""
        if not self.acknowledged:
            self.keep((account,))
            return None
        if account in self.session.by_account:
            return None
        if len(self.session.by_account) >= self.session.subscriptions_max:
            self.leave_out()
            return None
        subscription = self.session.open_under(self, account)
        self.name([acked(account, subscription.number, version, history=history)])
        return subscription

    # What is told of it.

    def name(self, accounts: Iterable[AckedAccount]) -> None:
        """In an ack that leaves before the first item of any of them, and behind the answers of commands under way."""
        self.opened += accounts
        self.session.outbox.put_acks(self)

    def leave_out(self) -> None:
        """Told once, however many they are: nothing of it changes before the client asks anew."""
        if not self.full:
            self.full = True
            self.session.outbox.put_acks(self)

    @property
    def complete(self) -> bool:
        return self.open and not (self.unlisted or self.unread or self.found or self.full)

    def look(self) -> None:
        """The client that was told that something is missing hears when nothing is."""
        if self.acknowledged and self.complete and not self._told_complete:
            self.session.outbox.put_acks(self)

    def ack(self, accounts: Sequence[AckedAccount]) -> bytes:
        self._told_complete = self.complete
        return prefix_ack_frame(self.id, self.prefix, accounts, self.complete)

    def encode_acks(self) -> list[bytes]:
        """Acks and errors that wait."""
        rows, self.opened = [each for each in self.opened if each.sub in self.session.by_number], []
        if not self.open:
            return []
        frames = []
        if rows or (self.complete and not self._told_complete):
            frames.append(self.ack(rows))
        if self.full and self.acknowledged and not self._told_full:
            self._told_full = True
            frames.append(error_frame(StreamError(self.id, "too_many_subscriptions", LEFT_OUT)))
        return frames
