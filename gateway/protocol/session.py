"""One client's stream: text in, wishes and frames out. No sockets, no clock. `subscription.py` has the table of states.

    subscribe --> Watch (wish) --> acknowledge, or refuse (no state could be read: nothing of that request is subscribed)
                                     `--> acknowledge_read, of accounts that could not be read before

`Subscription.newest` only rises, so a client never sees an older version after a newer one, whatever order state arrives in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from fanfold.api.close_codes import CloseCode
from fanfold.api.frames.acks import AckedTopic
from fanfold.api.frames.asked import Auth, Ping, Subscribe, Unsubscribe, WantedTopic
from fanfold.api.requests import BATCH_LINES_MAX
from gateway.identity.grants import Principal, Right
from gateway.protocol.messages import (
    Message,
    NotUnicode,
    StreamError,
    ack_frame,
    acked_topic,
    decode,
    error_frame,
    pong_frame,
    topic_ack_frame,
)
from gateway.protocol.pace import Pace
from gateway.protocol.prefixes.prefix_subscription import PrefixSubscription, PrefixWatchers
from gateway.protocol.prefixes.prefixes_of_client import ClientPrefixes
from gateway.protocol.submit_runs import submit_run
from gateway.protocol.submits import (
    Commands,
    Failed,
    Request,
    Submits,
    Told,
    answers_frame,
    answers_frames,
    commands_of,
    transfer_ids,
)
from gateway.protocol.topics import TopicBoard, TopicSubscription
from gateway.protocol.wishes import Close, SignIn, Unwatch, Watch, Whose, Wish

SUBSCRIBES_AT_ONCE_MAX = 32
"""Subscribes of one client that wait for their state: each costs a read, however few accounts it names."""

WAITS_ALREADY: Final = (
    "As many commands of this connection or gateway wait as may: nothing was done, and no money moved by this. "
    "Submit them again with the same ids when others are answered."
)

ERRORS_MAX = 16
"""Refused messages before the connection ends: a client with a bug must not keep the gateway busy for ever."""


JUDGED: Final = (Auth, Subscribe, Unsubscribe, Ping, Commands, StreamError)
"""What it is known of what somebody may say; anything else is refused where it is asked who is there."""


class Session(ClientPrefixes):
    """One client, from handshake to close."""

    __slots__ = (
        "_board",
        "refused_submit",
        "submits",
        "topics",
    )

    def __init__(
        self,
        subscriptions_max: int,
        board: TopicBoard | None = None,
        submits: Submits | None = None,
        hide: Callable[[str], str] | None = None,
        prefix_watchers: PrefixWatchers = "all",
    ) -> None:
        """submits: None where no commands are taken. hide: a name that no account has, to be watched in the place of one that
        may not be read; None where nobody is asked who is there."""
        super().__init__(subscriptions_max, hide, prefix_watchers)
        self.submits = submits
        self.refused_submit: Callable[[int, str], None] | None = None
        """Told of each submit that goes nowhere, with the code that is told; "" where nobody is there to be told."""
        self.topics: dict[str, TopicSubscription] = {}
        self._board = TopicBoard({}) if board is None else board

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

    def receive_submits(self, messages: Sequence[bytes]) -> bool:
        """Whether these client messages were submits of one command each, which wait now. If not nothing was done, and each is to
        be received by itself."""
        if self.submits is None or not self.may_hear:
            return False
        run = submit_run(messages)
        return run is not None and self.submits.add_run(run)

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
        frames = answers_frames(request, told)
        self.outbox.answer_all(self._answers_each(request, told) if frames is None else frames)
        self.submits.done()
        self.outbox.held = False

    @staticmethod
    def _answers_each(request: Request, told: Sequence[Told]) -> Iterator[bytes]:
        for at, (id, each) in enumerate(zip(request.ids, told, strict=True)):
            if isinstance(each, Failed):
                ids = transfer_ids(request.commands_of(at)) if each.may_be_done else None
                yield error_frame(StreamError(id, each.code, each.detail, ids))
            else:
                yield answers_frame(id, each)

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

    def _watch(self, wanted: WantedTopic) -> AckedTopic:
        """A second subscribe to a topic takes the place of the first."""
        self._forget([wanted.topic])
        if self.principal is not None and not self.principal.is_of_the_system:  # its rows may be of anybody
            return acked_topic(wanted.topic, None, "topic_not_found")
        subscription = TopicSubscription(self, self._board, wanted)
        told = self._board.watch(subscription)
        if told.code != "topic_not_found":
            self.topics[wanted.topic] = subscription
        return told

    def _forget(self, topics: Iterable[str]) -> None:
        for topic in topics:
            if (subscription := self.topics.pop(topic, None)) is not None:
                subscription.end()

    def end(self) -> Unwatch:
        """The connection is gone. Commands that are under way stay so; those that wait are not sent."""
        for id in () if self.submits is None else self.submits.drop():
            self._goes_nowhere(id, "")
        self._forget(list(self.topics))
        prefixes, self.prefixes = tuple(self.prefixes.values()), {}
        for each in prefixes:
            each.open = False
        return Unwatch(self._close(list(self.by_number)), prefixes)

    def _refuse(self, error: StreamError) -> Close | None:
        self._errors += 1
        self.outbox.answer(error_frame(error))
        return Close(CloseCode.TOO_MANY_ERRORS) if self._errors >= ERRORS_MAX else None
