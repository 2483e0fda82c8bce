"""Batches of every kind of command, and what a refused line means for the others in each mode."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from fanfold.api.malformed import Malformed
from tests.unit.write_side.http_edge import FREEZE, HOLD, ID, LEGS_TRANSFER, ONLY_ID, OTHER_ID, TRANSFER, Edge
from write_side.contract.words.codes import Flag
from write_side.ledger.commands.commands import (
    Capture,
    Change,
    Hold,
    LegsTransfer,
    Mode,
    OpenAccount,
    Reverse,
    Transfer,
    Void,
)

RAW = uuid.UUID(ID).bytes
OTHER = uuid.UUID(OTHER_ID).bytes
OPEN = {"open": {"account": "alice", "asset": "USD/2"}}
UNREADABLE = b"{"


@pytest.fixture
def edge() -> Edge:
    return Edge()


async def test_a_line_may_be_any_command(edge: Edge) -> None:
    reply = await edge.batch(
        OPEN,
        TRANSFER,
        LEGS_TRANSFER,
        {"hold": HOLD},
        {"capture": ONLY_ID | {"hold": OTHER_ID, "final": True}},
        {"void": ONLY_ID | {"hold": OTHER_ID}},
        {"reverse": ONLY_ID | {"transfer": OTHER_ID}},
        {"change": FREEZE | {"account": "alice"}},
    )
    assert [line["status"] for line in reply.lines] == [201, 201, 201, 201, 201, 201, 201, 200]
    kinds = [type(command) for command in edge.intake.commands]
    assert kinds == [OpenAccount, Transfer, LegsTransfer, Hold, Capture, Void, Reverse, Change]
    assert edge.intake.commands[4:] == [
        Capture(RAW, OTHER, final=True),
        Void(RAW, OTHER),
        Reverse(RAW, OTHER),
        Change(RAW, "alice", Flag.DEBIT_FROZEN, Flag(0)),
    ]


@pytest.mark.parametrize(
    ("line", "code", "field"),
    [
        (TRANSFER | {"dry_run": True}, "field_unknown", "dry_run"),
        ({"hold": HOLD | {"dry_run": False}}, "field_unknown", "dry_run"),
        ({"open": {"account": "alice", "asset": "USD/2", "dry_run": True}}, "field_unknown", "dry_run"),
        ({"hold": "x"}, "body_malformed", "hold"),
        ({"capture": ONLY_ID}, "field_missing", "hold"),
        ({"void": {"hold": OTHER_ID}}, "field_missing", "id"),
        ({"void": ONLY_ID | {"hold": 7}}, "id_malformed", "hold"),
        ({"reverse": ONLY_ID | {"transfer": ""}}, "id_malformed", "transfer"),
        ({"change": FREEZE}, "field_missing", "account"),
        ({"change": FREEZE | {"account": "@world"}}, "account_malformed", "account"),
        ({"hold": HOLD, "void": ONLY_ID}, "field_unknown", "body"),
        ({"hold": HOLD, "id": ID}, "field_unknown", "body"),
        ({"expire": ONLY_ID}, "field_unknown", "body"),
    ],
)
async def test_a_line_that_is_no_command_is_refused_by_itself(
    edge: Edge, line: dict[str, Any], code: str, field: str
) -> None:
    reply = await edge.batch(line, TRANSFER)
    assert [line["status"] for line in reply.lines] == [400, 201]
    assert (reply.lines[0]["code"], reply.lines[0]["field"]) == (code, field)


@pytest.mark.parametrize(
    ("query", "mode"),
    [("", Mode.CONTINUE), ("mode=continue", Mode.CONTINUE), ("mode=stop", Mode.STOP), ("mode=atomic", Mode.ATOMIC)],
)
async def test_mode_reaches_the_intake(edge: Edge, query: str, mode: Mode) -> None:
    assert (await edge.batch(TRANSFER, query=query)).status == 200
    assert edge.intake.modes == [mode]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("mode=", "mode_malformed"),
        ("mode=Atomic", "mode_malformed"),
        ("mode=marker7391", "mode_malformed"),
        ("mode=stop&mode=stop", "mode_malformed"),
        ("mode=%ff", "mode_malformed"),
        ("marker7391", "parameter_malformed"),
        ("mode=stop&marker7391=1", "parameter_malformed"),
    ],
)
async def test_unknown_mode_or_parameter_refuses_the_request(edge: Edge, query: str, code: str) -> None:
    reply = await edge.batch(TRANSFER, query=query)
    assert (reply.status, reply.code) == (400, code)
    assert b"marker7391" not in reply.body
    assert edge.intake.submissions == []


async def test_lines_behind_an_unreadable_one_are_not_run_when_it_stops(edge: Edge) -> None:
    second = TRANSFER | {"id": OTHER_ID}
    reply = await edge.batch(TRANSFER, UNREADABLE, second, OPEN, {"void": {}}, query="mode=stop")
    assert [line["status"] for line in reply.lines] == [201, 400, 422, 422, 400]
    assert [line.get("code") for line in reply.lines[1:]] == [
        "body_malformed", "not_run", "not_run", "field_missing",
    ]  # fmt: skip
    assert reply.lines[2]["id"] == OTHER_ID
    assert reply.lines[3]["account"] == "alice"
    assert edge.intake.commands == [Transfer(RAW, "@world", "alice", 1000, "USD/2")]


async def test_nothing_of_an_atomic_batch_runs_beside_an_unreadable_line(edge: Edge) -> None:
    reply = await edge.batch(TRANSFER, UNREADABLE, TRANSFER | {"id": OTHER_ID}, query="mode=atomic")
    assert [line["status"] for line in reply.lines] == [422, 400, 422]
    assert [line["code"] for line in reply.lines] == ["batch_refused", "body_malformed", "batch_refused"]
    assert edge.intake.submissions == []


@pytest.mark.parametrize("code", ["batch_spans_partitions", "batch_kind_unsupported"])
async def test_atomic_batch_that_cannot_be_one_is_refused_whole(edge: Edge, code: str) -> None:
    edge.intake.failure = Malformed(code, "body", "must be something else")
    reply = await edge.batch(TRANSFER, query="mode=atomic")
    assert (reply.status, reply.code) == (422, code)
