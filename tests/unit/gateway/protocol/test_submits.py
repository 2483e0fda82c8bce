"""Commands of one client: gathered in order, answered in order, and nothing that they cause comes before their answers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanfold.api.requests import BATCH_LINES_MAX
from gateway.identity.grants import Principal
from gateway.protocol.messages import StreamError, decode, item
from gateway.protocol.session import ERRORS_MAX, Session
from gateway.protocol.submits import REQUEST_COMMANDS_MAX, Commands, Failed, Request, SubmitBudget, Submits, commands_of
from gateway.protocol.subscription import Subscription
from gateway.protocol.wishes import Close, Watch

ID = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
TRANSFER = {"id": ID, "from": "alice", "to": "bob", "amount": "1", "asset": "USD/2"}


def session_of(bytes_max: int = 10_000, budget: SubmitBudget | None = None) -> Session:
    return Session(10, None, Submits(bytes_max, budget or SubmitBudget(1_000_000)))


def submit(session: Session, id: int, *commands: Any) -> Any:
    return session.receive(json.dumps({"op": "submit", "id": id, "commands": commands}))


def sent(session: Session) -> list[dict[str, Any]]:
    frames, _ = session.outbox.take()
    return [json.loads(frame) for frame in frames]


def taken(session: Session) -> Request:
    request = session.take_request()
    assert request is not None
    return request


def lines_of(request: Request) -> list[Any]:
    return [json.loads(line) for line in request.lines.split(b"\n")]


def watching(session: Session, account: str) -> Subscription:
    watch = session.receive(json.dumps({"op": "subscribe", "id": 0, "accounts": [{"account": account}]}))
    assert isinstance(watch, Watch)
    [subscription] = watch.subscriptions
    subscription.offer(item(0, "USD/2", "0", "0", "0", "2026-01-01T00:00:00.000000Z"))
    session.acknowledge(watch, {account: 0})
    subscription.release()
    session.outbox.take()
    return subscription


# As they are written.

SAME = [
    '{"op":"submit","id":7,"commands":[{"a":1},{"b":[2]}]}',
    ' {"op" : "submit" , "id":7, "commands" : [ {"a":1} , {"b":[2]}\n] } \n',
    '{"id":7,"op":"submit","commands":[{"a":1},{"b":[2]}]}',
    '{"commands":[{"a":1},{"b":[2]}],"id":7,"op":"submit"}',
    '{"op":"submit","id":7,"comm\\u0061nds":[{"a":1},{"b":[2]}]}',
]


@pytest.mark.parametrize("text", SAME)
def test_a_submit_is_the_same_however_it_is_written(text: str) -> None:
    found = commands_of(text) or decode(text)
    assert isinstance(found, Commands)
    assert (found.id, [json.loads(bytes(each)) for each in found.commands]) == (7, [{"a": 1}, {"b": [2]}])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('{"op":"submit","id":7}', "field_missing"),
        ('{"op":"submit","commands":[{}]}', "field_missing"),
        ('{"op":"submit","id":7,"commands":{}}', "body_malformed"),
        ('{"op":"submit","id":7,"commands":[{}],"mode":"stop"}', "field_unknown"),
        ('{"op":"submit","id":7,"commands":[{}],"commands":[{}]}', "body_malformed"),
        ('{"op":"submit","id":7,"id":8,"commands":[{}]}', "body_malformed"),
        ('{"op":"submit","id":7,"commands":[{}]', "body_malformed"),
        ('{"op":"submit","id":7,"commands":[{},]}', "body_malformed"),
        ('{"op":"submit","id":7,"commands":[NaN]}', "body_malformed"),
        ('{"op":"submit","id":7,"commands":[{"a":"\n"}]}', "body_malformed"),
        ('{"op":"submit","id":7,"commands":[{"a":"\\ud800"}]}', "body_malformed"),
        ('{"op":"submit","id":9007199254740992,"commands":[{}]}', "body_malformed"),
        ('{"op":"submit","id":01,"commands":[{}]}', "body_malformed"),
        ('{"op":"submit","id":7,"commands":[' + "[" * 5_000 + "]" * 5_000 + "]}", "body_malformed"),
        ('{"op":"ping","id":7,"id":7}', "body_malformed"),
        ('[["op","submit"],["id",7],["id",8]]', "body_malformed"),
    ],
)
def test_what_is_no_submit_is_refused_and_nothing_of_it_passed_on(text: str, code: str) -> None:
    assert commands_of(text) is None
    found = decode(text)
    assert isinstance(found, StreamError)
    assert found.code == code


def test_a_field_that_is_in_one_command_twice_is_that_commands_matter() -> None:
    session = session_of()
    session.receive('{"op":"submit","id":1,"commands":[{"a":1,"a":2},{"b":1}]}')
    session.receive('{"id":2,"op":"submit","commands":[{"a":1,"a":2},{"b":1}]}')
    assert taken(session).lines == b'{"a":1,"a":2}\n{"b":1}\n{"a":1,"a":2}\n{"b":1}'


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(JSON, min_size=1, max_size=5), st.integers(0, 2**53 - 1), st.booleans(), st.booleans())
def test_each_command_is_one_line_and_says_what_the_client_wrote(
    commands: list[Any], id: int, indented: bool, sorted_: bool
) -> None:
    message = {"op": "submit", "id": id, "commands": commands}
    session = session_of(bytes_max=1_000_000)
    session.receive(json.dumps(message, indent=1 if indented else None, sort_keys=sorted_, ensure_ascii=not sorted_))
    if sent(session):  # half a surrogate pair, which no UTF-8 can hold
        assert "\\ud" in json.dumps(commands)
        return
    request = taken(session)
    assert lines_of(request) == commands
    assert (request.ids, request.counts) == ([id], [len(commands)])
    assert request.size >= len(request.lines)


@given(st.text() | st.lists(st.sampled_from('{}[]",:\\ \n0a'), max_size=30).map("".join))
def test_no_text_makes_a_submit_of_what_json_does_not(text: str) -> None:
    whole = f'{{"op":"submit","id":1,"commands":[{text}]}}'
    found = commands_of(whole)
    if found is not None:
        assert [json.loads(bytes(each)) for each in found.commands] == json.loads(whole)["commands"]
        assert not any(b"\n" in bytes(each) for each in found.commands)


# Gathering.


def test_what_comes_while_something_is_under_way_goes_together_in_order() -> None:
    session = session_of()
    submit(session, 1, {"n": 1})
    first = taken(session)
    submit(session, 2, {"n": 2}, {"n": 3})
    submit(session, 3, {"n": 4})
    assert session.take_request() is None
    session.answer_request(first, first.shares([b'{"status":201}']))
    second = taken(session)
    assert lines_of(second) == [{"n": 2}, {"n": 3}, {"n": 4}]
    session.answer_request(second, second.shares([b'{"s":2}', b'{"s":3}', b'{"s":4}']))
    assert sent(session) == [
        {"op": "answers", "id": 1, "answers": [{"status": 201}]},
        {"op": "answers", "id": 2, "answers": [{"s": 2}, {"s": 3}]},
        {"op": "answers", "id": 3, "answers": [{"s": 4}]},
    ]
    assert session.take_request() is None


@pytest.mark.parametrize("count", [0, BATCH_LINES_MAX + 1, 10_001])
def test_a_submit_has_as_many_commands_as_a_batch_has_lines(count: int) -> None:
    session = session_of()
    submit(session, 5, *[{}] * count)
    [error] = sent(session)
    assert (error["op"], error["id"], error["code"]) == ("error", 5, "body_malformed")
    assert session.take_request() is None


def test_more_than_may_wait_is_told_to_be_overloaded_and_says_that_nothing_was_done() -> None:
    session = session_of(bytes_max=100)
    submit(session, 1, {"n": "x" * 500})  # the first that waits is taken, however large
    submit(session, 2, {"n": 2})
    [error] = sent(session)
    assert (error["id"], error["code"], "ids" in error) == (2, "overloaded", False)
    assert "nothing was done" in error["detail"]
    assert lines_of(taken(session)) == [{"n": "x" * 500}]
    submit(session, 3, {"n": 3})
    submit(session, 4, {"n": 4})
    assert sent(session) == []


def test_as_many_commands_wait_as_a_batch_has_lines() -> None:
    session = session_of(bytes_max=1_000_000)
    submit(session, 1, *[{}] * BATCH_LINES_MAX)
    submit(session, 2, {})
    assert [error["code"] for error in sent(session)] == ["overloaded"]
    assert len(taken(session).commands) == BATCH_LINES_MAX, "those of one submit stay together"


@given(st.lists(st.sampled_from([1, 2, 500, 1_023, 1_024, 1_025, 2_000]), min_size=1, max_size=6))
def test_what_waits_goes_in_requests_of_a_bounded_size_in_order_and_gives_its_bytes_back(counts: list[int]) -> None:
    budget = SubmitBudget(10_000_000)
    session = session_of(bytes_max=1_000_000, budget=budget)
    kept = [id for id, count in enumerate(counts) if submit(session, id, *[{"n": id}] * count) or not sent(session)]
    told: list[int] = []
    while (request := session.take_request()) is not None:
        assert len(request.commands) <= REQUEST_COMMANDS_MAX or len(request.ids) == 1
        assert [line["n"] for line in lines_of(request)] == [
            id for id, count in zip(request.ids, request.counts, strict=True) for _ in range(count)
        ]
        told += request.ids
        session.answer_request(request, request.shares([b"{}"] * len(request.commands)))
    assert told == kept
    assert [frame["id"] for frame in sent(session)] == kept
    assert budget.used == 0


def test_a_client_that_is_too_fast_is_not_ended_for_it() -> None:
    session = session_of(bytes_max=10)
    submit(session, 0, {"n": "x" * 500})
    assert [submit(session, n, {}) for n in range(1, 3 * ERRORS_MAX)] == [None] * (3 * ERRORS_MAX - 1)
    assert all(isinstance(submit(session, n), Close | None) for n in range(ERRORS_MAX - 1))
    assert isinstance(submit(session, 99), Close), "what is wrong in itself is counted as ever"


def test_all_clients_together_have_one_budget_and_give_it_back() -> None:
    budget = SubmitBudget(100)
    one, other = session_of(budget=budget), session_of(budget=budget)
    submit(one, 1, {"n": "x" * 70})
    submit(other, 1, {"n": "x" * 70})
    assert [error["code"] for error in sent(other)] == ["overloaded"]
    request = taken(one)
    submit(other, 2, {"n": "x" * 70})
    assert [error["code"] for error in sent(other)] == ["overloaded"]
    one.answer_request(request, request.shares([b"{}"]))
    assert budget.used == 0
    submit(other, 3, {"n": "x" * 70})
    assert sent(other) == []
    other.end()
    assert budget.used == 0


def test_one_principal_never_fills_the_room_of_all_and_whoever_comes_finds_some() -> None:
    budget = SubmitBudget(10_000, share_percent=50)

    def filled_by(name: str) -> int:
        """What fits, over as many streams as one likes."""
        before = budget.used
        for _ in range(50):
            session = session_of(bytes_max=200, budget=budget)
            session.admit(Principal(name, ()), None)
            submit(session, 1, {"n": "x" * 90})
        return budget.used - before

    shares = [filled_by(name) for name in ("alice", "bob", "carol", "dave")]
    assert 4_800 <= shares[0] <= 5_000
    assert all(later >= budget.most // 2 ** (n + 1) - 100 for n, later in enumerate(shares))
    assert filled_by("alice") == 0


def test_the_share_of_a_principal_is_free_again_however_its_streams_end() -> None:
    budget = SubmitBudget(1_000, share_percent=1)
    for ends in ("answered", "left", "left while under way"):
        session = session_of(budget=budget)
        session.admit(Principal("alice", ()), None)
        submit(session, 1, {"n": "x" * 500})
        assert sent(session) == [], "one of each has room where it is free, however small the share is"
        submit(session, 2, {})
        assert [error["code"] for error in sent(session)] == ["overloaded"]
        request = taken(session) if ends != "left" else None
        if ends != "answered":
            session.end()
        if request is not None:
            session.answer_request(request, request.shares([b"{}"]))
        assert budget.used == 0


def test_where_no_commands_are_taken_it_is_said() -> None:
    session = Session(10)
    submit(session, 1, {})
    assert [error["code"] for error in sent(session)] == ["op_unknown"]


# What fails.


def test_a_submit_that_may_have_been_done_names_the_ids_to_ask_with() -> None:
    session = session_of()
    held = ID.replace("1", "2")
    submit(session, 1, TRANSFER, {"hold": {"id": held}}, {"open": {"account": "alice"}}, {"id": "no id"}, 7)
    submit(session, 2, TRANSFER)
    submit(session, 3, TRANSFER)
    submit(session, 4, {"open": {"account": "alice"}})
    request = taken(session)
    not_done, unknown = Failed("stopping", "nothing was done"), Failed("outcome_unknown", "ask", may_be_done=True)
    session.answer_request(request, [unknown, not_done, [b'{"status":201}'], unknown])
    first, second, third, opening = sent(session)
    assert (opening["id"], opening["ids"]) == (4, []), "an opening has no id, and may have been done"
    assert (first["op"], first["id"], first["code"], first["ids"]) == ("error", 1, "outcome_unknown", [ID, held])
    assert (second["id"], second["code"], "ids" in second) == (2, "stopping", False)
    assert third == {"op": "answers", "id": 3, "answers": [{"status": 201}]}


def test_what_waits_is_not_sent_for_a_client_that_is_gone_and_what_is_under_way_is_forgotten_when_it_ends() -> None:
    budget = SubmitBudget(1_000)
    session = session_of(budget=budget)
    submit(session, 1, {})
    request = taken(session)
    submit(session, 2, {})
    session.end()
    assert session.take_request() is None
    session.answer_request(request, request.shares([b"{}"]))
    assert session.take_request() is None
    assert budget.used == 0


# What they cause.


def test_a_balance_that_waited_before_the_request_left_goes_at_once_and_a_later_one_behind_the_answers() -> None:
    session = session_of()
    alice = watching(session, "alice")
    submit(session, 1, {})
    alice.offer(item(1, "USD/2", "1", "0", "1", "2026-01-01T00:00:00.000000Z"))
    assert [frame["op"] for frame in sent(session)] == ["balances"]
    request = taken(session)
    for version in range(2, 9):
        alice.offer(item(version, "USD/2", "1", "0", "1", "2026-01-01T00:00:00.000000Z"))
    assert not session.outbox
    session.receive('{"op":"ping","id":5}')
    assert [frame["op"] for frame in sent(session)] == ["pong"], "others go on"
    session.answer_request(request, request.shares([b"{}"]))
    answers, balances = sent(session)
    assert answers["op"] == "answers"
    assert [row["v"] for row in balances["items"]] == [8], "the newest wins"


STEPS = st.lists(st.sampled_from(["submit", "pass on", "run", "answer", "fail", "flush", "ping"]), max_size=60)


@settings(max_examples=300)
@given(STEPS)
def test_a_push_never_comes_before_the_answer_of_what_caused_it(steps: list[str]) -> None:
    """The write side runs each command at some moment between its request and its answer; that makes a version of alice."""
    session = session_of(bytes_max=60)
    alice = watching(session, "alice")
    version = submitted = 0
    request: Request | None = None
    left = 0
    """Commands of the request that have not run yet."""
    cause: dict[int, int] = {0: 0}
    """Of each version the submit that made it."""
    told: list[int] = []
    newest = 0

    def run() -> None:
        nonlocal version, left
        assert request is not None
        version += 1
        cause[version] = request.ids[len(request.ids) - left]
        left -= 1
        alice.offer(item(version, "USD/2", "1", "0", "1", "2026-01-01T00:00:00.000000Z"))

    def hear() -> None:
        nonlocal newest
        for frame in sent(session):
            if frame["op"] == "balances":
                [row] = frame["items"]
                assert row["v"] > newest
                newest = row["v"]
                assert cause[newest] <= max(told, default=0), "a balance before the answer of what made it"
            elif frame["op"] == "answers" or frame.get("code") == "outcome_unknown":
                told.append(frame["id"])

    for step in [*steps, "answer", "flush", "pass on", "answer", "flush"]:
        match step:
            case "submit":
                submitted += 1
                submit(session, submitted, {})
            case "pass on":
                hear()  # what has to leave leaves before
                if (following := session.take_request()) is not None:
                    assert left == 0
                    request, left = following, len(following.ids)
            case "run" if left:
                run()
            case "answer" | "fail" if request is not None:
                while left:
                    run()
                failed = Failed("outcome_unknown", "ask", may_be_done=True)
                answers = [failed] * len(request.ids) if step == "fail" else request.shares([b"{}"] * len(request.ids))
                session.answer_request(request, answers)
                request = None
            case "flush":
                hear()
            case "ping":
                session.receive('{"op":"ping","id":1}')
    assert told == sorted(told)
    assert newest == version
    assert len(told) == len(set(told))
