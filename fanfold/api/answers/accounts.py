"""What is answered about accounts: their state now and then, lists of them, that one is open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fanfold.api.answers.members import (
    BLOCK_HASH,
    FINAL,
    STALE,
    AccountName,
    AssetName,
    Count,
    Flags,
    Partition,
    Positions,
    Version,
    Word,
    one_of,
    says,
)
from fanfold.api.answers.stale import StalePartitions
from fanfold.api.declared import OPEN, shown
from fanfold.api.examples import AT, STATE
from fanfold.api.words.rules import Optionally
from fanfold.api.words.told import Balance, Moment, OptionalBalance, PositionText


@dataclass(frozen=True)
class AccountState:
    """An account at one version. `available` is posted - held - floor, None (null) when there is no floor.

    flags: what it may not do; left out in answers to commands that do not change them. stale_since: only while the log of its
    partition is damaged: the time of the last block that could be read; what came later is not in this answer.
    """

    account: AccountName
    asset: AssetName
    posted: Balance
    held: Balance
    available: OptionalBalance
    floor: OptionalBalance
    version: Version
    position: PositionText
    at: Moment
    flags: Optionally[Flags] = None
    stale_since: Annotated[Optionally[Moment], STALE] = None
    block_hash: Annotated[Optionally[str], says(BLOCK_HASH)] = None
    final: Annotated[Optionally[bool], says(FINAL)] = None

    __pydantic_config__ = shown(STATE | {"flags": []})


@dataclass(frozen=True)
class ListedAccount(AccountState):
    """An account in a list."""

    owner: Annotated[Optionally[str], says("Whose account it is, as it was said when it was opened.")] = None

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class AbsentAccount:
    """An account that was asked for and is not there, or was not."""

    account: AccountName
    position: Annotated[
        Optionally[PositionText],
        says("Up to which block it was not there; absent where its partition had no block by then."),
    ] = None

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class PartitionThen:
    """Which block of a partition is the last one of a moment. stale_since: see `AccountState`; only where it is not final."""

    partition: Partition
    position: Annotated[str | None, says("Its last block of that moment; null where it had none by then.")]
    final: Annotated[bool, says(FINAL)]
    block_hash: Annotated[Optionally[str], says(BLOCK_HASH)] = None
    stale_since: Annotated[Optionally[Moment], STALE] = None

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class Accounts:
    """Accounts in the order of their names. next: the cursor of the page behind it, while there is one."""

    accounts: Annotated[tuple[ListedAccount, ...], says("In the order of their names.")]
    positions: Positions
    next: Annotated[Optionally[str], says("The `cursor` of the next page; absent on the last one.")] = None
    stale: StalePartitions = ()
    absent: Annotated[
        tuple[AbsentAccount, ...], says("Of `ids` those that are not there, left out where all of them are.")
    ] = ()
    partitions: Annotated[
        tuple[PartitionThen, ...],
        says("Only as of a moment: of each partition that was asked the block up to which everything here is told."),
    ] = ()

    __pydantic_config__ = shown({"accounts": [STATE | {"flags": [], "owner": "anna"}], "positions": "0:17"})


@dataclass(frozen=True)
class OpenedAccount:
    """An account is open. result: `exists` when it was before, with the same terms."""

    account: AccountName
    asset: AssetName
    floor: OptionalBalance
    result: Annotated[
        str, one_of("opened", "exists", means="Whether it was opened now, or was there with the same terms.")
    ]
    position: PositionText
    at: Moment
    owner: Annotated[str | None, says("Whose account it is, as it was said when it was opened.")] = None

    __pydantic_config__ = shown(
        {"account": "alice", "asset": "USD/2", "floor": "0", "result": "opened", "position": "0:17", "at": AT}
    )


@dataclass(frozen=True)
class FailedPartition:
    """A partition that was not read, and why."""

    partition: Partition
    code: Word

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class Balances:
    """Many balances, in the order asked for; null for an account that does not exist as of its partition's position.

    undecided: places of accounts that are null while the view is behind the log. stale: partitions whose log is damaged behind
    the position. lost: of what the gateway says was written, what is beyond the end of the log.
    """

    positions: Positions
    accounts: Annotated[tuple[AccountState | None, ...], says("One for each asked for, in that order.")]
    undecided: Annotated[tuple[Count, ...], says("Places of accounts that nobody can tell yet.")] = ()
    stale: Annotated[tuple[Partition, ...], says("Partitions whose log is damaged behind the position.")] = ()
    failed: Annotated[tuple[FailedPartition, ...], says("Partitions that were not read.")] = ()
    histories: Annotated[
        Optionally[Mapping[str, str]], says("By partition: which history of its log this is of, where that is known.")
    ] = None
    lost: Annotated[Optionally[PositionText], says("Positions of writes that are beyond the end of the log.")] = None

    __pydantic_config__ = shown({"positions": "0:17", "accounts": [STATE, None]})
