"""Every answer that the log gave to a write names its position in its head."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from fanfold.api.answer_headers import POSITION_BYTES_MAX
from fanfold.api.problems import problem_document
from fanfold.api.routes import ARROW
from tests.unit.write_side.http_edge import DOORS, ID, TERMS, TRANSFER, Edge
from write_side.contract.tell.answers import Answer
from write_side.contract.words.position import PARTITIONS_MAX, format_positions, joined_positions, parse_positions
from write_side.doors.answer_headers import position_headers
from write_side.intake.outcome_columns import BatchOutcome
from write_side.ledger.commands.commands import Command
from write_side.owner.outcomes import OutcomeUnknown

NAME = "fanfold-position"
PENDING: dict[str, Any] = {
    "id": ID,
    "result": "pending",
    "protocol": "saga",
    "phase": "debiting",
    "position": "2:4",
    "at": "2026-01-01T00:00:00.000000Z",
}


class Answering(Edge):
    """An edge whose intake gives these answers."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__()

        async def submit(*_: Any, **__: Any) -> list[Answer]:
            return list(answers)

        self.intake.submit = submit  # type: ignore[method-assign]


@pytest.mark.parametrize(("method", "path", "body"), DOORS)
async def test_each_address_of_a_command_tells_it(method: str, path: str, body: dict[str, Any]) -> None:
    reply = await Edge().ask(method, path, body)
    assert reply.headers[NAME] == reply.document["position"]


@pytest.mark.parametrize(
    ("status", "document", "told"),
    [
        (201, {"id": ID, "result": "done", "position": "0:17,3:9"}, "0:17,3:9"),
        (202, PENDING, "2:4"),
        (422, problem_document("insufficient_available", id=ID, position="1:5"), "1:5"),
        (422, problem_document("id_reused_with_other_content", id=ID), None),
    ],
)
async def test_refusals_and_what_is_under_way_tell_it_too(
    status: int, document: dict[str, object], told: str | None
) -> None:
    reply = await Answering(Answer(status, document)).transfer()
    assert (reply.status, reply.headers.get(NAME)) == (status, told)


async def test_what_wrote_nothing_tells_none() -> None:
    edge = Edge()
    assert (await edge.open()).headers[NAME] == "0:1"
    assert NAME not in (await edge.transfer(TRANSFER | {"dry_run": True})).headers
    assert NAME not in (await edge.transfer(TRANSFER | {"amount": "x"})).headers
    edge.intake.failure = OutcomeUnknown()
    assert NAME not in (await edge.transfer()).headers
    assert NAME not in (await edge.open(TERMS)).headers


@pytest.mark.parametrize(
    "first",
    [
        Answer(201, {"id": ID, "result": "done", "position": "0:17"}),
        Answer(202, PENDING),
        Answer(422, problem_document("insufficient_available", id=ID, position="1:5")),
    ],
)
async def test_what_is_told_to_an_id_that_ran_before_says_so_in_head_and_document(first: Answer) -> None:
    reply = await Answering(first.again()).transfer()
    assert (reply.status, reply.document) == (first.status, first.document | {"repeated": True})
    assert reply.headers["idempotency-replayed"] == "true"
    assert reply.headers[NAME] == first.document["position"]
    assert "idempotency-replayed" not in (await Answering(first).transfer()).headers
    dry = Answering()

    async def told_again(command: Command) -> Answer:
        return Answer(first.status, first.document | {"dry_run": True}).again()

    dry.intake.dry_run = told_again  # type: ignore[method-assign]
    asked = await dry.transfer(TRANSFER | {"dry_run": True})
    assert (asked.headers["idempotency-replayed"], asked.headers.get(NAME)) == ("true", None)
    line, _ = (await Answering(first.again(), first).batch(TRANSFER, TRANSFER)).lines
    assert line == {"status": first.status} | first.document | {"repeated": True}


async def test_a_batch_tells_the_newest_of_each_partition() -> None:
    positions = ["0:17", "3:9", "0:18", "0:2,3:11", None, "1:0"]
    done: dict[str, object] = {"result": "done"}
    answers = [Answer(201, {**done, "position": p} if p else done) for p in positions]
    reply = await Answering(*answers).batch(*[TRANSFER] * len(positions))
    assert reply.headers[NAME] == "0:18,1:0,3:11"
    assert NAME not in (await Edge().batch(b"{")).headers, "no line was asked"


async def test_a_batch_of_columns_tells_it_too() -> None:
    edge = Edge()

    async def submit(*_: Any) -> BatchOutcome:
        column = np.array(["0:17", "3:9", "", "0:16"], object)
        return BatchOutcome(np.full(4, 201, np.uint16), np.full(4, "done", object), column, np.zeros(4, np.bool_))

    edge.intake.submit_batch = submit  # type: ignore[method-assign, assignment]
    columns = {"id": pa.array([bytes([n]) * 16 for n in range(1, 5)], pa.binary(16)), "from": ["@world"] * 4}
    table = pa.table(columns | {"to": ["alice"] * 4, "amount": [1] * 4, "asset": ["USD/2"] * 4})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    reply = await edge.call("POST", "/v1/transfers:batch", sink.getvalue(), content_type=ARROW)
    assert (reply.status, reply.headers[NAME]) == (200, "0:17,3:9")


def test_positions_of_every_partition_fit_into_lines_that_a_client_of_http_takes() -> None:
    positions = {p: 10**17 + p for p in range(PARTITIONS_MAX)}
    lines = [value for _, value in position_headers(format_positions(positions))]
    assert max(map(len, lines)) <= POSITION_BYTES_MAX
    assert parse_positions(b",".join(lines).decode()) == positions


@pytest.mark.parametrize(
    ("tokens", "joined"),
    [([], ""), (["", ""], ""), (["0:5"], "0:5"), (["0:5", "0:5", ""], "0:5"), (["1:2", "0:5", "1:3"], "0:5,1:3")],
)
def test_several_tokens_are_one_that_reaches_as_far(tokens: list[str], joined: str) -> None:
    assert joined_positions(tokens) == joined
