"""Submits that are read together are what they are one by one, whatever clients write."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fanfold.api.ids import new_id
from fanfold.api.requests import BATCH_LINES_MAX
from gateway.protocol.session import Session
from gateway.protocol.submit_runs import submit_run
from gateway.protocol.submits import Commands, Failed, Request, SubmitBudget, Submits, answers_frame, commands_of


def transfer(**more: Any) -> dict[str, Any]:
    return {"id": new_id(), "from": "alice", "to": "bob", "amount": "1", "asset": "USD/2"} | more


def submit(id: int, *commands: Any) -> bytes:
    return json.dumps({"op": "submit", "id": id, "commands": commands}).encode()


def session_of(bytes_max: int = 10_000, room: int = 1_000_000) -> Session:
    return Session(10, submits=Submits(bytes_max, SubmitBudget(room)))


def one_by_one(messages: list[bytes]) -> list[Commands | None]:
    return [commands_of(each.decode("utf-8", "surrogateescape")) for each in messages]


pieces = st.sampled_from(
    ['{"op":"submit","id":1,"commands":[', "{", "}", '"', "a", ":", "1", ",", "[", "]", '{"a":"b"}', '{"a":"b', "\n", "\r", " ",
     "\\", "]}", '{"op": "submit", "id": 2, "commands": [{"x": "1"}]}', "é", "\x00", '{"a":1,"a":2}', "{a}"]
)  # fmt: skip
messages = st.lists(st.lists(pieces, max_size=8).map("".join).map(str.encode), min_size=1, max_size=4)


@given(messages)
@example([submit(1, {"a": "b}"}), submit(2, {"a": "{"})])
@example([b'{"op":"submit","id":1,"commands":[{"a":"b}]}', b'{"op":"submit","id":2,"commands":[{","x":"y"}]}'])
def test_what_is_read_together_is_what_it_is_alone(several: list[bytes]) -> None:
    run = submit_run(several)
    if run is not None:
        alone = one_by_one(several)
        assert [(each.id, [bytes(c) for c in each.commands]) for each in alone if each is not None] == [
            (id, [command]) for id, command in zip(run.ids, run.commands, strict=True)
        ]


@pytest.mark.parametrize("write", [lambda text: text, lambda text: text.replace(b": ", b":").replace(b", ", b",")])
def test_what_programs_write_is_read_together(write: Any) -> None:
    several = [write(submit(n, transfer())) for n in range(40)]
    run = submit_run(several)
    assert run is not None
    assert run.ids == list(range(40))
    assert [json.loads(each) for each in run.commands] == [json.loads(each)["commands"][0] for each in several]


@pytest.mark.parametrize(
    "other",
    [
        submit(1),
        submit(1, transfer(), transfer()),
        submit(1, transfer(metadata={"a": "b"})),
        submit(1, {"void": {"id": new_id(), "hold": new_id()}}),
        submit(2**53, transfer()),
        b'{"op":"ping","id":1}',
        b'{"op":"submit","id":1,"commands":[{"a":"\xff"}]}',
        b'{"op":"submit","id":1,"commands":[{"a":1}],"id":2}',
        b'{"op":"submit","id":1,"commands":[{"a":01}]}',
        b"",
    ],
)
def test_anything_else_is_left_to_be_read_one_by_one(other: bytes) -> None:
    assert submit_run([submit(0, transfer()), other, submit(2, transfer())]) is None


def test_all_of_a_run_wait_in_order_and_give_their_bytes_back() -> None:
    session = session_of()
    assert session.receive_submits([submit(n, transfer(amount=str(n))) for n in range(5)])
    assert session.submits is not None
    used = session.submits._budget.used
    assert used >= 5 * len(json.dumps(transfer()))
    request = session.take_request()
    assert request is not None
    assert request.ids == list(range(5))
    assert [json.loads(line)["amount"] for line in request.lines.split(b"\n")] == list("01234")
    session.answer_request(request, [(b"%d" % n,) for n in range(5)])
    assert [json.loads(each)["answers"] for each in session.outbox.take()[0]] == [[n] for n in range(5)]
    assert session.submits._budget.used == 0


@pytest.mark.parametrize("session", [session_of(bytes_max=300), session_of(room=300), Session(10)])
def test_where_there_is_no_room_for_all_nothing_of_them_is_taken(session: Session) -> None:
    several = [submit(n, transfer()) for n in range(9)]
    assert not session.receive_submits(several)
    assert session.take_request() is None
    for each in several:  # and one by one as many as there is room for
        session.receive(each.decode())
    frames = [json.loads(each) for each in session.outbox.take()[0]]
    assert {each["code"] for each in frames} <= {"overloaded", "op_unknown"}
    assert frames


def test_no_more_commands_wait_than_a_batch_has_lines() -> None:
    session = session_of(bytes_max=10**8, room=10**8)
    several = [submit(n, {"a": "1"}) for n in range(BATCH_LINES_MAX - 1)]
    assert session.receive_submits(several)
    assert not session.receive_submits(several[:2])
    assert session.receive_submits(several[:1])


def test_nobody_who_is_not_known_yet_is_heard() -> None:
    session = Session(10, submits=Submits(10_000, SubmitBudget(10_000)), hide=lambda name: name)
    assert not session.receive_submits([submit(1, transfer()), submit(2, transfer())])
    assert session.take_request() is None


def test_of_a_request_of_which_a_submit_failed_each_is_told_what_became_of_it() -> None:
    session = session_of()
    assert session.receive_submits([submit(1, transfer()), submit(2, transfer())])
    request = session.take_request()
    assert isinstance(request, Request)
    session.answer_request(request, [(b"1",), Failed("overloaded", "not taken")])
    answered, failed = session.outbox.take()[0]
    assert answered == answers_frame(1, (b"1",))
    assert (json.loads(failed)["id"], json.loads(failed)["code"]) == (2, "overloaded")
