"""Topics: of each the newest answer, encoded once for all, and who watches it. No I/O and no clock.

Nothing of an answer is kept for a client but which one it was sent last: what leaves is whatever is newest when it leaves. So a
client that reads slowly costs as much as one that does not, and misses answers, never the newest.
"""

from __future__ import annotations

from typing import NamedTuple

from fanfold.api.frames.acks import AckedTopic
from fanfold.api.frames.asked import WantedTopic
from gateway.protocol.messages import acked_topic, topic_frame
from gateway.protocol.subscription import Watcher
from read_side.contract.topics import GONE, NO_ANSWER, TopicAnswer


class Newest(NamedTuple):
    answer: TopicAnswer
    frame: bytes


class TopicSubscription:
    """One topic, watched by one client. history, sent: what the client has of it, as far as it is known."""

    __slots__ = ("_board", "history", "sent", "session", "topic")

    def __init__(self, session: Watcher, board: TopicBoard, wanted: WantedTopic) -> None:
        self.session = session
        self._board = board
        self.topic = wanted.topic
        self.history, self.sent = wanted.history, -1
        if wanted.history is not None and wanted.since is not None:
            self.sent = wanted.since

    def lacks(self, answer: TopicAnswer) -> bool:
        """Whether the client has something older than this, or something of another history."""
        told = answer.number != NO_ANSWER or answer.code == GONE
        return told and (answer.history != self.history or answer.number > self.sent)

    def encode_newest(self) -> bytes:
        """The frame to be sent now."""
        answer, frame = self._board.newest(self.topic)
        self.history, self.sent = answer.history, answer.number
        return frame

    def end(self) -> None:
        self.session.outbox.withdraw_topic(self)
        self._board.forget(self)


class TopicBoard:
    """One of a gateway. touched: the clients for which something waits."""

    def __init__(self, touched: dict[Watcher, None]) -> None:
        self.known = False
        """Whether which topics there are has been told at all: before, nobody can say that there is no such topic."""
        self._touched = touched
        self._newest: dict[str, Newest] = {}
        self._watched: dict[str, dict[TopicSubscription, None]] = {}

    def take(self, answer: TopicAnswer) -> None:
        """What was told of a topic. What is not newer, within a history, is passed over."""
        self.known = True
        if (before := self._newest.get(answer.topic)) is not None and not _is_newer(answer, before.answer):
            return
        if answer.code == GONE and answer.topic not in self._watched:
            self._newest.pop(answer.topic, None)
            return
        self._newest[answer.topic] = Newest(answer, topic_frame(answer))
        for subscription in self._watched.get(answer.topic, ()):
            self._put(subscription, answer)

    def watch(self, subscription: TopicSubscription) -> AckedTopic:
        """From now on. What is to be acknowledged; without such a topic nothing is watched."""
        newest = self._newest.get(subscription.topic)
        if newest is None or newest.answer.code == GONE:
            return acked_topic(subscription.topic, None, "topic_not_found")
        self._watched.setdefault(subscription.topic, {})[subscription] = None
        self._put(subscription, newest.answer)
        if newest.answer.number == NO_ANSWER:
            return acked_topic(subscription.topic, None, "topic_unavailable")
        return acked_topic(subscription.topic, newest.answer.number, None, newest.answer.history)

    def forget(self, subscription: TopicSubscription) -> None:
        watched = self._watched.get(subscription.topic, {})
        watched.pop(subscription, None)
        if not watched:
            self._watched.pop(subscription.topic, None)
            if (newest := self._newest.get(subscription.topic)) is not None and newest.answer.code == GONE:
                del self._newest[subscription.topic]

    def newest(self, topic: str) -> Newest:
        return self._newest[topic]

    @property
    def watched(self) -> int:
        """How many subscriptions there are."""
        return sum(map(len, self._watched.values()))

    def _put(self, subscription: TopicSubscription, answer: TopicAnswer) -> None:
        if subscription.lacks(answer):
            subscription.session.outbox.put_topic(subscription)
            self._touched[subscription.session] = None


def _is_newer(answer: TopicAnswer, than: TopicAnswer) -> bool:
    if answer.number == NO_ANSWER:  # which never replaces one that there is
        return answer.code != than.code and GONE in (answer.code, than.code)
    return answer.history != than.history or answer.number > than.number
