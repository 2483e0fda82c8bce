"""What is answered, each document as one class. A program that reads an answer gets these values; fields that it does not know
are passed over, so that a newer service may say more.

Amounts are minor units: strings of digits on the wire, `int` in a program.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, get_args

from pydantic import ConfigDict, Field, WithJsonSchema
from typing_extensions import TypeAliasType

from fanfold.api import grammar
from fanfold.api.problems import KEPT_BY_ID, PROBLEMS
from fanfold.api.words import (
    Across,
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


def _told(pattern: str, description: str, **more: Any) -> Any:
    """A text of an answer: what it is like is documented and not checked, for a newer service may know more words."""
    return WithJsonSchema({"type": "string", "pattern": grammar.whole(pattern), "description": description} | more)


def _one_of(*words: str, means: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(words), "description": means})


def _as(description: str) -> Any:
    return Field(description=description)


OPEN_PHASES: Final = (
    "trying", "debiting", "crediting", "capturing", "paying", "releasing", "compensating", "cancelling"
)  # fmt: skip
RESULTS: Final = ("done", "held", "voided", "changed", "expired")

AccountName = Annotated[str, _told(grammar.ACCOUNT, "The id of the account.")]
AssetName = Annotated[
    str, _told(grammar.ASSET, "Code and exponent: how many decimals the unit has.", examples=["USD/2"])
]
Id = Annotated[str, _told(grammar.UUID, "The id of the command: its UUID.")]
Flag = Annotated[str, _one_of("debit_frozen", "credit_frozen", "closed", means="Something that an account may not do.")]
_STALE: Final = _as(
    "Only while the log of its partition is damaged: the time of the last block that could be read, UTC, 1970 where none could. "
    "What came later is not in this answer."
)
_STALE_READERS: Final = _as(
    "Only while its log is damaged: the time of the last block that could be read, UTC, 1970 where none could. Readers see "
    "nothing of what came later, whatever the lag says."
)
_STALE_OUTCOME: Final = _as(
    "Only of a read, while the log of its home partition is damaged: the time of the last block that could be read, UTC. What "
    "has become of it since is not in this answer. Never of what is refused, for nothing can become of that."
)
Flags = Annotated[tuple[Flag, ...], _as("What the account may not do.")]
Action = Annotated[
    str, _one_of("try", "confirm", "cancel", means="What the home of the transfer asks the partition of the step.")
]
Protocol = Annotated[str, _one_of(*get_args(Across), means="How a transfer across partitions is run.")]
_REPEATED: Final = (
    "Only when this id ran before: nothing was run by this request, and this is what became of it, however long ago."
)
OpenPhase = Annotated[str, _one_of(*OPEN_PHASES, means="Where a transfer that is under way stands.")]
Phase = Annotated[str, _one_of(*OPEN_PHASES, "done", "refused", means="Where a transfer across partitions stands.")]
Word = Annotated[str, _as("A code of the table of problems (`ProblemCode`), or `done`.")]
Count = Annotated[int, Field(ge=0)]
Version = Annotated[
    Count, _as("How often the account has changed; its opening is 0. The greater one is the newer one.")
]
Partition = Annotated[Count, _as("The number of a partition.")]
StepNumber = Annotated[Count, _as("The number of a step of a transfer across partitions.")]
Positions = Annotated[str, _as("How far each partition is reflected, such as `0:19,3:9`; empty when nothing is there.")]

_ID: Final = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"
_AT: Final = "2026-01-01T00:00:00.000000Z"
_STATE: Final = {
    "account": "alice",
    "asset": "USD/2",
    "posted": "1000",
    "held": "0",
    "available": "1000",
    "floor": "0",
    "version": 1,
    "position": "0:17",
    "at": _AT,
}
_WORLD: Final = {"posted": "-1000", "held": "0", "version": 1, "at": _AT}
_TRANSIT: Final = {"posted": "0", "held": "0", "version": 0, "at": _AT}
_ENTRY: Final = {
    "version": 1,
    "at": _AT,
    "position": "0:17",
    "transfer": _ID,
    "kind": "transfer",
    "amount": "1000",
    "posted": "1000",
    "held": "0",
    "available": "1000",
    "accounts": ["@world:USD/2"],
}
_DAMAGED: Final = {
    "partition": 2,
    "stale_since": _AT,
    "reason": "partition 2 stops before block 18: its hash is wrong. Run `fanfold verify`.",
}
_BLOCK_HASH: Final = "Only as of a moment: the hash of the block at `position`, by which anyone finds the same blocks."
_FINAL: Final = (
    "Only as of a moment: whether a later block is known, so that nothing can come that belongs to this moment; true for every "
    "version and position."
)
EntryKind = Annotated[
    str,
    _one_of(
        "transfer", "hold", "capture", "void", "reverse", "change", "expire", "step", "answer", "timeout",
        means="What made it: a command, the deadline of a hold, or (`step`, `answer`, `timeout`) a transfer across partitions.",
    ),
]  # fmt: skip
_UNDER_WAY: Final = {
    "id": _ID,
    "protocol": "saga",
    "phase": "crediting",
    "partition": 0,
    "begun": "0:17",
    "age_ms": 250,
    "waiting_for": [{"step": 1, "partition": 3, "action": "confirm"}],
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
    version: Version
    position: PositionText
    at: Moment
    flags: Optionally[Flags] = None
    stale_since: Annotated[Optionally[Moment], _STALE] = None
    block_hash: Annotated[Optionally[str], _as(_BLOCK_HASH)] = None
    final: Annotated[Optionally[bool], _as(_FINAL)] = None

    __pydantic_config__ = _shown(_STATE | {"flags": []})


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
        _as(
            "The other accounts that the same command changed, system accounts with their asset: `@world:USD/2`. Of a transfer "
            "across partitions those of all its legs, also of ones that are not done yet or never are; `@transit:USD/2` where "
            "the log that names them is not followed here, or not so far: `GET /v1/transfers/{id}` of `transfer` tells them."
        ),
    ] = ()
    reference: Optionally[Reference] = None
    metadata: Optionally[Metadata] = None
    held_change: Annotated[
        Optionally[Balance], _as("What holds took of it (above 0) or let go; absent where nothing.")
    ] = None
    flags: Annotated[
        Optionally[tuple[Flag, ...]], _as("Only of a change of flags: what the account may not do after it.")
    ] = None

    __pydantic_config__ = _shown(_ENTRY)


@dataclass(frozen=True)
class Entries:
    """A page of the entries of an account, as of `position`. next: the cursor of the page behind it, while there is one.
    stale_since: see `AccountState`."""

    account: AccountName
    asset: AssetName
    entries: Annotated[tuple[Entry, ...], _as("In the order asked for.")]
    position: PositionText
    next: Annotated[
        Optionally[str], _as("The `cursor` of the next page; absent on the last one as of this position.")
    ] = None
    stale_since: Annotated[Optionally[Moment], _STALE] = None

    __pydantic_config__ = _shown(
        {
            "account": "alice",
            "asset": "USD/2",
            "entries": [_ENTRY],
            "position": "0:17",
            "next": "AQEAAAAAAAAAEjRWeJq83v8",
        }
    )


@dataclass(frozen=True)
class StalePartition:
    """A partition whose log is damaged: it is served as of the last block that could be read, until a person has mended it."""

    partition: Partition
    stale_since: Annotated[Moment, _STALE]
    reason: Annotated[str, _as("Where the log is damaged, for a person.")]

    __pydantic_config__ = _shown(_DAMAGED)


StalePartitions = Annotated[
    tuple[StalePartition, ...],
    _as(
        "The partitions whose logs are damaged, left out where there are none. Whatever came after the `stale_since` of each is "
        "not in this answer."
    ),
]


@dataclass(frozen=True)
class ListedAccount(AccountState):
    """An account in a list."""

    owner: Annotated[Optionally[str], _as("Whose account it is, as it was said when it was opened.")] = None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class AbsentAccount:
    """An account that was asked for and is not there, or was not."""

    account: AccountName
    position: Annotated[
        Optionally[PositionText],
        _as("Up to which block it was not there; absent where its partition had no block by then."),
    ] = None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class PartitionThen:
    """Which block of a partition is the last one of a moment. stale_since: see `AccountState`; only where it is not final."""

    partition: Partition
    position: Annotated[str | None, _as("Its last block of that moment; null where it had none by then.")]
    final: Annotated[bool, _as(_FINAL)]
    block_hash: Annotated[Optionally[str], _as(_BLOCK_HASH)] = None
    stale_since: Annotated[Optionally[Moment], _STALE] = None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Accounts:
    """Accounts in the order of their names. next: the cursor of the page behind it, while there is one."""

    accounts: Annotated[tuple[ListedAccount, ...], _as("In the order of their names.")]
    positions: Positions
    next: Annotated[Optionally[str], _as("The `cursor` of the next page; absent on the last one.")] = None
    stale: StalePartitions = ()
    absent: Annotated[
        tuple[AbsentAccount, ...], _as("Of `ids` those that are not there, left out where all of them are.")
    ] = ()
    partitions: Annotated[
        tuple[PartitionThen, ...],
        _as("Only as of a moment: of each partition that was asked the block up to which everything here is told."),
    ] = ()

    __pydantic_config__ = _shown({"accounts": [_STATE | {"flags": [], "owner": "anna"}], "positions": "0:17"})


@dataclass(frozen=True)
class HeldBy:
    """A hold that is open on an account. amount: how much of the account it still holds."""

    id: Id
    amount: Balance
    state: Annotated[str, _one_of("open", "busy", means="Whether a capture of it is on its way.")]
    at: Moment
    deadline: Annotated[Optionally[Moment], _as("When it ends by itself, UTC.")] = None

    __pydantic_config__ = _OPEN


More = Annotated[bool, _as("Whether there are more than `limit`.")]


@dataclass(frozen=True)
class OpenHolds:
    """The holds that are open on an account, the oldest first. stale_since: see `AccountState`."""

    account: AccountName
    holds: Annotated[tuple[HeldBy, ...], _as("The oldest first.")]
    more: More
    position: PositionText
    stale_since: Annotated[Optionally[Moment], _STALE] = None

    __pydantic_config__ = _shown(
        {
            "account": "alice",
            "holds": [{"id": _ID, "amount": "300", "state": "open", "at": _AT}],
            "more": False,
            "position": "0:17",
        }
    )


@dataclass(frozen=True)
class ReferredTo:
    """What became of a command with a reference, in short; `GET /v1/transfers/{id}` tells all of it."""

    id: Id
    kind: EntryKind
    result: Annotated[str, _one_of("done", "pending", "refused", means="What the outcome was.")]
    position: PositionText
    at: Moment
    code: Optionally[Word] = None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Referred:
    """The outcomes of commands that had a reference, the newest first."""

    outcomes: Annotated[tuple[ReferredTo, ...], _as("The newest first.")]
    more: More
    positions: Positions
    stale: StalePartitions = ()

    __pydantic_config__ = _shown(
        {
            "outcomes": [{"id": _ID, "kind": "transfer", "result": "done", "position": "0:17", "at": _AT}],
            "more": False,
            "positions": "0:17",
        }
    )


@dataclass(frozen=True)
class OpenedAccount:
    """An account is open. result: `exists` when it was before, with the same terms."""

    account: AccountName
    asset: AssetName
    floor: OptionalBalance
    result: Annotated[
        str, _one_of("opened", "exists", means="Whether it was opened now, or was there with the same terms.")
    ]
    position: PositionText
    at: Moment
    owner: Annotated[str | None, _as("Whose account it is, as it was said when it was opened.")] = None

    __pydantic_config__ = _shown(
        {"account": "alice", "asset": "USD/2", "floor": "0", "result": "opened", "position": "0:17", "at": _AT}
    )


HoldId = Annotated[Id, _as("Of a capture or void: the id of the hold.")]
ReversedId = Annotated[Id, _as("Of a reversal: the id of the transfer that it reverses.")]
KnownAccount = Annotated[str | None, _as("The account; null where no log that this process reads names it.")]
KnownAsset = Annotated[str | None, _as("Its asset; null where the account is not known.")]


@dataclass(frozen=True)
class Step:
    """What one partition did for a transfer across partitions, in the order of its log."""

    step: StepNumber
    action: Action
    partition: Partition
    code: Word
    position: PositionText
    at: Moment

    __pydantic_config__ = _OPEN


Steps = Annotated[
    tuple[Step, ...],
    _as("Of a transfer across partitions: what was done for it so far, in the order in which home learned of it."),
]


@dataclass(frozen=True)
class Moved:
    """It is done: `accounts` as they were right after it. `position` is where the log says so.

    result: `done` when money has moved, `held`, `voided`, `changed`. hold, reverses: what it was about. dry_run: what would
    have been; then nothing is in the log. stale_since: only of a read, while the log of its home partition is damaged.
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
    result: Annotated[str, _one_of(*RESULTS, means="What was done.")] = "done"
    protocol: Optionally[Protocol] = None
    steps: Steps = ()
    hold: Optionally[HoldId] = None
    reverses: Optionally[ReversedId] = None
    dry_run: Annotated[bool, _as("Whether this only would have been: nothing is in the log.")] = False
    repeated: Annotated[bool, Field(json_schema_extra=without_default, description=_REPEATED)] = False
    stale_since: Annotated[Optionally[Moment], _STALE_OUTCOME] = None

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
            "id": _ID,
            "result": "done",
            "position": "0:17",
            "at": _AT,
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
    result: Annotated[str, _one_of("pending", means="It is not over.")] = "pending"
    dry_run: Annotated[
        bool,
        Field(json_schema_extra=without_default, description="Whether a dry run asked: of an id that runs already."),
    ] = False
    repeated: Annotated[bool, Field(json_schema_extra=without_default, description=_REPEATED)] = False
    stale_since: Annotated[Optionally[Moment], _STALE_OUTCOME] = None

    __pydantic_config__ = _shown(
        {"id": _ID, "result": "pending", "protocol": "saga", "phase": "debiting", "position": "0:17", "at": _AT}
    )


