"""decide against the model over several partitions: messages lost, doubled, late and out of order, and every transfer ends."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from tests.unit.write_side.deciding import NOON_US, DecidingPartition, assert_same_state
from tests.unit.write_side.ledger.decided_outcomes import DecidedOutcomes, balances_of, decide_records
from tests.unit.write_side.ledger.model.wallet import Wallet
from tests.unit.write_side.ledger.rich_streams import ACCOUNTS, FLOORS, RichStream
from tests.unit.write_side.ledger.test_decide_rich import pending_of
from tests.unit.write_side.ledger.wallet_model import Chain, Item, Outcome
from write_side.contract.state.pending_columns import WHAT, What
from write_side.ledger.across.outstanding import messages_again, messages_of_block
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Command, OpenAccount, Protocol, Transfer
from write_side.ledger.commands.step_batch import StepBatch

Record = StepBatch | Chain | list[Command]


class AcrossStream(RichStream):
    """Amounts far from any limit: one in the way of a confirmation would stop it until somebody moves money away."""

    def protocol(self) -> Protocol:
        return self.chance.choice(tuple(Protocol))

    def _amount(self) -> int:
        amounts: tuple[int, ...] = (*range(1, 13), 70)
        return self.chance.choice(amounts)


class Partitions:
    """Several of them with a queue each, and what is on its way between them."""

    def __init__(self, chance: random.Random, partitions: int) -> None:
        self.chance = chance
        self.wallet = Wallet(partitions)
        self.deciding = [DecidingPartition(p, partitions) for p in range(partitions)]
        self.decided = [DecidedOutcomes(each) for each in self.deciding]
        self.queues: list[list[Record]] = [[] for _ in range(partitions)]
        self.on_its_way: list[tuple[int, StepBatch]] = []
        self.at_us = NOON_US
        self.outcomes: list[Outcome] = []
        self.calm = False

    def ask(self, item: Command | Chain) -> None:
        first = item.commands[0] if isinstance(item, Chain) else item
        self.queues[self.wallet.home_of(first)].append(item if isinstance(item, Chain) else [item])

    def decide(self, partition: int) -> None:
        """One block of some of the records that wait."""
        self.at_us += self.chance.choice((1_000, 7_000, 7_000, 1_000_000, 4_000_000))
        queue = self.queues[partition]
        count = min(len(queue), self.chance.choice((0, 1, 2, 5, 20)))
        taken, self.queues[partition] = queue[:count], queue[count:]
        records: list[CommandBatch | StepBatch] = []
        wanted = self.wallet.block(partition, self._items(partition, taken, records), self.at_us)
        block = decide_records(self.deciding[partition], records, self.at_us)
        got = self.decided[partition].read(block)
        assert got == wanted
        assert balances_of(self.deciding[partition]) == self.wallet.models[partition].balances()
        self.outcomes += got
        self.send(messages_of_block(block))

    def _items(self, partition: int, taken: list[Record], records: list[CommandBatch | StepBatch]) -> Iterator[Item]:
        """What the model decides, one after the other, each as it is sent then; `records` gets the same for the ledger."""
        model = self.wallet.models[partition]
        for record in taken:
            if isinstance(record, StepBatch):
                records.append(record)
                yield from self.wallet.heard(partition, record)
            elif isinstance(record, Chain):
                records.append(CommandBatch.of(record.commands, record.mode))
                yield record
            elif isinstance(record, list):
                filled = [model.filled(command) for command in record]
                records.append(CommandBatch.of(filled))
                yield from filled

    def send(self, messages: dict[int, StepBatch]) -> None:
        for partition, batch in messages.items():
            copies = 1 if self.calm else self.chance.choice((0, 1, 1, 1, 1, 2))
            self.on_its_way += [(partition, batch)] * copies

    def deliver(self) -> None:
        """Some of what is on its way arrives, in any order."""
        self.chance.shuffle(self.on_its_way)
        count = len(self.on_its_way) if self.calm else self.chance.randint(0, len(self.on_its_way))
        arrived, self.on_its_way = self.on_its_way[:count], self.on_its_way[count:]
        for partition, batch in arrived:
            self.queues[partition].append(batch)

    def ask_again(self) -> None:
        for partition, each in enumerate(self.deciding):
            table = each.state.pending
            rows = table.rows[: table.count]
            rows = rows[rows[:, WHAT] == What.PROCESS]
            if len(rows):
                self.send(messages_again(rows, table.legs, partition))

    def settle(self) -> None:
        """Nothing is lost any more: every transfer ends."""
        self.calm = True
        for _ in range(60):
            self.deliver()
            for partition in range(len(self.deciding)):
                while self.queues[partition]:
                    self.decide(partition)
            self.deliver()
            if self.wallet.is_over and not any(self.queues) and not self.on_its_way:
                return
            self.ask_again()
        self.wallet.require_over()


def run(seed: int, steps: int = 150) -> Partitions:
    chance = random.Random(seed)
    world = Partitions(chance, 2 + seed % 3)
    stream = AcrossStream(chance)
    for name, asset in ACCOUNTS.items():
        world.ask(OpenAccount(name, asset, FLOORS.get(name, 0), ""))
        world.ask(Transfer(stream.id(), "@world", name, 60, asset))
    for partition in range(len(world.deciding)):
        while world.queues[partition]:
            world.decide(partition)
    for _ in range(steps):
        stream.at_us = world.at_us
        dice = chance.random()
        if dice < 0.5:
            item = stream.item()
            if isinstance(item, Chain):
                home = world.wallet.home_of(item.commands[0])
                item = Chain(item.mode, tuple(each for each in item.commands if world.wallet.home_of(each) == home))
            world.ask(item)
        elif dice < 0.9:
            world.decide(chance.randrange(len(world.deciding)))
        elif dice < 0.98:
            world.deliver()
        else:
            world.ask_again()
    world.settle()
    world.wallet.require_over()
    return world


@pytest.mark.parametrize("seed", range(30))
def test_every_outcome_is_the_models_and_every_transfer_ends(seed: int) -> None:
    world = run(seed)
    for each in world.deciding:
        replayed = each.replayed()
        assert_same_state(each.state, replayed)
        assert pending_of(each.state.pending) == pending_of(replayed.pending)


def test_the_streams_meet_what_takes_several_partitions() -> None:
    words, ends = set(), set()
    for seed in range(30):
        world = run(seed)
        words |= {outcome.word for outcome in world.outcomes}
        ends |= set(world.wallet.finals.values())
    assert words >= {"pending", "partitions_differ", "hold_spans_partitions", "hold_busy", "timed_out", "stale"}
    assert ends >= {"done", "timed_out", "insufficient_available", "account_frozen_for_credit", "version_differs"}
