"""The rules of the money once more, in plain dictionaries, written from the design and sharing no code with the ledger.

What it is compared with: `test_decide.py`.
"""

from __future__ import annotations

import statistics
from typing import NamedTuple

from blake3 import blake3

from write_side.ledger.commands import Command, OpenAccount, Transfer

TEN_TO_18 = 1_000_000_000_000_000_000
NO_FLOOR_IN_COLUMN = -9_223_372_036_854_775_808
SEVEN_DAYS_US = 604_800_000_000
FIVE_MINUTES_US = 300_000_000
TEN_SECONDS_US = 10_000_000
HOUR_US = 3_600_000_000


class Outcome(NamedTuple):
    """word; entries (account, posted after, version after); available of a refused debit; of a repeat, which was the first."""

    word: str
    entries: tuple[tuple[str, int, int], ...] = ()
    available: int | None = None
    first: int | None = None


class _Account:
    def __init__(self, asset: str, floor: int | None, owner: str) -> None:
        self.asset, self.floor, self.owner = asset, floor, owner
        self.posted = self.version = 0


class _Seen(NamedTuple):
    content: object
    time_us: int
    command: int


class WalletModel:
    """One partition. Commands are numbered as they come."""

    def __init__(self, partition: int, partitions: int, ids_max: int) -> None:
        self.partition, self.partitions, self.ids_max = partition, partitions, ids_max
        self.accounts: dict[str, _Account] = {}
        self.seen: dict[bytes, _Seen] = {}
        self.refuse_before_us = 0
        self.commands = 0

    def block(self, commands: list[Command], at_us: int) -> list[Outcome]:
        if at_us - SEVEN_DAYS_US - self.refuse_before_us >= HOUR_US:
            self._forget_before(at_us - SEVEN_DAYS_US)
        outcomes = []
        for command in commands:
            outcomes.append(self._open(command) if isinstance(command, OpenAccount) else self._transfer(command, at_us))
            self.commands += 1
        return outcomes

    def balances(self) -> dict[str, tuple[int, int]]:
        return {name: (account.posted, account.version) for name, account in self.accounts.items()}

    def _forget_before(self, cut_off_us: int) -> None:
        self.refuse_before_us = max(self.refuse_before_us, cut_off_us)
        self.seen = {id: seen for id, seen in self.seen.items() if seen.time_us >= self.refuse_before_us}

    def _lives_here(self, name: str) -> bool:
        first_eight = blake3(name.encode()).digest()[:8]
        return int.from_bytes(first_eight, "little") % self.partitions == self.partition

    def _open(self, command: OpenAccount) -> Outcome:
        floor = None if command.floor == NO_FLOOR_IN_COLUMN else command.floor
        if not self._lives_here(command.account):
            return Outcome("partitions_differ")
        held = self.accounts.get(command.account)
        if held is not None:
            same = (held.asset, held.floor, held.owner) == (command.asset, floor, command.owner)
            return Outcome("exists" if same else "account_exists_with_other_terms")
        for system in ("@world", "@transit"):
            self.accounts.setdefault(f"{system}:{command.asset}", _Account(command.asset, None, ""))
        self.accounts[command.account] = _Account(command.asset, floor, command.owner)
        return Outcome("done")

    def _transfer(self, command: Transfer, at_us: int) -> Outcome:
        content = (command.debit, command.credit, command.amount, command.asset)
        before = self.seen.get(command.id)
        if before is not None:
            if before.content == content:
                return Outcome("repeated", first=before.command)
            return Outcome("id_reused_with_other_content")
        time_us = _time_of(command.id, at_us)
        if time_us < self.refuse_before_us:
            return Outcome("id_expired")
        if time_us > at_us + FIVE_MINUTES_US:
            return Outcome("id_in_future")
        if not self._make_room(command.id, time_us, at_us):
            return Outcome("id_expired")
        self.seen[command.id] = _Seen(content, time_us, self.commands)
        return self._move(command)

    def _make_room(self, id: bytes, time_us: int, at_us: int) -> bool:
        """At the bound, and every sixteenth of it above: the older half of what is remembered goes."""
        over = len(self.seen) - self.ids_max
        if over >= 0 and over % max(1, self.ids_max // 16) == 0:
            median = int(statistics.median(seen.time_us for seen in self.seen.values()))
            self._forget_before(min(median, (at_us - TEN_SECONDS_US) // 1_000_000 * 1_000_000))
        return time_us >= self.refuse_before_us

    def _move(self, command: Transfer) -> Outcome:
        ends = (command.debit, command.credit)
        if any(name != "@world" and not self._lives_here(name) for name in ends):
            return Outcome("partitions_differ")
        names = [f"@world:{command.asset}" if name == "@world" else name for name in ends]
        if any(name not in self.accounts for name in names):
            return Outcome("account_unknown")
        debit, credit = (self.accounts[name] for name in names)
        if debit.asset != command.asset or credit.asset != command.asset:
            return Outcome("asset_mismatch")
        if debit.floor is not None and debit.posted - debit.floor < command.amount:
            return Outcome("insufficient_available", available=debit.posted - debit.floor)
        if debit.posted - command.amount < -TEN_TO_18 or credit.posted + command.amount > TEN_TO_18:
            return Outcome("balance_limit_exceeded")
        debit.posted -= command.amount
        credit.posted += command.amount
        debit.version += 1
        credit.version += 1
        return Outcome("done", ((names[0], debit.posted, debit.version), (names[1], credit.posted, credit.version)))


def _time_of(id: bytes, at_us: int) -> int:
    is_v7 = id[6] >> 4 == 7 and id[8] >> 6 == 2
    return int.from_bytes(id[:6], "big") * 1000 if is_v7 else at_us
