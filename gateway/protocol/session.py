"""One client's stream: text in, wishes and frames out. No sockets, no clock. `subscription.py` has the table of states.

    subscribe --> Watch (wish) --> acknowledge, or refuse (no state could be read: nothing of that request is subscribed)
                                     `--> acknowledge_read, of accounts that could not be read before

`Subscription.newest` only rises, so a client never sees an older version after a newer one, whatever order state arrives in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from fanfold.api.close_codes import CloseCode
from fanfold.api.frames import Auth, Ping, Subscribe, Unsubscribe, Wanted, WantedTopic
from fanfold.api.requests import BATCH_LINES_MAX
from gateway.identity.grants import Principal, Right
from gateway.protocol.messages import (
    Acknowledged,
    AcknowledgedTopic,
    Message,
    NotUnicode,
    StreamError,
    ack_frame,
    decode,
    error_frame,
    pong_frame,
    status_frame,
    topic_ack_frame,
)
from gateway.protocol.outbox import Outbox
from gateway.protocol.pace import Pace
from gateway.protocol.prefixes import PREFIXES_MAX, PrefixSubscription
from gateway.protocol.submits import Commands, Failed, Request, Submits, Told, answers_frame, commands_of, transfer_ids
from gateway.protocol.subscription import Subscription
from gateway.protocol.topics import TopicBoard, TopicSubscription

SUBSCRIBES_AT_ONCE_MAX = 32
"""Subscribes of one client that wait for their state: each costs a read, however few accounts it names."""

WAITS_ALREADY: Final = (
    "As many commands of this connection or gateway wait as may: nothing was done, and no money moved by this. "
    "Submit them again with the same ids when others are answered."
)

NOTHING_TOLD: Final[Mapping[str, str]] = MappingProxyType({})

ERRORS_MAX = 16
"""Refused messages before the connection ends: a client with a bug must not keep the gateway busy for ever."""


class Watch(NamedTuple):
    """Wish: read these accounts' state, feed them from now on, then `acknowledge` (or `refuse`)."""

    id: int
    subscriptions: list[Subscription]
    wanted: list[Wanted]
    """What was asked of each."""
    transfers: bool
    pace: Pace | None = None
    prefix: PrefixSubscription | None = None
    """Where they were found with it."""


class WatchPrefix(NamedTuple):
    """Wish: look for this prefix in every row, list the accounts that there are, then take a `snapshot` (or `refuse_prefix`)."""

    prefix: PrefixSubscription


class Unwatch(NamedTuple):
    """Wish: forget these; they are closed already."""

    subscriptions: list[Subscription]
    prefixes: Sequence[PrefixSubscription] = ()


class Close(NamedTuple):
    """Wish: end the connection."""

    code: CloseCode


JUDGED: Final = (Auth, Subscribe, Unsubscribe, Ping, Commands, StreamError)
"""What it is known of what somebody may say; anything else is refused where it is asked who is there."""


class SignIn(NamedTuple):
    """Wish: find out who has this token, then `admit` (or `refuse_sign_in`)."""

    id: int
    token: str


class Whose(NamedTuple):
    """Wish: find out whose these accounts are, then `ask` again with what is known (or `whose_is_not_known`)."""

    names: list[str]
    message: Subscribe


Wish = Watch | WatchPrefix | Unwatch | Close | SignIn | Whose


