"""Somebody who freezes accounts, and tries to close them, just while a transfer has a step open on them.

A freeze between try and confirm is too late: what has been tried is confirmed, released or compensated all the same, and the
transfer ends. An account with an open step cannot be closed. (A floor never changes, and a limit of 10^18 is out of reach.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from tests.simulation.auditor import Line, Violation
from tests.simulation.faults import Chaos
from tests.unit.write_side.ledger.model.wallet import Wallet
from tests.unit.write_side.ledger.wallet_model import Ask, Outcome
from write_side.contract.words.codes import Flag
from write_side.ledger.commands.commands import Change

ENDS = ("done", "stale", "balance_limit_exceeded")
"""What a confirm or a cancel may come to: done, a copy of what is done, or a limit that is in the way for a while."""
FREEZES = (Flag.DEBIT_FROZEN, Flag.CREDIT_FROZEN, Flag.DEBIT_FROZEN | Flag.CREDIT_FROZEN)
ALL = Flag.DEBIT_FROZEN | Flag.CREDIT_FROZEN | Flag.CLOSED


class Meddling:
    """What is in the way of the steps of a story, and the rules for it. opened: set when there is a new one."""

    def __init__(self, wallet: Wallet, chaos: Chaos) -> None:
        self._wallet = wallet
        self._chaos = chaos
        self.opened = asyncio.Event()

    def accounts(self) -> list[str]:
        """Those with an open step now."""
        return sorted({name for name in self._touched() if not name.startswith("@")})

    def _touched(self) -> Iterator[str]:
        for model in self._wallet.models:
            steps = [step for process in model.coordinator.open.values() for step in process.steps]
            steps += [row.step for row in model.participant.rows.values() if row.state == "held"]
            for step in steps:
                if step.partition == model.accounts.partition:
                    yield from (leg.account for leg in step.legs)

    def in_the_way(self, id: bytes) -> Change | None:
        """Something in the way of an open step: an attempt to close its account, where only the step forbids it, or a freeze."""
        accounts, random = self.accounts(), self._chaos.random
        closable = [each for each in accounts if self._is_empty(each)]
        if closable and random.random() < 0.7:
            return Change(id, random.choice(closable), Flag.CLOSED, Flag(0))
        return Change(id, random.choice(accounts), random.choice(FREEZES), Flag(0)) if accounts else None

    def _is_empty(self, account: str) -> bool:
        rows = (model.accounts.by_name.get(account) for model in self._wallet.models)
        return any(row is not None and row.posted == 0 and row.held == 0 for row in rows)

    @staticmethod
    def thaw(id: bytes, account: str) -> Change:
        """Everything as it mostly is."""
        return Change(id, account, Flag(0), ALL)

    def told(self, line: Line, outcome: Outcome) -> None:
        """One of the auditor's rules."""
        if outcome.word == "pending" or (isinstance(line, Ask) and line.action == "try" and outcome.word == "done"):
            self.opened.set()
        if isinstance(line, Change) and Flag.CLOSED in line.set and line.account in self.accounts():
            self._chaos.count(f"closed with an open step: {outcome.word}")
            if outcome.word == "done":
                raise Violation(f"an account with an open step was closed: {line}")
        if isinstance(line, Ask) and line.action != "try":
            frozen = any(self._is_frozen(line.step.partition, leg.account) for leg in line.step.legs)
            if frozen and outcome.word == "done" and outcome.entries:
                self._chaos.count(f"{line.action} on a frozen account")
            if outcome.word not in ENDS:
                raise Violation(f"{outcome.word} stopped a {line.action}")

    def _is_frozen(self, partition: int, account: str) -> bool:
        row = self._wallet.models[partition].accounts.by_name.get(account)
        return row is not None and row.flags != Flag(0)