@dataclass(frozen=True)
class Waiting:
    """What an open transfer waits for: the answer of a partition to an action of a step."""

    step: StepNumber
    partition: Partition
    action: Action

    __pydantic_config__ = _OPEN


_HOLD_NOW: Final = "Of a hold: how it is now."
WaitingFor = Annotated[tuple[Waiting, ...], _as("Of a transfer under way: the answers that it waits for.")]


Age = Annotated[Count, _as("For how long it has been under way, milliseconds.")]
ProblemType = Annotated[
    str, Field(json_schema_extra={"format": "uri"}, description="`urn:fanfold:problem:` and the code.")
]
ProblemTitle = Annotated[str, _as("What is the matter, the same for each code.")]
ProblemStatus = Annotated[int, _as("The HTTP status; of a line of a batch, what the single request would have got.")]
ProblemDetail = Annotated[str, _as("For a person: what it means for the money, and what to do.")]
MeantAccount = Annotated[str, _as("The account that is meant, where it is one alone.")]
AvailableThen = Annotated[str, _as("What the account has, where that was too little, in minor units.")]


@dataclass(frozen=True)
class OpenTransfer:
    """A transfer under way. begun: its position in its home partition's log; partition: that home."""

    id: Id
    protocol: Protocol
    phase: OpenPhase
    partition: Partition
    begun: PositionText
    age_ms: Age
    waiting_for: WaitingFor

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class OpenTransfers:
    """Transfers under way, oldest first, as of `position`."""

    transfers: Annotated[tuple[OpenTransfer, ...], _as("Those asked for, oldest first.")]
    position: Positions
    stale: StalePartitions = ()

    __pydantic_config__ = _shown({"transfers": [_UNDER_WAY], "position": "0:19,3:9"})


