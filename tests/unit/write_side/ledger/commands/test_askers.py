"""Who asked stays with each command, however batches are joined, cut, sent and decided."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.write_side.contract.test_golden_blocks import VERSION_4
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from tests.unit.write_side.ledger.again.test_decide_again import again, expect_the_same
from tests.unit.write_side.ledger.any_commands import COMMANDS, commands_of
from write_side.contract.block import limits
from write_side.contract.block.block import HEADER_BYTES, Block, decode
from write_side.contract.tell.outcome import BlockOutcomes
from write_side.contract.words.codes import Code, Kind
from write_side.ledger.across.outstanding import messages_of_block
from write_side.ledger.commands.askers import Askers
from write_side.ledger.commands.command_batch import BatchMalformed, CommandBatch
from write_side.ledger.commands.commands import Capture, Command, Hold, Leg, OpenAccount, Transfer

USD = "USD/2"
NAMES = st.sampled_from(["", "eve", "bob", "key:shop", "e" * 255])


def named(commands: Sequence[Command], names: Sequence[str]) -> CommandBatch:
    return replace(CommandBatch.of(commands), askers=Askers.each(names))


def names_of(batch: CommandBatch) -> list[str]:
    if batch.askers is None:
        return [""] * len(batch)
    first, names = batch.askers
    assert first[0] == 0
    assert any(names)
    assert all(one != other for one, other in itertools.pairwise(names))
    return [names[run] for run in (first.searchsorted(np.arange(len(batch)), "right") - 1).tolist()]


@st.composite
def groups(draw: st.DrawFn) -> list[tuple[list[Command], list[str]]]:
    found = draw(st.lists(COMMANDS, min_size=1, max_size=4))
    return [(each, draw(st.lists(NAMES, min_size=len(each), max_size=len(each)))) for each in found]


@settings(max_examples=80)
@given(groups(), st.data())
def test_names_stay_with_their_commands(made: list[tuple[list[Command], list[str]]], data: st.DataObject) -> None:
    joined = CommandBatch.concatenated([named(commands, names) for commands, names in made])
    commands = [command for each, _ in made for command in each]
    names = [name for _, each in made for name in each]
    assert names_of(joined) == names
    start = data.draw(st.integers(0, len(commands) - 1))
    stop = data.draw(st.integers(start + 1, len(commands)))
    part = joined.slice(start, stop)
    sent = CommandBatch.decode(part.encode())
    assert (names_of(part), names_of(sent), commands_of(sent)) == (names[start:stop],) * 2 + (commands[start:stop],)
    rows = [part.slice(at, at + 1) for at in range(len(part))]
    assert part.weight() <= sum(limits.ASKER_ROW + row.weight() for row in rows), "as lanes and writers add them up"
    if joined.details is None:
        chosen = data.draw(st.lists(st.integers(0, len(commands) - 1), max_size=9))
        assert names_of(joined.take(np.array(chosen, np.intp))) == [names[row] for row in chosen]
    assert names_of(joined.asked_by("eve")) == ["eve"] * len(commands)
    assert names_of(joined.asked_by("")) == [""] * len(commands)


def test_a_record_of_nobody_is_as_it_was_before_names() -> None:
    batch = CommandBatch.of([_transfer(1)])
    with pa.ipc.open_stream(batch.encode()) as reader:
        assert set(reader.schema.metadata) == {b"fanfold", b"assets"}
    assert CommandBatch.decode(batch.encode()).askers is None
    with pa.ipc.open_stream(batch.asked_by("eve").encode()) as reader:
        assert reader.schema.metadata[b"fanfold"] == b"commands-2", "a writer of before decides it all the same"


@pytest.mark.parametrize(
    "askers",
    [
        "", "0", "0 ", "0 eve\n", "0 eve\n1 eve", "0 eve\n0 bob", "1 eve", "0 eve\n3 bob", "0 eve\n2 bob\n1 ann", "00 eve",
        "-0 eve", "0 eve smith", "0 eve\t", "0 " + "e" * 256, "0 \u00e9ve", "eve", "0 eve\n1", "0\n1 eve",
        "0 \n1 ", "0 eve\n99999999999999999999 bob",
    ],
)  # fmt: skip
def test_askers_that_no_intake_made_are_malformed(askers: str) -> None:
    batch = CommandBatch.of([_transfer(n) for n in range(1, 4)])
    if askers in ("0 eve\n1", "0\n1 eve"):  # nobody, without the blank before the name that is none
        assert Askers.decode(askers.encode(), 3)
        return
    with pa.ipc.open_stream(batch.encode()) as reader:
        table, metadata = reader.read_next_batch(), dict(reader.schema.metadata)
    sink = pa.BufferOutputStream()
    schema = table.schema.with_metadata(metadata | {b"askers": askers.encode()})
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(table.replace_schema_metadata(schema.metadata))
    with pytest.raises(BatchMalformed):
        CommandBatch.decode(sink.getvalue())


def _transfer(number: int, amount: int = 1) -> Transfer:
    return Transfer(id_at(NOON_US, number), "@world", "ann", amount, USD)


def _asked(block: Block) -> list[tuple[Kind, str]]:
    return [(outcome.kind, outcome.asked_by) for outcome in BlockOutcomes(block)]


def test_records_of_one_block_keep_their_names_between_what_time_and_other_partitions_ask() -> None:
    partitions = [DecidingPartition(0, 2), DecidingPartition(1, 2)]  # alice lives in 1, bob in 0
    partitions[0].decide([OpenAccount("bob", USD, 0, "")], NOON_US)
    partitions[1].decide(
        [OpenAccount("alice", USD, 0, ""), Transfer(id_at(NOON_US, 1), "@world", "alice", 99, USD)], NOON_US
    )
    hold = Hold(id_at(NOON_US, 2), (Leg("alice", -5, USD), Leg("bob", 5, USD)), deadline_us=NOON_US + 9)
    block = partitions[1].decide_records(
        [named([hold], ["eve"]), named([Transfer(id_at(NOON_US, 3), "alice", "bob", 7, USD)], ["bob"])], NOON_US + 1
    )
    [messages] = messages_of_block(block).values()
    answered = partitions[0].decide_records([messages], NOON_US + 2)
    assert _asked(answered) == [(Kind.STEP, "")]
    [answers] = messages_of_block(answered).values()
    mixed = partitions[1].decide_records(
        [
            named([Transfer(id_at(NOON_US, 4), "@world", "alice", 1, USD)], ["eve"]),
            answers,
            named([Transfer(id_at(NOON_US, 5), "@world", "alice", 1, USD)], ["eve"]),
            CommandBatch.of([Transfer(id_at(NOON_US, 6), "@world", "alice", 1, USD)]),
            named([Capture(id_at(NOON_US, 7), hold.id)], ["key:shop"]),
        ],
        NOON_US + 9,
    )
    assert _asked(mixed) == [
        (Kind.EXPIRE, ""), (Kind.TRANSFER, "eve"), (Kind.ANSWER, ""), (Kind.TRANSFER, "eve"), (Kind.TRANSFER, ""),
        (Kind.CAPTURE, "key:shop"),
    ]  # fmt: skip
    assert mixed.askers["name"] == ["eve", "", "key:shop"]
    for partition in partitions:
        partition.replayed()
    _, untold = expect_the_same(partitions[1])
    assert not untold


def test_golden_blocks_with_names_are_decided_again_to_the_same_bytes() -> None:
    for partition, paths in enumerate(VERSION_4):
        again([path.read_bytes() for path in paths], partition, 2)


@pytest.mark.parametrize("seed", range(3))
def test_what_is_decided_again_names_who_asked_as_the_log_does(seed: int) -> None:
    chance = random.Random(seed)
    partition = DecidingPartition()
    partition.decide([OpenAccount("ann", USD, 0, "")], NOON_US)
    for at in range(1, 12):
        records = []
        for _ in range(chance.randint(1, 3)):
            commands: list[Command] = [_transfer(chance.randint(1, 40)) for _ in range(chance.randint(1, 5))]
            records.append(named(commands, [chance.choice(["", "eve", "bob"]) for _ in commands]))
        partition.decide_records(records, NOON_US + at)
    codes = {code for data in partition.blocks for code in decode(data).outcomes["code"].tolist()}
    assert codes == {Code.DONE, Code.REPEATED}
    expect_the_same(partition)
    partition.replayed()


def test_the_heaviest_batches_of_the_longest_names_fit_into_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """However they are cut: a part that begins in the middle of a run has its name once more."""
    monkeypatch.setattr(limits, "COMMANDS_BYTES_MAX", 64 * 1024)
    partition = DecidingPartition()
    partition.decide([OpenAccount("ann", USD, 0, "")], NOON_US)
    commands: list[Command] = [_transfer(number, 10**15) for number in range(1, 1_500)]
    long = [letter * 255 for letter in "abc"]
    for names in (
        [long[row % 3] for row in range(len(commands))],
        [long[row // 200 % 3] for row in range(len(commands))],
        [long[0]] * len(commands),
    ):
        batch, asked = named(commands, names), list[str]()
        for part in batch.parts():
            assert part.weight() <= limits.COMMANDS_BYTES_MAX
            assert len(CommandBatch.decode(part.encode())) == len(part)
            block = partition.decide_batch(part, partition.state.chained.created_at_us + 1)
            assert HEADER_BYTES + block.header.body_bytes <= limits.COMMANDS_BYTES_MAX
            asked += [name for _, name in _asked(block)]
        assert asked == names
