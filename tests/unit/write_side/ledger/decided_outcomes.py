"""What decided blocks say, in the words of the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from tests.unit.write_side.deciding import DecidingPartition
from tests.unit.write_side.ledger.wallet_model import Chain, Entry, Outcome, Unasked
from write_side.contract.block.block import Block
from write_side.contract.block.columns import NOT_TOLD
from write_side.contract.words.codes import Code, Kind, word_of
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command
from write_side.ledger.commands.step_batch import StepBatch

WORDS = {Code.EXISTS: "exists", Code.REPEATED: "repeated", Code.PENDING: "pending", Code.STALE: "stale"}
"""Of the codes that are no refusals; the others have their published word."""


def word(code: int) -> str:
    return WORDS.get(Code(code), word_of(Code(code)))


class DecidedOutcomes:
    """Reads the blocks of a partition, one after the other."""

    def __init__(self, partition: DecidingPartition) -> None:
        self.partition = partition
        self.outcomes: list[Outcome] = []
        self._first: dict[tuple[int, int], int] = {}
        self._held: dict[int, int] = {}

    def read(self, block: Block) -> list[Outcome]:
        start = len(self.outcomes)
        entries = self._entries(block)
        for row, code in enumerate(block.outcomes["code"].tolist()):
            self._first[block.header.sequence, row] = start + row
            self.outcomes.append(self._outcome(block, row, code, tuple(sorted(entries.get(row, ())))))
        return self.outcomes[start:]

    def _entries(self, block: Block) -> dict[int, list[Entry]]:
        held_after = dict(zip(block.held["entry"].tolist(), block.held["held"].tolist(), strict=True))
        found: dict[int, list[Entry]] = {}
        columns = (block.entries[name].tolist() for name in ("outcome", "account", "posted", "version"))
        for at, (outcome, account, posted, version) in enumerate(zip(*columns, strict=True)):
            held = self._held[account] = held_after.get(at, self._held.get(account, 0))
            name = self.partition.state.row_name(account)
            found.setdefault(outcome, []).append(Entry(name, posted, version, held))
        return found

    def _outcome(self, block: Block, row: int, code: int, entries: tuple[Entry, ...]) -> Outcome:
        kind = Kind(int(block.outcomes["kind"][row]))
        unasked = None
        if kind >= Kind.EXPIRE:
            unasked = Unasked(kind.name.lower(), block.outcomes["id"][row].tobytes())
            return Outcome(word(code), entries, None, None, unasked)
        legs, repeats = block.legs, block.repeats
        told = [int(legs["available"][i]) for i in np.flatnonzero(legs["outcome"] == row)]
        available = next((value for value in told if value != NOT_TOLD), None)
        first = None
        for i in np.flatnonzero(repeats["outcome"] == row):
            first = self._first[int(repeats["sequence"][i]), int(repeats["row"][i])]
        return Outcome(word(code), entries, available, first, unasked)


def decide_items(partition: DecidingPartition, items: Iterable[Command | Chain], at_us: int) -> Block:
    """One block: single commands that follow each other are one record of the queue, and each chain is one."""
    records: list[CommandBatch] = []
    alone: list[Command] = []
    for item in items:
        if isinstance(item, Chain):
            records += [CommandBatch.of(alone)] * bool(alone) + [CommandBatch.of(item.commands, item.mode)]
            alone = []
        else:
            alone.append(item)
    return decide_records(partition, [*records, *([CommandBatch.of(alone)] * bool(alone))], at_us)


def decide_records(partition: DecidingPartition, records: Sequence[CommandBatch | StepBatch], at_us: int) -> Block:
    """One block of these records of the queue."""
    return partition.decide_records(records, at_us)


def balances_of(partition: DecidingPartition) -> dict[str, tuple[int, int, int, int]]:
    """posted, held, version, flags of every account, as `WalletModel.balances` has them."""
    state = partition.state
    columns = (getattr(state, name)[: state.count].tolist() for name in ("posted", "held", "version", "flags"))
    return {state.row_name(number): each for number, each in enumerate(zip(*columns, strict=True))}
