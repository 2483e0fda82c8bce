"""The documents say all there is: a sentence on every field, every code that an address may answer, none beside the table."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from fanfold.api.answers.members import RESULTS
from fanfold.api.asyncapi import stream_document
from fanfold.api.frames.answered import ErrorFrame
from fanfold.api.frames.kinds import GATEWAY_FRAMES
from fanfold.api.openapi import PROBES, public_document, side_document
from fanfold.api.problems import PROBLEMS
from fanfold.api.routes import (
    BATCH,
    CAPTURE,
    CHANGE_ACCOUNT,
    HOLD,
    OPEN_ACCOUNT,
    REVERSE,
    ROUTES,
    STREAM_REFUSED,
    TRANSFER,
    VOID,
    Route,
)
from write_side.contract.tell.answers import RESULTS as RESULTS_TOLD
from write_side.contract.words.codes import PRECEDENCE, REFUSALS, Code, Kind

ROOT = Path(__file__).parents[2]
SIDES = ("fanfold", "write_side", "read_side", "gateway", "deploy")
DOCUMENTS = {
    "public": public_document(),
    "read": side_document("read"),
    "write": side_document("write"),
    "stream": stream_document(),
}
PUBLIC = DOCUMENTS["public"]
SCHEMAS = [(name, schema) for name, made in DOCUMENTS.items() for schema in made["components"]["schemas"]]


def _is_described(schema: dict[str, Any], document: dict[str, Any]) -> bool:
    if "$ref" in schema and "description" not in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return bool(schema.get("description"))


@pytest.mark.parametrize(("document", "schema"), SCHEMAS)
def test_every_field_of_every_schema_has_a_sentence(document: str, schema: str) -> None:
    found = DOCUMENTS[document]["components"]["schemas"][schema]
    assert found.get("description"), schema
    fields = found.get("properties", {}).items()
    assert [name for name, field in fields if not _is_described(field, DOCUMENTS[document])] == []


@pytest.mark.parametrize("name", ["public", "read", "write"])
def test_every_parameter_has_a_sentence(name: str) -> None:
    for path, operations in DOCUMENTS[name]["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                described = "description" in parameter or _is_described(parameter["schema"], DOCUMENTS[name])
                assert described, (path, parameter["name"])


def test_every_body_has_an_example() -> None:
    for route in ROUTES:
        for kind in route.asked if route.public else ():
            assert PUBLIC["components"]["schemas"][f"{kind.__name__}Body"]["examples"], route.operation


ANSWERED = {
    answered.model.__name__
    for route in (*ROUTES, *PROBES)
    for answered in route.answered.values()
    if isinstance(answered.model, type)
} | {"Problem"}
FRAMES = {each.__name__ for each in GATEWAY_FRAMES}


@pytest.mark.parametrize("name", sorted(ANSWERED | FRAMES))
def test_every_answer_and_frame_has_an_example_that_fits_it(name: str) -> None:
    document = next(made for made in DOCUMENTS.values() if name in made["components"]["schemas"])
    whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    examples = document["components"]["schemas"][name]["examples"]
    assert examples
    assert [error.message for each in examples for error in Draft202012Validator(whole).iter_errors(each)] == []


def _told_codes(responses: dict[str, Any]) -> dict[str, str]:
    """Every code with the status that it stands under."""
    return {
        word: status
        for status, answer in responses.items()
        if int(status) >= 400
        for word in answer["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"]
    }


@pytest.mark.parametrize(
    "route", [route for route in (*ROUTES, *PROBES) if route.public], ids=lambda route: route.operation
)
def test_every_code_that_a_route_may_answer_stands_in_its_responses_with_its_title(route: Route) -> None:
    responses = PUBLIC["paths"][route.path][route.method.lower()]["responses"]
    assert _told_codes(responses) == {word: str(PROBLEMS[word].status) for word in route.codes}
    for word in route.codes:
        assert f"`{word}`: {PROBLEMS[word].title}" in responses[str(PROBLEMS[word].status)]["description"]


def test_what_a_handshake_may_be_refused_with_is_told() -> None:
    responses = PUBLIC["paths"]["/v1/stream"]["get"]["responses"]
    assert _told_codes(responses) == {word: str(PROBLEMS[word].status) for word in STREAM_REFUSED}


def test_a_line_of_a_batch_may_be_refused_as_the_single_command_and_the_document_says_so() -> None:
    description = PUBLIC["paths"][BATCH.path]["post"]["description"]
    assert all(f"`{word}`: {PROBLEMS[word].title}" in description for word in BATCH.of_lines)
    for kind in (TRANSFER, HOLD, CAPTURE, VOID, REVERSE, CHANGE_ACCOUNT, OPEN_ACCOUNT):
        assert {*kind.refused} <= {*BATCH.of_lines}


def test_the_table_of_problems_is_told_whole() -> None:
    schema = PUBLIC["components"]["schemas"]["ProblemCode"]
    assert schema["enum"] == list(PROBLEMS)
    for word, problem in PROBLEMS.items():
        assert f"`{word}` ({problem.status}): {problem.title}. {problem.detail}" in schema["description"]


OF_BATCHES = {Code.PARTITIONS_DIFFER, Code.BATCH_REFUSED, Code.NOT_RUN}
BY_KIND = {
    Kind.OPEN: OPEN_ACCOUNT,
    Kind.TRANSFER: TRANSFER,
    Kind.HOLD: HOLD,
    Kind.CAPTURE: CAPTURE,
    Kind.VOID: VOID,
    Kind.REVERSE: REVERSE,
    Kind.CHANGE: CHANGE_ACCOUNT,
}


@pytest.mark.parametrize("kind", BY_KIND)
def test_what_the_log_refuses_a_command_with_its_route_may_answer(kind: Kind) -> None:
    decided = {REFUSALS[code] for code in PRECEDENCE[kind] if code in REFUSALS and code not in OF_BATCHES}
    ended = {"timed_out"} if Code.PENDING in PRECEDENCE[kind] else set()
    assert {*BY_KIND[kind].refused} == decided | ended
    assert {REFUSALS[code] for code in OF_BATCHES} <= {*BATCH.of_lines}


def test_every_code_of_the_table_is_answered_by_something() -> None:
    answered = {word for route in (*ROUTES, *PROBES) for word in (*route.codes, *route.of_lines)} | {*STREAM_REFUSED}
    framed = {
        "op_unknown",
        "prefix_refused",
        "too_many_subscriptions",
        "topic_not_found",
        "topic_unavailable",
        "topic_too_large",
    }
    at_the_gateway = {"not_found", "method_not_allowed"}
    assert set(PROBLEMS) == answered | framed | at_the_gateway
    assert ErrorFrame.__annotations__["code"] == "ProblemCode"


MAKERS = {
    "problem",
    "problem_document",
    "Malformed",
    "Refusal",
    "StreamError",
    "Says",
    "PydanticCustomError",
    "refused_with",
    "_refused",
}
"""Calls whose texts, as far as they are words, are codes: the first of them."""


def _codes_in(source: Path) -> Iterator[str]:
    tree = ast.parse(source.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) in MAKERS:
            texts = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
            yield from texts[:1]
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Constant):
            continue
        if isinstance(node.value.value, str) and any(getattr(target, "id", "") == "word" for target in node.targets):
            yield node.value.value


def test_every_code_that_is_used_anywhere_stands_in_the_one_table() -> None:
    for side in SIDES:
        for source in (ROOT / side).rglob("*.py"):
            assert {*_codes_in(source)} <= {*PROBLEMS}, source


def test_only_the_table_makes_problem_documents() -> None:
    made = [
        source.relative_to(ROOT).as_posix()
        for side in SIDES
        for source in (ROOT / side).rglob("*.py")
        if "urn:fanfold:problem" in source.read_text()
    ]
    assert sorted(made) == ["fanfold/api/answers/problem.py", "fanfold/api/problems.py"]


def test_every_word_for_what_was_done_is_one_that_answers_may_have() -> None:
    assert {*RESULTS_TOLD.values()} == {*RESULTS}
