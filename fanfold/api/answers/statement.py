"""The statement of an account: its entries, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fanfold.api.answers.members import STALE, AccountName, AssetName, EntryKind, Flag, Id, Version, says
from fanfold.api.declared import shown
from fanfold.api.examples import ENTRY
from fanfold.api.words.beside import Metadata, Reference
from fanfold.api.words.rules import Optionally
from fanfold.api.words.told import Balance, Moment, OptionalBalance, PositionText


@dataclass(frozen=True)
class Entry:
    """One change of an account. amount: what moved, minus gave; posted, held, available: after it, so that a page shows the
    running balance. transfer: the id of the transfer or other command that made it. held_change: left out where nothing changed;
    flags: only of a change of flags."""

    version: Version
    at: Moment
    position: PositionText
    transfer: Id
    kind: EntryKind
    amount: Balance
    posted: Balance
    held: Balance
    available: OptionalBalance
    accounts: Annotated[
        tuple[str, ...],
        says(
            "The other accounts that the same command changed, system accounts with their asset: `@world:USD/2`. Of a transfer "
            "across partitions those of all its legs, also of ones that are not done yet or never are; `@transit:USD/2` where "
            "the log that names them is not followed here, or not so far: `GET /v1/transfers/{id}` of `transfer` tells them."
        ),
    ] = ()
    reference: Optionally[Reference] = None
    metadata: Optionally[Metadata] = None
    held_change: Annotated[
        Optionally[Balance], says("What holds took of it (above 0) or let go; absent where nothing.")
    ] = None
    flags: Annotated[
        Optionally[tuple[Flag, ...]], says("Only of a change of flags: what the account may not do after it.")
    ] = None

    __pydantic_config__ = shown(ENTRY)


@dataclass(frozen=True)
class Entries:
    """A page of the entries of an account, as of `position`. next: the cursor of the page behind it, while there is one.
    stale_since: see `AccountState`."""

    account: AccountName
    asset: AssetName
    entries: Annotated[tuple[Entry, ...], says("In the order asked for.")]
    position: PositionText
    next: Annotated[
        Optionally[str], says("The `cursor` of the next page; absent on the last one as of this position.")
    ] = None
    stale_since: Annotated[Optionally[Moment], STALE] = None

    __pydantic_config__ = shown(
        {
            "account": "alice",
            "asset": "USD/2",
            "entries": [ENTRY],
            "position": "0:17",
            "next": "AQEAAAAAAAAAEjRWeJq83v8",
        }
    )
