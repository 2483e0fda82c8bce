"""The model's accounts: what they hold, the rules that every leg is tested by, and how they change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from tests.unit.write_side.ledger.model.values import NO_FLOOR_IN_COLUMN, TEN_TO_18, Entry, Refused, partition_of
from write_side.contract.words.codes import Flag
from write_side.ledger.commands.commands import ANY_AVAILABLE, ANY_VERSION, Change, Leg, OpenAccount


class Account:
    def __init__(self, asset: str, floor: int | None, owner: str) -> None:
        self.asset, self.floor, self.owner = asset, floor, owner
        self.posted = self.held = self.version = 0
        self.flags = Flag(0)

    @property
    def available(self) -> int | None:
        return None if self.floor is None else self.posted - self.held - self.floor


class Delta(NamedTuple):
    account: str
    posted: int
    held: int


class Accounts:
    """Those of one partition. `entries`: what has changed since the outcome being made began.

    in_flight: what each transfer has put into `@transit` here, less what it took out, by ((home, id), system account).
    """

    def __init__(self, partition: int, partitions: int) -> None:
        self.partition, self.partitions = partition, partitions
        self.by_name: dict[str, Account] = {}
        self.entries: list[Entry] = []
        self.in_flight: dict[tuple[tuple[int, bytes], str], int] = {}

    def lives_here(self, name: str) -> bool:
        return name == "@world" or partition_of(name, self.partitions) == self.partition

    def open(self, command: OpenAccount, *, may_run: bool = True) -> str:
        floor = None if command.floor == NO_FLOOR_IN_COLUMN else command.floor
        if not self.lives_here(command.account):
            return "partitions_differ"
        there = self.by_name.get(command.account)
        if there is not None:
            same = (there.asset, there.floor, there.owner) == (command.asset, floor, command.owner)
            return "exists" if same else "account_exists_with_other_terms"
        if not may_run:
            return "not_run"
        for system in ("@world", "@transit"):
            self.by_name.setdefault(f"{system}:{command.asset}", Account(command.asset, None, ""))
        self.by_name[command.account] = Account(command.asset, floor, command.owner)
        return "done"

    def check(self, legs: Sequence[Leg], *, authorised: bool = False) -> None:
        """Raises Refused by the first rule that a leg breaks, limits apart: each rule on every leg before the next.

        authorised: what the legs give has been held for them.
        """
        found = [(leg, self.by_name.get(row_name(leg))) for leg in legs]
        if any(account is None for _, account in found):
            raise Refused("account_unknown")
        legs_here = [(leg, account) for leg, account in found if account is not None]
        for word, breaks in _RULES:
            for leg, account in legs_here:
                if authorised and leg.amount < 0 and word in ("account_frozen_for_debit", "insufficient_available"):
                    continue
                if breaks(leg, account):
                    raise Refused(word, account.available if word in _TELLING else None)

    def fits(self, deltas: Sequence[Delta]) -> bool:
        """Whether no account passes 10^18, or holds less than nothing, when all of these are added."""
        sums: dict[str, tuple[int, int]] = {}
        for name, posted, held in deltas:
            before = sums.get(name, (0, 0))
            sums[name] = (before[0] + posted, before[1] + held)
        return all(
            abs(self.by_name[name].posted + posted) <= TEN_TO_18 and 0 <= self.by_name[name].held + held <= TEN_TO_18
            for name, (posted, held) in sums.items()
        )

    def add(self, deltas: Sequence[Delta]) -> None:
        for name, posted, held in deltas:
            account = self.by_name[name]
            account.posted += posted
            account.held += held
            self.note(name)

    def note(self, name: str) -> None:
        """A change of this account is an entry and the next version."""
        account = self.by_name[name]
        account.version += 1
        self.entries.append(Entry(name, account.posted, account.version, account.held))

    def change(self, command: Change, *, is_on_its_way: bool) -> None:
        """Flags. is_on_its_way: a transfer that is not over may still bring it money. Raises Refused."""
        account = self.by_name.get(command.account)
        if account is None:
            raise Refused("account_unknown")
        if Flag.CLOSED in account.flags and Flag.CLOSED not in command.clear:
            raise Refused("account_closed")
        if Flag.CLOSED in command.set and (account.posted != 0 or account.held != 0 or is_on_its_way):
            raise Refused("account_not_empty")
        account.flags = (account.flags | command.set) & ~command.clear
        self.note(command.account)

    def taken_entries(self) -> tuple[Entry, ...]:
        entries, self.entries = tuple(self.entries), []
        return entries

    def rows(self) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
        for name, account in self.by_name.items():
            yield name, (account.posted, account.held, account.version, int(account.flags))


def row_name(leg: Leg) -> str:
    return f"@world:{leg.asset}" if leg.account == "@world" else leg.account


def _below_condition(leg: Leg, account: Account) -> bool:
    if leg.if_available == ANY_AVAILABLE or account.available is None:
        return False
    return account.available < leg.if_available


def _insufficient(leg: Leg, account: Account) -> bool:
    return leg.amount < 0 and account.available is not None and account.available < -leg.amount


_RULES = (
    ("asset_mismatch", lambda leg, account: leg.asset != account.asset),
    ("account_closed", lambda leg, account: Flag.CLOSED in account.flags),
    ("account_frozen_for_debit", lambda leg, account: leg.amount < 0 and Flag.DEBIT_FROZEN in account.flags),
    ("account_frozen_for_credit", lambda leg, account: leg.amount > 0 and Flag.CREDIT_FROZEN in account.flags),
    ("version_differs", lambda leg, account: leg.if_version not in (ANY_VERSION, account.version)),
    ("available_below_condition", _below_condition),
    ("insufficient_available", _insufficient),
)
_TELLING = ("available_below_condition", "insufficient_available")
