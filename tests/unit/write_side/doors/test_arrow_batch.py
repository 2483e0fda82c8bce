"""Plain transfers as an Arrow stream: what is read, what is refused with which row, and how little a small body can take."""

from __future__ import annotations

import random
import uuid
from dataclasses import MISSING, fields
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanfold.api.malformed import Malformed
from fanfold.api.requests import BATCH_LINES_MAX as ROWS_MAX
from fanfold.api.requests import Transfer as Asked
from tests.unit.write_side.deciding import NOON_US, id_at
from tests.unit.write_side.ledger.any_commands import TRANSFER, commands_of
from write_side.contract.words.atoms import LIMIT
from write_side.doors.arrow_batch import decode_arrow
from write_side.intake.outcome_columns import BatchOutcome
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Transfer

TRANSFERS = st.lists(TRANSFER, min_size=1, max_size=8)
TEXT_TYPES = (
    pa.utf8(),
    pa.large_utf8(),
    pa.dictionary(pa.int8(), pa.utf8()),
    pa.dictionary(pa.int64(), pa.large_utf8()),
)


def stream(*tables: pa.Table, compression: str | None = None) -> bytes:
    """One stream, a batch a table."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(sink, tables[0].schema, options=options) as writer:
        for table in tables:
            writer.write_table(table)
    return bytes(sink.getvalue())


UTF8 = pa.utf8()


def table_of(transfers: list[Transfer], text: pa.DataType = UTF8, id_as_text: bool = False) -> pa.Table:
    ids: Any = [transfer.id for transfer in transfers]
    return pa.table(
        {
            "id": pa.array([str(uuid.UUID(bytes=each)) for each in ids], pa.utf8()).cast(text)
            if id_as_text
            else pa.array(ids, pa.binary(16)),
            "from": pa.array([transfer.debit for transfer in transfers]).cast(text),
            "to": pa.array([transfer.credit for transfer in transfers]).cast(text),
            "amount": pa.array([transfer.amount for transfer in transfers], pa.int64()),
            "asset": pa.array([transfer.asset for transfer in transfers]).cast(text),
        }
    )


@settings(max_examples=80)
@given(TRANSFERS, st.sampled_from(TEXT_TYPES), st.booleans())
def test_a_stream_is_read_as_its_transfers(transfers: list[Transfer], text: pa.DataType, id_as_text: bool) -> None:
    batch = decode_arrow(stream(table_of(transfers, text, id_as_text)))
    assert commands_of(batch) == transfers
    assert commands_of(CommandBatch.decode(batch.encode())) == transfers
    assert batch.chain.tolist() == [0] * len(transfers)
    assert batch.details is None
    assert batch.amount.flags.writeable
    assert batch.ids.flags.writeable


@settings(max_examples=40)
@given(st.lists(TRANSFERS, min_size=1, max_size=4), st.sampled_from(TEXT_TYPES))
def test_batches_of_one_stream_are_read_in_order(groups: list[list[Transfer]], text: pa.DataType) -> None:
    tables = [table_of(group, text) for group in groups]
    assert commands_of(decode_arrow(stream(*tables))) == [transfer for group in groups for transfer in group]


def test_columns_may_stand_in_any_order_and_ids_in_capitals() -> None:
    columns = good(id=pa.array([str(uuid.UUID(bytes=each.id)).upper() for each in GOOD]))
    assert commands_of(decode_arrow(stream(columns.select(["asset", "to", "amount", "id", "from"])))) == GOOD


GOOD = [
    Transfer(id_at(NOON_US, 1), "@world", "alice", 5, "USD/2"),
    Transfer(id_at(NOON_US, 2), "alice", "bob", LIMIT, "USD/2"),
    Transfer(id_at(NOON_US, 3), "alice", "carl", 1, "EUR/2"),
]


def good(**columns: Any) -> pa.Table:
    """The good transfers with other columns; None takes one away."""
    table = table_of(GOOD)
    held = dict(zip(table.column_names, table.columns, strict=True))
    return pa.table({name: column for name, column in (held | columns).items() if column is not None})


def words(*values: str | None) -> pa.Array:
    return pa.array(values, pa.utf8())


def behind_dictionary(*values: str | None) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(range(len(values)), pa.int32()), words(*values))


def ids(*values: bytes | None) -> pa.Array:
    return pa.array(values, pa.binary(16))


A_UUID = str(uuid.UUID(bytes=id_at(NOON_US, 1)))
BAD_ROWS: dict[str, tuple[pa.Table, str, int]] = {
    "a nil id": (good(id=ids(GOOD[0].id, bytes(16), GOOD[2].id)), "id_malformed", 1),
    "the largest id": (good(id=ids(GOOD[0].id, GOOD[1].id, b"\xff" * 16)), "id_malformed", 2),
    "an id without hyphens": (good(id=words(A_UUID, A_UUID.replace("-", ""), A_UUID)), "id_malformed", 1),
    "an id with a line end": (good(id=words(A_UUID, A_UUID, A_UUID + "\n")), "id_malformed", 2),
    "a nil id as text": (good(id=words(A_UUID, str(uuid.UUID(int=0)), A_UUID)), "id_malformed", 1),
    "no id": (good(id=ids(GOOD[0].id, None, GOOD[2].id)), "field_missing", 1),
    "an empty account": (good(**{"from": words("a", "", "b")}), "account_malformed", 1),
    "a long account": (good(**{"from": words("a", "a" * 65, "b")}), "account_malformed", 1),
    "a letter of two bytes": (good(**{"from": words("a", "a", "\u00e4")}), "account_malformed", 2),
    "money in transit": (good(to=words("@transit", "b", "c")), "account_malformed", 0),
    "an account with a line end": (good(to=words("b", "b\n", "c")), "account_malformed", 1),
    "no account": (good(to=words("b", "c", None)), "field_missing", 2),
    "no account behind a dictionary": (good(to=behind_dictionary("b", None, "c")), "field_missing", 1),
    "a long account behind a dictionary": (good(to=behind_dictionary("b", "c", "d" * 65)), "account_malformed", 2),
    "to itself": (good(to=words("b", "alice", "alice")), "same_account_twice", 1),
    "the world to itself": (good(to=words("@world", "b", "c")), "same_account_twice", 0),
    "an amount of nothing": (good(amount=pa.array([1, 1, 0])), "amount_malformed", 2),
    "a negative amount": (good(amount=pa.array([1, -1, 0])), "amount_malformed", 1),
    "an amount beyond the limit": (good(amount=pa.array([LIMIT, LIMIT + 1, 1])), "amount_malformed", 1),
    "an amount below all": (good(amount=pa.array([-(2**63), 1, 1])), "amount_malformed", 0),
    "no amount": (good(amount=pa.array([1, None, 1])), "field_missing", 1),
    "an asset in small letters": (good(asset=words("USD/2", "usd/2", "USD/2")), "asset_malformed", 1),
    "an asset without exponent": (good(asset=words("USD/2", "USD/2", "USD")), "asset_malformed", 2),
    "no asset": (good(asset=words(None, "USD/2", "USD/2")), "field_missing", 0),
}


@pytest.mark.parametrize("name", BAD_ROWS)
def test_the_first_bad_row_is_named(name: str) -> None:
    table, code, row = BAD_ROWS[name]
    with pytest.raises(Malformed) as refusal:
        decode_arrow(stream(table))
    assert refusal.value.code == code
    assert refusal.value.detail.endswith(f"in row {row}")


def test_a_row_is_counted_over_all_batches_of_the_stream() -> None:
    with pytest.raises(Malformed, match="in row 4"):
        decode_arrow(stream(good(), good(amount=pa.array([1, 0, 1]))))


def test_no_message_repeats_what_came_in() -> None:
    for name in ("id", "from", "to", "asset"):
        with pytest.raises(Malformed) as refusal:
            decode_arrow(stream(good(**{name: words("marker 7391", "marker 7391", "marker 7391")})))
        assert "7391" not in str(refusal.value)


BAD_BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "body_malformed"),
    "no rows": (stream(good().slice(0, 0)), "body_malformed"),
    "no batches": (stream(good())[: len(stream(good())) // 3], "body_malformed"),
    "JSON": (b'{"id": 1}', "body_malformed"),
    "two streams": (stream(good()) + stream(good()), "body_malformed"),
    "something behind the stream": (stream(good()) + b"\0", "body_malformed"),
    "a column less": (stream(good(to=None)), "field_missing"),
    "a column more": (stream(good(owner=words("a", "b", "c"))), "field_unknown"),
    "a column twice": (
        stream(pa.table([*good().columns, good().column("to")], [*good().column_names, "to"])),
        "field_unknown",
    ),
    "accounts as numbers": (stream(good(to=pa.array([1, 2, 3]))), "body_malformed"),
    "accounts as bytes": (stream(good(to=pa.array([b"a", b"b", b"c"]))), "body_malformed"),
    "accounts as a dictionary of bytes": (
        stream(good(to=pa.DictionaryArray.from_arrays([0, 1, 2], pa.array([b"x", b"y", b"z"])))),
        "body_malformed",
    ),
    "accounts as views": (stream(good(to=words("a", "b", "c").cast(pa.string_view()))), "body_malformed"),
    "accounts as lists": (stream(good(to=pa.array([["a"], ["b"], ["c"]]))), "body_malformed"),
    "accounts as nothing": (stream(good(to=pa.nulls(3))), "body_malformed"),
    "amounts as text": (stream(good(amount=words("1", "2", "3"))), "body_malformed"),
    "amounts of 32 bits": (stream(good(amount=pa.array([1, 2, 3], pa.int32()))), "body_malformed"),
    "amounts that are not whole": (stream(good(amount=pa.array([1.0, 2.0, 3.0]))), "body_malformed"),
    "ids of 8 bytes": (stream(good(id=pa.array([b"i" * 8] * 3, pa.binary(8)))), "body_malformed"),
    "ids as numbers": (stream(good(id=pa.array([1, 2, 3]))), "body_malformed"),
    "compressed by zstd": (stream(good(), compression="zstd"), "body_malformed"),
    "compressed by lz4": (stream(good(), compression="lz4"), "body_malformed"),
    "a compressed dictionary": (stream(good(asset=behind_dictionary("A/1", "B/1", "C/1")), compression="zstd"), "body_malformed"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_BODIES)
def test_what_is_no_stream_of_transfers_is_refused(name: str) -> None:
    body, code = BAD_BODIES[name]
    with pytest.raises(Malformed) as refusal:
        decode_arrow(body)
    assert refusal.value.code == code


def many(rows: int) -> pa.Table:
    return table_of([Transfer(id_at(NOON_US, n + 1), "alice", "bob", n + 1, "USD/2") for n in range(rows)])


def test_a_stream_has_at_most_as_many_rows_as_a_batch_has_lines() -> None:
    assert len(decode_arrow(stream(many(ROWS_MAX)))) == ROWS_MAX
    for body in (stream(many(ROWS_MAX + 1)), stream(many(ROWS_MAX), many(1))):
        with pytest.raises(Malformed) as refusal:
            decode_arrow(body)
        assert refusal.value.code == "body_too_large"


def test_a_stream_has_at_most_a_thousand_assets() -> None:
    transfers = [Transfer(id_at(NOON_US, n + 1), "alice", "bob", 1, f"A{n}/2") for n in range(1_001)]
    assert len(decode_arrow(stream(table_of(transfers[:1_000]))).assets) == 1_000
    with pytest.raises(Malformed) as refusal:
        decode_arrow(stream(table_of(transfers)))
    assert refusal.value.code == "asset_malformed"


def test_one_long_text_behind_a_dictionary_is_not_copied_for_every_row() -> None:
    rows = 4_000
    long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), words("a" * 100_000))
    body = stream(many(rows).set_column(1, "from", long))
    before = pa.default_memory_pool().max_memory()
    with pytest.raises(Malformed) as refusal:
        decode_arrow(body)
    assert refusal.value.code == "account_malformed"
    # 400 MB if it were.
    assert pa.default_memory_pool().max_memory() - before < 16 * 1024 * 1024


@pytest.mark.parametrize("text", TEXT_TYPES, ids=str)
def test_any_damage_is_refused_or_reads_as_transfers_that_hold_every_rule(text: pa.DataType) -> None:
    body, chance = stream(table_of(GOOD, text), table_of(GOOD, text)), random.Random(7)
    for _ in range(2000):
        damaged = bytearray(body)
        for _ in range(chance.choice((1, 1, 2, 4))):
            damaged[chance.randrange(len(damaged))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        try:
            batch = decode_arrow(bytes(damaged))
        except Malformed:
            continue
        assert commands_of(CommandBatch.decode(batch.encode())) == commands_of(batch)


def test_every_truncation_is_refused_or_reads_as_the_batches_before() -> None:
    body = stream(good(), good())
    for size in range(len(body)):
        try:
            assert commands_of(decode_arrow(body[:size])) in (GOOD, GOOD + GOOD)
        except Malformed:
            continue


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(200, 599), st.sampled_from(("done", "pending", "x")), st.text(max_size=9), st.booleans()),
        max_size=9,
    )
)
def test_outcomes_are_told_in_their_order(rows: list[tuple[int, str, str, bool]]) -> None:
    status, code, position, repeated = zip(*rows, strict=True) if rows else ((), (), (), ())
    outcome = BatchOutcome(
        np.array(status, np.uint16), np.array(code, object), np.array(position, object), np.array(repeated, np.bool_)
    )
    with pa.ipc.open_stream(outcome.encode()) as reader:
        told = reader.read_all()
    assert told.schema.field("status").type == pa.uint16()
    assert [told.schema.field(name).type.value_type for name in ("code", "position")] == [pa.utf8(), pa.utf8()]
    assert list(zip(*told.to_pydict().values(), strict=True)) == rows


def test_the_columns_are_what_a_transfer_between_two_accounts_must_say() -> None:
    needed = [field.name.rstrip("_") for field in fields(Asked) if field.default is MISSING]
    everything = good()
    assert sorted(everything.column_names) == sorted(["id", *needed])
    for name in everything.column_names:
        with pytest.raises(Malformed) as refused:
            decode_arrow(stream(everything.drop_columns([name])))
        assert (refused.value.code, refused.value.field) == ("field_missing", name)
