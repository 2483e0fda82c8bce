"""The documents of the public API are valid, and say what the doors do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator, meta
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import TypeAdapter

from fanfold.api import body_checks
from fanfold.api.answers import members
from fanfold.api.asyncapi import stream_document
from fanfold.api.close_codes import MEANINGS, CloseCode
from fanfold.api.frames.asked import Submit
from fanfold.api.frames.kinds import CLIENT_FRAMES, GATEWAY_FRAMES
from fanfold.api.openapi import public_document, side_document
from fanfold.api.problems import PROBLEMS
from fanfold.api.routes import ROUTES
from gateway.protocol import lifetime, messages
from gateway.protocol.submits import Commands, answers_frame
from gateway.proxy.reverse_proxy import Refused, route
from read_side.contract.topics import TopicAnswer, no_such_topic
from write_side.contract.state.pending_columns import Action, Phase
from write_side.contract.state.phase_plan import OPEN_PHASES
from write_side.contract.words.codes import flag_words

PUBLIC = public_document()
STREAM = stream_document()
DOCUMENTS = {"public": PUBLIC, "write": side_document("write"), "read": side_document("read")}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_document_is_valid_openapi_3_1(name: str) -> None:
    OpenAPIV31SpecValidator(DOCUMENTS[name]).validate()
    assert DOCUMENTS[name]["openapi"].startswith("3.1.")


def test_every_public_route_is_described_and_leads_to_its_side() -> None:
    for each in ROUTES:
        described = PUBLIC["paths"].get(each.path, {}).get(each.method.lower())
        led = route(each.method, each.path)
        if each.public:
            assert described["operationId"] == each.operation
            assert led == each.side
        else:
            assert described is None
            assert led == Refused("not_found")


@pytest.mark.parametrize(
    ("documented", "known"),
    [
        (members.Phase, [phase.name.lower() for phase in Phase]),
        (members.OpenPhase, [phase.name.lower() for phase in OPEN_PHASES]),
        (members.Flag, flag_words(~0)),
        (members.Action, [action.name.lower() for action in Action]),
    ],
    ids=["phase", "open_phase", "flag", "action"],
)
def test_the_words_of_answers_are_those_that_the_log_knows(documented: Any, known: list[str]) -> None:
    assert sorted(TypeAdapter(documented).json_schema()["enum"]) == sorted(known)


def test_what_is_refused_is_described_for_every_operation() -> None:
    for path, operations in PUBLIC["paths"].items():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400 and path.startswith("/v1/") and path != "/v1/stream":
                    assert list(answer["content"]) == ["application/problem+json"], (path, status)


@pytest.mark.parametrize(
    ("path", "method", "example"),
    [
        pytest.param(each.path, each.method, example, id=f"{each.operation}-{number}")
        for each in ROUTES
        if each.asked and each.side == "write"
        for number, example in enumerate(
            example
            for kind in each.asked
            for example in PUBLIC["components"]["schemas"][f"{kind.__name__}Body"]["examples"]
        )
    ],
)
def test_every_example_is_taken_by_the_door_of_its_address(path: str, method: str, example: dict[str, Any]) -> None:
    asked: Any = next(each for each in ROUTES if (each.path, each.method) == (path, method)).asked
    id = "01970f3e-8c2b-7d4f-9b3c-2345678901bc"
    match path:
        case "/v1/transfers":
            read: Any = body_checks.transfer_body(example)[0]
        case "/v1/holds":
            read = body_checks.hold_body(example)[0]
        case "/v1/accounts/{account}" if method == "PUT":
            read = body_checks.open_body("alice", example)
        case _:
            read = body_checks.body_about(asked[0], "alice" if "account" in path else id, example)[0]
    assert type(read) in asked


@pytest.mark.parametrize(
    "name", ["Transfer", "LegsTransfer", "Open", "Hold", "HoldBetween", "Capture", "Void", "Reverse", "Change"]
)
def test_every_example_of_a_line_is_taken_and_fits_its_schema(name: str) -> None:
    schemas = PUBLIC["components"]["schemas"]
    word = {"Transfer": None, "LegsTransfer": None, "HoldBetween": "hold"}.get(name, name.lower())
    for example in schemas[name]["examples"]:
        line = example if word is None else {word: example}
        assert type(body_checks.batch_line(line)).__name__ == name
        assert _errors("BatchLine", line, PUBLIC) == []
        assert _errors("BatchLine", line | {"memo": "x"}, PUBLIC) != []


def _errors(schema: str, value: object, document: dict[str, Any]) -> list[str]:
    whole = {"$ref": f"#/components/schemas/{schema}", "components": document["components"]}
    return [error.message for error in Draft202012Validator(whole).iter_errors(value)]


def test_the_stream_is_described_with_every_frame_and_close_code() -> None:
    for kind in (*CLIENT_FRAMES, *GATEWAY_FRAMES):
        assert STREAM["components"]["messages"][kind.__name__]["payload"] == {
            "$ref": f"#/components/schemas/{kind.__name__}"
        }
        assert meta.is_valid(STREAM["components"]["schemas"][kind.__name__])
    assert all(f"\n- {int(code)}: " in STREAM["info"]["description"] for code in MEANINGS)
    said = {each["$ref"].rpartition("/")[2] for each in STREAM["operations"]["say"]["messages"]}
    assert said == {kind.__name__ for kind in CLIENT_FRAMES}


ROWS = b'[{"account":"alice","score":"900","share":0.5,"team":null}]'
TIME = "2026-01-01T00:00:00.000000Z"
ID = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
ITEM = messages.item(4, "USD/2", "900", "0", "900", "2026-01-01T00:00:00.000000Z", ["closed"])


@pytest.mark.parametrize(
    ("schema", "frame"),
    [
        (
            "Hello",
            lifetime.hello_frame("9f0c", TIME, 15_000, lifetime.Limits(1_000, 1_000, 100, 1_024, 8_192, 4_096), 5_000),
        ),
        ("Hello", lifetime.hello_frame("9f0c", TIME, 15_000, lifetime.Limits(100, 100, 10), None)),
        ("Heartbeat", lifetime.heartbeat_frame(TIME, {1: 4, 0: 17})),
        ("Heartbeat", lifetime.heartbeat_frame(TIME, {})),
        ("Bye", lifetime.bye_frame(CloseCode.RESTARTING, 3_120)),
        ("Ack", messages.ack_frame(1)),
        ("Ack", messages.ack_frame(1, [messages.acked("alice", 1, 4), messages.acked("bob", 2, None)])),
        ("BalancesFrame", messages.balances_frame([b'{"sub":1,"snapshot":true,"asset":"USD/2",' + ITEM.tail])),
        ("Ack", messages.topic_ack_frame(1, [messages.acked_topic("leaders", 4, None, "4f0c9d1e2b3a5867")])),
        ("Ack", messages.topic_ack_frame(1, [messages.acked_topic("nothing", None, "topic_not_found")])),
        ("TopicFrame", messages.topic_frame(TopicAnswer("leaders", "4f0c9d1e2b3a5867", 4, "0:7,1:2", ROWS))),
        ("TopicFrame", messages.topic_frame(TopicAnswer("leaders", "h", 5, "", None, "topic_too_large"))),
        ("TopicFrame", messages.topic_frame(no_such_topic("leaders"))),
        ("TransferFrame", messages.transfer_frame(1, bytes(range(16)), "crediting")),
        ("AnswersFrame", answers_frame(1, [b'{"status":201,"id":"%b"}' % ID.encode(), b'{"status":400}'])),
        ("ErrorFrame", messages.error_frame(messages.StreamError(1, "outcome_unknown", "It may be done.", [ID]))),
        ("TransfersMissed", messages.transfers_missed_frame(1)),
        ("Pong", messages.pong_frame(1)),
        ("Status", messages.status_frame(False)),
        ("ErrorFrame", messages.error_frame(messages.StreamError(None, "op_unknown", "op must be another"))),
    ],
)
def test_what_the_gateway_says_is_as_described(schema: str, frame: bytes) -> None:
    assert _errors(schema, json.loads(frame), STREAM) == []
    assert set(json.loads(frame)) <= set(STREAM["components"]["schemas"][schema]["properties"])


@pytest.mark.parametrize("kind", CLIENT_FRAMES)
def test_what_a_client_says_is_taken_as_described(kind: Any) -> None:
    for example in STREAM["components"]["schemas"][kind.__name__]["examples"]:
        assert _errors(kind.__name__, example, STREAM) == []
        assert isinstance(messages.decode(json.dumps(example)), Commands if kind is Submit else kind)


def test_every_problem_has_a_status_that_says_whose_matter_it_is() -> None:
    assert all(400 <= problem.status < 600 and problem.title and problem.detail for problem in PROBLEMS.values())
