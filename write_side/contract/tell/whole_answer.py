"""The answer to a transfer across partitions, told whole: the outcome that ends it says how; what the command was about and what
it moved at home before is in earlier blocks of home, and is told from there.

Pure. The states of accounts in other partitions are not told: home's log does not know them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from write_side.contract.block.block import Block
from write_side.contract.state.pending_columns import What
from write_side.contract.state.state import State
from write_side.contract.tell.answers import Answer, account_document, format_time, link_of, note_of
from write_side.contract.words.codes import Code, Kind
from write_side.contract.words.position import Position

_SUBJECTS: Final = {Kind.CAPTURE: "hold", Kind.REVERSE: "reverses"}
_COMMANDS: Final = (Kind.TRANSFER, Kind.CAPTURE, Kind.REVERSE)
_AT_HOME: Final = (*_COMMANDS, Kind.ANSWER, Kind.TIMEOUT)
"""What home decides of a transfer. A step of this id is another home's transfer."""


def earlier_at_home(end: Block, row: int) -> list[int]:
    """The sequences of the blocks before `end` in which home began the transfer that outcome `row` ends, or moved its legs."""
    process = (end.pending["outcome"] == row) & (end.pending["what"] == What.PROCESS)
    own = (end.steps["outcome"] == row) & (end.steps["partition"] == end.header.partition)
    sequences = {*end.pending["begun"][process].tolist(), *end.steps["sequence"][own].tolist()}
    return sorted(sequences - {end.header.sequence})


def told_under_way(answer: Answer, begun: Block, id16: bytes) -> Answer:
    """The answer to a transfer that block `begun` began, with what it is about."""
    return Answer(answer.status, answer.document | _subject(begun, _command_row(begun, id16)))


def told_whole(answer: Answer, id16: bytes, blocks: Sequence[Block], state: State) -> Answer:
    """The answer to a transfer that has ended. blocks: those of `earlier_at_home` and the one that ends it, in order."""
    command = _command_row(blocks[0], id16)
    document = answer.document | _subject(blocks[0], command)
    if answer.status < 400:
        accounts: dict[str, Any] = {}
        for block in blocks:
            accounts |= _states(block, id16, state)
        document |= note_of(blocks[0], command) | {"accounts": list(accounts.values())}
    return Answer(answer.status, document)


def _rows(block: Block, id16: bytes, kinds: Sequence[Kind]) -> list[int]:
    words, own = block.outcomes["id"].view("<u8"), np.frombuffer(id16, "<u8")
    rows = np.flatnonzero((words[:, 0] == own[0]) & (words[:, 1] == own[1]))
    kinds_there = block.outcomes["kind"][rows].tolist()  # plain integers: numpy's compare slowly with an enum
    return [row for row, kind in zip(rows.tolist(), kinds_there, strict=True) if kind in kinds]


def _command_row(begun: Block, id16: bytes) -> int:
    return next(row for row in _rows(begun, id16, _COMMANDS) if begun.outcomes["code"][row] == Code.PENDING)


def _subject(begun: Block, row: int) -> dict[str, object]:
    """The hold that is captured, the transfer that is reversed."""
    kind = Kind(int(begun.outcomes["kind"][row]))
    return {_SUBJECTS[kind]: link_of(begun, row)} if kind in _SUBJECTS else {}


def _states(block: Block, id16: bytes, state: State) -> dict[str, Any]:
    """The state of every account after the last that the transfer did to it in this block, by name."""
    entries, held = block.entries, block.held
    position = str(Position(block.header.partition, block.header.sequence))
    at = format_time(block.header.created_at_us)
    states = {}
    for row in _rows(block, id16, _AT_HOME):
        first, last = np.searchsorted(entries["outcome"], (row, row + 1)).tolist()
        for entry in range(first, last):
            number = int(entries["account"][entry])
            name = state.names[number]
            if name.startswith("@"):
                continue
            holds = np.flatnonzero(held["entry"] == entry)
            states[name] = account_document(
                account=name,
                asset=state.assets[number],
                posted=int(entries["posted"][entry]),
                held=int(held["held"][holds[0]]) if holds.size else 0,
                floor=int(state.floor[number]),
                version=int(entries["version"][entry]),
                position=position,
                at=at,
            )
    return states
