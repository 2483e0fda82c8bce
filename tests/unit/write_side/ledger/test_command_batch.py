"""A record of commands comes back as it was made; anything else in the queue is malformed and nothing worse."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.write_side.deciding import NOON_US, id_at
from write_side.contract.atoms import LIMIT, NO_FLOOR
from write_side.contract.block import OUTCOMES_MAX
from write_side.contract.codes import Kind
from write_side.ledger.command_batch import BatchMalformed, CommandBatch
from write_side.ledger.commands import Command, OpenAccount, Transfer

NAME = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", fullmatch=True)
ASSET = st.from_regex(r"[A-Z][A-Z0-9]{0,15}/[0-9]{1,2}", fullmatch=True)
OWNER = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=255)
OPENING = st.builds(OpenAccount, NAME, ASSET, st.integers(-LIMIT, LIMIT) | st.just(NO_FLOOR), OWNER)
TRANSFER = st.builds(
    Transfer,
    st.binary(min_size=16, max_size=16),
    NAME | st.just("@world"),
    NAME | st.just("@world"),
    st.integers(1, LIMIT),
    ASSET,
).filter(lambda transfer: transfer.debit != transfer.credit)
COMMANDS = st.lists(OPENING | TRANSFER, min_size=1, max_size=6)


def commands_of(batch: CommandBatch) -> list[Command]:
    commands: list[Command] = []
    for row in range(len(batch)):
        debit, asset, amount = batch.debit[row].as_py(), batch.assets[batch.asset[row]], int(batch.amount[row])
        if batch.kind[row] == Kind.OPEN:
            commands.append(OpenAccount(debit, asset, amount, batch.owner[row].as_py()))
        else:
            commands.append(Transfer(batch.ids[row].tobytes(), debit, batch.credit[row].as_py(), amount, asset))
    return commands


@settings(max_examples=60, deadline=None)
@given(COMMANDS)
def test_a_record_comes_back_as_it_was_made(commands: list[Command]) -> None:
    assert commands_of(CommandBatch.decode(CommandBatch.of(commands).encode())) == commands


@settings(max_examples=60, deadline=None)
@given(st.lists(COMMANDS, min_size=1, max_size=4), st.data())
def test_joined_and_sliced_batches_hold_the_same_commands(groups: list[list[Command]], data: st.DataObject) -> None:
    joined = CommandBatch.concatenated([CommandBatch.of(commands) for commands in groups])
    commands = [command for group in groups for command in group]
    assert commands_of(joined) == commands
    start = data.draw(st.integers(0, len(commands) - 1))
    stop = data.draw(st.integers(start + 1, len(commands)))
    part = joined.slice(start, stop)
    assert commands_of(part) == commands[start:stop]
    assert commands_of(CommandBatch.decode(part.encode())) == commands[start:stop]


GOOD = CommandBatch.of(
    [
        OpenAccount("alice", "USD/2", 0, "ann"),
        Transfer(id_at(NOON_US, 1), "@world", "alice", 5, "USD/2"),
        Transfer(id_at(NOON_US, 2), "alice", "bob", 5, "EUR/2"),
    ]
)


def test_any_damage_is_malformed_or_reads_as_commands_that_hold_every_rule() -> None:
    record, chance = GOOD.encode(), random.Random(3)
    for _ in range(3000):
        damaged = bytearray(record)
        for _ in range(chance.choice((1, 1, 2, 4))):
            damaged[chance.randrange(len(damaged))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        try:
            batch = CommandBatch.decode(bytes(damaged))
        except BatchMalformed:
            continue
        assert commands_of(CommandBatch.decode(batch.encode())) == commands_of(batch)


def test_every_truncation_is_malformed_up_to_the_mark_of_the_end() -> None:
    record = GOOD.encode()
    for size in range(len(record) - 8):
        with pytest.raises(BatchMalformed):
            CommandBatch.decode(record[:size])


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"{}", b"ARROW1\0\0", b"\xff" * 100, b"\xff\xff\xff\xff\xff\xff\xff\x7f", bytes(4096)]
)
def test_what_is_no_arrow_stream_is_malformed(data: bytes) -> None:
    with pytest.raises(BatchMalformed):
        CommandBatch.decode(data)


def raw(assets: bytes = b"USD/2\nEUR/2", mark: bytes = b"commands-1", **columns: Any) -> bytes:
    """The good record with other columns."""
    held = {
        "kind": pa.array([1, 2, 2], pa.uint8()),
        "id": pa.array([bytes(16), id_at(NOON_US, 1), id_at(NOON_US, 2)], pa.binary(16)),
        "debit": pa.array(["alice", "@world", "alice"]),
        "credit": pa.array(["", "alice", "bob"]),
        "amount": pa.array([0, 5, 5], pa.int64()),
        "asset": pa.array([0, 0, 1], pa.int32()),
        "owner": pa.array(["ann", "", ""]),
    } | columns
    schema = pa.schema(
        [(name, column.type) for name, column in held.items()], metadata={b"fanfold": mark, b"assets": assets}
    )
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(list(held.values()), schema=schema))
    return bytes(sink.getvalue())


def test_the_raw_record_is_good() -> None:
    assert commands_of(CommandBatch.decode(raw())) == commands_of(GOOD)


def _texts(*texts: str | None) -> pa.Array:
    return pa.array(texts, pa.utf8())


def _numbers(kind: pa.DataType, *values: int | None) -> pa.Array:
    return pa.array(values, kind)


HOSTILE: dict[str, bytes] = {
    "another mark": raw(mark=b"commands-2"),
    "no assets": raw(assets=b""),
    "a bad asset": raw(assets=b"USD/2\nEUR/2\nusd"),
    "assets that are no text": raw(assets=b"USD/2\n\xff\xfe"),
    "another type": raw(amount=pa.array([0, 5, 5], pa.int32())),
    "another column": raw(more=pa.array([0, 5, 5])),
    "kind 0": raw(kind=_numbers(pa.uint8(), 1, 2, 0)),
    "kind 3": raw(kind=_numbers(pa.uint8(), 1, 2, 3)),
    "amount 0": raw(amount=_numbers(pa.int64(), 0, 0, 5)),
    "amount negative": raw(amount=_numbers(pa.int64(), 0, -5, 5)),
    "amount beyond the limit": raw(amount=_numbers(pa.int64(), 0, LIMIT + 1, 5)),
    "amount without end": raw(amount=_numbers(pa.int64(), 0, NO_FLOOR, 5)),
    "floor beyond the limit": raw(amount=_numbers(pa.int64(), -LIMIT - 1, 5, 5)),
    "floor next to none": raw(amount=_numbers(pa.int64(), NO_FLOOR + 1, 5, 5)),
    "asset behind the last": raw(asset=_numbers(pa.int32(), 0, 0, 2)),
    "asset below the first": raw(asset=_numbers(pa.int32(), 0, 0, -1)),
    "a malformed debit": raw(debit=_texts("alice", "@world", "al ice")),
    "a debit with a line end": raw(debit=_texts("alice", "@world", "alice\n")),
    "a long debit": raw(debit=_texts("alice", "@world", "a" * 65)),
    "a letter of two bytes": raw(debit=_texts("alice", "@world", "\u00e4lice")),
    "transit debited": raw(debit=_texts("alice", "@world", "@transit")),
    "transit credited": raw(credit=_texts("", "@transit", "bob")),
    "no credit": raw(credit=_texts("", "", "bob")),
    "to itself": raw(credit=_texts("", "@world", "bob")),
    "a system account opened": raw(debit=_texts("@world", "@world", "alice")),
    "a long owner": raw(owner=_texts("o" * 256, "", "")),
    "a null kind": raw(kind=_numbers(pa.uint8(), 1, None, 2)),
    "a null id": raw(id=pa.array([None, id_at(NOON_US, 1), id_at(NOON_US, 2)], pa.binary(16))),
    "a null debit": raw(debit=_texts(None, "@world", "alice")),
    "a null credit": raw(credit=_texts("", None, "bob")),
    "a null amount": raw(amount=_numbers(pa.int64(), 0, None, 5)),
    "a null asset": raw(asset=_numbers(pa.int32(), 0, None, 0)),
    "a null owner": raw(owner=_texts(None, "", "")),
    "no rows": CommandBatch.decode(raw()).slice(0, 0).encode(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_record_that_no_intake_made_is_malformed(name: str) -> None:
    with pytest.raises(BatchMalformed):
        CommandBatch.decode(HOSTILE[name])


def test_a_record_holds_at_most_the_commands_of_a_block() -> None:
    most = CommandBatch.concatenated([GOOD] * (OUTCOMES_MAX // 3) + [GOOD.slice(0, OUTCOMES_MAX % 3)])
    assert len(CommandBatch.decode(most.encode())) == OUTCOMES_MAX
    with pytest.raises(BatchMalformed):
        CommandBatch.decode(CommandBatch.concatenated([most, GOOD.slice(0, 1)]).encode())


def test_an_owner_as_long_as_the_doors_let_through_is_read() -> None:
    batch = CommandBatch.decode(CommandBatch.of([OpenAccount("a", "USD/2", 0, "o" * 255)]).encode())
    assert batch.owner.to_pylist() == ["o" * 255]
    assert batch.kind.flags.writeable
    assert np.array_equal(batch.amount, [0])
