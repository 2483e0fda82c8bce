"""Where a command is decided: the partition of the first account that gives, `@world` apart (DESIGN 4)."""

from __future__ import annotations

from write_side.contract.words.atoms import WORLD, partition_of
from write_side.ledger.commands.commands import Change, Hold, Leg, LegsTransfer, OpenAccount, Reverse, Transfer

Routed = OpenAccount | Change | Transfer | LegsTransfer | Hold
"""Commands that say by themselves where they belong; the others belong where what they are about is."""


def home_partition(command: Routed, partitions: int) -> int:
    """The partition that decides it."""
    if isinstance(command, Transfer):
        return partition_of(command.credit if command.debit == WORLD else command.debit, partitions)
    if isinstance(command, LegsTransfer | Hold):
        return partition_of(_first(command.legs), partitions)
    return partition_of(command.account, partitions)


def is_inside(command: Routed, partitions: int) -> bool:
    """Whether all its accounts live in one partition."""
    return len(partitions_of_accounts(command, partitions)) <= 1


def partitions_of_accounts(command: Routed | Reverse, partitions: int) -> set[int]:
    """Where the accounts live that it names; `@world` lives in each."""
    if isinstance(command, OpenAccount | Change):
        accounts = [command.account]
    elif isinstance(command, Transfer):
        accounts = [command.debit, command.credit]
    else:
        accounts = [leg.account for leg in command.legs]
    return {partition_of(account, partitions) for account in accounts if account != WORLD}


def _first(legs: tuple[Leg, ...]) -> str:
    """The first account that gives; the first one when only `@world` does. Legs are sorted by account."""
    own = [leg for leg in legs if leg.account != WORLD]
    if not own:
        return WORLD
    return next((leg.account for leg in own if leg.amount < 0), own[0].account)
