"""The id of an event: what its client has, told and taken back."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanfold.api.frames.asked import Subscribe, Wanted, WantedTopic
from fanfold.api.frames.members import NUMBER_MAX
from gateway.protocol.messages import item
from gateway.protocol.resume import Question
from gateway.protocol.session import Session
from gateway.protocol.topics import TopicBoard
from gateway.protocol.wishes import Watch
from read_side.contract.topics import TopicAnswer

ACCOUNTS = ("alice", "bob", "carol")
VERSIONS = st.lists(st.none() | st.integers(0, NUMBER_MAX), min_size=3, max_size=3)
HISTORIES = st.lists(st.none() | st.sampled_from(["a", "b" * 64]), min_size=3, max_size=3)


def client(question: Question, versions: list[int | None]) -> Session:
    """One that was sent these versions of the accounts."""
    session = Session(100)
    wish = session.ask(Subscribe(1, [Wanted(name) for name in question.accounts]))
    assert isinstance(wish, Watch)
    found = {name: version for name, version in zip(question.accounts, versions, strict=True) if version is not None}
    session.acknowledge(wish, found)
    for subscription in wish.subscriptions:
        subscription.found()
        if subscription.account in found:
            subscription.offer(item(found[subscription.account], "USD/2", "1", "0", "1", "2026-01-01T00:00:00.000000Z"))
        subscription.release()
    session.outbox.take()
    return session


@given(VERSIONS, HISTORIES)
def test_who_comes_back_has_what_was_sent_of_each_history_that_is_known(
    versions: list[int | None], histories: list[str | None]
) -> None:
    question = Question(ACCOUNTS, ())
    accounts, topics = question.resumed(question.id_of(client(question, versions), histories))
    assert topics == []
    assert accounts == [
        Wanted(name) if version is None or history is None else Wanted(name, version, history)
        for name, version, history in zip(ACCOUNTS, versions, histories, strict=True)
    ]


def test_what_waits_unsent_is_not_said_to_be_had() -> None:
    question = Question(("alice",), ())
    session = client(question, [4])
    [subscription] = session.by_number.values()
    subscription.offer(item(5, "USD/2", "1", "0", "1", "2026-01-01T00:00:00.000000Z"))
    assert question.resumed(question.id_of(session, ["h"]))[0] == [Wanted("alice", 4, "h")]


def test_what_a_client_came_with_and_was_sent_nothing_newer_of_it_still_has() -> None:
    question = Question(("alice",), ())
    session = Session(100)
    wish = session.ask(Subscribe(1, [Wanted("alice", 7, "h")]))
    assert isinstance(wish, Watch)
    session.acknowledge(wish, {"alice": 7}, histories={"alice": "h"})
    assert question.resumed(question.id_of(session, ["h"]))[0] == [Wanted("alice", 7, "h")]


def test_topics_are_resumed_by_number_and_history() -> None:
    board = TopicBoard({})
    board.take(TopicAnswer("leaderboard", "h", 12, "0:1", b"[]"))
    question = Question((), ("leaderboard", "others"))
    session = Session(100, board)
    session.ask(Subscribe(1, topics=[WantedTopic("leaderboard"), WantedTopic("others")]))
    assert question.resumed(question.id_of(session, []))[1] == [WantedTopic("leaderboard"), WantedTopic("others")]
    session.outbox.take()
    last = question.id_of(session, [])
    assert question.resumed(last)[1] == [WantedTopic("leaderboard", 12, "h"), WantedTopic("others")]


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(value)).decode()


OF = Question(("alice",), ())._of


@pytest.mark.parametrize(
    "last",
    [
        "",
        "12",
        "é",
        "\x00",
        "=" * 9,
        encoded([OF, [], [[1, 0]], []]),
        encoded([OF, ["h"], [[1, -1]], []]),
        encoded([OF, ["h"], [[-1, 0]], []]),
        encoded([OF, ["h"], [[2**53, 0]], []]),
        encoded([OF, [""], [[1, 0]], []]),
        encoded([OF, ["h" * 65], [[1, 0]], []]),
        encoded([OF, ["h"], [], []]),
        encoded([OF, ["h"], [[1, 0], [1, 0]], []]),
        encoded([OF, ["h"], [[1, 0]], [[1, 0]]]),
        encoded([OF + 1, ["h"], [[1, 0]], []]),
        encoded([OF, ["h"], [[1, 0]], [], 1]),
        encoded([[[[]]]] * 1000),
    ],
)
def test_of_a_word_that_means_nothing_nothing_counts(last: str) -> None:
    assert Question(("alice",), ()).resumed(last) == ([Wanted("alice")], [])


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode()))
def test_no_word_does_harm(data: bytes) -> None:
    accounts, topics = Question(ACCOUNTS, ("a",)).resumed(data.decode("latin-1"))
    assert [each.account for each in accounts] == [*ACCOUNTS]
    assert [each.topic for each in topics] == ["a"]


def test_an_id_is_of_its_question_alone() -> None:
    question = Question(("alice", "bob"), ())
    last = question.id_of(client(question, [4, 5]), ["h", "h"])
    assert Question(("bob", "alice"), ()).resumed(last)[0] == [Wanted("bob"), Wanted("alice")]
    assert Question(("alice",), ("bob",)).resumed(last) == ([Wanted("alice")], [WantedTopic("bob")])
