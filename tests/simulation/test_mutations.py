"""The simulation bites: each of these deliberate mistakes is found within a bounded number of seeds.

They are replaced constructor arguments and patched functions of this test only; the product has no switch for any of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import write_side.contract.block.chain
import write_side.contract.state.replay
import write_side.ledger.deciding.next_block
import write_side.owner.outcomes
import write_side.owner.writer
from gateway.protocol import partition_watch
from gateway.protocol.cursor import Verdict, judge
from gateway.protocol.partition_watch import PartitionWatch
from gateway.protocol.waits_for_feed import WaitsForFeed
from read_side.ask.balances import BalanceReader, Found
from read_side.contract.no_answer import Rebuilding
from read_side.contract.rows import AccountRows
from read_side.contract.view import Checkpoint, Owner, ViewUnavailable
from read_side.follow.keeper import Keeper
from read_side.follow.projector import Projector
from read_side.views.view_memory import MemoryViewStore, _Generation
from tests.simulation.bites import SEEDS_MAX, seeds_until_found
from tests.simulation.processes import Parts
from write_side.contract.block.block import Block, Header, decode_made, encode, header_of
from write_side.contract.block.chain import Head, Skip
from write_side.contract.log.log import LogFailed
from write_side.id_runs.runs import Ran
from write_side.ledger.deciding.decide import Decision, decide
from write_side.ledger.deciding.next_block import Decided, opening_block
from write_side.owner.writer import Writer

Patch = pytest.MonkeyPatch


class AcknowledgeBeforeAppend(Writer):
    """Tells the answers from the decided block: right until the append fails, the process dies, or another one has won."""

    async def _append_decided(
        self, decided: asyncio.Queue[tuple[Decided, Ran | None]], ahead: asyncio.Semaphore
    ) -> None:
        while True:
            (data, block), _ = await decided.get()
            self._on_accepted(block, -1)
            offset = await self._log.append(self.partition, data)
            offset = await self._read_back(block.header)
            self.replay.decided(offset)
            ahead.release()


class AnswerWithoutReadingBack(Writer):
    """Takes an append that returned for an accepted block: a zombie's block is in the log and does not count."""

    async def _read_back(self, own: Header) -> int:
        record = await self._next()
        while header_of(bytes(record.data)).block_hash != own.block_hash:
            record = await self._next()
        self._accepted = Head(own.epoch, own.sequence, own.block_hash)
        return record.offset


class NoEpochBlock(Writer):
    """Starts without taking the partition over, and goes on in the epoch of the one before."""

    def _opening(self) -> Decided:
        state, at_us = self.state, self._now_us()
        decided = opening_block(state, partitions=self._log.partitions, created_at_us=at_us)
        chained = state.chained
        data = encode(
            partitions=self._log.partitions,
            partition=self.partition,
            epoch=max(1, chained.epoch),
            sequence=chained.sequence + 1,
            previous_hash=chained.block_hash,
            consumed_to=chained.consumed_to,
            created_at_us=at_us,
            refuse_ids_before_us=decided.block.header.refuse_ids_before_us,
            digest=decided.block.header.digest,
            sections={},
        )
        return Decided(data, decode_made(data))


class ResumeBehindTheNext(Writer):
    """Forgets where the log says the queue was consumed to: a restart leaves one record out."""

    async def run(self) -> None:
        self.state.chained.consumed_to += 1
        await super().run()


class NoCompareAndSet(MemoryViewStore):
    """Writes whatever it is given: a projector that slept, or one that was displaced, sets readers back."""

    async def apply(
        self, owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint, loaded: int = 0
    ) -> int:
        generation = self._generations.setdefault((owner.partition, owner.generation), _Generation())
        if rows.accounts or checkpoint != expected:
            generation.write(rows, checkpoint)
        return self._live.setdefault(owner.partition, owner.generation)


class TornWrite(MemoryViewStore):
    """Moves the checkpoint without one of the rows that belong to it."""

    async def apply(
        self, owner: Owner, expected: Checkpoint | None, rows: AccountRows, checkpoint: Checkpoint, loaded: int = 0
    ) -> int:
        live = await super().apply(owner, expected, rows, checkpoint, loaded)
        if len(rows) > 1:
            generation = self._generations[owner.partition, owner.generation]
            row = rows[len(rows) - 1]
            generation.write(AccountRows.of([row._replace(version=row.version - 1)]), checkpoint)
        return live


class BelieveTheStore(Projector):
    """Never looks again whether the view is still what it wrote, and writes over whatever is there."""

    async def _beat(self) -> None:
        self.probed_at_us = self._timer.wall_us()


class ServeOlder(BalanceReader):
    """Answers from whatever checkpoint the store has, even when a later one was shown before."""

    async def _read(self, partition: int, accounts: list[str]) -> Found:
        self._answered[partition] = -1
        try:
            checkpoint, rows = await self._view.read(partition, accounts)
        except ViewUnavailable as away:
            raise Rebuilding from away
        if checkpoint is None:
            raise Rebuilding
        return Found(partition, checkpoint, rows)


