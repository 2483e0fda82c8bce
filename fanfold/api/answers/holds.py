"""What is answered about holds: those that are open, what is left of one, what ended it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fanfold.api.answers.members import STALE, AccountName, Id, KnownAccount, KnownAsset, More, one_of, says
from fanfold.api.declared import OPEN, shown
from fanfold.api.examples import AT, ID
from fanfold.api.words.rules import Optionally
from fanfold.api.words.told import Balance, Moment, PositionText


@dataclass(frozen=True)
class HeldBy:
    """A hold that is open on an account. amount: how much of the account it still holds."""

    id: Id
    amount: Balance
    state: Annotated[str, one_of("open", "busy", means="Whether a capture of it is on its way.")]
    at: Moment
    deadline: Annotated[Optionally[Moment], says("When it ends by itself, UTC.")] = None

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class OpenHolds:
    """The holds that are open on an account, the oldest first. stale_since: see `AccountState`."""

    account: AccountName
    holds: Annotated[tuple[HeldBy, ...], says("The oldest first.")]
    more: More
    position: PositionText
    stale_since: Annotated[Optionally[Moment], STALE] = None

    __pydantic_config__ = shown(
        {
            "account": "alice",
            "holds": [{"id": ID, "amount": "300", "state": "open", "at": AT}],
            "more": False,
            "position": "0:17",
        }
    )


@dataclass(frozen=True)
class LegLeft:
    """What a hold still holds of a leg."""

    account: KnownAccount
    amount: Balance
    asset: KnownAsset

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class HoldEnd:
    """What took something from a hold, or ended it. id: of the capture or void; of an end by time the hold's own."""

    id: Id
    kind: Annotated[str, one_of("capture", "void", "expire", means="What it was.")]
    position: PositionText
    at: Moment

    __pydantic_config__ = OPEN
