"""The accounts that one client watches, whatever it asked for them with: their numbers, their acks, and their ends.

One number an account, whoever asks for it: it ends when neither its own name nor a prefix is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from fanfold.api.frames.acks import AckedAccount
from fanfold.api.frames.asked import Wanted
from gateway.identity.grants import Principal, Right
from gateway.protocol.messages import StreamError, ack_frame, acked, error_frame, status_frame
from gateway.protocol.outbox import Outbox
from gateway.protocol.prefixes.prefix_subscription import PrefixSubscription
from gateway.protocol.subscription import Subscription
from gateway.protocol.wishes import Unwatch, Watch

NOTHING_TOLD: Final[Mapping[str, str]] = MappingProxyType({})


class ClientWatches:
    """Of one client."""

    __slots__ = (
        "_errors",
        "_hide",
        "_next_number",
        "_unanswered",
        "by_account",
        "by_number",
        "live",
        "outbox",
        "prefixes",
        "principal",
        "subscriptions_max",
    )

    def __init__(self, subscriptions_max: int, hide: Callable[[str], str] | None) -> None:
        """hide: a name that no account has, to be watched in the place of one that may not be read; None where nobody is asked
        who is there."""
        self.subscriptions_max = subscriptions_max
        self.principal: Principal | None = None
        self._hide = hide
        self.by_account: dict[str, Subscription] = {}
        self.by_number: dict[int, Subscription] = {}
        self.prefixes: dict[str, PrefixSubscription] = {}
        self.outbox = Outbox()
        self.live = True
        """What the client was told last: False when what it sees may be old."""
        self._next_number = 1
        self._unanswered = 0
        """Subscribes that wait for their accounts to be read."""
        self._errors = 0
        """Messages that were refused."""

    @property
    def answered(self) -> bool:
        """Whether every subscribe to accounts has been: before, what the client came back with has not been taken yet."""
        return not self._unanswered

    def tell_status(self, live: bool) -> None:
        self.live = live
        self.outbox.answer(status_frame(live))

    def _name(self, wanted: Wanted, transfers: bool) -> Subscription:
        """A second subscribe to an account keeps its number; what it asks counts once it is acknowledged."""
        subscription = self.by_account.get(wanted.account)
        if subscription is None:
            subscription = Subscription(self, self._watched(wanted.account), self._next_number, wanted.account)
            self._next_number += 1
            self.by_account[wanted.account] = self.by_number[subscription.number] = subscription
        subscription.name(transfers)
        return subscription

    def _watched(self, account: str) -> str:
        """The account itself, or one that nobody has: so what may not be read is told as what is not there, in every word."""
        if self._hide is None or (self.principal is not None and self.principal.may(Right.READ, account)):
            return account
        return self._hide(account)

    def acknowledge(
        self,
        watch: Watch,
        versions: Mapping[str, int],
        undecided: frozenset[str] = frozenset(),
        unread: Mapping[str, str] = NOTHING_TOLD,
        histories: Mapping[str, str] = NOTHING_TOLD,
    ) -> None:
        """Answer a Watch with what is held of each account; one missing in `versions` does not exist (yet).

        undecided: of those, the ones that may exist: what is read is behind the log. They too are served from now on.
        unread: those that cannot be read now, and the code that says why. They are served once they have been read, and
        `acknowledge_read` says so.
        histories: which one of its log the partition of an account has, where that is known. A `since` of another one, or where
        that cannot be said, counts for nothing.
        """
        self._unanswered -= 1
        for subscription, wanted in zip(watch.subscriptions, watch.wanted, strict=True):
            is_ours = wanted.history is None or wanted.history == histories.get(subscription.account)
            since = wanted.since if is_ours else None
            subscription.grant(watch.id, since, watch.transfers, subscription.account not in unread, watch.pace)
            if watch.prefix is None:
                subscription.asked_alone -= 1
                subscription.alone = True
        codes = dict.fromkeys(undecided, "view_rebuilding") | {**unread}
        rows = _held(watch.subscriptions, versions, codes, histories)
        if watch.prefix is not None:
            watch.prefix.acknowledged = True
        self.outbox.answer(ack_frame(watch.id, rows) if watch.prefix is None else watch.prefix.ack(rows))

    def acknowledge_read(
        self,
        id: int,
        subscriptions: Sequence[Subscription],
        versions: Mapping[str, int],
        undecided: frozenset[str] = frozenset(),
        histories: Mapping[str, str] = NOTHING_TOLD,
        prefix: PrefixSubscription | None = None,
    ) -> None:
        """Name accounts of a request that were acknowledged unread again, now that it is known what is held of them."""
        still = [each for each in subscriptions if each.open]
        rows = _held(still, versions, dict.fromkeys(undecided, "view_rebuilding"), histories)
        if prefix is None:
            if still:
                self.outbox.answer(ack_frame(id, rows))
            return
        for watched in (prefix, *self.prefixes.values()):
            for each in subscriptions:
                watched.unread.pop(each, None)
        if prefix.open:
            prefix.name(rows)
        else:
            self._name_with_others(rows)

    def refuse(self, watch: Watch, code: str, detail: str) -> Unwatch:
        """The state could not be read: an error instead of the ack, and nothing of this request stays subscribed.

        Whoever was granted to another request stays: release those that are open and named by none any more.
        """
        self._unanswered -= 1
        self.outbox.answer(error_frame(StreamError(watch.id, code, detail)))
        open_before = [subscription for subscription in watch.subscriptions if subscription.open]
        for subscription in watch.subscriptions:
            subscription.refuse()
            subscription.asked_alone -= watch.prefix is None
        closed = self._close([each.number for each in open_before if not each.open])
        if watch.prefix is None:
            for prefix in self.prefixes.values():  # one that opened meanwhile was left to this request
                prefix.keep(each.shown for each in closed if prefix.covers(each.shown))
            return Unwatch(closed)
        return Unwatch(closed + self._end_prefix(watch.prefix), (watch.prefix,))

    def _take_back(self, numbers: Iterable[int]) -> list[Subscription]:
        """These are asked for by their own names no more; those with a prefix that is watched go on for its sake."""
        closed = []
        for number in numbers:
            subscription = self.by_number.get(number)
            if subscription is not None and self._is_covered(subscription.shown):
                subscription.alone = False
            elif subscription is not None:
                closed += self._close([number])
        return closed

    def _end_prefix(self, prefix: PrefixSubscription) -> list[Subscription]:
        """Those of its accounts that nothing else asks for are closed."""
        prefix.open = False
        if self.prefixes.get(prefix.prefix) is prefix:
            del self.prefixes[prefix.prefix]
        closed = self._close(
            [
                each.number
                for account, each in self.by_account.items()
                if account.startswith(prefix.prefix)
                and not (each.alone or each.asked_alone or prefix.hidden or self._is_covered(account))
            ]
        )
        self._name_with_others([each for each in prefix.opened if each.sub in self.by_number])
        for other in self.prefixes.values():
            other.unread |= {each: None for each in prefix.unread if each.open and other.covers(each.shown)}
        return closed

    def _name_with_others(self, rows: Iterable[AckedAccount]) -> None:
        """Accounts of a prefix that ended before it named them: else their numbers would mean nothing."""
        for row in rows:
            for other in self.prefixes.values():
                if other.covers(row.account) and other.acknowledged:
                    other.name((row,))
                elif other.covers(row.account):
                    other.keep((row.account,))

    def _is_covered(self, account: str) -> bool:
        return any(each.covers(account) for each in self.prefixes.values())

    def _close(self, numbers: list[int]) -> list[Subscription]:
        """Numbers that are not open are passed over: unsubscribing twice equals once."""
        closed = []
        for number in numbers:
            subscription = self.by_number.pop(number, None)
            if subscription is not None:
                del self.by_account[subscription.shown]
                subscription.end()
                closed.append(subscription)
        return closed


def _held(
    subscriptions: Iterable[Subscription],
    versions: Mapping[str, int],
    codes: Mapping[str, str],
    histories: Mapping[str, str],
) -> list[AckedAccount]:
    rows = []
    for each in subscriptions:
        name = each.account
        code = codes.get(name, "account_not_found")
        rows.append(acked(each.shown, each.number, versions.get(name), code, histories.get(name)))
    return rows
