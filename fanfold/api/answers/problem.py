"""A refusal as a document (RFC 9457)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

from pydantic import Field, WithJsonSchema
from typing_extensions import TypeAliasType

from fanfold.api.answers.commands import Steps
from fanfold.api.answers.members import (
    REPEATED,
    Count,
    HoldId,
    Id,
    Partition,
    Phase,
    Protocol,
    ReversedId,
    one_of,
    says,
)
from fanfold.api.declared import shown
from fanfold.api.examples import AT, ID
from fanfold.api.problems import KEPT_BY_ID, PROBLEMS
from fanfold.api.words.rules import Optionally, without_default
from fanfold.api.words.told import Moment, PositionText

ProblemType = Annotated[
    str, Field(json_schema_extra={"format": "uri"}, description="`urn:fanfold:problem:` and the code.")
]
ProblemTitle = Annotated[str, says("What is the matter, the same for each code.")]
ProblemStatus = Annotated[int, says("The HTTP status; of a line of a batch, what the single request would have got.")]
ProblemDetail = Annotated[str, says("For a person: what it means for the money, and what to do.")]
MeantAccount = Annotated[str, says("The account that is meant, where it is one alone.")]
AvailableThen = Annotated[str, says("What the account has, where that was too little, in minor units.")]


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
    field: Annotated[Optionally[str], says("Which field of the request is meant.")] = None
    id: Annotated[Optionally[Id], says("The id of the command.")] = None
    account: Optionally[MeantAccount] = None
    result: Annotated[Optionally[Annotated[str, one_of("refused", means=_IN_THE_LOG)]], says(_IN_THE_LOG)] = None
    position: Annotated[
        Optionally[PositionText],
        says("Where the log has this refusal; of a read up to where it is true, or what is held."),
    ] = None
    at: Annotated[Optionally[Moment], says("When the log got this refusal, UTC.")] = None
    version: Annotated[Optionally[Count], says("Of `version_not_reached`: the version that is held.")] = None
    available: Optionally[AvailableThen] = None
    remembered_from: Annotated[
        Optionally[Moment],
        says("Of `id_expired`: ids that carry a time from then on are remembered, older ones are refused."),
    ] = None
    remembered_since: Annotated[
        Optionally[Moment], says("Of `transfer_not_found`: one of that time or older may have run and be forgotten.")
    ] = None
    hold: Optionally[HoldId] = None
    reverses: Optionally[ReversedId] = None
    protocol: Optionally[Protocol] = None
    phase: Optionally[Phase] = None
    steps: Annotated[Optionally[Steps], Field(json_schema_extra=without_default)] = None
    dry_run: Annotated[Optionally[bool], says("Whether this only would have been: nothing is in the log.")] = None
    repeated: Annotated[Optionally[bool], says(REPEATED)] = None
    partition: Annotated[Optionally[Partition], says("The partition that does not serve.")] = None
    partitions: Annotated[
        Optionally[Annotated[Any, WithJsonSchema({"type": ["array", "object"]})]],
        says("The partitions that cannot be read; of `not_ready` how each of them does, by its number."),
    ] = None
    reasons: Annotated[Optionally[tuple[str, ...]], says("Of `not_ready`: what it waits for.")] = None
    reason: Annotated[Optionally[str], says("Why a partition does not serve or cannot be read, for a person.")] = None

    __pydantic_config__ = shown(
        {
            "type": "urn:fanfold:problem:insufficient_available",
            "title": PROBLEMS["insufficient_available"].title,
            "status": PROBLEMS["insufficient_available"].status,
            "code": "insufficient_available",
            "detail": f"{PROBLEMS['insufficient_available'].detail} It is alice.{KEPT_BY_ID}",
            "id": ID,
            "account": "alice",
            "result": "refused",
            "position": "0:17",
            "at": AT,
            "available": "3",
        }
    )
