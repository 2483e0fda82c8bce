"""What a block of one takes, header included: the log of a wallet is made of these.  Run as a program it prints them."""

from __future__ import annotations

import itertools

import pytest

from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from write_side.contract.block.block import HEADER_BYTES, Block
from write_side.contract.block.columns import ENTRIES, OUTCOMES
from write_side.contract.block.limits import ENTRY_ROW, OUTCOME_ROW
from write_side.contract.block.sections import HEAD
from write_side.ledger.across.outstanding import messages_of_block
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import (
    Capture,
    Command,
    Hold,
    Leg,
    LegsTransfer,
    OpenAccount,
    Protocol,
    Transfer,
    Void,
)

USD = "USD/2"
ACCOUNTS = 70_000
"""So many that their numbers take four bytes."""
NAME = "customer-00000001@example.com"
LONE_MAX = {
    "transfer": 350,
    "named transfer": 350 + 6 + 2 + 2 + len(NAME),
    "refusal": 350,
    "opening": 300,
    "hold": 500,
    "capture": 450,
    "void": 450,
    "saga begun": 500,
    "saga step": 300,
    "saga ended": 330,
    "tcc begun": 510,
    "tcc try": 330,
    "tcc decided": 440,
    "tcc confirm": 300,
    "tcc ended": 350,
}


@pytest.fixture(scope="module")
def sizes() -> dict[str, int]:
    return measured()


def measured() -> dict[str, int]:
    """Bytes of a block of one, by what it decides; `each of 8,192 transfers` is a transfer's share of one of so many."""
    partition = DecidingPartition(0, 1)
    partition.open_epoch(NOON_US)
    names = [f"customer-{number:08}" for number in range(ACCOUNTS)]
    at_us = NOON_US
    for first in range(0, ACCOUNTS, 10_000):
        at_us += 1
        partition.decide([OpenAccount(name, USD, 0, "") for name in names[first : first + 10_000]], at_us)
    partition.decide(
        [Transfer(id_at(NOON_US, n), "@world", names[-1 - n], 10**9, USD) for n in range(9_000)], at_us + 1
    )
    hold = id_at(at_us, 10_002)
    legs = (Leg(names[-3], -123_456, USD), Leg(names[-4], 123_456, USD))
    lone: dict[str, Command] = {
        "transfer": Transfer(id_at(at_us, 10_000), names[-1], names[-2], 123_456, USD),
        "refusal": Transfer(id_at(at_us, 10_001), names[-1], names[-2], 10**15, USD),
        "opening": OpenAccount("customer-99999999", USD, 0, ""),
        "hold": Hold(hold, legs, at_us + 86_400_000_000),
        "capture": Capture(id_at(at_us, 10_003), hold, 23_456),
        "void": Void(id_at(at_us, 10_004), hold),
    }
    found = {
        what: partition.decide([command], at_us + 2 + number).header.body_bytes + HEADER_BYTES
        for number, (what, command) in enumerate(lone.items())
    }
    named = CommandBatch.of([Transfer(id_at(at_us, 10_005), names[-1], names[-2], 1, USD)]).asked_by(NAME)
    found["named transfer"] = partition.decide_batch(named, at_us + 19).header.body_bytes + HEADER_BYTES
    many = [Transfer(id_at(at_us + 10_000, n), names[-1 - n], names[-2 - n], 100_000 + n, USD) for n in range(8_192)]
    found["each of 8,192 transfers"] = -(-partition.decide(many, at_us + 20).header.body_bytes // 8_192)
    return found | _across()


def _across() -> dict[str, int]:
    """Bytes of the blocks of one transfer across two partitions, by each protocol: at home, and where its step is done."""
    home, other = DecidingPartition(1, 2), DecidingPartition(0, 2)
    home.open_epoch(NOON_US)
    other.open_epoch(NOON_US)
    home.decide(
        [OpenAccount("alice", USD, 0, ""), Transfer(id_at(NOON_US, 1), "@world", "alice", 10**9, USD)], NOON_US + 1
    )
    other.decide([OpenAccount("bob", USD, 0, "")], NOON_US + 1)
    legs = (Leg("alice", -123_456, USD), Leg("bob", 123_456, USD))
    saga, tcc = (LegsTransfer(id_at(NOON_US, 2 + n), legs, protocol) for n, protocol in enumerate(Protocol))
    found: dict[str, int] = {}

    def measure(what: str, block: Block) -> Block:
        found[what] = block.header.body_bytes + HEADER_BYTES
        return block

    clock = itertools.count(NOON_US + 2)

    def carried(what: str, block: Block, to: DecidingPartition) -> Block:
        """The block that the messages of another one become where they are sent to."""
        (messages,) = messages_of_block(block).values()
        return measure(what, to.decide_batch(messages, next(clock)))

    begun = measure("saga begun", home.decide([saga], next(clock)))
    carried("saga ended", carried("saga step", begun, other), home)
    begun = measure("tcc begun", home.decide([tcc], next(clock)))
    decided = carried("tcc decided", carried("tcc try", begun, other), home)
    carried("tcc ended", carried("tcc confirm", decided, other), home)
    return found


@pytest.mark.parametrize("what", LONE_MAX)
def test_a_block_of_one_is_small(sizes: dict[str, int], what: str) -> None:
    assert sizes[what] <= LONE_MAX[what]


def test_a_transfer_among_thousands_takes_at_most_45_bytes(sizes: dict[str, int]) -> None:
    assert sizes["each of 8,192 transfers"] <= 45


def test_no_plain_transfer_takes_more_than_350_bytes_alone() -> None:
    """Whatever its amounts, versions and numbers are: the widest rows of it."""
    heads = sum(HEAD.size + len(section.columns) for section in (OUTCOMES, ENTRIES))
    assert HEADER_BYTES + heads + OUTCOME_ROW + 8 + 2 * ENTRY_ROW <= 350


if __name__ == "__main__":
    for what, size in measured().items():
        print(f"{size:5d} bytes  {what}")
