"""A record of commands comes back as it was made; anything else in the queue is malformed and nothing worse."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.write_side.deciding import NOON_US, id_at
from tests.unit.write_side.ledger.any_commands import COMMANDS, commands_of
from write_side.contract.block.limits import COMMANDS_BYTES_MAX, ROWS_MAX
from write_side.contract.words.atoms import LIMIT, NO_FLOOR
from write_side.contract.words.codes import Flag
from write_side.ledger.commands.command_batch import BatchMalformed, CommandBatch
from write_side.ledger.commands.commands import (
    Capture,
    Change,
    Command,
    Hold,
    Leg,
    LegsTransfer,
    Mode,
    Note,
    OpenAccount,
    Protocol,
    Reverse,
    Transfer,
    Void,
)


@settings(max_examples=60)
@given(COMMANDS)
def test_a_record_comes_back_as_it_was_made(commands: list[Command]) -> None:
    assert commands_of(CommandBatch.decode(CommandBatch.of(commands).encode())) == commands


@settings(max_examples=60)
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


@settings(max_examples=60)
@given(st.lists(st.tuples(COMMANDS, st.sampled_from(Mode)), min_size=1, max_size=5))
def test_chains_of_joined_batches_stay_apart_and_keep_their_mode(groups: list[tuple[list[Command], Mode]]) -> None:
    joined = CommandBatch.concatenated([CommandBatch.of(commands, mode) for commands, mode in groups])
    again = CommandBatch.concatenated([joined, joined])
    for batch, parts in ((joined, groups), (CommandBatch.decode(joined.encode()), groups), (again, groups * 2)):
        chains, first = [], 0
        for commands, mode in parts:
            [number] = set(batch.chain[first : first + len(commands)].tolist())
            assert np.sign(number) == {Mode.CONTINUE: 0, Mode.STOP: -1, Mode.ATOMIC: 1}[mode]
            chains += [abs(number)] if number else []
            first += len(commands)
        assert len(set(chains)) == len(chains)
        assert max(chains, default=0) <= len(batch)


def test_a_record_of_the_version_before_has_neither_chains_nor_details() -> None:
    batch = CommandBatch.decode(raw(mark=b"commands-1"))
    assert batch.chain.tolist() == [0, 0, 0]
    assert batch.chain.dtype == np.int32
    assert batch.details is None


GOOD = CommandBatch.of(
    [
        OpenAccount("alice", "USD/2", 0, "ann"),
        Transfer(id_at(NOON_US, 1), "@world", "alice", 5, "USD/2"),
        Transfer(id_at(NOON_US, 2), "alice", "bob", 5, "EUR/2"),
    ]
)


LEGS = (Leg("@world", -7, "EUR/2"), Leg("alice", -5, "USD/2", 3, -9), Leg("bob", 7, "EUR/2"), Leg("carl", 5, "USD/2"))
BARE = tuple(Leg(*leg[:3]) for leg in LEGS)
RICH_COMMANDS: list[Command] = [
    LegsTransfer(id_at(NOON_US, 3), LEGS, Protocol.TCC, Note("order 7", '{"a":"b"}')),
    Transfer(id_at(NOON_US, 4), "alice", "bob", 5, "EUR/2"),
    Hold(id_at(NOON_US, 5), LEGS, NOON_US + 9),
    Capture(id_at(NOON_US, 6), id_at(NOON_US, 5), 3, (), True),
    Capture(id_at(NOON_US, 7), id_at(NOON_US, 5), 0, BARE),
    Void(id_at(NOON_US, 8), id_at(NOON_US, 5)),
    Reverse(id_at(NOON_US, 9), id_at(NOON_US, 3), BARE),
    Change(id_at(NOON_US, 10), "alice", Flag.DEBIT_FROZEN, Flag.CLOSED),
]
RICH = CommandBatch.of(RICH_COMMANDS)
DETAILS = RICH.details
assert DETAILS is not None


@pytest.mark.parametrize("good", [GOOD, RICH], ids=["plain", "with details"])
def test_any_damage_is_malformed_or_reads_as_commands_that_hold_every_rule(good: CommandBatch) -> None:
    record, chance = good.encode(), random.Random(3)
    for _ in range(3000):
        damaged = bytearray(record)
        for _ in range(chance.choice((1, 1, 2, 4))):
            damaged[chance.randrange(len(damaged))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        try:
            batch = CommandBatch.decode(bytes(damaged))
        except BatchMalformed:
            continue
        assert commands_of(CommandBatch.decode(batch.encode())) == commands_of(batch)


@pytest.mark.parametrize("good", [GOOD, RICH], ids=["plain", "with details"])
def test_every_truncation_is_malformed_up_to_the_mark_of_the_end(good: CommandBatch) -> None:
    record = good.encode()
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
    "a nil id": raw(id=pa.array([bytes(16), bytes(16), id_at(NOON_US, 2)], pa.binary(16))),
    "the largest id": raw(id=pa.array([bytes(16), b"\xff" * 16, id_at(NOON_US, 2)], pa.binary(16))),
    "an id of an opening": raw(id=pa.array([id_at(NOON_US, n) for n in range(3)], pa.binary(16))),
    "an opening with a credit": raw(credit=_texts("bob", "alice", "bob")),
    "a transfer with an owner": raw(owner=_texts("ann", "ann", "")),
    "an asset twice": raw(assets=b"USD/2\nUSD/2"),
    "two records in one": GOOD.encode() + GOOD.encode(),
    "no details and other legs": GOOD.encode() + GOOD.encode() + GOOD.encode(),
    "more than three streams": RICH.encode() + GOOD.encode(),
    "no rows": CommandBatch.decode(raw()).slice(0, 0).encode(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_record_that_no_intake_made_is_malformed(name: str) -> None:
    with pytest.raises(BatchMalformed):
        CommandBatch.decode(HOSTILE[name])


def test_a_record_holds_at_most_the_commands_of_a_block() -> None:
    fitting = COMMANDS_BYTES_MAX // GOOD.weight()
    most = CommandBatch.concatenated([GOOD] * fitting)
    assert len(CommandBatch.decode(most.encode())) == fitting * len(GOOD)
    with pytest.raises(BatchMalformed, match="more than a block"):
        CommandBatch.decode(CommandBatch.concatenated([most, GOOD]).encode())
    rows = CommandBatch.concatenated([GOOD] * (ROWS_MAX // 3) + [GOOD.slice(0, ROWS_MAX % 3 + 1)])
    with pytest.raises(BatchMalformed, match="too many"):
        CommandBatch.decode(rows.encode())


def test_an_owner_as_long_as_the_doors_let_through_is_read() -> None:
    batch = CommandBatch.decode(CommandBatch.of([OpenAccount("a", "USD/2", 0, "o" * 255)]).encode())
    assert batch.owner.to_pylist() == ["o" * 255]
    assert batch.kind.flags.writeable
    assert np.array_equal(batch.amount, [0])


def detailed(**columns: Any) -> bytes:
    """The rich record with other columns of its details."""
    assert DETAILS is not None
    return replace(RICH, details=replace(DETAILS, **columns)).encode()


def put(column: Any, at: int, value: Any) -> Any:
    """The same column with another value at one place."""
    if isinstance(column, pa.Array):
        return pa.array([*column.to_pylist()[:at], value, *column.to_pylist()[at + 1 :]], column.type)
    changed = column.copy()
    changed[at] = value
    return changed


def with_legs(*legs: Leg, kind: type[LegsTransfer | Hold] = LegsTransfer) -> bytes:
    return CommandBatch.of([kind(id_at(NOON_US, 1), legs)]).encode()


def test_the_rich_record_is_good() -> None:
    assert commands_of(CommandBatch.decode(detailed())) == RICH_COMMANDS


# Rows of DETAILS: 0 transfer, 1 hold, 2 capture of an amount, 3 capture of legs, 4 void, 5 reversal, 6 change.
HOSTILE_DETAILS: dict[str, bytes] = {
    "a hold without details": replace(RICH.slice(2, 3), details=None).encode(),
    "a transfer of legs without details": replace(RICH.slice(0, 1), details=None).encode(),
    "details of a row behind the last": detailed(row=put(DETAILS.row, 6, 8)),
    "details of a row before the first": detailed(row=put(DETAILS.row, 0, -1)),
    "details twice": detailed(row=put(DETAILS.row, 1, 0)),
    "details that fall": detailed(row=DETAILS.row[::-1].copy()),
    "details of a plain transfer": detailed(row=put(DETAILS.row, 1, 1)),
    "details of an opening": replace(GOOD, details=DETAILS.slice(0, 1)).encode(),
    "an unknown kind": replace(RICH, kind=put(RICH.kind, 0, 12)).encode(),
    "a message as a command": replace(RICH, kind=put(RICH.kind, 0, 9)).encode(),
    "an expiry as a command": replace(RICH, kind=put(RICH.kind, 5, 8)).encode(),
    "a void with legs": replace(RICH, kind=put(RICH.kind, 4, 5)).encode(),
    "a hold as a void": replace(RICH, kind=put(RICH.kind, 5, 3)).encode(),
    "a reversal as a change": replace(RICH, kind=put(RICH.kind, 6, 7)).encode(),
    "an asset of its own": replace(RICH, asset=put(RICH.asset, 2, 0)).encode(),
    "a hold with an amount": replace(RICH, amount=put(RICH.amount, 2, 5)).encode(),
    "a capture below nothing": replace(RICH, amount=put(RICH.amount, 3, -5)).encode(),
    "a capture beyond the limit": replace(RICH, amount=put(RICH.amount, 3, LIMIT + 1)).encode(),
    "a capture of legs and an amount": replace(RICH, amount=put(RICH.amount, 4, 5)).encode(),
    "a hold with a debit": replace(RICH, debit=put(RICH.debit, 2, "alice")).encode(),
    "a change of nobody": replace(RICH, debit=put(RICH.debit, 7, "")).encode(),
    "a change of a system account": replace(RICH, debit=put(RICH.debit, 7, "@world")).encode(),
    "a nil hold": detailed(other=put(DETAILS.other, 4, 0)),
    "a nil original": detailed(other=put(DETAILS.other, 5, 0)),
    "a transfer about another": detailed(other=put(DETAILS.other, 0, 1)),
    "an unknown option": detailed(option=put(DETAILS.option, 0, 4)),
    "a negative option": detailed(option=put(DETAILS.option, 0, -1)),
    "an option beyond 24 bits": detailed(option=put(DETAILS.option, 6, 1 << 24)),
    "a final transfer": detailed(option=put(DETAILS.option, 0, 2)),
    "a hold by tcc": detailed(option=put(DETAILS.option, 1, 1)),
    "flags of a transfer": detailed(option=put(DETAILS.option, 0, 1 << 8)),
    "an unknown flag to set": detailed(option=put(DETAILS.option, 6, 8 << 8)),
    "an unknown flag to clear": detailed(option=put(DETAILS.option, 6, 8 << 16)),
    "a deadline below zero": detailed(deadline_us=put(DETAILS.deadline_us, 1, -1)),
    "a deadline of a transfer": detailed(deadline_us=put(DETAILS.deadline_us, 0, 1)),
    "a long reference": detailed(reference=put(DETAILS.reference, 0, "r" * 129)),
    "a reference of two lines": detailed(reference=put(DETAILS.reference, 0, "r\n")),
    "metadata that is no JSON": detailed(metadata=put(DETAILS.metadata, 0, "{")),
    "metadata that is no object": detailed(metadata=put(DETAILS.metadata, 0, '["a"]')),
    "metadata of no texts": detailed(metadata=put(DETAILS.metadata, 0, '{"a":1}')),
    "metadata with spaces": detailed(metadata=put(DETAILS.metadata, 0, '{"a": "b"}')),
    "metadata that is not sorted": detailed(metadata=put(DETAILS.metadata, 0, '{"b":"","a":""}')),
    "metadata with half a letter": detailed(metadata=put(DETAILS.metadata, 0, '{"a":"\\ud800"}')),
    "deep metadata": detailed(metadata=put(DETAILS.metadata, 0, "[" * 16_000)),
    "long metadata": detailed(metadata=put(DETAILS.metadata, 0, '{"a":"' + "b" * 16_384 + '"}')),
    "a null reference": detailed(reference=put(DETAILS.reference, 0, None)),
    "a null account": detailed(account=put(DETAILS.account, 0, None)),
    "fewer legs than told": detailed(first_leg=put(DETAILS.first_leg, -1, 17)),
    "a negative count of legs": detailed(first_leg=put(DETAILS.first_leg, 1, 9)),
    "a leg of nothing": with_legs(Leg("a", -5, "USD/2"), Leg("b", 0, "USD/2"), Leg("c", 5, "USD/2")),
    "a leg beyond the limit": with_legs(Leg("a", -LIMIT - 1, "USD/2"), Leg("b", LIMIT + 1, "USD/2")),
    "a leg that has no positive": with_legs(
        *sorted([Leg("z", -(2**63), "USD/2"), *(Leg(f"a{n}", 2**59, "USD/2") for n in range(16))])
    ),
    "legs that wrap to zero": with_legs(
        *(Leg(f"a{n:02}", LIMIT, "USD/2") for n in range(18)),
        Leg("b", 2**64 - 19 * LIMIT, "USD/2"),
        Leg("c", LIMIT, "USD/2"),
    ),
    "more than the limit together": with_legs(
        Leg("a", -LIMIT, "USD/2"), Leg("b", -1, "USD/2"), Leg("c", 1, "USD/2"), Leg("d", LIMIT, "USD/2")
    ),
    "a sum that is not zero": with_legs(Leg("a", -5, "USD/2"), Leg("b", 4, "USD/2")),
    "zero only over two assets": with_legs(Leg("a", -5, "USD/2"), Leg("b", 5, "EUR/2")),
    "an account twice": with_legs(Leg("a", -5, "USD/2"), Leg("a", 2, "USD/2"), Leg("b", 3, "USD/2")),
    "legs that are not sorted": with_legs(Leg("b", 5, "USD/2"), Leg("a", -5, "USD/2")),
    "one leg": with_legs(Leg("a", -5, "USD/2")),
    "no legs": with_legs(),
    "a hold without legs": with_legs(kind=Hold),
    "33 legs": with_legs(Leg("a", -32, "USD/2"), *(Leg(f"b{n:02}", 1, "USD/2") for n in range(32))),
    "a malformed account": with_legs(Leg("@transit", -5, "USD/2"), Leg("b", 5, "USD/2")),
    "a malformed asset": with_legs(Leg("a", -5, "usd"), Leg("b", 5, "usd")),
    "a leg of an asset behind the last": detailed(leg_asset=put(DETAILS.leg_asset, 0, 2)),
    "a leg of no asset": detailed(leg_asset=put(DETAILS.leg_asset, 0, -1)),
    "a version below any": with_legs(Leg("a", -5, "USD/2", -2), Leg("b", 5, "USD/2")),
    "an available beyond the limit": with_legs(Leg("a", -5, "USD/2", 0, LIMIT + 1), Leg("b", 5, "USD/2")),
    "an available next to any": with_legs(Leg("a", -5, "USD/2", 0, 1 - 2**63), Leg("b", 5, "USD/2")),
    "a capture on a condition": detailed(if_version=put(DETAILS.if_version, 8, 1)),
    "a reversal on a condition": detailed(if_available=put(DETAILS.if_available, 12, 1)),
    "a chain in two parts": replace(GOOD, chain=np.array([1, 0, 1], np.int32)).encode(),
    "a chain between the lines of another": replace(GOOD, chain=np.array([-1, 1, -1], np.int32)).encode(),
}


@pytest.mark.parametrize("name", HOSTILE_DETAILS)
def test_a_record_with_details_that_no_intake_made_is_malformed(name: str) -> None:
    with pytest.raises(BatchMalformed):
        CommandBatch.decode(HOSTILE_DETAILS[name])


def test_metadata_as_long_as_the_doors_let_through_is_read() -> None:
    text = '{"a":"' + "\U0001f4b0" * 3_500 + '"}'
    command = LegsTransfer(id_at(NOON_US, 1), LEGS, note=Note("", text))
    assert commands_of(CommandBatch.decode(CommandBatch.of([command]).encode())) == [command]


def test_accounts_with_two_assets_are_sorted_by_account_alone() -> None:
    legs = (Leg("@world", -5, "USD/2"), Leg("@world", 5, "EUR/2"), Leg("a", -5, "EUR/2"), Leg("b", 5, "USD/2"))
    command = LegsTransfer(id_at(NOON_US, 1), legs)
    assert commands_of(CommandBatch.decode(CommandBatch.of([command]).encode())) == [command]


def test_what_is_read_is_the_writers_own_to_change() -> None:
    batch = CommandBatch.decode(RICH.encode())
    details = batch.details
    assert details is not None
    for column in (
        batch.kind,
        batch.ids,
        batch.amount,
        batch.chain,
        details.row,
        details.leg_amount,
        details.leg_asset,
    ):
        assert column.flags.writeable
