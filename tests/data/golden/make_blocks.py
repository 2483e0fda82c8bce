"""Makes the golden blocks as they are written now: run once, from the root, and never again for these files.

    python -m tests.data.golden.make_blocks

What is in the log of a wallet must be read for ever, so these files are only ever added to: what is written otherwise one day
gets files of its own beside them, and `tests/unit/write_side/contract/test_golden_blocks.py` replays them all.
"""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at, timeless_id
from write_side.contract.words.atoms import NO_FLOOR, partition_of
from write_side.contract.block.block import FORMAT_VERSION, FORMAT_VERSION_NAMED, Block, decode
from write_side.contract.words.codes import Flag
from write_side.contract.block.columns import SECTIONS, SECTIONS_OF_VERSION, ColumnType
from write_side.ledger.commands.askers import Askers
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import (
    Capture,
    Change,
    Command,
    Hold,
    Leg,
    LegsTransfer,
    Note,
    OpenAccount,
    Protocol,
    Reverse,
    Transfer,
    Void,
)
from write_side.ledger.across.outstanding import messages_of_block
from write_side.ledger.commands.step_batch import StepBatch

FOLDER = Path(__file__).parent
GENERATION = f"version-{FORMAT_VERSION_NAMED}"
WEEK_US = 7 * 24 * 3600 * 1_000_000


USD = "USD/2"
BatchOf = Callable[[Sequence[Command]], CommandBatch]
NAMES = ("key:shop", "key:shop", "", "auth0|5f7c8ec7c33c6c004bbafe82", "anna@example.com")


def named(commands: Sequence[Command]) -> CommandBatch:
    """By several in turn, some by nobody; what is asked for alone is by the first of them."""
    names = [NAMES[row % len(NAMES)] for row in range(len(commands))]
    return replace(CommandBatch.of(commands), askers=Askers.each(names))


def golden_partitions(batch_of: BatchOf = CommandBatch.of) -> list[DecidingPartition]:
    """Two partitions: the plain life of `_plain_life` in the second, then rich commands of every kind, and messages between the two.

    batch_of: who asks for commands; nobody is named before version 4."""
    partitions = [DecidingPartition(0, 2), _plain_life(batch_of)]
    clock = itertools.count(partitions[1].state.chained.created_at_us + 1)
    numbers = itertools.count(1_000)
    base_us = partitions[1].state.chained.created_at_us

    def new_id() -> bytes:
        return id_at(base_us, next(numbers))

    def run(partition: int, commands: list[Command], *, lose: int = 0) -> None:
        """Decide, and carry every message that follows, but for the first few."""
        waiting: deque[tuple[int, CommandBatch | StepBatch]] = deque([(partition, batch_of(commands))])
        while waiting:
            to, batch = waiting.popleft()
            block = partitions[to].decide_batch(batch, next(clock))
            for each in messages_of_block(block).items():
                if lose > 0:
                    lose -= 1
                else:
                    waiting.append(each)

    legs = (Leg("alice", -30, USD), Leg("bob", 10, USD), Leg("dave", 20, USD))
    inside = (Leg("alice", -9, USD, if_version=0, if_available=5), Leg("dave", 9, USD))
    partitions[0].open_epoch(next(clock))
    run(0, [OpenAccount("bob", USD, 0, ""), OpenAccount("carol", USD, 0, "")])
    many, plain, held = new_id(), new_id(), new_id()
    run(1, [Transfer(plain, "alice", "bob", 5, USD), LegsTransfer(many, legs, note=Note("invoice 7", '{"a":"b"}'))])
    run(
        1,
        [
            LegsTransfer(new_id(), legs, Protocol.TCC),
            LegsTransfer(new_id(), inside),
            Transfer(new_id(), "dave", "nobody0", 1, USD),
        ],
    )
    run(1, [LegsTransfer(new_id(), (Leg("alice", -5, USD), Leg("nobody0", 5, USD)), Protocol.TCC)])
    run(1, [Reverse(new_id(), plain, (Leg("alice", 5, USD), Leg("bob", -5, USD))), Reverse(new_id(), many, ())])
    run(1, [Hold(held, (Leg("alice", -100, USD), Leg("bob", 100, USD)), deadline_us=base_us + 60_000_000)])
    run(1, [Capture(new_id(), held, 10), Capture(new_id(), held, 10), Void(new_id(), held)])
    run(1, [Capture(new_id(), held, 200), Capture(new_id(), held, 20, final=True, protocol=Protocol.TCC)])
    local = new_id()
    run(
        1,
        [
            Hold(local, (Leg("alice", -50, USD), Leg("dave", 50, USD))),
            Capture(new_id(), local, legs=(Leg("alice", -20, USD), Leg("dave", 20, USD))),
        ],
    )
    run(
        1,
        [
            Change(new_id(), "alice", Flag.DEBIT_FROZEN, Flag(0)),
            Change(new_id(), "alice", Flag.CLOSED, Flag(0)),
            Void(new_id(), local),
        ],
    )
    run(
        1,
        [
            Change(new_id(), "alice", Flag(0), Flag.DEBIT_FROZEN),
            Hold(new_id(), (Leg("alice", -7, USD), Leg("dave", 7, USD)), base_us + 1_000_000),
        ],
    )
    lost = LegsTransfer(new_id(), (Leg("alice", -3, USD), Leg("bob", 3, USD)), Protocol.TCC)
    run(1, [lost], lose=1)
    clock = itertools.count(base_us + 30_000_000)
    run(1, [Transfer(new_id(), "@world", "alice", 1, USD)])
    return partitions