@dataclass(frozen=True)
class MovedLeg:
    """A leg of a transfer across partitions, and the step that moves it. An account that is not told anywhere is null."""

    account: KnownAccount
    amount: Balance
    asset: KnownAsset
    step: StepNumber
    partition: Partition

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class LegLeft:
    """What a hold still holds of a leg."""

    account: KnownAccount
    amount: Balance
    asset: KnownAsset

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class TouchedAccount:
    """An account after a step, `@transit` with the others."""

    account: Annotated[str, _as("The id of an account, or the name of a system account.")]
    asset: AssetName
    posted: Balance
    held: Balance

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class HoldEnd:
    """What took something from a hold, or ended it. id: of the capture or void; of an end by time the hold's own."""

    id: Id
    kind: Annotated[str, _one_of("capture", "void", "expire", means="What it was.")]
    position: PositionText
    at: Moment

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Outcome:
    """What became of a command, as its own request was answered, and what has become of it since."""

    id: Id
    result: Annotated[str, _one_of(*RESULTS, "pending", "refused", means="What became of it.")]
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
    legs: Annotated[tuple[MovedLeg, ...], _as("Of a transfer across partitions: what it moves.")] = ()
    partition: Annotated[Optionally[Partition], _as("Of a transfer under way: its home.")] = None
    begun: Annotated[Optionally[PositionText], _as("Of a transfer under way: where its home's log begins it.")] = None
    age_ms: Optionally[Age] = None
    waiting_for: WaitingFor = ()
    reverses: Optionally[ReversedId] = None
    reversed_by: Annotated[Optionally[Id], _as("The reversal of this transfer.")] = None
    asked_by: Annotated[
        Optionally[str],
        _as(
            "Who asked first: the subject of a token, or `key:` and the name of a machine's key. Only where a gateway asks who "
            "asks; told to that one, and to who may read everything."
        ),
    ] = None
    hold: Optionally[HoldId] = None
    state: Annotated[Optionally[Annotated[str, _one_of("open", "busy", "over", means=_HOLD_NOW)]], _as(_HOLD_NOW)] = (
        None
    )
    left: Annotated[tuple[LegLeft, ...], _as("Of a hold: what is left of it now.")] = ()
    deadline: Annotated[Optionally[Moment], _as("Of a hold: when it ends by itself, UTC.")] = None
    ended: Annotated[
        tuple[HoldEnd, ...], _as("Of a hold: its captures, its void or its expiry, in order, where history is kept.")
    ] = ()
    stale_since: Annotated[Optionally[Moment], _STALE_OUTCOME] = None

    __pydantic_config__ = _shown({"id": _ID, "result": "done", "position": "0:17", "at": _AT, "accounts": [_STATE]})


