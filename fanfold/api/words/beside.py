"""What goes with a command: its conditions, how it is run across partitions, its notes, its deadline."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Annotated, Final, Literal, cast

from pydantic import Field, PlainSerializer, PlainValidator, Strict, WithJsonSchema
from pydantic_core import PydanticCustomError
from typing_extensions import TypeAliasType

from fanfold.api import grammar
from fanfold.api.strict_json import Number
from fanfold.api.words.rules import Refuses, Says


def _version(value: object) -> int:
    if isinstance(value, Number):
        value = value.whole(grammar.VERSION_DIGITS_MAX)
    if type(value) is int and value >= 0:
        return value
    raise ValueError("no whole number")


Version = Annotated[
    int,
    PlainValidator(_version),
    Says("condition_malformed", f"must be a whole number of at most {grammar.VERSION_DIGITS_MAX} digits"),
    WithJsonSchema(
        {
            "type": "integer",
            "minimum": 0,
            "maximum": 10**grammar.VERSION_DIGITS_MAX - 1,
            "description": "Refused when the account has another version before the transfer.",
        }
    ),
]

# What goes with a command

Across = Literal["saga", "tcc"]
"""How a transfer is run whose accounts live in different partitions; the service's default is `saga`."""
Protocol = TypeAliasType(
    "Protocol",
    Annotated[
        Across,
        Field(
            description=(
                "How it is run when its accounts live in different partitions, `saga` if nothing is said; else it says nothing."
            )
        ),
        Says("protocol_malformed", 'must be "saga" or "tcc"'),
    ],
)
Reference = TypeAliasType(
    "Reference",
    Annotated[
        str,
        Field(strict=True, pattern=grammar.whole(grammar.REFERENCE), description="For you to find it again."),
        Says("reference_malformed", "must be 1 to 128 printable ASCII characters"),
    ],
)
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def _metadata(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or len(value) > grammar.METADATA_MEMBERS_MAX:
        raise PydanticCustomError(
            "metadata_malformed", f"must be an object of at most {grammar.METADATA_MEMBERS_MAX} texts"
        )
    for name, said in value.items():
        if not _is_text(name, grammar.METADATA_NAME_MAX) or not name:
            raise PydanticCustomError(
                "metadata_malformed", f"must have names of 1 to {grammar.METADATA_NAME_MAX} characters"
            )
        if not _is_text(said, grammar.METADATA_TEXT_MAX):
            raise PydanticCustomError(
                "metadata_malformed", f"must have texts of up to {grammar.METADATA_TEXT_MAX} characters"
            )
    return cast("Mapping[str, str]", value)


def _is_text(value: object, characters_max: int) -> bool:
    return isinstance(value, str) and len(value) <= characters_max and not _LONE_SURROGATE.search(value)


Metadata = TypeAliasType(
    "Metadata",
    Annotated[
        Mapping[str, str],
        PlainValidator(_metadata),
        Refuses(("metadata_malformed",)),
        PlainSerializer(dict, return_type=dict[str, str]),
        WithJsonSchema(
            {
                "type": "object",
                "maxProperties": grammar.METADATA_MEMBERS_MAX,
                "propertyNames": {"minLength": 1, "maxLength": grammar.METADATA_NAME_MAX},
                "additionalProperties": {"type": "string", "maxLength": grammar.METADATA_TEXT_MAX},
                "description": "Kept with the outcome and given back with it.",
            }
        ),
    ],
)

_MOMENT: Final = re.compile(rf"{grammar.MOMENT}\Z", re.ASCII)
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def _deadline(value: object) -> datetime.datetime:
    if isinstance(value, str) and _MOMENT.match(value):
        value = datetime.datetime.fromisoformat(value)  # ValueError for such as the 30th of February
    if isinstance(value, datetime.datetime) and value.tzinfo is not None and value > _EPOCH:
        return value
    raise ValueError("no moment after 1970")


def moment_text(at: datetime.datetime | str, name: str = "a deadline") -> str:
    """UTC as RFC 3339, to the microsecond. Raises ValueError, with this name, for a time without a time zone."""
    if isinstance(at, str):
        return at
    if not isinstance(at, datetime.datetime):
        raise ValueError(f"{name} is a datetime, or its text")
    if at.tzinfo is None:
        raise ValueError(f"{name} needs a time zone")
    return at.astimezone(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


Deadline = TypeAliasType(
    "Deadline",
    Annotated[
        datetime.datetime | str,
        PlainValidator(_deadline),
        PlainSerializer(moment_text, return_type=str),
        Says("deadline_malformed", "must be a moment in UTC such as 2026-01-01T00:00:00Z, after 1970"),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": grammar.whole(grammar.MOMENT),
                "examples": ["2026-01-01T00:00:00Z"],
                "description": "When a hold ends by itself, in UTC; without one it stays until it is captured or voided.",
            }
        ),
    ],
)

Choice = Annotated[bool, Strict(), Says("body_malformed", "must be true or false")]
