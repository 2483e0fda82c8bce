"""One partition of the log, folded in memory: what the projector and the rebuild both bring views up from."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import NamedTuple, TypeVar

import numpy as np

from read_side.contract.how_far import Place
from read_side.contract.phases import NO_PHASES, PhaseRows
from read_side.contract.rows import EMPTY_ROWS, AccountRows
from read_side.contract.view import Checkpoint
from read_side.fold.fold_rows import FoldRows
from read_side.fold.outcome_counts import OutcomeCounts
from read_side.fold.phase_changes import PhaseChanges
from read_side.follow.log_history import LogHistory
from read_side.history.history import History
from write_side.contract.block.block import ZERO_HASH, decode
from write_side.contract.block.chain import ChainBroken
from write_side.contract.block.columns import ACCOUNTS, ENTRIES, PENDING
from write_side.contract.log.in_thread import through
from write_side.contract.log.log import Log, Record
from write_side.contract.state.block_hashes import BlockHashes
from write_side.contract.state.fold import CheckFailed, changed_accounts
from write_side.contract.state.ids import IdTable
from write_side.contract.state.pending import PendingTable
from write_side.contract.state.replay import Folded, FoldedBlocks, Replay, size_of
from write_side.contract.state.snapshot import Snapshot
from write_side.contract.state.state import State

Failure = ChainBroken | CheckFailed

T = TypeVar("T")


class FoldedRun(NamedTuple):
    """What a run of records changed: each changed account once, as it is after the run, and each change of phase.

    entries: how many were folded; records: how many of those given were taken.
    """

    rows: AccountRows
    phases: PhaseRows
    blocks: int
    entries: int
    records: int


class PartitionFold:
    """State, chain and places of one partition. `take` and `advance_to` run in a thread; reads go on beside them.

    history: told every block that is folded, once there is one (`tell`). log_history: which history of its log this is.
    is_wrong: a check has failed, in the middle of a block, so that nothing must be told of the state any more.
    """

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.history: History | None = None
        self.state = State(partition)
        self.replay = Replay(self.state)
        self.entries = 0
        self.outcomes = OutcomeCounts()
        self.is_wrong = False
        self.rows = FoldRows(self.state)
        self.replay.before_change = self.rows.note
        self.log_history = LogHistory()
        self._phases: PhaseChanges | None = None
        self._hashes = BlockHashes()
        self._remembered: dict[int, bytes] = {}

    @property
    def folded(self) -> Place:
        """The last block that is in the state, and the last record that was looked at."""
        return Place(self.state.chained.sequence, self.replay.last_offset)

    def checkpoint(self, generation: int) -> Checkpoint:
        """How far this fold is, as the checkpoint of a generation brought up from it."""
        chained = self.state.chained
        return Checkpoint(
            generation, chained.sequence, chained.block_hash, self.replay.last_offset, chained.created_at_us
        )

    def knows(self, stored: Checkpoint) -> bool:
        """Whether a checkpoint lies on our own chain, as far as we remember it: the block of its sequence has its hash. What is
        older than the last hashes and not remembered on purpose is loaded whole."""
        if stored.sequence < 0:
            return stored.block_hash == ZERO_HASH
        held = self._remembered.get(stored.sequence) or self._hashes.find(stored.sequence)
        return held == stored.block_hash

    def remember(self, sequence: int) -> None:
        """Keep the hash of a block that is still to be folded, for as long as this lives: what a view's checkpoint is at."""
        if sequence > self.folded.sequence:
            self._remembered = {sequence: b""}

    def recall(self, sequence: int, block_hash: bytes) -> None:
        """Remember the hash of an older block, as the log has it."""
        self._remembered = {sequence: block_hash}

    def begin_at(self, snapshot: Snapshot) -> None:
        """Go on from where a snapshot stands, or from the beginning; nobody else uses it from now on."""
        self.replay.begin_at(snapshot.replay)
        self._hashes, self.entries, self._phases = snapshot.hashes, snapshot.entries, None
        self.log_history.begin_at(self.state.chained.epoch)
        if self.history is not None:
            # It was told of a partition that was empty then, whose log failed before its first block came.
            self.history.begin_at(self.folded.sequence, self.state.chained.block_hash, self.folded.offset)

    def end(self) -> None:
        """Nobody folds on. A view in this memory may go on showing the rows; ids and holds, which are most of the memory, go."""
        self.state.ids, self.state.pending = IdTable(), PendingTable()

    def tell(self, history: History) -> None:
        """Tell it every block from here on; what lies before, it reads from the log, while nobody waits for that."""
        if self.history is None:
            history.begin_at(self.folded.sequence, self.state.chained.block_hash, self.folded.offset)
            self.history = history

    def take(self, records: Sequence[Record], entries_max: int = 2**62) -> FoldedRun:
        """Fold a run of records, as many as have `entries_max` entries, one at least.

        Raises ChainBroken, CheckFailed; the state may then be ahead of what was told.
        """
        # Replay never pushes: what moved on before the first run taken here is nobody's news.
        if self._phases is None:
            self._phases = PhaseChanges(self.state)
        since_us, changed, blocks, before = self.state.chained.created_at_us, [], 0, self.replay.passed
        for folded in self._checked(self.replay.take_run(records, entries_max)):
            blocks += self._note(folded)
            if isinstance(folded, FoldedBlocks):
                changed += [folded.run.numbers(ENTRIES, "account"), folded.run.numbers(ACCOUNTS, "number")]
                for at in np.flatnonzero(np.diff(folded.run.of[PENDING.number])).tolist():
                    self._phases.take(decode(folded.records[at].data))
            else:
                self._phases.take(folded.block)
                changed += [folded.block.entries["account"], folded.block.accounts["number"]]
        taken = self.replay.passed - before
        if not blocks:
            return FoldedRun(EMPTY_ROWS, NO_PHASES, 0, 0, taken)
        rows = self.rows.rows_of(changed_accounts(self.state, since_us, changed))
        return FoldedRun(rows, self._phases.told(), blocks, sum(map(len, changed)), taken)

    def advance(self, records: Sequence[Record], until: int | None = None) -> int:
        """Fold records until block `until` is folded; returns how many records were taken. Raises as `take`."""
        self._phases = None  # what moves on here is nobody's news; what is under way then is looked up again
        before = self.replay.passed
        for folded in self._checked(self.replay.take_run(records, until=until)):
            self._note(folded)
        return self.replay.passed - before

    def _checked(self, run: Iterator[Folded | FoldedBlocks]) -> Iterator[Folded | FoldedBlocks]:
        try:
            yield from run
        except CheckFailed:
            self.is_wrong = True
            raise

    def _note(self, folded: Folded | FoldedBlocks) -> int:
        """Remember the hashes of what was folded, and whose life it was; how many blocks."""
        self.log_history.note(folded)
        if self.history is not None:
            self.history.note(folded)
        first, hashes = self._hashes.note(folded)
        for sequence in self._remembered:
            if first <= sequence < first + len(hashes):
                self._remembered[sequence] = hashes[sequence - first].tobytes()
        blocks, _, entries = size_of(folded)
        self.entries += entries
        if isinstance(folded, FoldedBlocks):
            self.outcomes.note(folded.run.kind, folded.run.code)
        else:
            self.outcomes.note(folded.block.outcomes["kind"], folded.block.outcomes["code"])
        return blocks


