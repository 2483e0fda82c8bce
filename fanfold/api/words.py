"""The types of fields: each has one grammar, one code for what is no such word, and one sentence that says what it must be.

On the wire amounts are strings of digits; in a program they are `int`, and both are taken. A JSON number is never taken for an
amount (`strict_json.Number`), because what reads JSON elsewhere makes a float of it.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeVar, cast

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, Strict, WithJsonSchema
from pydantic.annotated_handlers import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from typing_extensions import TypeAliasType

from fanfold.api import grammar
from fanfold.api.ids import new_id
from fanfold.api.strict_json import Number

T = TypeVar("T")


@dataclass(frozen=True)
class Says:
    """Whatever is wrong with a value of this type is told by one code and one sentence, which follows the field's name."""

    code: str
    detail: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.custom_error_schema(
            handler(source), custom_error_type=self.code, custom_error_message=self.detail
        )


@dataclass(frozen=True)
class Refuses:
    """The codes that a validator of this type raises by itself, for whoever tells them (`field_codes.py`); it checks nothing."""

    codes: tuple[str, ...]


class LeftOut:
    """The None of `T | None` means that the field is not there; on the wire null is no value of it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        [there] = [each for each in source.__args__ if each is not type(None)]
        return handler.generate_schema(there)


def without_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)


Optionally = Annotated[
    T | None, LeftOut(), Field(json_schema_extra=without_default, exclude_if=lambda value: value is None)
]
"""A field that may be left out: None in a program, absent on the wire."""


# Names

# What a text must be to be one: said here, to whoever reads it from a body, a path, a column or a program.
ACCOUNT_SAYS: Final = f"must match {grammar.ACCOUNT}"
ASSET_SAYS: Final = "must be code/exponent such as USD/2"
ID_SAYS: Final = "must be a UUID (version 7 preferred), neither nil nor max"

_ACCOUNT_RULE: Final = Says("account_malformed", ACCOUNT_SAYS)

AccountId = TypeAliasType(
    "AccountId",
    Annotated[
        str,
        Field(
            strict=True,
            pattern=grammar.whole(grammar.ACCOUNT),
            description="The id of an account: letters, digits and `_.:-`, the first a letter or a digit. Case counts.",
        ),
        _ACCOUNT_RULE,
    ],
)
PARTY: Final = "An account, or `@world`: where deposits come from and withdrawals go to."
Party = TypeAliasType(
    "Party",
    Annotated[
        str,
        Field(
            strict=True,
            pattern=grammar.whole(grammar.PARTY),
            description=PARTY,
        ),
        _ACCOUNT_RULE,
    ],
)
Asset = TypeAliasType(
    "Asset",
    Annotated[
        str,
        Field(strict=True, pattern=grammar.whole(grammar.ASSET)),
        Says("asset_malformed", ASSET_SAYS),
        # Wider than what is told: accounts that an older log has of other assets stay usable.
        WithJsonSchema(
            {
                "type": "string",
                "pattern": grammar.whole(grammar.NEW_ASSET),
                "examples": ["USD/2"],
                "description": (
                    "Code and exponent: how many decimals the unit has. An exponent costs range: no balance, that of `@world` "
                    "in each partition included, passes 10^18 minor units, which are 10^16 units at 2 decimals, 10^9 at 9, a "
                    "thousand at 15, and no more decimals are taken. One spelling: `USD/2`, never `USD/02`. (Accounts that an "
                    "older log has of other assets stay usable.)"
                ),
            }
        ),
    ],
)
Owner = Annotated[
    str,
    Field(strict=True, pattern=grammar.whole(grammar.OWNER), description="Whose account it is, for you to find again."),
    Says("owner_malformed", "must be 1 to 255 printable ASCII characters, no space at the ends"),
]


def _some_id(text: str) -> str:
    if text.lower() in grammar.NIL_AND_MAX:
        raise ValueError("it stands for none or for all")
    return text


TransferId = TypeAliasType(
    "TransferId",
    Annotated[
        str,
        Field(strict=True, pattern=grammar.whole(grammar.UUID)),
        AfterValidator(_some_id),
        Says("id_malformed", ID_SAYS),
        WithJsonSchema(
            {
                "type": "string",
                "pattern": grammar.whole(grammar.UUID),
                "not": {"enum": list(grammar.NIL_AND_MAX)},
                "description": (
                    "A UUID, version 7 preferred. It runs at most once, whatever it is used for. One of version 7 carries its "
                    "time and is refused (`id_expired`) once that is older than what is remembered, 7 days or less under load "
                    "(`/readyz`, `ids.window_seconds`), so it can never run twice. Where `FANFOLD_IDS` names a folder (as it "
                    "does for `fanfold up`) whatever ran is remembered for ever, of any version, and gets its first outcome "
                    "again. Elsewhere one of another version is remembered for 7 days and may run again after them; when there "
                    "is no room for another it is 503 `id_memory_full`, and nothing is run."
                ),
            }
        ),
    ],
)


class MadeId:
    """The field `id` of a command: a UUID as text; given None or left out, a new one is made with the value and stays with it."""

    def __get__(self, command: object | None, kind: type) -> str:
        # Asked of the class it is the default of the field, which `__set__` takes for "make one".
        return cast("str", None if command is None else vars(command)["id"])

    def __set__(self, command: object, given: Any) -> None:
        # A text or None. Any, because mypy gives a class that inherits the field the type of what it may be set to.
        vars(command)["id"] = new_id() if given is None else given

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return handler.generate_schema(TransferId)


NEW_ID: Final = MadeId()


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


_AS_TEXT: Final = PlainSerializer(str, return_type=str)


def _digits(pattern: str, description: str, **more: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": grammar.whole(pattern), "description": description} | more)


Amount = TypeAliasType(
    "Amount",
    Annotated[
        int,
        PlainValidator(_positive),
        Refuses(("amount_malformed",)),
        _AS_TEXT,
        _digits(grammar.POSITIVE, "Minor units, 1 to 10^18."),
    ],
)
SignedAmount = TypeAliasType(
    "SignedAmount",
    Annotated[
        int,
        PlainValidator(_not_zero),
        Refuses(("amount_malformed",)),
        _AS_TEXT,
        _digits(grammar.NOT_ZERO, "Minor units, not zero; minus gives."),
    ],
)
LeastAvailable = Annotated[
    int,
    PlainValidator(lambda value: _units(value, "condition_malformed")),
    Refuses(("condition_malformed",)),
    _AS_TEXT,
    _digits(grammar.ANY_UNITS, "Refused when less than this is available before the transfer, in minor units."),
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

# In answers


def _balance(value: object) -> int:
    return int(value) if isinstance(value, str) else cast("int", value)


Balance = Annotated[
    int,
    BeforeValidator(_balance),
    _AS_TEXT,
    _digits(grammar.INTEGER, "Minor units."),
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