@dataclass(frozen=True)
class TransferParty:
    """An account that a command was about."""

    account: Annotated[
        str | None, _as("The account, a system account with or without its asset; null where it is not known.")
    ]
    gives: Annotated[bool | None, _as("Whether it gave, or was to give; null where that is not known.")]

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class OutcomeAndParties:
    """What became of a command, and every account that it was about, so that a gateway knows to whom it may be told."""

    outcome: Annotated[Outcome, _as("As it is told to who may read all of it.")]
    parties: Annotated[tuple[TransferParty, ...], _as("Of a capture, void or reversal with those of what it is about.")]

    __pydantic_config__ = _shown(
        {
            "outcome": {"id": _ID, "result": "done", "position": "0:17", "at": _AT, "accounts": [_STATE]},
            "parties": [{"account": "@world", "gives": True}, {"account": "alice", "gives": False}],
        }
    )


@dataclass(frozen=True)
class PartiesOfMany:
    """Of many commands all accounts that each was about, in the order asked for; null of an id that nothing has, or two have."""

    parties: Annotated[tuple[tuple[TransferParty, ...] | None, ...], _as("One for each asked for, in that order.")]

    __pydantic_config__ = _shown({"parties": [[{"account": "alice", "gives": False}], None]})


@dataclass(frozen=True)
class SystemAccount:
    """A system account of one partition."""

    posted: Balance
    held: Balance
    version: Version
    at: Moment

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class SystemPartition:
    """The system accounts of one partition, at its position; null where it has none yet.

    stale_since: see `AccountState`.
    """

    partition: Partition
    position: Annotated[str | None, _as("What this partition was read at; null before its first block.")]
    world: Annotated[SystemAccount | None, _as("`@world` of the partition.")]
    transit: Annotated[SystemAccount | None, _as("`@transit` of the partition.")]
    stale_since: Annotated[Optionally[Moment], _STALE] = None
    block_hash: Annotated[Optionally[str], _as(_BLOCK_HASH)] = None
    final: Annotated[Optionally[bool], _as(_FINAL)] = None

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
    positions: Positions
    partitions: Annotated[tuple[SystemPartition, ...], _as("Each partition by itself.")]

    __pydantic_config__ = _shown(
        {
            "asset": "USD/2",
            "world": "-1000",
            "transit": "0",
            "positions": "0:17",
            "partitions": [{"partition": 0, "position": "0:17", "world": _WORLD, "transit": _TRANSIT}],
        }
    )


