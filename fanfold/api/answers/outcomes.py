"""What became of a command, asked for by its id or its reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from fanfold.api.answers.accounts import AccountState
from fanfold.api.answers.commands import Steps
from fanfold.api.answers.holds import HoldEnd, LegLeft
from fanfold.api.answers.members import (
    RESULTS,
    STALE_OUTCOME,
    Age,
    AssetName,
    EntryKind,
    HoldId,
    Id,
    KnownAccount,
    KnownAsset,
    More,
    Partition,
    Phase,
    Positions,
    Protocol,
    ReversedId,
    StepNumber,
    Word,
    one_of,
    says,
)
from fanfold.api.answers.problem import (
    AvailableThen,
    MeantAccount,
    ProblemDetail,
    ProblemStatus,
    ProblemTitle,
    ProblemType,
)
from fanfold.api.answers.stale import StalePartitions
from fanfold.api.answers.under_way import WaitingFor
from fanfold.api.declared import OPEN, shown
from fanfold.api.examples import AT, ID, STATE
from fanfold.api.words.beside import Metadata, Reference
from fanfold.api.words.rules import Optionally
from fanfold.api.words.told import Balance, Moment, PositionText


@dataclass(frozen=True)
class ReferredTo:
    """What became of a command with a reference, in short; `GET /v1/transfers/{id}` tells all of it."""

    id: Id
    kind: EntryKind
    result: Annotated[str, one_of("done", "pending", "refused", means="What the outcome was.")]
    position: PositionText
    at: Moment
    code: Optionally[Word] = None

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class Referred:
    """The outcomes of commands that had a reference, the newest first."""

    outcomes: Annotated[tuple[ReferredTo, ...], says("The newest first.")]
    more: More
    positions: Positions
    stale: StalePartitions = ()

    __pydantic_config__ = shown(
        {
            "outcomes": [{"id": ID, "kind": "transfer", "result": "done", "position": "0:17", "at": AT}],
            "more": False,
            "positions": "0:17",
        }
    )


_HOLD_NOW: Final = "Of a hold: how it is now."


@dataclass(frozen=True)
class MovedLeg:
    """A leg of a transfer across partitions, and the step that moves it. An account that is not told anywhere is null."""

    account: KnownAccount
    amount: Balance
    asset: KnownAsset
    step: StepNumber
    partition: Partition

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class TouchedAccount:
    """An account after a step, `@transit` with the others."""

    account: Annotated[str, says("The id of an account, or the name of a system account.")]
    asset: AssetName
    posted: Balance
    held: Balance

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class Outcome:
    """What became of a command, as its own request was answered, and what has become of it since."""

    id: Id
    result: Annotated[str, one_of(*RESULTS, "pending", "refused", means="What became of it.")]
    position: PositionText
    at: Moment
    code: Optionally[Word] = None
    type: Optionally[ProblemType] = None
    title: Optionally[ProblemTitle] = None
    status: Optionally[ProblemStatus] = None
    detail: Optionally[ProblemDetail] = None
    account: Optionally[MeantAccount] = None
    available: Optionally[AvailableThen] = None
    reference: Optionally[Reference] = None
    metadata: Optionally[Metadata] = None
    accounts: Annotated[tuple[AccountState, ...], Field(description="As the outcome left them.")] = ()
    protocol: Optionally[Protocol] = None
    phase: Optionally[Phase] = None
    steps: Steps = ()
    step_accounts: Annotated[
        tuple[tuple[TouchedAccount, ...] | None, ...],
        Field(
            description=(
                "Of each step the accounts that it touched, as they were after it; null where this process does not project the "
                "partition of the step."
            )
        ),
    ] = ()
    legs: Annotated[tuple[MovedLeg, ...], says("Of a transfer across partitions: what it moves.")] = ()
    partition: Annotated[Optionally[Partition], says("Of a transfer under way: its home.")] = None
    begun: Annotated[Optionally[PositionText], says("Of a transfer under way: where its home's log begins it.")] = None
    age_ms: Optionally[Age] = None
    waiting_for: WaitingFor = ()
    reverses: Optionally[ReversedId] = None
    reversed_by: Annotated[Optionally[Id], says("The reversal of this transfer.")] = None
    asked_by: Annotated[
        Optionally[str],
        says(
            "Who asked first: the subject of a token, or `key:` and the name of a machine's key. Only where a gateway asks who "
            "asks; told to that one, and to who may read everything."
        ),
    ] = None
    hold: Optionally[HoldId] = None
    state: Annotated[Optionally[Annotated[str, one_of("open", "busy", "over", means=_HOLD_NOW)]], says(_HOLD_NOW)] = (
        None
    )
    left: Annotated[tuple[LegLeft, ...], says("Of a hold: what is left of it now.")] = ()
    deadline: Annotated[Optionally[Moment], says("Of a hold: when it ends by itself, UTC.")] = None
    ended: Annotated[
        tuple[HoldEnd, ...], says("Of a hold: its captures, its void or its expiry, in order, where history is kept.")
    ] = ()
    stale_since: Annotated[Optionally[Moment], STALE_OUTCOME] = None

    __pydantic_config__ = shown({"id": ID, "result": "done", "position": "0:17", "at": AT, "accounts": [STATE]})


@dataclass(frozen=True)
class TransferParty:
    """An account that a command was about."""

    account: Annotated[
        str | None, says("The account, a system account with or without its asset; null where it is not known.")
    ]
    gives: Annotated[bool | None, says("Whether it gave, or was to give; null where that is not known.")]

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class OutcomeAndParties:
    """What became of a command, and every account that it was about, so that a gateway knows to whom it may be told."""

    outcome: Annotated[Outcome, says("As it is told to who may read all of it.")]
    parties: Annotated[
        tuple[TransferParty, ...], says("Of a capture, void or reversal with those of what it is about.")
    ]

    __pydantic_config__ = shown(
        {
            "outcome": {"id": ID, "result": "done", "position": "0:17", "at": AT, "accounts": [STATE]},
            "parties": [{"account": "@world", "gives": True}, {"account": "alice", "gives": False}],
        }
    )


@dataclass(frozen=True)
class PartiesOfMany:
    """Of many commands all accounts that each was about, in the order asked for; null of an id that nothing has, or two have."""

    parties: Annotated[tuple[tuple[TransferParty, ...] | None, ...], says("One for each asked for, in that order.")]

    __pydantic_config__ = shown({"parties": [[{"account": "alice", "gives": False}], None]})
