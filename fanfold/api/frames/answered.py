"""What other messages of a client are answered with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from fanfold.api.answers.members import Id
from fanfold.api.answers.problem import ProblemCode, ProblemDetail, ProblemTitle
from fanfold.api.declared import shown
from fanfold.api.frames.members import OP, AnswerNumber, Number
from fanfold.api.problems import PROBLEMS
from fanfold.api.words.rules import Optionally


@dataclass(frozen=True)
class Pong:
    """Answers a ping."""

    id: AnswerNumber
    op: Annotated[Literal["pong"], OP] = "pong"

    __pydantic_config__ = shown({"op": "pong", "id": 3})


@dataclass(frozen=True)
class AnswersFrame:
    """Answers a submit: what became of each command, in their order, as `POST /v1/transfers:batch` tells it line by line."""

    id: AnswerNumber
    answers: Annotated[
        tuple[dict[str, Any], ...],
        Field(description="Of each command its `status`, and with it the document that the single call would answer."),
    ]
    op: Annotated[Literal["answers"], OP] = "answers"

    __pydantic_config__ = shown(
        {
            "op": "answers",
            "id": 5,
            "answers": [{"status": 201, "id": "01970f3e-7b1a-7c3e-8a2b-1234567890ab", "result": "done"}],
        }
    )


@dataclass(frozen=True)
class ErrorFrame:
    """A message was refused, and nothing of it was done. `id` is the message's, null when it could not be read.

    Of a submit with `ids`: its answer is not known, and it may have been done.
    """

    id: Annotated[Number | None, Field(description="The `id` of the refused message; null when it could not be read.")]
    code: ProblemCode
    title: ProblemTitle
    detail: ProblemDetail
    ids: Annotated[
        Optionally[tuple[Id, ...]],
        Field(
            description="Of a submit that may have been done: the ids of its commands, to ask with, or to send again."
        ),
    ] = None
    op: Annotated[Literal["error"], OP] = "error"

    __pydantic_config__ = shown(
        {
            "op": "error",
            "id": 4,
            "code": "account_malformed",
            "title": PROBLEMS["account_malformed"].title,
            "detail": PROBLEMS["account_malformed"].detail,
        }
    )