class Session:
    """One client, from handshake to close."""

    __slots__ = (
        "_board",
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
        "refused_submit",
        "submits",
        "subscriptions_max",
        "topics",
    )

    def __init__(
        self,
        subscriptions_max: int,
        board: TopicBoard | None = None,
        submits: Submits | None = None,
        hide: Callable[[str], str] | None = None,
    ) -> None:
        """submits: None where no commands are taken. hide: a name that no account has, to be watched in the place of one that
        may not be read; None where nobody is asked who is there."""
        self.subscriptions_max = subscriptions_max
        self.submits = submits
        self.principal: Principal | None = None
        self.refused_submit: Callable[[int, str], None] | None = None
        """Told of each submit that goes nowhere, with the code that is told; "" where nobody is there to be told."""
        self._hide = hide
        self.topics: dict[str, TopicSubscription] = {}
        self._board = TopicBoard({}) if board is None else board
        self.by_account: dict[str, Subscription] = {}
        self.by_number: dict[int, Subscription] = {}
        self.prefixes: dict[str, PrefixSubscription] = {}
        self.outbox = Outbox()
        self.live = True
        """What the client was told last: False when what it sees may be old."""
        self._next_number = 1
        self._unanswered = 0
        self._errors = 0

    @property
    def may_hear(self) -> bool:
        """Whether somebody is there, where that is asked."""
        return self._hide is None or self.principal is not None

    def receive(self, text: str) -> Wish | None:
        """One client message. Answers that need nobody else are in the outbox afterwards."""
        try:
            message = commands_of(text) or decode(text)
        except NotUnicode:
            return Close(CloseCode.NOT_UTF8)
        return self.ask(message)

    def ask(self, message: Message | StreamError, *, whose_is_known: bool = False) -> Wish | None:
        """The same for a message that has been read. whose_is_known: `principal` says of its accounts what could be found out."""
        if self._hide is not None and self.principal is None and not isinstance(message, Auth):
            return Close(CloseCode.UNAUTHENTICATED)
        if self._hide is not None and not isinstance(message, JUDGED):
            return self._refuse(StreamError(message.id, "op_unknown", "it is not taken where it is asked who is there"))
        match message:
            case Auth() if self._hide is None:
                return self._refuse(StreamError(message.id, "op_unknown", "nobody is asked here who is there"))
            case Auth(id, token):
                return SignIn(id, token)
            case Commands():
                return self._submit(message)
            case Subscribe():
                if not whose_is_known and (names := self._unclear(message)):
                    return Whose(names, message)
                return self._subscribe(message)
            case Unsubscribe(id, subs, topics, prefix):
                closed, ended = self._take_back(subs), tuple[PrefixSubscription, ...]()
                if prefix is not None and (subscription := self.prefixes.get(prefix)) is not None:
                    closed, ended = closed + self._end_prefix(subscription), (subscription,)
                self._forget(topics)
                self.outbox.answer(ack_frame(id))
                return Unwatch(closed, ended) if closed or ended else None
            case Ping(id):
                self.outbox.answer(pong_frame(id))
                return None
            case StreamError():
                return self._refuse(message)

    def _unclear(self, message: Subscribe) -> list[str]:
        """Accounts of which it depends on their owner whether they may be read."""
        who = self.principal
        return (
            [] if who is None else [each.account for each in message.accounts if who.unclear(Right.READ, each.account)]
        )

    def whose_is_not_known(self, message: Subscribe) -> None:
        """Nobody could say: nothing is subscribed on a guess."""
        detail = (
            "Whose these accounts are could not be looked up. Nothing of this request is subscribed; subscribe again."
        )
        self.outbox.answer(error_frame(StreamError(message.id, "upstream_unavailable", detail)))

    def admit(self, principal: Principal, id: int | None) -> Close | None:
        """It is this one. id: of the message that said so, which is acknowledged; None where the handshake did. Again it must
        be the same one; and other rights than before need another stream, where everything is asked for anew."""
        before = self.principal
        if before is not None and before.name != principal.name:
            assert id is not None
            return self.refuse_sign_in(id, "It is somebody else's than the one before: open another stream for them.")
        if before is not None and before.grants != principal.grants:
            return Close(CloseCode.RIGHTS_CHANGED)
        self.principal = principal
        if self.submits is not None:
            self.submits.whose = principal
        if id is not None:
            self.outbox.answer(ack_frame(id))
        return None

    def refuse_sign_in(self, id: int, detail: str) -> Close | None:
        """Who was there before stays."""
        refused = self._refuse(StreamError(id, "token_invalid", detail))
        return Close(CloseCode.TOKEN_REFUSED) if self.principal is None else refused

    def _submit(self, message: Commands) -> Wish | None:
        """What is taken waits for `take_request`."""
        count = len(message.commands)
        if not 1 <= count <= BATCH_LINES_MAX:
            self._goes_nowhere(message.id, "body_malformed")
            detail = f"commands must be 1 to {BATCH_LINES_MAX}"
            return self._refuse(StreamError(message.id, "body_malformed", detail))
        if self.submits is None:
            self._goes_nowhere(message.id, "op_unknown")
            return self._refuse(StreamError(message.id, "op_unknown", "no commands are taken on this stream"))
        if not self.submits.add(message):
            self._goes_nowhere(message.id, "overloaded")
            # Not counted with the refused messages: it says nothing of the client but that it is fast.
            self.outbox.answer(error_frame(StreamError(message.id, "overloaded", WAITS_ALREADY)))
        return None

    def _goes_nowhere(self, id: int, code: str) -> None:
        if self.refused_submit is not None:
            self.refused_submit(id, code)

    @property
    def answered(self) -> bool:
        """Whether every subscribe to accounts has been: before, what the client came back with has not been taken yet."""
        return not self._unanswered

    @property
    def asks(self) -> bool:
        """Whether commands are under way."""
        return self.submits is not None and self.submits.under_way is not None

    def take_request(self) -> Request | None:
        """What goes to the write side now, for `answer_request`; None while something is under way, or nothing waits.

        Whatever else is in the outbox has left before: what comes into it from now on leaves behind the answers.
        """
        request = None if self.submits is None else self.submits.take()
        if request is None:
            return None
        self.outbox.held = True
        return request._replace(whose=self.principal)

    def answer_request(self, request: Request, told: Sequence[Told]) -> None:
        """told: what became of each submit of it."""
        assert self.submits is not None
        answer = self.outbox.answer
        for at, (id, each) in enumerate(zip(request.ids, told, strict=True)):
            if isinstance(each, Failed):
                ids = transfer_ids(request.commands_of(at)) if each.may_be_done else None
                answer(error_frame(StreamError(id, each.code, each.detail, ids)))
            else:
                answer(answers_frame(id, each))
        self.submits.done()
        self.outbox.held = False

    def refuse_waiting(self, code: str, detail: str) -> None:
        """Nothing that waits for the write side goes there any more."""
        for id in () if self.submits is None else self.submits.drop():
            self._goes_nowhere(id, code)
            self.outbox.answer(error_frame(StreamError(id, code, detail)))

    def _subscribe(self, message: Subscribe) -> Wish | None:
        new = sum(wanted.account not in self.by_account for wanted in message.accounts)
        if len(self.by_account) + new > self.subscriptions_max:
            detail = f"at most {self.subscriptions_max} accounts a connection; unsubscribe some, or open another"
            return self._refuse(StreamError(message.id, "too_many_subscriptions", detail))
        if message.prefix is not None and (refused := self._prefix_refused(message.prefix)) is not None:
            return self._refuse(StreamError(message.id, *refused))
        if message.topics and not self._board.known:
            return self._refuse(
                StreamError(message.id, "not_ready", "which topics there are is not known yet: subscribe again")
            )
        if (message.accounts or message.prefix) and self._unanswered >= SUBSCRIBES_AT_ONCE_MAX:
            return self._refuse(StreamError(message.id, "overloaded", "wait for the acks of the subscribes before"))
        if message.topics:
            self.outbox.answer(topic_ack_frame(message.id, [self._watch(wanted) for wanted in message.topics]))
        if not message.accounts and message.prefix is None:
            return None
        self._unanswered += 1
        pace = None if message.max_rate_hz is None else Pace(message.max_rate_hz)
        self.outbox.paced = self.outbox.paced or pace is not None
        if message.prefix is not None:
            return self._watch_prefix(message.id, message.prefix, message.transfers, pace)
        named = [self._name(wanted, message.transfers) for wanted in message.accounts]
        for each in named:
            each.asked_alone += 1
        return Watch(message.id, named, message.accounts, message.transfers, pace)

    def _watch(self, wanted: WantedTopic) -> AcknowledgedTopic:
        """A second subscribe to a topic takes the place of the first."""
        self._forget([wanted.topic])
        if self.principal is not None and not self.principal.is_of_the_system:  # its rows may be of anybody
            return AcknowledgedTopic(wanted.topic, None, "topic_not_found")
        subscription = TopicSubscription(self, self._board, wanted)
        told = self._board.watch(subscription)
        if told.code != "topic_not_found":
            self.topics[wanted.topic] = subscription
        return told

    def _forget(self, topics: Iterable[str]) -> None:
        for topic in topics:
            if (subscription := self.topics.pop(topic, None)) is not None:
                subscription.end()

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

    def _prefix_refused(self, prefix: str) -> tuple[str, str] | None:
        """Code and detail of why one more prefix is not watched."""
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
        subscription.grant(None, prefix.transfers, read, prefix.pace)
        return subscription

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
            subscription.grant(since, watch.transfers, subscription.account not in unread, watch.pace)
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
        if prefix is not None:
            for each in subscriptions:
                prefix.unread.pop(each, None)
            prefix.name(rows)
        elif still:
            self.outbox.answer(ack_frame(id, rows))

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

    def tell_status(self, live: bool) -> None:
        self.live = live
        self.outbox.answer(status_frame(live))

    def end(self) -> Unwatch:
        """The connection is gone. Commands that are under way stay so; those that wait are not sent."""
        for id in () if self.submits is None else self.submits.drop():
            self._goes_nowhere(id, "")
        self._forget(list(self.topics))
        prefixes, self.prefixes = tuple(self.prefixes.values()), {}
        for each in prefixes:
            each.open = False
        return Unwatch(self._close(list(self.by_number)), prefixes)

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
        return self._close(
            [
                each.number
                for account, each in self.by_account.items()
                if account.startswith(prefix.prefix)
                and not (each.alone or each.asked_alone or prefix.hidden or self._is_covered(account))
            ]
        )

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

    def _refuse(self, error: StreamError) -> Close | None:
        self._errors += 1
        self.outbox.answer(error_frame(error))
        return Close(CloseCode.TOO_MANY_ERRORS) if self._errors >= ERRORS_MAX else None


def _held(
    subscriptions: Iterable[Subscription],
    versions: Mapping[str, int],
    codes: Mapping[str, str],
    histories: Mapping[str, str],
) -> list[Acknowledged]:
    rows = []
    for each in subscriptions:
        name = each.account
        code = codes.get(name, "account_not_found")
        rows.append(Acknowledged(each.shown, each.number, versions.get(name), code, histories.get(name)))
    return rows
