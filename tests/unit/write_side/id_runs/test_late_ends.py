"""A transfer that ends when memory has forgotten its id: what became of it is known from its last block on, counted or not."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from tests.unit.write_side.deciding import NOON_US, timeless_id
from write_side.contract.block.block import Block
from write_side.contract.log.log import Record
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.state.fold_ids import forget_before
from write_side.contract.state.ids import CUT_OFF_STEP_US, WINDOW_US
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import Place, State
from write_side.contract.words.atoms import partition_of
from write_side.id_runs.folder import RunFolder
from write_side.id_runs.runs import IdRuns
from write_side.ledger.across.outstanding import messages_of_block
from write_side.ledger.again.decide_again import decide_again
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import OpenAccount, Transfer
from write_side.ledger.commands.fingerprint import FINGERPRINTS
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
        self.at_us = NOON_US
        self.blocks: list[bytes] = []

    def decide(self, partition: int, *batches: CommandBatch | StepBatch, ever: IdRuns | None = None) -> Block:
        state = self.states[partition]
        self.at_us += 1
        records = list(enumerate(batches, state.chained.consumed_to))
        decided = next_block(
            state, records, partitions=2, created_at_us=self.at_us, consumed_to=records[-1][0] + 1, ids_max=1024, epoch=1,
            ever=ever,
        )  # fmt: skip
        if partition == 0:
            self.blocks.append(decided.data)
        return decided.block

    def begin(self) -> Block:
        """The block in which a transfer from one to the other begins."""
        self.decide(1, CommandBatch.of([OpenAccount(FAR, USD, 0, "")]))
        for commands in ([OpenAccount(NEAR, USD, 0, "")], [Transfer(timeless_id(2), "@world", NEAR, 9, USD)]):
            self.counted(self.decide(0, CommandBatch.of(commands)))
        return self.counted(self.decide(0, CommandBatch.of([ASKED])))

    def counted(self, block: Block) -> Block:
        self.ids.add(self.ids.ran(self.states[0], block))
        return block


def test_how_it_ended_is_known_before_its_block_counts_and_after(tmp_path: Path) -> None:
    home = Home(tmp_path)
    begun = home.begin()
    forget_before(home.states[0], NOON_US + 10**9, NOON_US + 10**9)
    assert home.states[0].find_transfer(ASKED.id) is None

    waiting = deque(messages_of_block(begun).items())
    last, ran = begun, None
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
    assert ran is not None
    home.ids.add(ran)
    assert home.ids.place_of(ASKED.id) == ended
    home.ids.tidy()
    assert home.ids.place_of(ASKED.id) == ended


def test_who_repeats_it_behind_its_end_in_one_block_is_told_that_end(tmp_path: Path) -> None:
    home = Home(tmp_path)
    begun = home.begin()
    home.at_us += WINDOW_US + CUT_OFF_STEP_US
    again = CommandBatch.of([ASKED])
    waiting = deque(messages_of_block(begun).items())
    ended: Block | None = None
    while waiting:
        to, batch = waiting.popleft()
        block = home.decide(to, again, batch, again, ever=home.ids) if to == 0 else home.decide(to, batch)
        waiting += messages_of_block(block).items()
        if to == 0:
            ended = home.counted(block)
    assert ended is not None
    assert home.states[0].find_transfer(ASKED.id) is None
    repeats = ended.repeats
    assert list(zip(repeats["sequence"].tolist(), repeats["row"].tolist(), strict=True)) == [
        (begun.header.sequence, 0),
        (ended.header.sequence, 1),
    ]

    replay = Replay(State(0), FINGERPRINTS)
    for offset, data in enumerate(home.blocks[: ended.header.sequence]):
        replay.take(Record(offset, data))
    found = decide_again(replay.state, ended, home.blocks[ended.header.sequence], partitions=2)
    assert (found.differs, found.outcomes) == (None, 3)
