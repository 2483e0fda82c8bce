"""A transfer that ends when memory has forgotten its id: what became of it is known from its last block on, counted or not."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from tests.unit.write_side.deciding import NOON_US, timeless_id
from write_side.contract.block.block import Block
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.state.fold_ids import forget_before
from write_side.contract.state.state import Place, State
from write_side.contract.words.atoms import partition_of
from write_side.id_runs.folder import RunFolder
from write_side.id_runs.runs import IdRuns
from write_side.ledger.across.outstanding import messages_of_block
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import OpenAccount, Transfer
from write_side.ledger.commands.step_batch import StepBatch
from write_side.ledger.deciding.next_block import next_block

USD = "USD/2"
NEAR, FAR = (next(name for name in map(str, range(64)) if partition_of(name, 2) == p) for p in (0, 1))
ASKED = Transfer(timeless_id(1), NEAR, FAR, 5, USD)


class Home:
    """Two partitions, and the ids of the first."""

    def __init__(self, folder: Path) -> None:
        self.states = (State(0), State(1))
        self.ids = IdRuns(RunFolder(folder, FileStore(folder), 0))
        self.ids.open()
        self.ids.begin(self.states[0])
        self._at_us = NOON_US

    def decide(self, partition: int, batch: CommandBatch | StepBatch) -> Block:
        state = self.states[partition]
        self._at_us += 1
        offset = state.chained.consumed_to
        decided = next_block(
            state, [(offset, batch)], partitions=2, created_at_us=self._at_us, consumed_to=offset + 1, ids_max=1024, epoch=1
        )  # fmt: skip
        return decided.block


def test_how_it_ended_is_known_before_its_block_counts_and_after(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.decide(1, CommandBatch.of([OpenAccount(FAR, USD, 0, "")]))
    for commands in ([OpenAccount(NEAR, USD, 0, "")], [Transfer(timeless_id(2), "@world", NEAR, 9, USD)]):
        home.ids.add(home.ids.ran(home.states[0], home.decide(0, CommandBatch.of(commands))))
    begun = home.decide(0, CommandBatch.of([ASKED]))
    ran = home.ids.ran(home.states[0], begun)
    home.ids.add(ran)
    forget_before(home.states[0], NOON_US + 10**9, NOON_US + 10**9)
    assert home.states[0].find_transfer(ASKED.id) is None

    waiting = deque(messages_of_block(begun).items())
    last = begun
    while waiting:
        to, batch = waiting.popleft()
        block = home.decide(to, batch)
        waiting += messages_of_block(block).items()
        if to == 0:
            ran, last = home.ids.ran(home.states[0], block), block
            if waiting:
                home.ids.add(ran)
    ended = Place(last.header.sequence, 0)
    assert ended.sequence > begun.header.sequence
    assert home.ids.place_of(ASKED.id) == ended
    home.ids.add(ran)
    assert home.ids.place_of(ASKED.id) == ended
    home.ids.tidy()
    assert home.ids.place_of(ASKED.id) == ended
