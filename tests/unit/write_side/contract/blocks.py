"""A small block with rows in every section, and blocks whose hash is right whatever their bytes say."""

from __future__ import annotations

import struct
from typing import Any

from blake3 import blake3

from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at, timeless_id
from write_side.contract.block.block import HEADER_BYTES, Block, encode
from write_side.contract.block.columns import SECTIONS
from write_side.contract.words.atoms import NO_FLOOR
from write_side.ledger.commands.commands import Command, OpenAccount, Transfer

FIELDS = struct.Struct("<8sHHHHQQ32sqqq16sQ")
FIELD_NAMES = (
    "magic", "version", "zero", "partition", "forgets", "epoch", "sequence", "previous_hash", "consumed_to", "created_at_us",
    "refuse_ids_before_us", "digest", "body_bytes",
)  # fmt: skip


def sealed(data: bytes, **fields: Any) -> bytes:
    """The block with these header fields, and the hash over whatever it says now."""
    values = dict(zip(FIELD_NAMES, FIELDS.unpack_from(data), strict=True)) | fields
    head = FIELDS.pack(*values.values())
    body = data[HEADER_BYTES:]
    return b"".join((head, blake3(head + body).digest(), body))


def with_body(data: bytes, body: bytes) -> bytes:
    return sealed(data[:HEADER_BYTES] + body, body_bytes=len(body))


def encoded(block: Block, **header: Any) -> bytes:
    """A decoded block as bytes again, with other header fields where given."""
    fields = block.header._asdict() | header
    del fields["body_bytes"], fields["block_hash"]
    return encode(**fields, sections={section.name: getattr(block, section.name) for section in SECTIONS})


FIRST_COMMANDS: list[Command] = [
    OpenAccount("alice", "USD/2", 0, "ann"),
    OpenAccount("bob", "USD/2", NO_FLOOR, ""),
    OpenAccount("carol", "EUR/2", -500, ""),
    OpenAccount("alice", "USD/2", 0, "ann"),
    OpenAccount("alice", "EUR/2", 0, "ann"),
    Transfer(id_at(NOON_US, 1), "@world", "alice", 1_000, "USD/2"),
    Transfer(id_at(NOON_US, 2), "alice", "bob", 300, "USD/2"),
]
SECOND_COMMANDS: list[Command] = [
    Transfer(id_at(NOON_US, 3), "alice", "bob", 701, "USD/2"),
    Transfer(id_at(NOON_US, 2), "alice", "bob", 300, "USD/2"),
    Transfer(id_at(NOON_US, 2), "alice", "bob", 301, "USD/2"),
    Transfer(timeless_id(4), "alice", "nobody", 1, "USD/2"),
    Transfer(timeless_id(4), "alice", "nobody", 1, "USD/2"),
    Transfer(id_at(NOON_US, 5), "alice", "carol", 1, "USD/2"),
    OpenAccount("dave", "BTC/8", 10**18, "d"),
    Transfer(id_at(NOON_US, 6), "bob", "alice", 10**17, "USD/2"),
    Transfer(id_at(NOON_US, 7), "@world", "carol", 5, "EUR/2"),
]


def two_blocks() -> DecidingPartition:
    """Block 0 and block 1: the second has rows in every section."""
    partition = DecidingPartition()
    partition.decide(FIRST_COMMANDS, NOON_US)
    partition.decide(SECOND_COMMANDS, NOON_US + 1)
    return partition