BlockNumber = Annotated[int, Field(ge=-1)]


@dataclass(frozen=True)
class PartitionProgress:
    """How far a partition is with what takes long: a start that folds its log, a rebuild or rollback of its view."""

    what: Annotated[
        str,
        _one_of(
            "start", "rebuild", "rollback",
            means="What goes on: a start (nothing is answered meanwhile), or a view that is made beside the one that is read.",
        ),
    ]  # fmt: skip
    done: Annotated[Count, _as("How much of it is done, in `unit`.")]
    total: Annotated[Count | None, _as("About how much there is to do; null while that is not known.")]
    unit: Annotated[
        str,
        _one_of(
            "blocks", "entries", "accounts",
            means="What is counted: of a rebuild first the entries that are folded, then the accounts that are compared.",
        ),
    ]  # fmt: skip
    seconds_left: Annotated[
        float | None, _as("About how long it takes yet, at the pace so far; null while that is not known.")
    ]

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class PartitionNow:
    """How far one partition is. Marks are blocks of its log, -1 before the first; what is between them is its lag: all 0 where
    nothing happens."""

    partition: Partition
    position: Annotated[str | None, _as("What readers see of it; null before its first block.")]
    accepted: Annotated[BlockNumber, _as("The last block that was taken from the log to be folded.")]
    folded: Annotated[BlockNumber, _as("The last block that is in the state in memory.")]
    stored: Annotated[BlockNumber, _as("The last block that is in the view.")]
    pushed: Annotated[BlockNumber, _as("The last block that gateways were told of.")]
    unread: Annotated[
        Count | None,
        _as(
            "Log end minus accepted, in `unit`, as of a second ago at most; null while the log does not say where it ends."
        ),
    ]
    unit: Annotated[
        str,
        _one_of(
            "records", "bytes", means="What `unread` counts: records of Kafka (a block each), bytes of a file log."
        ),
    ]
    unfolded: Annotated[Count, _as("Accepted minus folded, in blocks.")]
    unstored: Annotated[Count, _as("Folded minus stored, in blocks.")]
    unpushed: Annotated[Count, _as("Stored minus pushed, in blocks.")]
    oldest_unapplied_ms: Annotated[
        Count | None,
        _as(
            "Age of the oldest block that the view does not have, by the time in it, milliseconds; 0 when there is none, null "
            "while that is not known."
        ),
    ]
    reason: Annotated[Optionally[str], _as("Why it does not get on, for a person; absent while it does.")] = None
    stale_since: Annotated[Optionally[Moment], _STALE_READERS] = None
    progress: Annotated[
        Optionally[PartitionProgress],
        _as("Only while this process starts with it, or makes its view again or rolls it back."),
    ] = None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class PositionsNow:
    """How far the partitions of the log are, as this read side sees them."""

    partitions: Annotated[tuple[PartitionNow, ...], _as("Those that this read side projects.")]
    elsewhere: Annotated[
        tuple[Partition, ...], _as("Partitions of the log that it does not: another process does.")
    ] = ()

    __pydantic_config__ = _shown(
        {
            "partitions": [
                {
                    "partition": 0,
                    "position": "0:17",
                    "accepted": 19,
                    "folded": 19,
                    "stored": 17,
                    "pushed": 17,
                    "unread": 3,
                    "unit": "records",
                    "unfolded": 0,
                    "unstored": 2,
                    "unpushed": 0,
                    "oldest_unapplied_ms": 12,
                }
            ],
            "elsewhere": [1],
        }
    )


