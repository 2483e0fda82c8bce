"""What is answered, each document as one class. A program that reads an answer gets these values; fields that it does not know
are passed over, so that a newer service may say more.

Amounts are minor units: strings of digits on the wire, `int` in a program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, WithJsonSchema

from fanfold.api import grammar
from fanfold.api.words import (
    Balance,
    Metadata,
    Moment,
    OptionalBalance,
    Optionally,
    PositionText,
    Reference,
    without_default,
)

_OPEN: Final = ConfigDict(extra="ignore")


def _shown(example: dict[str, Any]) -> ConfigDict:
    return ConfigDict(extra="ignore", json_schema_extra={"examples": [example]})


def _told(pattern: str, **more: Any) -> Any:
    """A text of an answer: what it is like is documented and not checked, for a newer service may know more words."""
    return WithJsonSchema({"type": "string", "pattern": grammar.whole(pattern)} | more)


def _one_of(*words: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(words)})


OPEN_PHASES: Final = (
    "trying", "debiting", "crediting", "capturing", "paying", "releasing", "compensating", "cancelling"
)  # fmt: skip
RESULTS: Final = ("done", "held", "voided", "changed", "expired")

AccountName = Annotated[str, _told(grammar.ACCOUNT)]
AssetName = Annotated[str, _told(grammar.ASSET, examples=["USD/2"])]
Id = Annotated[str, _told(grammar.UUID)]
Flag = Annotated[str, _one_of("debit_frozen", "credit_frozen", "closed")]
Action = Annotated[str, _one_of("try", "confirm", "cancel")]
Protocol = Annotated[str, _one_of("saga", "tcc")]
OpenPhase = Annotated[str, _one_of(*OPEN_PHASES)]
Phase = Annotated[str, _one_of(*OPEN_PHASES, "done", "refused")]
Word = Annotated[str, Field(description="A code of the table of problems, or `done`.")]
Count = Annotated[int, Field(ge=0)]

_STATE: Final = {
    "account": "alice",
    "asset": "USD/2",
    "posted": "1000",
    "held": "0",
    "available": "1000",
    "floor": "0",
    "version": 1,
    "position": "0:17",
    "at": "2026-01-01T00:00:00.000000Z",
}


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
    version: Count
    position: PositionText
    at: Moment
    flags: Optionally[tuple[Flag, ...]] = None
    stale_since: Optionally[Moment] = None

    __pydantic_config__ = _shown(_STATE | {"flags": []})


@dataclass(frozen=True)
class OpenedAccount:
    """An account is open. result: `exists` when it was before, with the same terms."""

    account: AccountName
    asset: AssetName
    floor: OptionalBalance
    result: Annotated[str, _one_of("opened", "exists")]
    position: PositionText
    at: Moment
    owner: str | None = None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Step:
    """What one partition did for a transfer across partitions, in the order of its log."""

    step: Count
    action: Action
    partition: Count
    code: Word
    position: PositionText
    at: Moment

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Moved:
    """It is done: `accounts` as they were right after it. `position` is where the log says so.

    result: `done` when money has moved, `held`, `voided`, `changed`. hold, reverses: what it was about. dry_run: what would
    have been; then nothing is in the log.
    """

    id: Id
    position: Annotated[PositionText, Field(json_schema_extra=without_default)] = ""
    accounts: Annotated[
        tuple[AccountState, ...],
        Field(
            description=(
                "As they are after it. Of a transfer across partitions only the accounts of its home partition, as the transfer "
                "left them: home is where the first account that gives lives, and its log does not know the accounts of other "
                "partitions. Ask for those by `GET /v1/accounts/{account}` with the position of this answer as `min_position`."
            )
        ),
    ] = ()
    result: Annotated[str, _one_of(*RESULTS)] = "done"
    protocol: Optionally[Protocol] = None
    steps: Annotated[tuple[Step, ...], Field(description="Of a transfer across partitions.")] = ()
    hold: Optionally[Id] = None
    reverses: Optionally[Id] = None
    dry_run: bool = False

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Done(Moved):
    """What was asked is done, all that is told of it. `reference` and `metadata` as they came with the command."""

    at: Optionally[Moment] = None
    phase: Optionally[Phase] = None
    reference: Optionally[Reference] = None
    metadata: Optionally[Metadata] = None

    __pydantic_config__ = _shown(
        {
            "id": "01970f3e-7b1a-7c3e-8a2b-1234567890ab",
            "result": "done",
            "position": "0:17",
            "at": "2026-01-01T00:00:00.000000Z",
            "accounts": [_STATE],
        }
    )


@dataclass(frozen=True)
class Pending:
    """A transfer is under way between partitions: it ends by itself, and `GET /v1/transfers/{id}` tells how."""

    id: Id
    protocol: Protocol
    phase: Phase
    position: PositionText
    at: Moment
    result: Annotated[str, _one_of("pending")] = "pending"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Waiting:
    """What an open transfer waits for: the answer of a partition to an action of a step."""

    step: int
    partition: int
    action: Action

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class OpenTransfer:
    """A transfer under way. begun: its position in its home partition's log; partition: that home."""

    id: Id
    protocol: Protocol
    phase: OpenPhase
    partition: int
    begun: PositionText
    age_ms: int
    waiting_for: tuple[Waiting, ...]

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class OpenTransfers:
    """Transfers under way, oldest first, as of `position`."""

    transfers: tuple[OpenTransfer, ...]
    position: str

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class MovedLeg:
    """A leg of a transfer across partitions, and the step that moves it. An account that is not told anywhere is null."""

    account: str | None
    amount: Balance
    asset: str | None
    step: int
    partition: int

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class LegLeft:
    """What a hold still holds of a leg."""

    account: str | None
    amount: Balance
    asset: str | None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class TouchedAccount:
    """An account after a step, `@transit` with the others."""

    account: str
    asset: AssetName
    posted: Balance
    held: Balance

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Outcome:
    """What became of a command, as its own request was answered, and what has become of it since."""

    id: Id
    result: Annotated[str, _one_of(*RESULTS, "pending", "refused")]
    position: PositionText
    at: Moment
    code: Optionally[Word] = None
    reference: Optionally[Reference] = None
    metadata: Optionally[Metadata] = None
    accounts: Annotated[tuple[AccountState, ...], Field(description="As the outcome left them.")] = ()
    protocol: Optionally[Protocol] = None
    phase: Optionally[Phase] = None
    steps: tuple[Step, ...] = ()
    step_accounts: Annotated[
        tuple[tuple[TouchedAccount, ...] | None, ...],
        Field(
            description=(
                "Of each step the accounts that it touched, as they were after it; null where this process does not project the "
                "partition of the step."
            )
        ),
    ] = ()
    legs: tuple[MovedLeg, ...] = ()
    waiting_for: tuple[Waiting, ...] = ()
    reverses: Optionally[Id] = None
    reversed_by: Optionally[Id] = None
    hold: Annotated[Optionally[Id], Field(description="Of a capture or void.")] = None
    state: Annotated[
        Optionally[Annotated[str, _one_of("open", "busy", "over")]], Field(description="Of a hold, now.")
    ] = None
    left: tuple[LegLeft, ...] = ()
    deadline: Optionally[Moment] = None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class SystemAccount:
    """A system account of one partition."""

    posted: Balance
    held: Balance
    version: int
    at: Moment

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class SystemPartition:
    """The system accounts of one partition, at its position; null where it has none yet.

    stale_since: only while its log is damaged: the time of the last block that could be read.
    """

    partition: int
    position: str | None
    world: SystemAccount | None
    transit: SystemAccount | None
    stale_since: Optionally[Moment] = None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class System:
    """What came from outside (`world`, minus what it gave) and what is in flight (`transit`), over all partitions, or
    those that were asked for.

    All other accounts together hold minus their sum, in every partition and in all.
    """

    asset: AssetName
    world: Balance
    transit: Balance
    positions: str
    partitions: tuple[SystemPartition, ...]

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class FailedPartition:
    """A partition that was not read, and why."""

    partition: int
    code: Word

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Balances:
    """Many balances, in the order asked for; null for an account that does not exist as of its partition's position.

    undecided: places of accounts that are null while the view is behind the log. stale: partitions whose log is damaged behind
    the position.
    """

    positions: str
    accounts: tuple[AccountState | None, ...]
    undecided: tuple[int, ...] = ()
    stale: tuple[int, ...] = ()
    failed: tuple[FailedPartition, ...] = ()

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Problem:
    """Why something was refused (RFC 9457). `code` is stable; `detail` says what it means for the money and what to do."""

    type: Annotated[str, Field(json_schema_extra={"format": "uri"})]
    title: str
    status: int
    code: Word
    detail: str
    field: Annotated[Optionally[str], Field(description="Which field of the request is meant.")] = None
    id: Optionally[Id] = None
    available: Annotated[Optionally[str], Field(description="What the account has, where that was too little.")] = None
    remembered_from: Annotated[
        Optionally[Moment],
        Field(
            description="Of `id_expired`: ids that carry a time from then on are remembered, older ones are refused."
        ),
    ] = None
    hold: Optionally[Id] = None
    reverses: Optionally[Id] = None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Health:
    """This process runs."""

    status: Annotated[str, _one_of("alive")]

    __pydantic_config__ = _OPEN


Readiness = Annotated[
    Mapping[str, Any],
    WithJsonSchema(
        {"type": "object", "description": "Whether requests would be answered, and how far each partition is."}
    ),
]
