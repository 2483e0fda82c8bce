"""Who asked: every outcome of a command names one who has asked for it, in whatever record it came and beside whatever else."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from blake3 import blake3

from tests.simulation.auditor import Violation
from write_side.contract.block.block import Block
from write_side.contract.words.codes import Kind
from write_side.ledger.commands.commands import Command, OpenAccount

NAMES = ("", "eve", "bob", "key:shop", "auth0|5f7c8ec7")
"""Some of the load is asked for by nobody, as behind a gateway that asks nobody."""


class WhoAsked:
    """By what an outcome is named by, everybody who has asked for that."""

    def __init__(self) -> None:
        self._by: dict[bytes, set[str]] = {}

    def name(self, commands: Sequence[Command]) -> str:
        """In whose name these are sent together, the same one whenever they are."""
        name = NAMES[blake3(_subject(commands[0])).digest()[0] % len(NAMES)]
        for command in commands:
            self._by.setdefault(_subject(command), set()).add(name)
        return name

    def told(self, block: Block) -> None:
        """Of a block that reached the log, whether it counts or not. Raises Violation."""
        first, names = block.askers["outcome"].tolist(), ["", *block.askers["name"]]
        ids, kinds = block.outcomes["id"].tobytes(), block.outcomes["kind"].tolist()
        for row, kind in enumerate(kinds):
            if kind > Kind.CHANGE:
                continue
            name, asked = names[bisect_right(first, row)], self._by.get(ids[16 * row : 16 * row + 16], set())
            if name not in asked:
                raise Violation(f"{name or 'nobody'} is named for what {sorted(asked)} asked for")


def _subject(command: Command) -> bytes:
    """The id of its outcome."""
    return blake3(command.account.encode()).digest()[:16] if isinstance(command, OpenAccount) else command.id
