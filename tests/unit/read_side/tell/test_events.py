"""Every outcome of a block as one JSON object, whatever kind of command it came from."""

from __future__ import annotations

import uuid
from typing import Any

from fanfold.cli.explain import lines
from read_side.tell.events import events_of
from read_side.tell.transfer_trace import document_of
from read_side.whole_log.explain import explain
from tests.unit.read_side.block_maker import changed, opened
from tests.unit.read_side.partitions import Partitions
from tests.unit.write_side.contract.test_golden_blocks import VERSION_4
from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from write_side.contract.block.block import decode
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.words.codes import Flag
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Hold, Leg, LegsTransfer, OpenAccount, Transfer, Void

USD = "USD/2"


async def test_holds_flags_and_steps_are_told_with_what_they_changed() -> None:
    partitions = Partitions(MemoryLog(MemoryRecords(2)))
    alice, carol, bob = partitions.name(0, "alice"), partitions.name(0, "carol"), partitions.name(1, "bob")
    hold, transfer = uuid.uuid4(), uuid.uuid4()
    held = tuple(sorted([Leg(alice, -40, USD), Leg(carol, 40, USD)]))
    sent = tuple(sorted([Leg(alice, -5, USD), Leg(bob, 5, USD)]))
    await partitions.say(0, opened(alice), opened(carol))
    await partitions.say(1, opened(bob))
    await partitions.say(0, Transfer(uuid.uuid4().bytes, "@world", alice, 100, USD))
    await partitions.say(0, Hold(hold.bytes, held), changed(carol, Flag.CLOSED), Void(uuid.uuid4().bytes, hold.bytes))
    await partitions.say(0, LegsTransfer(transfer.bytes, sent))
    await partitions.settle()

    def events(partition: int, sequence: int) -> list[dict[str, Any]]:
        writer = partitions.writers[partition]
        return list(events_of(decode(writer.blocks[sequence]), writer.state))

    authorised, closed, voided = events(0, 2)
    assert (authorised["kind"], authorised["outcome"], authorised["id"]) == ("hold", "done", str(hold))
    assert [(entry["account"], entry["posted"], entry["held"]) for entry in authorised["entries"]] == [
        (alice, "100", "40")
    ]
    assert closed["entries"] == [{"account": carol, "posted": "0", "version": 1, "flags": ["closed"]}]
    assert (voided["kind"], voided["about"], voided["entries"][0]["held"]) == ("void", str(hold), "0")
    [begun] = events(0, 3)
    assert (begun["outcome"], begun["id"]) == ("pending", str(transfer))
    [credited] = events(1, 1)
    assert (credited["kind"], credited["outcome"], credited["id"]) == ("step", "done", str(transfer))


def test_who_asked_is_told_where_somebody_is_named() -> None:
    partition, id16 = DecidingPartition(0, 1), id_at(NOON_US, 1)
    partition.decide([OpenAccount("ann", USD, 0, "")], NOON_US)
    for at, name in enumerate(("eve", "bob", ""), 1):
        paid = CommandBatch.of([Transfer(id16, "@world", "ann", 1, USD)])
        partition.decide_batch(paid.asked_by(name), NOON_US + at)
    told = [next(events_of(decode(data), partition.state)) for data in partition.blocks[1:]]
    assert [(event["outcome"], event.get("asked_by")) for event in told] == [
        ("done", "eve"), ("repeated", "bob"), ("repeated", None),
    ]  # fmt: skip


async def test_who_asked_is_explained() -> None:
    log = MemoryLog(MemoryRecords(2))
    for partition, paths in enumerate(VERSION_4):
        for path in paths:
            await log.append(partition, path.read_bytes())
    first = id_at(NOON_US, 1)
    steps = await explain(log, first)
    assert document_of(first, steps)["steps"][0]["asked_by"] == "key:shop"
    assert ": done, asked by key:shop" in "\n".join(lines(first, steps))