@dataclass(frozen=True)
class FailedPartition:
    """A partition that was not read, and why."""

    partition: Partition
    code: Word

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Balances:
    """Many balances, in the order asked for; null for an account that does not exist as of its partition's position.

    undecided: places of accounts that are null while the view is behind the log. stale: partitions whose log is damaged behind
    the position. lost: of what the gateway says was written, what is beyond the end of the log.
    """

    positions: Positions
    accounts: Annotated[tuple[AccountState | None, ...], _as("One for each asked for, in that order.")]
    undecided: Annotated[tuple[Count, ...], _as("Places of accounts that nobody can tell yet.")] = ()
    stale: Annotated[tuple[Partition, ...], _as("Partitions whose log is damaged behind the position.")] = ()
    failed: Annotated[tuple[FailedPartition, ...], _as("Partitions that were not read.")] = ()
    histories: Annotated[
        Optionally[Mapping[str, str]], _as("By partition: which history of its log this is of, where that is known.")
    ] = None
    lost: Annotated[Optionally[PositionText], _as("Positions of writes that are beyond the end of the log.")] = None

    __pydantic_config__ = _shown({"positions": "0:17", "accounts": [_STATE, None]})


_IN_THE_LOG: Final = "The log has it as refused; without it the request did not get so far."
ProblemCode = TypeAliasType(
    "ProblemCode",
    Annotated[
        str,
        WithJsonSchema(
            {
                "type": "string",
                "enum": list(PROBLEMS),
                "description": "The stable word of a refusal, with its HTTP status:\n"
                + "".join(
                    f"\n- `{word}` ({each.status}): {each.title}. {each.detail}" for word, each in PROBLEMS.items()
                ),
            }
        ),
    ],
)


