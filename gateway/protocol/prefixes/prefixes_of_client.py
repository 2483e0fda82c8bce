"""The prefixes that one client watches: asked for, listed, found out what begins with them, refused."""

from __future__ import annotations

from collections.abc import Callable

from fanfold.api.frames.asked import Wanted
from fanfold.api.problems import PROBLEMS
from gateway.identity.grants import Right
from gateway.protocol.client_watches import ClientWatches
from gateway.protocol.messages import StreamError, error_frame
from gateway.protocol.pace import Pace
from gateway.protocol.prefixes.prefix_subscription import PREFIXES_MAX, PrefixSubscription, PrefixWatchers
from gateway.protocol.subscription import Subscription
from gateway.protocol.wishes import Unwatch, Watch, WatchPrefix


class ClientPrefixes(ClientWatches):
    """Their accounts are the client's, with all others that it names (`client_watches.py`)."""

    __slots__ = ("_prefix_watchers",)

    def __init__(
        self, subscriptions_max: int, hide: Callable[[str], str] | None, prefix_watchers: PrefixWatchers
    ) -> None:
        super().__init__(subscriptions_max, hide)
        self._prefix_watchers = prefix_watchers

    @property
    def may_watch_prefixes(self) -> bool:
        """Whether any, that is: it says nothing of one. Where nobody is asked who is there all are of the system."""
        if self._prefix_watchers == "system":
            return self.principal is None or self.principal.is_of_the_system
        return self._prefix_watchers == "all"

    def _prefix_refused(self, prefix: str) -> tuple[str, str] | None:
        """Code and detail of why one more prefix is not watched."""
        if not self.may_watch_prefixes:
            return "prefix_refused", PROBLEMS["prefix_refused"].detail
        if prefix in self.prefixes:
            return "body_malformed", "this prefix is subscribed already; to begin anew unsubscribe from it first"
        if len(self.prefixes) >= PREFIXES_MAX:
            return "too_many_subscriptions", f"at most {PREFIXES_MAX} prefixes a connection"
        return None

    def _watch_prefix(self, id: int, prefix: str, transfers: bool, pace: Pace | None) -> WatchPrefix:
        """One that may not be read as a whole is taken for one with which nothing begins, in every word."""
        read_as = prefix
        if self._hide is not None and not (
            self.principal is not None and self.principal.may_all_with(Right.READ, prefix)
        ):
            read_as = self._hide(prefix)
        subscription = PrefixSubscription(self, id, prefix, read_as, transfers, pace)
        self.prefixes[prefix] = subscription
        return WatchPrefix(subscription)

    def snapshot(self, prefix: PrefixSubscription) -> Watch | Unwatch:
        """Its accounts have been listed: read them, and feed them from now on; or it is refused, as they are too many."""
        room = self.subscriptions_max - len(self.by_account)
        new = sum(account not in self.by_account for account in prefix.found)
        if new > room:
            self._errors += 1
            return self.refuse_prefix(
                prefix,
                "too_many_subscriptions",
                f"more than {room} accounts begin with the prefix, of {self.subscriptions_max} accounts a connection; nothing of "
                "it is subscribed: take a longer prefix, unsubscribe some, or open another connection",
            )
        wanted = [Wanted(account) for account in sorted(prefix.found)] if prefix.open else []
        prefix.found = {}
        named = [self._name(each, prefix.transfers) for each in wanted]
        return Watch(prefix.id, named, wanted, prefix.transfers, prefix.pace, prefix)

    def refuse_prefix(self, prefix: PrefixSubscription, code: str, detail: str) -> Unwatch:
        """It could not be listed, or has too many accounts: nothing of it is subscribed."""
        self._unanswered -= 1
        self.outbox.answer(error_frame(StreamError(prefix.id, code, detail)))
        return Unwatch(self._end_prefix(prefix), (prefix,))

    def adopt(self, prefix: PrefixSubscription) -> list[Subscription]:
        """What a list has found since the ack, silent until it has been read and `acknowledge_read` says so."""
        found = [self.open_under(prefix, account, read=False) for account in prefix.take_found()]
        prefix.unread |= dict.fromkeys(found)
        return found

    def open_under(self, prefix: PrefixSubscription, account: str, *, read: bool = True) -> Subscription:
        """One more account of an acknowledged prefix. read: what it is comes with the next row, so nothing has to be read."""
        subscription = self._name(Wanted(account), prefix.transfers)
        subscription.grant(prefix.id, None, prefix.transfers, read, prefix.pace)
        return subscription
