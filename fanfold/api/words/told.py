"""What answers and frames tell in the place of what is asked: balances, positions, moments."""

from __future__ import annotations

from typing import Annotated, cast

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema

from fanfold.api import grammar
from fanfold.api.words.amounts import AS_TEXT, digits

# In answers


def _balance(value: object) -> int:
    return int(value) if isinstance(value, str) else cast("int", value)


Balance = Annotated[
    int,
    BeforeValidator(_balance),
    AS_TEXT,
    digits(grammar.INTEGER, "Minor units."),
]
"""Read leniently, like all that answers hold: whoever reads an answer believes it."""
OptionalBalance = Annotated[
    int | None,
    BeforeValidator(lambda value: None if value is None else _balance(value)),
    PlainSerializer(lambda units: None if units is None else str(units), return_type=str | None),
    WithJsonSchema(
        {
            "type": ["string", "null"],
            "pattern": grammar.whole(grammar.INTEGER),
            "description": "Minor units; null when the account has no floor.",
        }
    ),
]
PositionText = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": grammar.whole(grammar.POSITIONS),
            "examples": ["0:17", "0:19,3:9"],
            "description": (
                "How far the log of each partition is reflected: give it as `min_position` to read what you wrote."
            ),
        }
    ),
]
Moment = Annotated[str, Field(json_schema_extra={"format": "date-time"}, description="UTC, RFC 3339.")]
