"""Whose accounts a transfer across partitions is about. In each partition money comes from `@transit` or goes there; the block of
its home in which it began names all of its legs, or the hold or transfer that it is about.

Where that block is, every outcome of the transfer says (`begun`). So a line of a statement costs two looks into blocks, however
many blocks and partitions there are; and nothing is sought, decoded or fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from read_side.history.past import outcomes_of, part_with
from read_side.history.segment import Segment
from write_side.contract.block.block_rows import BlockRows
from write_side.contract.block.columns import LEGS, LINKS, PENDING
from write_side.contract.state.pending_columns import HOME_SHIFT, What
from write_side.contract.words.atoms import SYSTEM_ACCOUNTS
from write_side.contract.words.codes import NOT_REMEMBERED, REMEMBERED_KINDS, Code, Kind

_AFTERWARDS: Final = frozenset(map(int, (Kind.STEP, Kind.ANSWER, Kind.TIMEOUT)))
_COMMANDS: Final = frozenset(map(int, REMEMBERED_KINDS))
_PENDING: Final = int(Code.PENDING)
_SORT: Final = 0xFF
_PARTITION: Final = 0xFFFF
_LINKS_MAX: Final = 3
"""A reversal is about a capture, which is about a hold."""

PartsOf = Callable[[int], Sequence[Segment]]
"""The history of a partition, the newest first; empty where it cannot be asked here."""


class Across:
    """The transfers of one page of a partition's lines: each is looked up once."""

    def __init__(self, partition: int, parts_of: PartsOf) -> None:
        self._partition = partition
        self._parts_of = parts_of
        self._parts: dict[int, Sequence[Segment]] = {}
        self._known: dict[bytes, list[str]] = {}
        self._blocks: dict[tuple[int, int], BlockRows] = {}

    def accounts(self, segment: Segment, number: int) -> list[str]:
        """The accounts of all legs of the transfer across partitions that this outcome is of, system accounts with their asset;
        none where it is of no such transfer, or this process does not have its home's history."""
        if int(segment.kind[number]) not in _AFTERWARDS and int(segment.code[number]) != _PENDING:
            return []
        id16 = segment.id_of(number)
        if id16 not in self._known:
            self._known[id16] = self._named(segment, number, id16)
        return self._known[id16]

    def _named(self, segment: Segment, number: int, id16: bytes) -> list[str]:
        sequence, row = segment.place_of(number)
        block = self._block(self._partition, segment, sequence)
        for id, what, begun in block.of(PENDING, row, ("id", "what", "begun")):
            sort = what & _SORT
            if id == id16 and sort in (What.PROCESS, What.STEP):
                home = self._partition if sort == What.PROCESS else what >> HOME_SHIFT & _PARTITION
                return self._named_at(home, begun, id16)
        return []

    def _named_at(self, home: int, sequence: int, id16: bytes) -> list[str]:
        if home not in self._parts:
            self._parts[home] = self._parts_of(home)
        part = part_with(self._parts[home], sequence)
        if part is None:
            return []
        for number in part.of_id(id16):
            began = int(part.kind[number]) in _COMMANDS and int(part.code[number]) == _PENDING
            if began and part.place_of(number).sequence == sequence:
                return self._legs(home, part, number)
        return []

    def _legs(self, home: int, part: Segment, number: int) -> list[str]:
        """The accounts that a command names; where it names none, those that what it is about does."""
        for _ in range(_LINKS_MAX):
            sequence, row = part.place_of(number)
            block = self._block(home, part, sequence)
            if legs := block.of(LEGS, row, ("account", "asset")):
                return list(dict.fromkeys(f"{name}:{of}" if name in SYSTEM_ACCOUNTS else name for name, of in legs))
            found = [
                each
                for (id,) in block.of(LINKS, row, ("id",))
                for each in outcomes_of(self._parts[home], id)
                if each.kind in REMEMBERED_KINDS and each.code not in NOT_REMEMBERED
            ]
            if not found:
                return []
            part, number = found[0].segment, found[0].number
        return []

    def _block(self, partition: int, segment: Segment, sequence: int) -> BlockRows:
        """Lines of a page that follow each other are often of one block."""
        if (block := self._blocks.get((partition, sequence))) is None:
            block = self._blocks[partition, sequence] = BlockRows(segment.block_view(sequence))
        return block