def _plain_life(batch_of: BatchOf) -> DecidingPartition:
    """Two epochs, plain transfers with every code they had first, every integer width, a cut-off that rose, a repeat."""
    partition = DecidingPartition(partition=1, partitions=2)

    def decide(commands: Sequence[Command], at_us: int) -> None:
        partition.decide_batch(batch_of(commands), at_us)

    partition.open_epoch(NOON_US)
    decide(
        [
            OpenAccount("alice", "USD/2", 0, "ann"),
            OpenAccount("dave", "USD/2", NO_FLOOR, ""),
            OpenAccount("judy", "EUR/2", -500, ""),
            OpenAccount("alice", "USD/2", 0, "ann"),
            OpenAccount("alice", "EUR/2", 0, "ann"),
            OpenAccount("bob", "USD/2", 0, ""),
            _transfer(1, "@world", "alice", 1_000),
            _transfer(2, "alice", "dave", 300),
        ],
        NOON_US + 1,
    )
    decide(
        [
            _transfer(3, "alice", "dave", 701),
            _transfer(2, "alice", "dave", 300),
            _transfer(2, "alice", "dave", 301),
            Transfer(timeless_id(4), "alice", "nobody", 1, "USD/2"),
            Transfer(timeless_id(4), "alice", "nobody", 1, "USD/2"),
            _transfer(5, "alice", "judy", 1),
            _transfer(6, "alice", "bob", 1),
            _transfer(7, "dave", "alice", 10**17),
            Transfer(id_at(NOON_US, 8), "@world", "judy", 5, "EUR/2"),
        ],
        NOON_US + 2,
    )
    partition.open_epoch(NOON_US + 3)
    at_us = NOON_US + WEEK_US
    here = [name for name in (f"many-{n}" for n in range(600)) if partition_of(name, 2) == 1]
    decide(
        [
            *(OpenAccount(name, "USD/2", 0, "") for name in here),
            _transfer(1, "@world", "alice", 1, NOON_US - 1_000),
            _transfer(2, "@world", "alice", 1, at_us + 400_000_000),
            _transfer(3, "@world", "alice", 10**18, at_us),
            *(_transfer(10 + n, "@world", here[250 + n], 10 ** min(n, 17), at_us) for n in range(19)),
        ],
        at_us,
    )
    decide([_transfer(3, "@world", "alice", 10**18, at_us)], at_us + 1)
    return partition


def _transfer(number: int, debit: str, credit: str, amount: int, at_us: int = NOON_US) -> Transfer:
    return Transfer(id_at(at_us, number), debit, credit, amount, "USD/2")


def described(block: Block, version: int = FORMAT_VERSION) -> dict[str, Any]:
    """A decoded block as JSON, with the sections of its format version: bytes as hexadecimal digits."""
    header = {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in block.header._asdict().items()
        if name != "forgets" or value  # told by a few blocks alone, and not yet when these files were made
    }
    sections = {}
    for section in SECTIONS[: SECTIONS_OF_VERSION[version]]:
        columns = getattr(block, section.name)
        sections[section.name] = {
            column.name: [bytes(row).hex() for row in columns[column.name]]
            if column.kind is ColumnType.ID
            else np.asarray(columns[column.name]).tolist()
            for column in section.columns
        }
    if not block.header.partitions:
        del header["partitions"]  # blocks of before it was told
    return {"header": header, "sections": sections}


def main() -> None:
    for partition in golden_partitions(named):
        for sequence, data in enumerate(partition.blocks):
            path = FOLDER / f"{GENERATION}-partition-{partition.state.partition}-block-{sequence:02}.bin"
            path.write_bytes(data)
            path.with_suffix(".json").write_text(json.dumps(described(decode(data), FORMAT_VERSION_NAMED)) + "\n")


if __name__ == "__main__":
    main()
