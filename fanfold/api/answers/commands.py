"""What the answer to a command is, where it was not refused: done, or under way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from fanfold.api.answers.accounts import AccountState
from fanfold.api.answers.members import (
    REPEATED,
    RESULTS,
    STALE_OUTCOME,
    Action,
    HoldId,
    Id,
    Partition,
    Phase,
    Protocol,
    ReversedId,
    StepNumber,
    Word,
    one_of,
    says,
)
from fanfold.api.declared import OPEN, shown
from fanfold.api.examples import AT, ID, STATE
from fanfold.api.words.beside import Metadata, Reference
from fanfold.api.words.rules import Optionally, without_default
from fanfold.api.words.told import Moment, PositionText


@dataclass(frozen=True)
class Step:
    """What one partition did for a transfer across partitions, in the order of its log."""

    step: StepNumber
    action: Action
    partition: Partition
    code: Word
    position: PositionText
    at: Moment

    __pydantic_config__ = OPEN


Steps = Annotated[
    tuple[Step, ...],
    says("Of a transfer across partitions: what was done for it so far, in the order in which home learned of it."),
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
    result: Annotated[str, one_of(*RESULTS, means="What was done.")] = "done"
    protocol: Optionally[Protocol] = None
    steps: Steps = ()
    hold: Optionally[HoldId] = None
    reverses: Optionally[ReversedId] = None
    dry_run: Annotated[bool, says("Whether this only would have been: nothing is in the log.")] = False
    repeated: Annotated[bool, Field(json_schema_extra=without_default, description=REPEATED)] = False
    stale_since: Annotated[Optionally[Moment], STALE_OUTCOME] = None

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class Done(Moved):
    """What was asked is done, all that is told of it. `reference` and `metadata` as they came with the command."""

    at: Optionally[Moment] = None
    phase: Optionally[Phase] = None
    reference: Optionally[Reference] = None
    metadata: Optionally[Metadata] = None

    __pydantic_config__ = shown(
        {
            "id": ID,
            "result": "done",
            "position": "0:17",
            "at": AT,
            "accounts": [STATE],
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
    result: Annotated[str, one_of("pending", means="It is not over.")] = "pending"
    dry_run: Annotated[
        bool,
        Field(json_schema_extra=without_default, description="Whether a dry run asked: of an id that runs already."),
    ] = False
    repeated: Annotated[bool, Field(json_schema_extra=without_default, description=REPEATED)] = False
    stale_since: Annotated[Optionally[Moment], STALE_OUTCOME] = None

    __pydantic_config__ = shown(
        {"id": ID, "result": "pending", "protocol": "saga", "phase": "debiting", "position": "0:17", "at": AT}
    )
