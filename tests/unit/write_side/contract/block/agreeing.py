"""Two readers of one block agree: ours, and one that knows the page of the format alone."""

from __future__ import annotations

from tests.unit.write_side.contract.plain_reader import read_block
from write_side.contract.block.block import decode
from write_side.contract.block.columns import SECTIONS, ColumnType


def agrees(data: bytes) -> None:
    """A program that knows the page of the format alone reads a block as we do."""
    block = decode(data)
    header, read, _ = read_block(data)
    assert {name: header[name] for name in block.header._fields} == block.header._asdict()
    for section in SECTIONS:
        columns = getattr(block, section.name)
        for column in section.columns:
            ours = columns[column.name]
            ours = [bytes(row) for row in ours] if column.kind is ColumnType.ID else list(ours)
            assert read.get(section.name, {}).get(column.name, []) == ours
