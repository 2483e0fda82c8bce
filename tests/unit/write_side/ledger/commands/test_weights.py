"""What commands and messages may weigh: whatever a door or a relay lets in can be decided, and its block fits every log."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import pytest

from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from write_side.contract.block.block import HEADER_BYTES, Block
from write_side.contract.block.grammar import grammar_fault
from write_side.contract.block.limits import COMMANDS_BYTES_MAX, RECORD_BYTES_MAX
from write_side.contract.words.atoms import LIMIT, partition_of
from write_side.contract.words.codes import Code, Flag
from write_side.ledger.across.outstanding import messages_of_block
from write_side.ledger.commands.command_batch import BatchMalformed, CommandBatch
from write_side.ledger.commands.commands import (
    LEGS_MAX,
    Capture,
    Change,
    Command,
    Hold,
    Leg,
    LegsTransfer,
    Note,
    OpenAccount,
    Protocol,
    Reverse,
    Transfer,
    Void,
)
from write_side.ledger.commands.step_batch import StepBatch

PARTITIONS = 32
ASSET = "ABCDEFGHIJKLMNOP/15"
NOTE = Note(reference="r" * 128, metadata='{"k":"' + "x" * 900 + '"}')
MANY = 300
HUGE = LIMIT // 2
"""So large that every sum takes eight bytes."""


def names(partition: int) -> Iterator[str]:
    """Accounts of a partition, as long as they may be."""
    number = 0
    while True:
        name = f"{'n' * 56}{number:08}"
        if partition_of(name, PARTITIONS) == partition:
            yield name
        number += 1


HERE = [name for name, _ in zip(names(0), range(LEGS_MAX), strict=False)]
SPREAD = [next(names(p)) for p in range(PARTITIONS)]


class World:
    """Partitions that carry messages to each other until nothing is under way; every block of them is checked."""

    def __init__(self) -> None:
        self.at_us = NOON_US
        self.partitions = [DecidingPartition(p, PARTITIONS) for p in range(PARTITIONS)]
        self.sent = 0
        self.blocks: list[Block] = []
        for p, partition in enumerate(self.partitions):
            own = {*([name for name in HERE if p == 0]), SPREAD[p]}
            self.decide(partition, CommandBatch.of([OpenAccount(name, ASSET, 0, "o" * 255) for name in sorted(own)]))
            self.run(p, [Transfer(self.id(), "@world", name, HUGE // 64, ASSET) for name in sorted(own)])

    def id(self) -> bytes:
        self.sent += 1
        return id_at(self.at_us, self.sent)

    def run(self, home: int, commands: list[Command]) -> None:
        """Decide commands as a door would send them, and carry what follows to its end."""
        waiting: deque[tuple[int, CommandBatch | StepBatch]] = deque()
        waiting.extend((home, part) for part in CommandBatch.of(commands).parts())
        while waiting:
            p, batch = waiting.popleft()
            block = self.decide(self.partitions[p], batch)
            for target, messages in messages_of_block(block).items():
                waiting.extend((target, part) for part in messages.parts())

    def decide(self, partition: DecidingPartition, batch: CommandBatch | StepBatch) -> Block:
        self.at_us += 1_000
        assert batch.weight() <= COMMANDS_BYTES_MAX
        assert len(batch.encode()) <= min(RECORD_BYTES_MAX, 64 * 1024 + batch.weight())
        block = partition.decide_batch(batch, self.at_us)
        assert HEADER_BYTES + block.header.body_bytes <= RECORD_BYTES_MAX
        assert grammar_fault(block) is None
        self.blocks.append(block)
        return block

    def codes(self) -> set[int]:
        return {int(code) for block in self.blocks for code in block.outcomes["code"]}


def legs(accounts: list[str], amount: int = 3) -> tuple[Leg, ...]:
    """The first account gives to all others, with a condition on each that holds."""
    given = [Leg(accounts[0], -amount * (len(accounts) - 1), ASSET, if_available=-LIMIT)]
    return tuple(sorted(given + [Leg(name, amount, ASSET, if_available=-LIMIT) for name in accounts[1:]]))


def many_givers() -> tuple[Leg, ...]:
    """All but one account give."""
    given = [Leg(name, -3, ASSET) for name in SPREAD[:-1]]
    return tuple(sorted([*given, Leg(SPREAD[-1], 3 * len(given), ASSET)]))


@pytest.mark.parametrize("protocol", list(Protocol))
@pytest.mark.parametrize("wanted", [legs(SPREAD), many_givers()], ids=["one giver", "many givers"])
def test_transfers_of_the_most_legs_over_the_most_partitions_fit(protocol: Protocol, wanted: tuple[Leg, ...]) -> None:
    world = World()
    home = partition_of(next(leg.account for leg in wanted if leg.amount < 0), PARTITIONS)
    world.run(home, [LegsTransfer(world.id(), wanted, protocol, NOTE) for _ in range(MANY)])
    assert {Code.PENDING, Code.DONE} <= world.codes()
    assert world.partitions[home].state.pending.count == 0


@pytest.mark.parametrize("protocol", list(Protocol))
def test_what_is_taken_back_fits(protocol: Protocol) -> None:
    """Refused by the last of all participants, which is asked for more than it has."""
    world = World()
    wanted = (*(Leg(name, -3, ASSET) for name in SPREAD[:-1]), Leg(SPREAD[-1], -HUGE, ASSET))
    wanted += (Leg(HERE[1], 3 * (PARTITIONS - 1) + HUGE, ASSET),)
    world.run(0, [LegsTransfer(world.id(), tuple(sorted(wanted[1:])), protocol, NOTE) for _ in range(MANY)])
    assert Code.INSUFFICIENT_AVAILABLE in world.codes()


def test_holds_captures_voids_reversals_and_changes_of_the_most_legs_fit() -> None:
    world = World()
    holds = [Hold(world.id(), legs(SPREAD), 2**50, NOTE) for _ in range(MANY)]
    world.run(0, list(holds))
    world.run(0, [Capture(world.id(), hold.id, 0, (), True, Protocol.TCC, NOTE) for hold in holds[: MANY // 2]])
    world.run(0, [Void(world.id(), hold.id) for hold in holds[MANY // 2 :]])
    inside = [LegsTransfer(world.id(), legs(HERE), Protocol.SAGA, NOTE) for _ in range(MANY)]
    world.run(0, list(inside))
    back = tuple(sorted(leg._replace(amount=-leg.amount, if_available=-(2**63)) for leg in legs(HERE)))
    world.run(0, [Reverse(world.id(), each.id, back, Protocol.SAGA, NOTE) for each in inside])
    world.run(0, [Change(world.id(), HERE[0], Flag.CREDIT_FROZEN, Flag(0)) for _ in range(MANY)])
    world.run(0, [LegsTransfer(world.id(), legs(HERE[::-1]), Protocol.SAGA, NOTE) for _ in range(MANY)])
    assert {Code.DONE, Code.CREDIT_FROZEN} <= world.codes()
    assert world.partitions[0].state.pending.count == MANY, "the reversals alone are remembered"


def test_holds_that_all_end_at_one_moment_end_in_several_blocks() -> None:
    world = World()
    deadline_us = world.at_us + 60_000_000
    holds = [Hold(world.id(), legs(SPREAD), deadline_us) for _ in range(2_000)]
    world.run(0, list(holds))
    world.at_us = deadline_us
    ended = []
    while world.partitions[0].state.pending.count:
        ended.append(len(world.decide(world.partitions[0], CommandBatch.of([])).outcomes["kind"]))
    assert sum(ended) == len(holds)
    assert len(ended) > 1


def test_plain_transfers_and_openings_of_the_longest_names_fit() -> None:
    world = World()
    there = next(names(7))
    world.run(0, [Transfer(world.id(), HERE[0], HERE[1], 1, ASSET) for _ in range(8_192)])
    world.run(0, [Transfer(world.id(), HERE[0], there, HUGE, ASSET) for _ in range(8_192)])
    opened = [name for name, _ in zip(names(0), range(2_000), strict=False)]
    assets = [f"A{n:015}/15" for n in range(len(opened))]
    world.run(0, [OpenAccount(n, a, -LIMIT, "o" * 255) for n, a in zip(opened, assets, strict=True)])
    world.run(0, [OpenAccount(n, "B/0", 1, "o" * 255) for n in opened])
    assert {Code.DONE, Code.INSUFFICIENT_AVAILABLE, Code.ACCOUNT_EXISTS} <= world.codes()


def test_a_record_that_no_block_could_take_is_not_read() -> None:
    many = CommandBatch.of([Capture(id_at(NOON_US, n), id_at(NOON_US, n + 1), 0) for n in range(8_192)])
    assert many.weight() > COMMANDS_BYTES_MAX
    with pytest.raises(BatchMalformed, match="more than a block"):
        CommandBatch.decode(many.encode())
    parts = list(many.parts())
    assert sum(map(len, parts)) == len(many)
    assert all(len(CommandBatch.decode(part.encode())) == len(part) for part in parts)


def test_answers_leave_the_legs_out_that_ask_nothing() -> None:
    """A transfer of many legs would write all of them with each answer that it only counts."""
    world = World()
    world.run(0, [LegsTransfer(world.id(), legs(SPREAD), Protocol.TCC)])
    rows = [len(block.pending_legs["pending"]) for block in world.blocks if block.header.partition == 0]
    assert sum(rows) <= 4 * LEGS_MAX, "once a phase"