async def fold_log(
    log: Log, fold: PartitionFold, until: int | None = None, on_run: Callable[[], None] | None = None
) -> None:
    """Fold on to the end of the log as it is now, or to block `until` at most.

    Folding runs in a thread while the next run is read. on_run is called after each run.
    Raises ChainBroken, CheckFailed, LogFailed.
    """
    async with aclosing(read_ahead(log.read(fold.partition, fold.folded.offset))) as runs:
        async for records in runs:
            # A partition that another projector has taken over, or whose log was away, goes on with the same fold.
            await through(fold.advance, records, until)
            if on_run is not None:
                on_run()
            if until is not None and fold.folded.sequence >= until:
                return


async def fold_before(log: Log, partition: int, sequence: int) -> PartitionFold:
    """A new fold of everything before block `sequence`: what is good of a partition that stopped there."""
    fold = PartitionFold(partition)
    if sequence > 0:
        await fold_log(log, fold, until=sequence - 1)
    return fold


async def read_ahead(runs: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """The same runs; one is being read while the caller works on the one before."""
    following = asyncio.ensure_future(_next(runs))
    try:
        while (records := await following) is not None:
            following = asyncio.ensure_future(_next(runs))
            yield records
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        if isinstance(runs, AsyncGenerator):
            await runs.aclose()


async def _next(runs: AsyncIterator[T]) -> T | None:
    return await anext(runs, None)
