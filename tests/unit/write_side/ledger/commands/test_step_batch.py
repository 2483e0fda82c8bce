"""Messages between partitions come back as they were made; anything else in the queue is malformed and nothing worse."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.write_side.deciding import NOON_US, id_at
from tests.unit.write_side.ledger.any_commands import COMMANDS, ID, commands_of
from write_side.contract.block import limits
from write_side.contract.block.limits import PARTITIONS_MAX
from write_side.contract.state.pending_columns import MASK_STEPS_MAX, Action, StepState
from write_side.contract.words.atoms import LIMIT
from write_side.contract.words.codes import Code, Kind
from write_side.ledger.commands.command_batch import BatchMalformed, CommandBatch
from write_side.ledger.commands.commands import ANY_AVAILABLE, ANY_VERSION, Command, Transfer
from write_side.ledger.commands.step_batch import EMPTY_STEPS, StepBatch, decode_record

ANY = st.integers(-(2**63), 2**63 - 1)
SEQUENCE = st.integers(0, 2**62)
AMOUNT = st.integers(-LIMIT, LIMIT).filter(bool)
LEG = st.tuples(
    st.binary(min_size=16, max_size=16),
    ANY,
    AMOUNT,
    st.just(ANY_VERSION) | st.integers(0, 2**63 - 1),
    st.just(ANY_AVAILABLE) | st.integers(-LIMIT, LIMIT),
)
NUMBERS = ("home", "step", "action", "option", "state", "code", "available", "sequence", "at_us", "begun", "low")
HOME, STEP = st.integers(0, PARTITIONS_MAX - 1), st.integers(0, MASK_STEPS_MAX - 1)
OPTION = st.sets(st.sampled_from((1, 4, 8, 16))).map(sum)
STATE, CODE = st.sampled_from(StepState).map(int), st.sampled_from(Code).map(int)


def message(kind: Kind, action: st.SearchStrategy[int], legs: st.SearchStrategy[list[Any]]) -> st.SearchStrategy[Any]:
    numbers = st.tuples(HOME, STEP, action, OPTION, STATE, CODE, ANY, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE)
    return st.tuples(st.just(int(kind)), ID, numbers, legs)


MESSAGES = st.lists(
    message(Kind.STEP, st.just(int(Action.TRY)), st.lists(LEG, min_size=1, max_size=4))
    | message(Kind.STEP, st.sampled_from((1, 2)), st.just([]))
    | message(Kind.ANSWER, st.sampled_from(Action).map(int), st.just([])),
    min_size=1,
    max_size=6,
)


def batch_of(messages: list[Any]) -> StepBatch:
    numbers = np.array([each[2] for each in messages], np.int64).T
    legs = [leg for each in messages for leg in each[3]]
    leg_numbers = np.array([leg[1:] for leg in legs], np.int64).reshape(-1, 4).T
    return StepBatch(
        kind=np.array([each[0] for each in messages], np.uint8),
        ids=np.frombuffer(b"".join(each[1] for each in messages), np.uint8).reshape(-1, 16),
        **dict(zip(NUMBERS, numbers, strict=True)),
        first_leg=np.cumsum([0, *(len(each[3]) for each in messages)]),
        key=np.frombuffer(b"".join(leg[0] for leg in legs), np.uint8).reshape(-1, 16),
        **dict(zip(("asset", "amount", "if_version", "if_available"), leg_numbers, strict=True)),
    )


def messages_of(batch: StepBatch) -> list[Any]:
    found = []
    for row in range(len(batch)):
        legs = range(int(batch.first_leg[row]), int(batch.first_leg[row + 1]))
        found.append(
            (
                int(batch.kind[row]),
                batch.ids[row].tobytes(),
                tuple(int(getattr(batch, name)[row]) for name in NUMBERS),
                [
                    (
                        batch.key[leg].tobytes(),
                        int(batch.asset[leg]),
                        int(batch.amount[leg]),
                        int(batch.if_version[leg]),
                        int(batch.if_available[leg]),
                    )
                    for leg in legs
                ],
            )
        )
    return found


@settings(max_examples=60)
@given(MESSAGES)
def test_a_record_comes_back_as_it_was_made(messages: list[Any]) -> None:
    batch = StepBatch.decode(batch_of(messages).encode())
    assert messages_of(batch) == messages
    for field in fields(StepBatch):
        column = getattr(batch, field.name)
        assert column.dtype == (np.uint8 if field.name in ("kind", "ids", "key") else np.int64)
        assert column.flags.writeable


@settings(max_examples=60)
@given(st.lists(MESSAGES, min_size=1, max_size=4))
def test_joined_batches_hold_the_same_messages(groups: list[list[Any]]) -> None:
    joined = StepBatch.concatenated([batch_of(messages) for messages in groups])
    together = [each for messages in groups for each in messages]
    assert messages_of(joined) == together
    assert messages_of(StepBatch.decode(joined.encode())) == together


@given(MESSAGES, st.integers(1, 200_000))
def test_parts_hold_the_same_messages_and_none_is_heavier_than_a_block_takes(
    messages: list[Any], bytes_max: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "COMMANDS_BYTES_MAX", bytes_max)
        parts = list(batch_of(messages).parts())
    assert [each for part in parts for each in messages_of(part)] == messages
    assert all(len(part) == 1 or part.weight() <= bytes_max for part in parts)


def test_no_batches_are_joined_to_an_empty_one() -> None:
    assert len(StepBatch.concatenated([])) == 0
    assert messages_of(StepBatch.concatenated([EMPTY_STEPS, GOOD, EMPTY_STEPS])) == messages_of(GOOD)


@settings(max_examples=40)
@given(COMMANDS, MESSAGES)
def test_a_record_of_either_sort_is_told_by_its_mark(commands: list[Command], messages: list[Any]) -> None:
    read = decode_record(CommandBatch.of(commands).encode())
    assert isinstance(read, CommandBatch)
    assert commands_of(read) == commands
    sent = decode_record(memoryview(batch_of(messages).encode()))
    assert isinstance(sent, StepBatch)
    assert messages_of(sent) == messages


LEG_OF = (b"k" * 16, -3, -5, 7, 9)
GOOD = batch_of(
    [
        (int(Kind.STEP), id_at(NOON_US, 1), (3, 2, int(Action.TRY), 9, 0, 0, 0, 0, 0, 70, 60), [LEG_OF, LEG_OF]),
        (int(Kind.STEP), id_at(NOON_US, 2), (3, 1, int(Action.CANCEL), 1, 0, 0, 0, 0, 0, 71, 60), []),
        (int(Kind.ANSWER), id_at(NOON_US, 3), (5, 4, 0, 0, int(StepState.REJECTED), 9, -4, 17, NOON_US, 0, 0), []),
    ]
)
PLAIN = CommandBatch.of([Transfer(id_at(NOON_US, 1), "alice", "bob", 5, "USD/2")])


def put(name: str, at: int, value: int) -> bytes:
    """The good record with another value at one place of a column."""
    column = getattr(GOOD, name).copy()
    column[at] = value
    return replace(GOOD, **{name: column}).encode()


HOSTILE: dict[str, bytes] = {
    "a command": put("kind", 0, Kind.TRANSFER),
    "a timeout as a message": put("kind", 2, Kind.TIMEOUT),
    "a nil id": put("ids", 1, 0),
    "the largest id": put("ids", 1, 255),
    "a home behind the last partition": put("home", 0, PARTITIONS_MAX),
    "a home before the first partition": put("home", 0, -1),
    "a step that no mask has": put("step", 0, MASK_STEPS_MAX),
    "a step below the first": put("step", 0, -1),
    "an unknown action": put("action", 1, 3),
    "an unknown option": put("option", 0, 32),
    "a final step": put("option", 0, 2),
    "a negative option": put("option", 0, -(2**63)),
    "an unknown state": put("state", 2, 6),
    "an unknown code": put("code", 2, max(Code) + 1),
    "a code below all": put("code", 2, -1),
    "a block before the first": put("begun", 0, -1),
    "a low block before the first": put("low", 0, -1),
    "a sequence beyond all": put("sequence", 2, 2**62 + 1),
    "a time before all": put("at_us", 2, -1),
    "a try without legs": put("action", 1, Action.TRY),
    "a confirmation with legs": put("action", 0, Action.CONFIRM),
    "an answer with legs": put("kind", 0, Kind.ANSWER),
    "a leg of nothing": put("amount", 0, 0),
    "a leg beyond the limit": put("amount", 0, LIMIT + 1),
    "a leg that has no positive": put("amount", 0, -(2**63)),
    "a version below any": put("if_version", 0, -2),
    "an available beyond the limit": put("if_available", 0, LIMIT + 1),
    "an available next to any": put("if_available", 0, ANY_AVAILABLE + 1),
    "legs that fall": put("first_leg", 1, 5),
    "more legs than told": put("first_leg", 3, 1),
    "no messages": EMPTY_STEPS.encode(),
    "a stream more": GOOD.encode() + PLAIN.encode(),
    "65 legs of a step": StepBatch.concatenated(
        [batch_of([(int(Kind.STEP), b"i" * 16, (0,) * 11, [LEG_OF] * 65)]), GOOD]
    ).encode(),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_record_that_no_relay_made_is_malformed(name: str) -> None:
    for decode in (StepBatch.decode, decode_record):
        with pytest.raises(BatchMalformed):
            decode(HOSTILE[name])


def test_a_record_of_commands_is_none_of_messages_and_the_other_way_round() -> None:
    with pytest.raises(BatchMalformed):
        StepBatch.decode(PLAIN.encode())
    with pytest.raises(BatchMalformed):
        CommandBatch.decode(GOOD.encode())


def test_any_damage_is_malformed_or_reads_as_messages_that_hold_every_rule() -> None:
    record, chance = GOOD.encode(), random.Random(5)
    for _ in range(3000):
        damaged = bytearray(record)
        for _ in range(chance.choice((1, 1, 2, 4))):
            damaged[chance.randrange(len(damaged))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))
        try:
            batch = decode_record(bytes(damaged))
        except BatchMalformed:
            continue
        assert isinstance(batch, StepBatch)
        assert messages_of(StepBatch.decode(batch.encode())) == messages_of(batch)


def test_every_truncation_is_malformed_up_to_the_mark_of_the_end() -> None:
    record = GOOD.encode()
    for size in range(len(record) - 8):
        with pytest.raises(BatchMalformed):
            decode_record(record[:size])


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_noise_is_malformed(data: bytes) -> None:
    with pytest.raises(BatchMalformed):
        decode_record(data)
