"""Events made in columns are what telling block by block comes to, and what the contract declares."""

from __future__ import annotations

import json
import random
import uuid
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from fanfold.api.events import Event, event_schema
from fanfold.api.values import document_of, read
from read_side.whole_log.event_json import event_json
from read_side.whole_log.event_runs import EventRuns
from tests.unit.read_side.block_maker import BlockMaker
from tests.unit.read_side.partitions import Partitions
from tests.unit.read_side.whole_log.event_telling import plain_events
from tests.unit.write_side.deciding import DecidingPartition
from tests.unit.write_side.ledger.decided_outcomes import decide_items
from tests.unit.write_side.ledger.rich_streams import rich_stream
from write_side.contract.log.log import Record
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.words.atoms import NO_FLOOR
from write_side.ledger.commands.commands import Leg, LegsTransfer, Note, OpenAccount, Transfer

VALID = Draft202012Validator(event_schema())


def made_events(blocks: list[bytes], chance: random.Random, partition: int = 0) -> list[dict[str, Any]]:
    """In runs of any length."""
    runs, at, found = EventRuns(partition), 0, list[dict[str, Any]]()
    while at < len(blocks):
        run = blocks[at : at + chance.randint(1, 40)]
        for told in runs.take([Record(10 * i, data) for i, data in enumerate(run, at)]):
            found += map(json.loads, event_json(told.events, "/fanfold").to_pylist())
        at += len(run)
    return found


def assert_declared(events: list[dict[str, Any]]) -> None:
    for event in events:
        VALID.validate(event)
        assert document_of(read(Event, event)) == event  # type: ignore[arg-type]


def test_every_field_of_an_event_has_a_sentence_and_every_example_fits() -> None:
    schema = event_schema()
    for name, found in schema["$defs"].items():
        assert found["description"], name
        for field, told in found.get("properties", {}).items():
            inner = schema["$defs"].get(told.get("$ref", "").rpartition("/")[2], {})
            assert told.get("description") or inner.get("description"), (name, field)
    for kind in ("OpenedEvent", "EntryEvent"):
        assert_declared(schema["$defs"][kind]["examples"])


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_events_of_runs_are_those_of_the_blocks_one_by_one(seed: int) -> None:
    chance = random.Random(seed)
    partition = DecidingPartition()
    for segment in rich_stream(chance, segments=8, items=12):
        decide_items(partition, segment.items, segment.at_us)
    made = made_events(partition.blocks, chance)
    assert made == plain_events(partition.blocks)
    assert_declared(made)


async def test_texts_that_json_must_escape_are_told_as_they_are() -> None:
    maker = BlockMaker(MemoryLog(MemoryRecords(1)))
    legs = (Leg("@world", -5, "USD/2"), Leg("alice", 5, "USD/2"))
    maker.make([OpenAccount("alice", "USD/2", NO_FLOOR, 'Al "the cat" \\ 7'), OpenAccount("bob", "USD/2", -5, "")])
    maker.make([LegsTransfer(uuid.uuid4().bytes, legs, note=Note('a\\"b', '{"n":"\\u00e9\\"x"}'))])
    maker.make([Transfer(uuid.uuid4().bytes, "alice", "bob", 3, "USD/2")])
    made = made_events(maker.blocks, random.Random(1))
    assert made == plain_events(maker.blocks)
    assert_declared(made)
    opened, other, world, entry, paid, received = (event["data"] for event in made)
    assert (opened["owner"], opened["floor"], other["floor"]) == ('Al "the cat" \\ 7', None, "-5")
    assert "owner" not in other
    assert (entry["reference"], entry["metadata"]) == ('a\\"b', {"n": 'é"x'})
    assert (world["account"], world["amount"]) == ("@world:USD/2", "-5")
    assert (paid["amount"], paid["posted"], received["version"]) == ("-3", "2", 1)


async def test_what_partitions_do_for_each_other_is_told_by_both() -> None:
    partitions = Partitions(MemoryLog(MemoryRecords(2)))
    alice, bob = partitions.name(0, "alice"), partitions.name(1, "bob")
    await partitions.say(0, OpenAccount(alice, "USD/2", 0, ""))
    await partitions.say(1, OpenAccount(bob, "USD/2", 0, ""))
    await partitions.say(0, Transfer(uuid.uuid4().bytes, "@world", alice, 100, "USD/2"))
    await partitions.say(0, Transfer(uuid.uuid4().bytes, alice, bob, 30, "USD/2"))
    await partitions.settle()
    for number, writer in enumerate(partitions.writers):
        made = made_events(writer.blocks, random.Random(number), number)
        assert made == plain_events(writer.blocks, number)
        assert_declared(made)
        told = [event["data"]["account"] for event in made]
        assert "@transit:USD/2" in told
        assert len({event["id"] for event in made}) == len(made)
