"""A scripted transfer between two partitions, decided by the ledger itself in memory: what `fanfold explain --demo` explains."""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import Final, NamedTuple

from write_side.contract.log.log import Record
from write_side.contract.state.pending_columns import WHAT, What
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import State
from write_side.contract.words.atoms import partition_of
from write_side.contract.words.codes import Flag
from write_side.ledger.across.outstanding import messages_again, messages_of_block
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.commands import Change, Command, Leg, LegsTransfer, OpenAccount, Protocol, Transfer
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.ledger.commands.step_batch import StepBatch
from write_side.ledger.deciding.next_block import next_block

PARTITIONS: Final = 2
USD: Final = "USD/2"
NOON_US: Final = 1_767_268_800_000_000
HOP_US: Final = 4_000
"""What a block and a message take in the story: some milliseconds each."""
TRANSFER: Final = bytes.fromhex("019b78f23a007000800000000000000a")


class Fail(StrEnum):
    """What goes wrong in the demonstration."""

    CREDIT = "credit"
    DEBIT = "debit"
    CRASH = "crash"


class Demonstration(NamedTuple):
    """What was asked and what goes wrong, in words; the id of the transfer, the records of both partitions' logs, and how many
    messages went between the two."""

    asked: tuple[str, ...]
    transfer: bytes
    logs: tuple[tuple[Record, ...], ...]
    messages: int


def demonstrate(protocol: Protocol, fail: Fail | None) -> Demonstration:
    """Alice in one partition pays bob in the other 30.00; with `Fail.DEBIT` carol, beside bob, is to pay a part she has not.

    Fail.CREDIT: bob's account is frozen for credits. Fail.CRASH: alice's partition stops right after it has written the
    beginning, before any message has left it.
    """
    return _Story().run(protocol, fail)


class _Story:
    def __init__(self) -> None:
        self._states = [State(partition) for partition in range(PARTITIONS)]
        self._logs: list[list[Record]] = [[] for _ in range(PARTITIONS)]
        self._at_us = NOON_US
        self._number = 0
        self._messages = 0

    def run(self, protocol: Protocol, fail: Fail | None) -> Demonstration:
        alice, bob, carol = _names()
        self._decide(0, [OpenAccount(alice, USD, 0, ""), Transfer(self._id(), "@world", alice, 10_000, USD)])
        self._decide(1, [OpenAccount(bob, USD, 0, ""), OpenAccount(carol, USD, 0, "")])
        if fail is Fail.CREDIT:
            self._decide(1, [Change(self._id(), bob, Flag.CREDIT_FROZEN, Flag(0))])
        legs = [Leg(alice, -3_000, USD), Leg(bob, 3_000, USD)]
        if fail is Fail.DEBIT:
            legs = [Leg(alice, -3_000, USD), Leg(bob, 5_000, USD), Leg(carol, -2_000, USD)]
        waiting = deque(self._decide(0, [LegsTransfer(TRANSFER, tuple(sorted(legs)), protocol)]).items())
        if fail is Fail.CRASH:
            waiting = deque(self._start_again(0).items())
        while waiting:
            to, batch = waiting.popleft()
            self._messages += len(batch)
            waiting += self._take(to, batch).items()
        return Demonstration(
            _asked(alice, bob, carol, fail), TRANSFER, tuple(tuple(log) for log in self._logs), self._messages
        )

    def _id(self) -> bytes:
        self._number += 1
        return TRANSFER[:-1] + bytes((128 + self._number,))

    def _decide(self, partition: int, commands: list[Command]) -> dict[int, StepBatch]:
        return self._take(partition, CommandBatch.of(commands))

    def _take(self, partition: int, batch: CommandBatch | StepBatch) -> dict[int, StepBatch]:
        state = self._states[partition]
        self._at_us += HOP_US
        offset = state.chained.consumed_to
        decided = next_block(
            state,
            [(offset, batch)],
            partitions=PARTITIONS,
            created_at_us=self._at_us,
            consumed_to=offset + 1,
            ids_max=1024,
            epoch=1,
        )
        self._logs[partition].append(Record(len(self._logs[partition]), decided.data))
        return messages_of_block(decided.block)

    def _start_again(self, partition: int) -> dict[int, StepBatch]:
        """The partition's memory is gone: what is pending comes from its log, and is asked again."""
        replay = Replay(State(partition), FINGERPRINTS)
        for record in self._logs[partition]:
            replay.take(record)
        self._states[partition] = replay.state
        self._at_us += 1_000_000
        table = replay.state.pending
        rows = table.rows[: table.count]
        return messages_again(rows[rows[:, WHAT] == What.PROCESS], table.legs, partition)


def _asked(alice: str, bob: str, carol: str, fail: Fail | None) -> tuple[str, ...]:
    """The transfer in words, its steps by number."""
    wealth = f"{alice} in partition 0 has 100.00; {bob} and {carol} in partition 1 have nothing. Partition 0 is asked:"
    frozen = ", but his account is frozen for credits: it is going to be refused" if fail is Fail.CREDIT else ""
    steps = [f"step 0: {alice} gives 30.00", f"step 1: {bob} receives 30.00{frozen}"]
    if fail is Fail.DEBIT:
        steps[1:] = [
            f"step 1: {carol} gives 20.00, which she has not: it is going to be refused",
            f"step 2: {bob} receives 50.00",
        ]
    crash = (
        "Behind its first block partition 0 crashes: its memory and the message to partition 1 are lost. A second later it "
        "starts again, finds the transfer open in its log, and asks again."
    )
    return (wealth, *(f"  {step}" for step in steps), *((crash,) if fail is Fail.CRASH else ()))


def _names() -> tuple[str, str, str]:
    """alice for the first partition, bob and carol for the second, with a digit where the hash wants one."""
    found = []
    for name, partition in (("alice", 0), ("bob", 1), ("carol", 1)):
        choices = (name, *(f"{name}-{n}" for n in range(2, 99)))
        found.append(next(choice for choice in choices if partition_of(choice, PARTITIONS) == partition))
    return found[0], found[1], found[2]
