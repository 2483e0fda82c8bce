"""Three partitions whose messages a test carries by hand: lost, doubled, or by the rules, with crashes at every append."""

from __future__ import annotations

import itertools
from collections import deque

from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from write_side.contract.block.block import Block
from write_side.contract.state.pending_columns import WHAT, Phase, What
from write_side.contract.words.atoms import partition_of
from write_side.ledger.across.outstanding import messages_again, messages_of_block
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command, OpenAccount, Transfer
from write_side.ledger.commands.step_batch import StepBatch

USD = "USD/2"
PARTITIONS = 3
NAMES = [next(n for n in map(str, range(99)) if partition_of(n, PARTITIONS) == p) for p in range(PARTITIONS)]
"""An account in each partition: `ALICE` at home."""
ALICE, BOB, CAROL = NAMES

Message = tuple[int, CommandBatch | StepBatch]


class ThreePartitions:
    """waiting: messages that nobody has carried yet. crash_at: number of the append at which a partition crashes, before or
    after it; its messages of that moment are lost, and the record it was deciding comes again."""

    def __init__(self, *, each: int = 1_000) -> None:
        self.partitions = [DecidingPartition(p, PARTITIONS) for p in range(PARTITIONS)]
        self.waiting: deque[Message] = deque()
        self.crash_at: int | None = None
        self.crash_before = False
        self.appends = 0
        self._clock = itertools.count(NOON_US)
        for partition, name in enumerate(NAMES):
            self.decide(partition, [OpenAccount(name, USD, 0, "")])
            self.decide(partition, [Transfer(id_at(NOON_US, 900 + partition), "@world", name, each, USD)])
        self.appends = 0

    def leap(self, us: int) -> None:
        """So much time goes by."""
        self._clock = itertools.count(next(self._clock) + us)

    def decide(self, partition: int, commands: list[Command]) -> Block:
        """Decide commands of clients; what follows waits."""
        return self.take(partition, CommandBatch.of(commands))

    def take(self, partition: int, batch: CommandBatch | StepBatch) -> Block:
        """Decide one record; what follows waits."""
        block = self.partitions[partition].decide_batch(batch, next(self._clock))
        self.appends += 1
        if self.appends == self.crash_at:
            self._crash(partition)
            if self.crash_before:
                self.waiting.append((partition, batch))
            return block
        self.waiting += messages_of_block(block).items()
        return block

    def carry(self, times: int = 1) -> None:
        """Carry the messages that wait, and those that follow, each so many times."""
        while self.waiting:
            partition, batch = self.waiting.popleft()
            for _ in range(times):
                self.take(partition, batch)

    def ask_again(self) -> None:
        """What the relay of a partition does after a restart, and after a while."""
        for p, partition in enumerate(self.partitions):
            table = partition.state.pending
            rows = table.rows[: table.count]
            self.waiting += messages_again(rows[rows[:, WHAT] == What.PROCESS], table.legs, p).items()

    def phase(self, id16: bytes) -> Phase | None:
        """The phase of a transfer of the first partition; None when it is over."""
        table = self.partitions[0].state.pending
        row = table.find(id16, What.PROCESS)
        return None if row is None else Phase(table.rows[row, 3])

    def posted(self, name: str) -> int:
        return self._column(name, "posted")

    def held(self, name: str) -> int:
        return self._column(name, "held")

    def transit(self) -> int:
        """The money in flight: the sum of all transit accounts."""
        return sum(self._column(f"@transit:{USD}", "posted", p) for p in range(PARTITIONS))

    def check(self) -> None:
        """Every partition sums to zero, nothing available is below zero, and the log replays to the state."""
        for partition in self.partitions:
            state = partition.state
            assert int(state.posted[: state.count].sum()) == 0
            assert partition.replayed().digest_bytes() == state.digest_bytes()
        for name in NAMES:
            assert self.posted(name) - self.held(name) >= 0

    def _column(self, name: str, column: str, partition: int | None = None) -> int:
        at = partition_of(name, PARTITIONS) if partition is None else partition
        state = self.partitions[at].state
        number = state.number_of(name)
        assert number is not None
        return int(getattr(state, column)[number])

    def _crash(self, at: int) -> None:
        partition = self.partitions[at]
        if self.crash_before:
            partition.blocks.pop()
        partition.state = partition.replayed()
