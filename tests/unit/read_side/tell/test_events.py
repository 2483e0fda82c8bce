"""Every outcome of a block as one JSON object, whatever kind of command it came from."""

from __future__ import annotations

import uuid
from typing import Any

from read_side.tell.events import events_of
from tests.unit.read_side.block_maker import changed, opened
from tests.unit.read_side.partitions import Partitions
from write_side.contract.block.block import decode
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.words.codes import Flag
from write_side.ledger.commands.commands import Hold, Leg, LegsTransfer, Transfer, Void

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