@dataclass(frozen=True)
class Problem:
    """Why something was refused (RFC 9457). `code` is stable; `detail` says what it means for the money and what to do."""

    type: ProblemType
    title: ProblemTitle
    status: ProblemStatus
    code: ProblemCode
    detail: ProblemDetail
    field: Annotated[Optionally[str], _as("Which field of the request is meant.")] = None
    id: Annotated[Optionally[Id], _as("The id of the command.")] = None
    account: Optionally[MeantAccount] = None
    result: Annotated[Optionally[Annotated[str, _one_of("refused", means=_IN_THE_LOG)]], _as(_IN_THE_LOG)] = None
    position: Annotated[
        Optionally[PositionText],
        _as("Where the log has this refusal; of a read up to where it is true, or what is held."),
    ] = None
    at: Annotated[Optionally[Moment], _as("When the log got this refusal, UTC.")] = None
    version: Annotated[Optionally[Count], _as("Of `version_not_reached`: the version that is held.")] = None
    available: Optionally[AvailableThen] = None
    remembered_from: Annotated[
        Optionally[Moment],
        _as("Of `id_expired`: ids that carry a time from then on are remembered, older ones are refused."),
    ] = None
    remembered_since: Annotated[
        Optionally[Moment], _as("Of `transfer_not_found`: one of that time or older may have run and be forgotten.")
    ] = None
    hold: Optionally[HoldId] = None
    reverses: Optionally[ReversedId] = None
    protocol: Optionally[Protocol] = None
    phase: Optionally[Phase] = None
    steps: Annotated[Optionally[Steps], Field(json_schema_extra=without_default)] = None
    dry_run: Annotated[Optionally[bool], _as("Whether this only would have been: nothing is in the log.")] = None
    repeated: Annotated[Optionally[bool], _as(_REPEATED)] = None
    partition: Annotated[Optionally[Partition], _as("The partition that does not serve.")] = None
    partitions: Annotated[
        Optionally[Annotated[Any, WithJsonSchema({"type": ["array", "object"]})]],
        _as("The partitions that cannot be read; of `not_ready` how each of them does, by its number."),
    ] = None
    reasons: Annotated[Optionally[tuple[str, ...]], _as("Of `not_ready`: what it waits for.")] = None
    reason: Annotated[Optionally[str], _as("Why a partition does not serve or cannot be read, for a person.")] = None

    __pydantic_config__ = _shown(
        {
            "type": "urn:fanfold:problem:insufficient_available",
            "title": PROBLEMS["insufficient_available"].title,
            "status": PROBLEMS["insufficient_available"].status,
            "code": "insufficient_available",
            "detail": f"{PROBLEMS['insufficient_available'].detail} It is alice.{KEPT_BY_ID}",
            "id": _ID,
            "account": "alice",
            "result": "refused",
            "position": "0:17",
            "at": _AT,
            "available": "3",
        }
    )


@dataclass(frozen=True)
class Health:
    """This process runs."""

    status: Annotated[str, _one_of("alive", means="It runs.")]

    __pydantic_config__ = _shown({"status": "alive"})


@dataclass(frozen=True)
class TicketGiven:
    """What opens one stream in the name of who asked for it."""

    ticket: Annotated[
        str, _told(grammar.TICKET, "Whoever has it may use it, once, as `?ticket=` in the address of a stream.")
    ]
    counts_ms: Annotated[int, _as("For so long, milliseconds; no longer than the token that it was asked for with.")]

    __pydantic_config__ = _shown({"ticket": f"{grammar.TICKET_PREFIX}{'A' * 43}", "counts_ms": 30_000})


@dataclass(frozen=True)
class Readiness:
    """Whether requests would be answered, and how far each partition is. Each side tells more of itself than is said here."""

    degraded: Annotated[tuple[str, ...], _as("What is the matter all the same, for a person.")] = ()
    stale: Annotated[
        tuple[StalePartition, ...],
        _as("The partitions whose logs are damaged: whatever came after their `stale_since` is in no answer."),
    ] = ()

    __pydantic_config__ = _shown({"degraded": [_DAMAGED["reason"]], "stale": [_DAMAGED]})
