"""A partition that is decided block by block, with its ids in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.unit.write_side.deciding import NOON_US
from write_side.contract.block.block import Block
from write_side.contract.log.log import Record
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.id_runs.folder import RunFolder
from write_side.id_runs.runs import IdRuns
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command, Transfer
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.ledger.deciding.next_block import next_block

USD = "USD/2"
IDS_MAX = 1_024
SECOND_US = 1_000_000
MUCH = 10**17


def opened(folder: Path) -> IdRuns:
    ids = IdRuns(RunFolder(folder, FileStore(folder), 0))
    ids.open()
    return ids


class Bank:
    """A partition that is decided block by block, with its ids in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ids = opened(folder)
        self.state = State(0)
        self.ids.begin(self.state)
        self.blocks: list[bytes] = []
        self.at_us = NOON_US

    def decide(self, commands: Sequence[Command]) -> Block:
        self.at_us += 1
        offset = len(self.blocks)
        decided = next_block(
            self.state,
            [(offset, CommandBatch.of(commands))],
            partitions=1,
            created_at_us=self.at_us,
            consumed_to=offset + 1,
            ids_max=IDS_MAX,
            epoch=1,
            ever=self.ids,
        )
        self.blocks.append(decided.data)
        self.ids.add(self.ids.ran(self.state, decided.block))
        return decided.block

    def start_again(self) -> None:
        """As after a crash: what was not written is read from the log."""
        self.ids = opened(self.folder)
        replay = Replay(State(0), FINGERPRINTS)
        self.ids.begin(replay.state)
        records = [Record(offset, data) for offset, data in enumerate(self.blocks)]
        for first in range(0, len(records), 7):
            for folded in replay.take_run(records[first : first + 7]):
                self.ids.add_folded(replay.state, folded)
        assert np.array_equal(replay.state.digest, self.state.digest)
        self.state = replay.state


def transfer(id16: bytes, amount: int) -> Transfer:
    """A payment; of `MUCH` one that is refused, for nobody has so much."""
    giver, taker = ("alice", "@world") if amount == MUCH else ("@world", "alice")
    return Transfer(id16, giver, taker, amount, USD)
