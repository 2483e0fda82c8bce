"""What the feed tells of transfers across partitions: each change of phase once, to the accounts that are legs of it here."""

from __future__ import annotations

import uuid

import pytest
from blake3 import blake3

from read_side.contract.phases import PhaseRows
from read_side.fold.phase_changes import PhaseChanges
from read_side.follow.partition_fold import PartitionFold
from tests.unit.read_side.block_maker import opened
from tests.unit.read_side.partitions import Partitions
from write_side.contract.log.log import Record
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.words.codes import Flag
from write_side.ledger.commands.commands import Change, Leg, LegsTransfer, Protocol, Transfer

USD = "USD/2"


class Watched:
    """Two partitions; alice (0) gives, bob (1) receives; each partition's blocks are folded when asked what is told."""

    def __init__(self) -> None:
        self.partitions = Partitions(MemoryLog(MemoryRecords(2)))
        self.alice, self.bob = self.partitions.name(0, "alice"), self.partitions.name(1, "bob")
        self.names = {blake3(name.encode()).digest(16): name for name in (self.alice, self.bob)}
        self.replays = [Replay(State(p)) for p in range(2)]
        self.changes: list[PhaseChanges | None] = [None, None]
        self.id = uuid.uuid4().bytes

    async def open(self) -> None:
        await self.partitions.say(0, opened(self.alice))
        await self.partitions.say(1, opened(self.bob))
        await self.partitions.say(0, Transfer(uuid.uuid4().bytes, "@world", self.alice, 100, USD))

    async def send(self, protocol: Protocol, amount: int = 30) -> None:
        legs = tuple(sorted([Leg(self.alice, -amount, USD), Leg(self.bob, amount, USD)]))
        await self.partitions.say(0, LegsTransfer(self.id, legs, protocol))

    def fold(self, partition: int) -> None:
        """What was there before anybody asked."""
        replay = self.replays[partition]
        for sequence, data in enumerate(self.partitions.writers[partition].blocks[replay.state.chained.sequence + 1 :]):
            assert replay.take(Record(replay.state.chained.sequence + 1 + sequence, data)) is not None

    def told(self, partition: int) -> list[tuple[str, str]]:
        """(account, phase) of everything new in a partition, a block after the other."""
        replay = self.replays[partition]
        changes = self.changes[partition] = self.changes[partition] or PhaseChanges(replay.state)
        found: list[tuple[str, str]] = []
        for data in self.partitions.writers[partition].blocks[replay.state.chained.sequence + 1 :]:
            folded = replay.take(Record(replay.state.chained.sequence + 1, data))
            assert folded is not None
            changes.take(folded.block)
            found += self.named(changes.told())
        return found

    def named(self, rows: PhaseRows) -> list[tuple[str, str]]:
        assert set(rows.transfers) <= {self.id}
        return [(self.names[key], phase) for key, phase in zip(rows.keys, rows.phases, strict=True)]


@pytest.fixture
async def watched() -> Watched:
    found = Watched()
    await found.open()
    return found


async def test_a_saga_is_told_at_its_home_and_at_who_receives(watched: Watched) -> None:
    await watched.send(Protocol.SAGA)
    await watched.partitions.settle()
    assert watched.told(0) == [(watched.alice, "crediting"), (watched.alice, "done")]
    assert watched.told(1) == [(watched.bob, "done")]


async def test_a_tcc_transfer_is_told_in_all_its_phases(watched: Watched) -> None:
    await watched.send(Protocol.TCC)
    await watched.partitions.settle()
    assert watched.told(0) == [(watched.alice, "trying"), (watched.alice, "paying"), (watched.alice, "done")]
    assert watched.told(1) == [(watched.bob, "held"), (watched.bob, "done")]


@pytest.mark.parametrize("protocol", Protocol)
async def test_a_refusal_is_told_at_home_and_not_where_nothing_happened(watched: Watched, protocol: Protocol) -> None:
    await watched.partitions.say(1, Change(uuid.uuid4().bytes, watched.bob, Flag.CREDIT_FROZEN, Flag(0)))
    await watched.send(protocol)
    await watched.partitions.settle()
    assert watched.told(0)[-1] == (watched.alice, "refused")
    assert watched.told(1) == []


async def test_what_is_let_go_is_told_as_released(watched: Watched) -> None:
    """The participant holds a debit, the credit at home is refused."""
    carol = watched.partitions.name(1, "carol")
    dave = watched.partitions.name(0, "dave")
    await watched.partitions.say(1, opened(carol))
    await watched.partitions.say(0, opened(dave))
    await watched.partitions.say(1, Transfer(uuid.uuid4().bytes, "@world", carol, 9, USD))
    await watched.partitions.say(0, Change(uuid.uuid4().bytes, dave, Flag.CREDIT_FROZEN, Flag(0)))
    watched.names |= {blake3(name.encode()).digest(16): name for name in (carol, dave)}
    watched.fold(0)
    watched.fold(1)
    erin = watched.partitions.name(1, "erin")
    legs = [Leg(watched.alice, -1, USD), Leg(carol, -1, USD), Leg(erin, 2, USD)]
    await watched.partitions.say(0, LegsTransfer(watched.id, tuple(sorted(legs)), Protocol.SAGA))
    await watched.partitions.settle()
    assert watched.told(1) == [(carol, "held"), (carol, "released")], "erin was never opened"
    assert watched.told(0)[-1] == (watched.alice, "refused")


async def test_a_message_that_comes_twice_is_told_once(watched: Watched) -> None:
    await watched.send(Protocol.TCC)
    watched.partitions.waiting[1] *= 2
    await watched.partitions.carry(1)
    assert watched.told(1) == [(watched.bob, "held")]


async def test_what_began_before_anybody_followed_is_told_from_here_on(watched: Watched) -> None:
    await watched.send(Protocol.TCC)
    await watched.partitions.carry(1)
    watched.fold(0)
    watched.fold(1)
    assert (watched.told(0), watched.told(1)) == ([], []), "replay never pushes"
    await watched.partitions.settle()
    assert watched.told(0) == [(watched.alice, "paying"), (watched.alice, "done")]
    assert watched.told(1) == [(watched.bob, "done")]


async def test_of_a_run_only_the_newest_phase_is_told(watched: Watched) -> None:
    await watched.send(Protocol.TCC)
    await watched.partitions.settle()
    replay = watched.replays[0]
    changes = PhaseChanges(replay.state)
    for data in watched.partitions.writers[0].blocks:
        folded = replay.take(Record(replay.state.chained.sequence + 1, data))
        assert folded is not None
        changes.take(folded.block)
    assert watched.named(changes.told()) == [(watched.alice, "done")]
    assert len(changes.told()) == 0


@pytest.mark.parametrize("protocol", Protocol)
async def test_what_began_while_nobody_was_told_is_told_to_all_its_accounts_when_it_ends(
    watched: Watched, protocol: Protocol
) -> None:
    followed, fresh = PartitionFold(0), PartitionFold(0)
    blocks = watched.partitions.writers[0].blocks

    def records(fold: PartitionFold) -> list[Record]:
        return [Record(n, data) for n, data in enumerate(blocks)][fold.folded.sequence + 1 :]

    followed.take(records(followed))
    await watched.send(protocol)
    for fold in (followed, fresh):
        fold.advance(records(fold))  # as a projector that was away catches up
    await watched.partitions.settle()
    told: list[list[tuple[str, str]]] = [[], []]
    for each, fold in zip(told, (followed, fresh), strict=True):
        for record in records(fold):
            each += watched.named(fold.take([record]).phases)
    assert told[0] == told[1]
    assert (watched.alice, "done") in told[0]
