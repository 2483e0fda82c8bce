"""Dry runs: each says what the rules say at the position it was made at, and leaves no trace."""

from __future__ import annotations

from tests.simulation.auditor import CHANGED, Line, Violation, accounts_of, shown_by
from tests.simulation.clients import Asked
from tests.simulation.foretold import foretold
from tests.simulation.processes import NOT_ANSWERED, World, WriteSide, ask
from tests.unit.write_side.ledger.model.wallet import Wallet
from tests.unit.write_side.ledger.wallet_model import Outcome
from write_side.contract.tell.answers import Answer
from write_side.ledger.commands.commands import (
    LEGS_MAX,
    Capture,
    Command,
    LegsTransfer,
    OpenAccount,
    Reverse,
    Rich,
    Transfer,
)


class DryRuns:
    """Those of a story."""

    def __init__(self, wallet: Wallet, asked: Asked) -> None:
        self._wallet = wallet
        self._asked = asked
        self._tried: set[bytes] = set()

    def told(self, line: Line, outcome: Outcome) -> None:
        """One of the auditor's rules."""
        if isinstance(line, Transfer | Rich) and line.id in self._tried:
            raise Violation(f"a dry run is in the log: {line}")

    async def try_out(self, world: World, process: WriteSide) -> None:
        """Ask a process what would become of a command that is never sent."""
        command = self._asked.fresh()
        if not isinstance(command, OpenAccount):
            self._tried.add(command.id)
        before, at_us = _positions(world, process), process.clock.wall_us()
        try:
            answer = await ask(process.life, process.intake.dry_run(command))
        except NOT_ANSWERED:
            return
        # Where ids are forgotten for want of room, the command itself may make some go: a copy has only its own.
        if before is not None and before == _positions(world, process) and world.ids_max == 1 << 24:
            world.chaos.count("dry run compared")
            world.checked(lambda: self._compare(command, answer, at_us))

    def _compare(self, command: Command, answer: Answer, at_us: int) -> None:
        home = self._wallet.home_of(command)
        outcomes = foretold(self._wallet.models, home, command, at_us)
        if outcomes is None:
            return
        document = answer.document
        result = str(document.get("code", document["result"]))
        said, word = CHANGED.get(result, result), outcomes[-1].word
        if said != word and isinstance(command, LegsTransfer | Capture | Reverse):
            others = (foretold(self._wallet.models, home, command, at_us, first) for first in range(LEGS_MAX))
            word = next((said for each in others if each is not None and each[-1].word == said), word)
        _require(said == word, f"a dry run of {command} says {said}, the rules say {word}")
        states = {(str(each["account"]), int(each["posted"]), each["version"]) for each in accounts_of(document)}
        _require(
            "accounts" not in document or states == shown_by(outcomes),
            f"a dry run of {command} shows {states}, the rules say {shown_by(outcomes)}",
        )


def _positions(world: World, process: WriteSide) -> list[int] | None:
    """Where the states of a process are; None when one of them is not where the log is."""
    found = []
    for auditor in world.auditors:
        chained = process.partitions[auditor.partition].outcomes.state.chained
        if [chained.block_hash] != auditor.hashes[-1:]:
            return None
        found.append(chained.sequence)
    return found


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise Violation(rule)