class UnknownAtOnce(BalanceReader):
    """Calls an account unknown without looking how far the log is."""

    async def _certainly(self, found: Found, accounts: list[str]) -> Found:
        return found


def forget_the_dedupe(patch: Patch) -> None:
    """The id table is there and is not asked."""

    def forgetful(state: Any, *arguments: Any, **more: Any) -> Decision:
        state.ids.slots[:] = 0
        return decide(state, *arguments, **more)

    patch.setattr(write_side.ledger.deciding.next_block, "decide", forgetful)


def lose_the_fingerprints_on_restart(patch: Patch) -> None:
    """A restarted writer knows the ids but not what they stood for: every honest repeat looks like another content."""
    patch.setattr(write_side.owner.writer, "FINGERPRINTS", None)


def accept_any_epoch(patch: Patch) -> None:
    """The first test of the chain rule says `counts` instead of `skip`. Leaving the test out alone changes nothing: as long as
    a writer has one unaccepted block at most, the sequence and the previous hash shut the same blocks out."""
    rule = write_side.contract.block.chain.rule

    def lenient(partition: int, head: Head, header: Header) -> Skip | None:
        return None if header.epoch < head.epoch else rule(partition, head, header)

    patch.setattr(write_side.contract.block.chain, "rule", lenient)


def fold_a_record_twice(patch: Patch) -> None:
    """A record that is there a second time counts a second time."""
    rule = write_side.contract.block.chain.rule

    def lenient(partition: int, head: Head, header: Header) -> Skip | None:
        verdict = rule(partition, head, header)
        return None if verdict is Skip.OLD_SEQUENCE and header.epoch == head.epoch else verdict

    patch.setattr(write_side.contract.block.chain, "rule", lenient)


def ignore_gaps_in_the_feed(patch: Patch) -> None:
    """A batch that does not begin where the last one ended is taken as the next one."""

    def trusting(cursor: Any, batch: Any) -> Verdict:
        verdict = judge(cursor, batch)
        return Verdict.NEXT if verdict is Verdict.BROKEN and cursor is not None else verdict

    patch.setattr(partition_watch, "judge", trusting)


def let_reads_go_before_the_feed_is_there(patch: Patch) -> None:
    """An account read from a view that is ahead of the feed goes out at once: its partner in a transfer comes later."""

    def at_once(watch: PartitionWatch) -> None:
        for _, _, read in watch._waiting.held:
            watch._let_go(read.subscriptions)
        watch._waiting = WaitsForFeed()

    patch.setattr(PartitionWatch, "_release", at_once)


def tell_the_first_outcome_of_the_row_before(patch: Patch) -> None:
    """A request gets the answers of the row before its own: the place (offset, row) is taken for less than it is."""
    first_rows = write_side.owner.outcomes._first_rows

    def shifted(block: Block) -> dict[int, int]:
        return {offset: max(0, row - 1) for offset, row in first_rows(block).items()}

    patch.setattr(write_side.owner.outcomes, "_first_rows", shifted)


def never_ask_a_log_again(patch: Patch) -> None:
    """A partition whose log did not answer once is followed no more."""
    follow = Keeper._follow

    async def once(keeper: Keeper) -> None:
        try:
            await follow(keeper)
        except LogFailed as failure:
            keeper._log_is_away(failure)

    patch.setattr(Keeper, "_follow", once)


def never_take_a_partition_back(patch: Patch) -> None:
    """Whoever took a partition over may end, and nobody else follows it any more."""

    async def for_ever(_: Keeper) -> None:
        await asyncio.Event().wait()

    patch.setattr(Keeper, "_until_left_alone", for_ever)


BROKEN_PARTS = {
    "acknowledge before append": Parts(writer=AcknowledgeBeforeAppend),
    "answer without reading back": Parts(writer=AnswerWithoutReadingBack),
    "no epoch block": Parts(writer=NoEpochBlock),
    "resume behind the next record": Parts(writer=ResumeBehindTheNext),
    "no compare-and-set": Parts(view=NoCompareAndSet),
    "torn view write": Parts(view=TornWrite),
    "believe the store": Parts(projector=BelieveTheStore),
    "serve older": Parts(queries=ServeOlder),
    "unknown at once": Parts(queries=UnknownAtOnce),
}

PATCHES: tuple[Callable[[Patch], None], ...] = (
    forget_the_dedupe,
    lose_the_fingerprints_on_restart,
    accept_any_epoch,
    fold_a_record_twice,
    ignore_gaps_in_the_feed,
    let_reads_go_before_the_feed_is_there,
    tell_the_first_outcome_of_the_row_before,
    never_ask_a_log_again,
    never_take_a_partition_back,
)


@pytest.mark.parametrize("name", BROKEN_PARTS)
def test_a_broken_part_is_found(name: str) -> None:
    assert seeds_until_found(BROKEN_PARTS[name]) <= SEEDS_MAX


@pytest.mark.parametrize("mutate", PATCHES)
def test_a_broken_function_is_found(mutate: Callable[[Patch], None], monkeypatch: Patch) -> None:
    mutate(monkeypatch)
    assert seeds_until_found(mistake=mutate) <= SEEDS_MAX
