"""Amounts that are asked for, in minor units.

On the wire they are strings of digits; in a program they are `int`, and both are taken. A JSON number is never taken for one
(`strict_json.Number`), because what reads JSON elsewhere makes a float of it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from fanfold.api import grammar
from fanfold.api.words.rules import Refuses

# Amounts, in minor units

Code = Literal["amount_malformed", "floor_malformed", "condition_malformed"]


def _units(value: object, code: Code = "amount_malformed") -> int:
    """Minor units, of a string of digits or as an `int`. Raises PydanticCustomError."""
    if type(value) is int:
        value = str(value)
    try:
        return grammar.units_of(value)
    except ValueError as wrong:
        raise PydanticCustomError(code, str(wrong)) from None


def _positive(value: object) -> int:
    number = _units(value)
    if number <= 0:
        raise PydanticCustomError("amount_malformed", "must be positive")
    return number


def _not_zero(value: object) -> int:
    number = _units(value)
    if number == 0:
        raise PydanticCustomError("amount_malformed", "must not be zero")
    return number


AS_TEXT: Final = PlainSerializer(str, return_type=str)


def digits(pattern: str, description: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": grammar.whole(pattern), "description": description} | more)


Amount = TypeAliasType(
    "Amount",
    Annotated[
        int,
        PlainValidator(_positive),
        Refuses(("amount_malformed",)),
        AS_TEXT,
        digits(grammar.POSITIVE, "Minor units, 1 to 10^18."),
    ],
)
SignedAmount = TypeAliasType(
    "SignedAmount",
    Annotated[
        int,
        PlainValidator(_not_zero),
        Refuses(("amount_malformed",)),
        AS_TEXT,
        digits(grammar.NOT_ZERO, "Minor units, not zero; minus gives."),
    ],
)
LeastAvailable = Annotated[
    int,
    PlainValidator(lambda value: _units(value, "condition_malformed")),
    Refuses(("condition_malformed",)),
    AS_TEXT,
    digits(grammar.ANY_UNITS, "Refused when less than this is available before the transfer, in minor units."),
]


def _floor(value: object) -> int | None:
    return None if value is None else _units(value, "floor_malformed")


Floor = Annotated[
    int | None,
    Field(json_schema_extra={"default": "0"}),
    PlainValidator(_floor),
    Refuses(("floor_malformed",)),
    PlainSerializer(lambda floor: None if floor is None else str(floor), return_type=str | None),
    WithJsonSchema(
        {
            "type": ["string", "null"],
            "pattern": grammar.whole(grammar.ANY_UNITS),
            "description": "The lowest that posted - held may reach, in minor units; null for no limit.",
        }
    ),
]
