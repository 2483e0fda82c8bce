"""A topic is told whole, newest only, its numbers rising within a history, however slowly a client reads."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol.session import Session
from gateway.protocol.topics import TopicBoard
from gateway.protocol.wishes import Close, Watch
from read_side.contract.topics import TopicAnswer, no_such_topic, without_answer


def answer(number: int, history: str = "h1", topic: str = "leaders") -> TopicAnswer:
    rows = json.dumps([{"account": "alice", "score": str(number)}]).encode()
    return TopicAnswer(topic, history, number, f"0:{number}", rows)


class Client:
    """One stream and what it has been sent."""

    def __init__(self, *told: TopicAnswer) -> None:
        self.touched: dict[Any, None] = {}
        self.board = TopicBoard(self.touched)
        for each in told:
            self.board.take(each)
        self.session = Session(10, self.board)

    def say(self, **message: Any) -> list[dict[str, Any]]:
        assert self.session.receive(json.dumps(message)) is None
        return self.sent()

    def subscribe(self, *topics: Any) -> list[dict[str, Any]]:
        return self.say(op="subscribe", id=1, topics=list(topics))

    def sent(self) -> list[dict[str, Any]]:
        frames, _ = self.session.outbox.take()
        return [json.loads(frame) for frame in frames]

    def told(self, each: TopicAnswer) -> list[dict[str, Any]]:
        self.board.take(each)
        return self.sent()


def test_a_subscribe_is_acknowledged_and_then_told_the_answer_that_there_is() -> None:
    client = Client(answer(7))
    ack, frame = client.subscribe("leaders")
    assert ack == {"op": "ack", "id": 1, "topics": [{"topic": "leaders", "number": 7, "history": "h1"}]}
    assert frame == {
        "op": "topic", "topic": "leaders", "number": 7, "history": "h1", "positions": "0:7",
        "rows": [{"account": "alice", "score": "7"}],
    }  # fmt: skip
    assert client.sent() == []


def test_nothing_is_sent_while_nothing_changes_and_one_frame_for_all_that_changed() -> None:
    client = Client(answer(1))
    client.subscribe("leaders")
    assert client.told(answer(1)) == []
    for number in range(2, 50):
        client.board.take(answer(number))
    assert [frame["number"] for frame in client.sent()] == [49]
    assert client.session in client.touched


def test_a_topic_that_is_none_any_more_is_told_once_and_is_found_by_nobody_until_it_comes_back() -> None:
    client = Client(answer(5))
    client.subscribe("leaders")
    [gone] = client.told(no_such_topic("leaders"))
    assert (gone["rows"], gone["code"]) == (None, "topic_not_found")
    assert client.told(no_such_topic("leaders")) == []
    other = Client(answer(5), no_such_topic("leaders"))
    assert [row["code"] for row in other.subscribe("leaders")[0]["topics"]] == ["topic_not_found"]
    assert client.told(without_answer("leaders")) == []
    assert [frame["number"] for frame in client.told(answer(5))] == [5], "what it showed is gone"
    client.told(no_such_topic("leaders"))
    client.say(op="unsubscribe", id=2, topics=["leaders"])
    assert client.board._newest == {}


def test_what_is_not_newer_within_a_history_is_passed_over() -> None:
    client = Client(answer(5))
    client.subscribe("leaders")
    assert client.told(answer(4)) == []
    assert client.told(without_answer("leaders")) == []
    assert [frame["number"] for frame in client.told(answer(6))] == [6]


def test_a_client_that_comes_back_is_told_nothing_that_it_has() -> None:
    client = Client(answer(5))
    [ack] = client.subscribe({"topic": "leaders", "since": 5, "history": "h1"})
    assert ack["topics"] == [{"topic": "leaders", "number": 5, "history": "h1"}]
    assert [frame["number"] for frame in client.told(answer(6))] == [6]


@pytest.mark.parametrize("has", [{"since": 5}, {"since": 5, "history": "h0"}, {"since": 4, "history": "h1"}, {}])
def test_a_number_of_another_history_or_of_none_counts_for_nothing(has: dict[str, Any]) -> None:
    _, frame = Client(answer(5)).subscribe({"topic": "leaders"} | has)
    assert frame["number"] == 5


def test_rows_that_were_made_again_are_told_whatever_their_number() -> None:
    client = Client(answer(5))
    client.subscribe("leaders")
    [frame] = client.told(answer(1, "h2"))
    assert (frame["number"], frame["history"]) == (1, "h2")
    assert client.told(answer(1, "h2")) == []


def test_a_topic_without_an_answer_is_watched_and_one_that_is_not_there_is_not() -> None:
    client = Client(without_answer("leaders"))
    [ack] = client.subscribe("leaders", "others")
    assert ack["topics"] == [
        {"topic": "leaders", "number": None, "code": "topic_unavailable"},
        {"topic": "others", "number": None, "code": "topic_not_found"},
    ]
    assert [*client.session.topics] == ["leaders"]
    assert client.told(answer(1, topic="others")) == []
    assert [frame["number"] for frame in client.told(answer(1))] == [1]


def test_before_anything_is_known_a_subscribe_is_refused_for_now() -> None:
    client = Client()
    [refused] = client.subscribe("leaders")
    assert (refused["op"], refused["code"]) == ("error", "not_ready")


def test_an_answer_that_is_too_large_is_told_as_a_code_and_the_next_one_that_is_not_as_rows() -> None:
    client = Client(answer(1))
    client.subscribe("leaders")
    [frame] = client.told(TopicAnswer("leaders", "h1", 2, "0:2", None, "topic_too_large"))
    assert (frame["number"], frame["rows"], frame["code"]) == (2, None, "topic_too_large")
    assert "code" not in client.told(answer(3))[0]


def test_unsubscribing_twice_equals_once_and_nothing_is_told_after_it() -> None:
    client = Client(answer(1))
    client.subscribe("leaders")
    client.board.take(answer(2))
    for number in (2, 3):
        [ack] = client.say(op="unsubscribe", id=number, topics=["leaders", "never"])
        assert ack == {"op": "ack", "id": number}
    assert client.told(answer(3)) == []
    assert client.board.watched == 0


def test_who_is_gone_leaves_nothing_behind() -> None:
    client = Client(answer(1))
    client.subscribe("leaders")
    client.session.end()
    assert client.told(answer(2)) == []
    assert client.board.watched == 0


def test_subscribing_again_tells_the_answer_again_once() -> None:
    client = Client(answer(1))
    client.subscribe("leaders")
    _, frame = client.subscribe("leaders")
    assert frame["number"] == 1
    assert len(client.told(answer(2))) == client.board.watched == 1


def test_topics_beside_accounts_are_acknowledged_at_once_and_accounts_when_they_are_read() -> None:
    client = Client(answer(1))
    asked = {"op": "subscribe", "id": 3, "accounts": [{"account": "alice"}], "topics": ["leaders"]}
    watch = client.session.receive(json.dumps(asked))
    assert isinstance(watch, Watch)
    assert [frame["op"] for frame in client.sent()] == ["ack", "topic"]
    client.session.refuse(watch, "upstream_unavailable", "away")
    assert client.sent()[0]["code"] == "upstream_unavailable"
    assert [frame["number"] for frame in client.told(answer(2))] == [2]


@pytest.mark.parametrize("op", ["subscribe", "unsubscribe"])
def test_a_message_that_names_nothing_is_refused(op: str) -> None:
    [refused] = Client(answer(1)).say(op=op, id=4)
    assert (refused["id"], refused["code"]) == (4, "field_missing")


def test_refusals_of_topics_end_a_client_with_a_bug_as_others_do() -> None:
    client = Client()
    for _ in range(15):
        client.subscribe("leaders")
    assert isinstance(client.session.receive('{"op":"subscribe","id":1,"topics":["leaders"]}'), Close)


Steps = st.lists(st.sampled_from(["change", "again", "made_again", "read", "resume", "twice", "leave"]), max_size=60)


@given(Steps)
def test_however_slowly_a_client_reads_numbers_rise_and_the_newest_is_what_it_has_in_the_end(steps: list[str]) -> None:
    """A model of one topic and one client that reads when it likes, goes away with what it has, and comes back."""
    newest, generation = answer(1, "h0"), 0
    client, has = Client(newest), None
    client.session.receive('{"op":"subscribe","id":1,"topics":["leaders"]}')

    def read() -> None:
        nonlocal has
        frames = [frame for frame in client.sent() if frame["op"] == "topic"]
        assert len(frames) <= 1, "one frame a flush"
        for frame in frames:
            told = frame["history"], frame["number"]
            if has is not None and told[0] == has[0]:
                assert told[1] > has[1], "numbers rise within a history, and nothing is told twice"
            assert told == (newest.history, newest.number), "the newest wins"
            has = told

    for step in steps:
        match step:
            case "change":
                newest = answer(newest.number + 1, newest.history)
                client.board.take(newest)
            case "again":
                client.board.take(newest)
            case "made_again":
                generation += 1
                newest = answer(1, f"h{generation}")
                client.board.take(newest)
            case "read":
                read()
            case "twice":
                client.board.take(answer(max(newest.number - 1, 1), newest.history))
            case "resume" | "leave":
                if step == "leave":
                    client.session.end()
                    assert client.board.watched == 0
                    client.session = Session(10, client.board)
                since = {} if has is None else {"history": has[0], "since": has[1]}
                asked = {"op": "subscribe", "id": 2, "topics": [{"topic": "leaders"} | since]}
                client.session.receive(json.dumps(asked))
        assert client.board.watched == 1
    read()
    assert has == (newest.history, newest.number)
    read()
