"""The types of what frames hold, on either side."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from fanfold.api.grammar import TOPIC, whole
from fanfold.api.words.rules import Says

NUMBER_MAX: Final = 2**53 - 1
"""The largest integer that JavaScript holds exactly: ids, sub numbers and versions stay below."""

OP: Final = Field(description="What kind of message this is.")
Number = Annotated[
    int,
    Field(strict=True, ge=0, le=NUMBER_MAX),
    Says("body_malformed", "is not of the asked type or range"),
]
AnswerNumber = Annotated[Number, Field(description="The `id` of the message that this answers.")]
Version = Annotated[Number, Field(description="The version of the account: the greater one is the newer one.")]
Sub = Annotated[Number, Field(description="Names an account on this connection, from its ack on.")]


HISTORY_CHARACTERS_MAX: Final = 64
History = Annotated[
    str,
    Field(
        min_length=1,
        max_length=HISTORY_CHARACTERS_MAX,
        description=(
            "Which history of its partition's log this is: another one once the log was put back or replaced (and when its "
            "writer has started again). Versions of two histories must not be compared."
        ),
    ),
    Says("body_malformed", "is not of the asked type or length"),
]


TopicName = Annotated[
    str,
    Field(
        strict=True,
        pattern=whole(TOPIC),
        description="The name of a topic, which is that of the projection whose question it answers.",
    ),
    Says("body_malformed", "is no name of a topic"),
]
TopicNumber = Annotated[
    Number, Field(description="Of the topic's answer: the greater one is the newer one, within a history.")
]
TopicHistory = Annotated[
    History,
    Field(description="Which making of the topic this is: numbers of two must not be compared."),
]
