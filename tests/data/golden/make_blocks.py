"""Makes the golden blocks of format version 1: run once, from the root, and never again for this version.

    python -m tests.data.golden.make_blocks

What is in the log of a wallet must be read for ever, so these files are only ever added to: a new format version gets files
of its own beside them, and `tests/unit/write_side/contract/test_golden_blocks.py` replays them all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at, timeless_id
from write_side.contract.atoms import NO_FLOOR, partition_of
from write_side.contract.block import Block, decode
from write_side.contract.columns import SECTIONS
from write_side.ledger.commands import OpenAccount, Transfer

FOLDER = Path(__file__).parent
WEEK_US = 7 * 24 * 3600 * 1_000_000


def golden_partition() -> DecidingPartition:
    """Two epochs, every kind and code of version 1, every integer width, a cut-off that rose, and a repeat across blocks."""
    partition = DecidingPartition(partition=1, partitions=2)
    partition.open_epoch(NOON_US)
    partition.decide(
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
    partition.decide(
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
    partition.decide(
        [
            *(OpenAccount(name, "USD/2", 0, "") for name in here),
            _transfer(1, "@world", "alice", 1, NOON_US - 1_000),
            _transfer(2, "@world", "alice", 1, at_us + 400_000_000),
            _transfer(3, "@world", "alice", 10**18, at_us),
            *(_transfer(10 + n, "@world", here[250 + n], 10 ** min(n, 17), at_us) for n in range(19)),
        ],
        at_us,
    )
    partition.decide([_transfer(3, "@world", "alice", 10**18, at_us)], at_us + 1)
    return partition


def _transfer(number: int, debit: str, credit: str, amount: int, at_us: int = NOON_US) -> Transfer:
    return Transfer(id_at(at_us, number), debit, credit, amount, "USD/2")


def described(block: Block) -> dict[str, Any]:
    """A decoded block as JSON: bytes as hexadecimal digits."""
    header = {
        name: value.hex() if isinstance(value, bytes) else value for name, value in block.header._asdict().items()
    }
    sections = {}
    for section in SECTIONS:
        columns = getattr(block, section.name)
        sections[section.name] = {
            column.name: [bytes(row).hex() for row in columns["id"]]
            if column.name == "id" and section.name == "outcomes"
            else np.asarray(columns[column.name]).tolist()
            for column in section.columns
        }
    return {"header": header, "sections": sections}


def main() -> None:
    partition = golden_partition()
    for sequence, data in enumerate(partition.blocks):
        path = FOLDER / f"version-1-block-{sequence}.bin"
        path.write_bytes(data)
        path.with_suffix(".json").write_text(json.dumps(described(decode(data)), indent=1) + "\n")


if __name__ == "__main__":
    main()
