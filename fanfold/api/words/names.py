"""Names: of accounts, assets, owners, and the ids of commands."""

from __future__ import annotations

from typing import Annotated, Any, Final, cast

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic.annotated_handlers import GetCoreSchemaHandler
from pydantic_core import CoreSchema
from typing_extensions import TypeAliasType

from fanfold.api import grammar
from fanfold.api.ids import new_id
from fanfold.api.words.rules import Says

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
