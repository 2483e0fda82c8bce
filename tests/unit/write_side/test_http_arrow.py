"""Batches as Arrow streams at the door: what reaches the intake, what comes back, and that no stream whatever is a failure."""

from __future__ import annotations

import uuid
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.write_side.http_edge import ID, OTHER_ID, TRANSFER, Edge, Reply
from write_side.ledger.commands.commands import Mode
from write_side.owner.outcomes import OutcomeUnknown

ARROW = "application/vnd.apache.arrow.stream"
GOOD: dict[str, Any] = {
    "id": pa.array([ID, OTHER_ID]),
    "from": pa.array(["@world", "alice"]),
    "to": pa.array(["alice", "bob"]),
    "amount": pa.array([1000, 5]),
    "asset": pa.array(["USD/2", "USD/2"]).dictionary_encode(),
}


def _stream(columns: dict[str, Any]) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table(columns)
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


async def _send(edge: Edge, body: bytes, query: str = "") -> Reply:
    return await edge.call(
        "POST", "/v1/transfers:batch", body, content_type=ARROW, query=query, headers={"Prefer": "wait=2"}
    )


async def test_stream_is_answered_with_a_stream_row_by_row() -> None:
    edge = Edge()
    reply = await _send(edge, _stream(GOOD), "mode=stop")
    assert (reply.status, reply.headers["content-type"]) == (200, ARROW)
    with pa.ipc.open_stream(reply.body) as reader:
        answered = reader.read_all().to_pydict()
    assert answered == {
        "status": [201, 201], "code": ["done", "done"], "position": ["0:1", "0:1"], "repeated": [False, False],
    }  # fmt: skip
    (batch,) = edge.intake.batches
    assert batch.ids.tobytes() == uuid.UUID(ID).bytes + uuid.UUID(OTHER_ID).bytes
    assert (edge.intake.modes, edge.intake.waits) == ([Mode.STOP], [2.0])


async def test_outcome_of_a_stream_may_be_unknown() -> None:
    edge = Edge()
    edge.intake.failure = OutcomeUnknown()
    reply = await _send(edge, _stream(GOOD))
    assert (reply.status, reply.code) == (503, "outcome_unknown")


@pytest.mark.parametrize(
    ("name", "column", "code"),
    [
        ("id", pa.array([ID, "marker7391"]), "id_malformed"),
        ("id", pa.array([uuid.UUID(int=0).bytes, uuid.UUID(ID).bytes], pa.binary(16)), "id_malformed"),
        ("from", pa.array(["alice", "@transit"]), "account_malformed"),
        ("from", pa.array(["alice", None]), "field_missing"),
        ("to", pa.array(["alice", "alice\n"]), "account_malformed"),
        ("to", pa.array(["alice", "alice"]), "same_account_twice"),
        ("amount", pa.array([1, 0]), "amount_malformed"),
        ("amount", pa.array([1, 10**18 + 1]), "amount_malformed"),
        ("asset", pa.array(["USD/2", "marker7391"]), "asset_malformed"),
        ("marker7391", pa.array([1, 2]), "field_unknown"),
    ],
)
async def test_bad_column_is_refused_by_its_name(name: str, column: Any, code: str) -> None:
    edge = Edge()
    reply = await _send(edge, _stream(GOOD | {name: column}))
    assert (400 <= reply.status < 500, reply.code) == (True, code)
    assert b"marker7391" not in reply.body
    assert edge.intake.batches == []


@pytest.mark.parametrize("column", [pa.array(["1", "2"]), pa.array([1.0, 2.0]), pa.array([True, True]), pa.nulls(2)])
async def test_amounts_of_another_type_are_refused(column: Any) -> None:
    edge = Edge()
    reply = await _send(edge, _stream(GOOD | {"amount": column}))
    assert reply.status == 400
    assert reply.code
    assert edge.intake.batches == []


async def test_arrow_is_for_batches_only() -> None:
    assert (await Edge().transfer(TRANSFER, content_type=ARROW)).status == 415


_VALUES = st.sampled_from(
    [
        ID,
        "@world",
        "alice",
        "bob",
        "USD/2",
        "",
        "\n",
        1,
        0,
        -1,
        2**63 - 1,
        1.5,
        None,
        True,
        b"x" * 16,
        b"\xff",
        [1],
        {"a": 1},
    ]
)
_TYPES = st.sampled_from(
    [pa.utf8(), pa.binary(), pa.binary(16), pa.int64(), pa.int32(), pa.float64(), pa.null(), pa.large_utf8()]
)


@st.composite
def _columns(draw: st.DrawFn) -> dict[str, Any]:
    """Good columns with some spoiled: other values, other types."""
    columns = dict(GOOD)
    for name in draw(st.lists(st.sampled_from([*GOOD, "other"]), max_size=3)):
        values = draw(st.lists(_VALUES, min_size=2, max_size=2))
        try:
            column = pa.array(values, draw(_TYPES | st.none()))
        except (pa.ArrowException, TypeError, OverflowError):
            continue
        columns[name] = column
        if draw(st.booleans()) and pa.types.is_string(column.type):
            columns[name] = column.dictionary_encode()
    for name in draw(st.lists(st.sampled_from([*GOOD]), max_size=1)):
        columns.pop(name, None)
    return columns


@settings(max_examples=300)
@given(
    columns=_columns(),
    cut=st.integers(0, 3_000),
    flip=st.none() | st.tuples(st.integers(0, 3_000), st.integers(1, 255)),
)
async def test_no_stream_is_a_failure_and_none_breaks_what_a_batch_promises(
    columns: dict[str, Any], cut: int, flip: tuple[int, int] | None
) -> None:
    whole = bytearray(_stream(columns))
    if flip is not None and flip[0] < len(whole):
        whole[flip[0]] ^= flip[1]
    for body in (bytes(whole), bytes(whole[:cut])):
        reply = await _send(Edge(), body)
        assert reply.status < 500
        if reply.status >= 400:
            assert reply.code
