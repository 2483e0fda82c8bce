"""What may be asked in the address of a read: the parameters of a query, as texts, and what each must be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field
from pydantic.annotated_handlers import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from fanfold.api import grammar
from fanfold.api.answers.members import OPEN_PHASES
from fanfold.api.frames.asked import RATE_HZ_MAX
from fanfold.api.words.beside import Reference
from fanfold.api.words.names import ACCOUNT_SAYS, AccountId, Asset, Owner, TransferId
from fanfold.api.words.rules import Optionally, Says

WAIT_MS_DEFAULT: Final = 2_000
WAIT_MS_MAX: Final = 10_000
"""A reader that waits longer is better off asking again: proxies between begin to cut connections."""
VERSION_MAX: Final = 2**62
TRANSFERS_MAX: Final = 1_000
TRANSFERS_DEFAULT: Final = 100
OLDER_THAN_S_MAX: Final = 1_000_000_000
"""Some 31 years, so that the subtraction from now stays a time."""
BatchMode = Literal["continue", "stop", "atomic"]
Order = Literal["newest", "oldest"]
Direction = Literal["in", "out"]

BALANCES_MAX: Final = 10_000
"""What one socket of a gateway may subscribe to."""
IDS_MAX: Final = 512
"""Of one question about parties: each may be looked for in the archive."""
WAIT_SECONDS_MAX: Final = 30
"""Of `Prefer: wait=N`. Longer than any transfer across partitions takes where nothing is down; a client asks again rather than
hold on. The gateway waits longer for an answer (`FANFOLD_UPSTREAM_SILENCE_MS`), and a proxy in front of it must, too."""

ENTRIES_MAX: Final = 1_000
ENTRIES_DEFAULT: Final = 50
ACCOUNTS_MAX: Final = 1_000
"""Of `ids`. So many names of 50 characters are an address that a service still takes."""

OPEN: Final = "open"
"""The word for every phase of a transfer that is not over."""

_POSITION_RULE: Final = Says("position_malformed", "must be partition:sequence, several with commas, such as 0:17,3:9")
MinPosition = Annotated[
    str,
    Field(
        pattern=grammar.whole(grammar.POSITIONS),
        examples=["0:17,3:9"],
        description="Least position that the answer must reflect.",
    ),
    _POSITION_RULE,
]


AsOfAll = Annotated[
    str,
    Field(
        pattern=grammar.whole(grammar.MOMENT_OF_ALL),
        examples=["2026-01-31T12:00:00Z", "0:17,1:3"],
        description="As it was then: at a time (UTC), or at a position of every partition that is asked.",
    ),
    Says(
        "parameter_malformed",
        "must be a time in UTC such as 2026-01-31T12:00:00Z, or positions such as 0:17,1:3; a version is of one account alone",
    ),
]
AsOf = Annotated[
    str,
    Field(
        pattern=grammar.whole(grammar.AS_OF),
        examples=["2026-01-31T12:00:00Z", "0:17", "12"],
        description="The account as it was then: at a time (UTC), a position, or a version of it.",
    ),
    Says(
        "parameter_malformed",
        "must be a time in UTC such as 2026-01-31T12:00:00Z, a position such as 0:17, or a version",
    ),
]
CURSOR_SAYS: Final = (
    "must be `next` of a page of the same account, with the same order, since, before, direction and transfer"
)


@dataclass(frozen=True)
class Digits:
    """A whole number in decimal digits, as texts have them."""

    least: int
    most: int
    description: str

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(self, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most, "description": self.description}

    def _read(self, text: object) -> int:
        if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 20:
            value = int(text)
            if self.least <= value <= self.most:
                return value
        raise PydanticCustomError("parameter_malformed", f"must be a number from {self.least} to {self.most}")


_WAITS: Final = "How long to wait for what is wanted, milliseconds."
WaitMs = Annotated[int, Digits(0, WAIT_MS_MAX, _WAITS)]


@dataclass(frozen=True)
class Waiting:
    """How old an answer may be. Who wants nothing waits for nothing."""

    min_position: Optionally[MinPosition] = None
    wait_ms: WaitMs = WAIT_MS_DEFAULT

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class OfAccount(Waiting):
    """Of one account."""

    min_version: Optionally[Annotated[int, Digits(0, VERSION_MAX, "Least version of the account.")]] = None
    after_version: Optionally[
        Annotated[
            int,
            Digits(
                0,
                VERSION_MAX,
                "The version that you have: answered when there is a newer one, or when `wait_ms` is over, then as it is.",
            ),
        ]
    ] = None
    as_of: Optionally[AsOf] = None


Limit = Annotated[int, Digits(1, ENTRIES_MAX, "How many at most.")]
Cursor = Annotated[
    str,
    Field(
        pattern=grammar.whole(grammar.CURSOR),
        description="`next` of the page before; the rest of the question must be the same.",
    ),
    Says("cursor_malformed", CURSOR_SAYS),
]
Instant = Annotated[
    str,
    Field(pattern=grammar.whole(grammar.MOMENT), json_schema_extra={"format": "date-time"}),
    Says("parameter_malformed", "must be a time in UTC, such as 2026-01-31T12:00:00Z"),
]


@dataclass(frozen=True)
class OfEntries(Waiting):
    """Which entries of an account: a page of its statement."""

    order: Annotated[
        Order,
        Field(description="Which come first."),
        Says("parameter_malformed", "must be newest or oldest"),
    ] = "newest"
    limit: Limit = ENTRIES_DEFAULT
    cursor: Optionally[Cursor] = None
    since: Optionally[Annotated[Instant, Field(description="Only entries of this time or later.")]] = None
    before: Optionally[Annotated[Instant, Field(description="Only entries of before this time.")]] = None
    direction: Optionally[
        Annotated[
            Direction,
            Field(description="Only what the account received (`in`), or gave (`out`)."),
            Says("parameter_malformed", "must be in or out"),
        ]
    ] = None
    transfer: Optionally[Annotated[TransferId, Field(description="Only entries of this transfer or command.")]] = None
    format: Annotated[
        Literal["json", "ndjson", "csv"],
        Field(
            description="`json`: one document; `ndjson`, `csv`: an entry a line, the next page in the `Link` header (RFC 8288)."
        ),
        Says("parameter_malformed", "must be json, ndjson or csv"),
    ] = "json"


SomePartitions = Annotated[
    str,
    Field(
        pattern="^(?:0|[1-9][0-9]{0,3})(?:,(?:0|[1-9][0-9]{0,3}))*$",
        examples=["0,2"],
        description="Only of these. Left out: of all, and one that cannot be read keeps the others from being told.",
    ),
    Says("parameter_malformed", "must be numbers of partitions with commas"),
]

_SOME_PHASES: Final = f"(?:{'|'.join(OPEN_PHASES)})"


SomeAccounts = Annotated[
    str,
    Field(pattern=grammar.whole(grammar.ACCOUNTS), examples=["alice,bob"]),
    Says("account_malformed", f"must be ids of accounts with commas, each of which {ACCOUNT_SAYS}"),
]


@dataclass(frozen=True)
class OfAccounts(Waiting):
    """Which accounts: a page of them, in the order of their names, or these."""

    ids: Optionally[
        Annotated[
            SomeAccounts,
            Field(
                description=(
                    f"These accounts, {ACCOUNTS_MAX:,} at most, each once; all of them in one answer, so that no other choice "
                    "than `partitions` is taken beside it."
                ),
            ),
        ]
    ] = None
    prefix: Annotated[
        str,
        Field(pattern=grammar.whole(f"(?:{grammar.ACCOUNT})?"), description="Only accounts whose names begin so."),
        Says("account_malformed", ACCOUNT_SAYS),
    ] = ""
    asset: Optionally[Asset] = None
    owner: Optionally[Owner] = None
    limit: Optionally[
        Annotated[int, Digits(1, ENTRIES_MAX, f"How many at most: {ENTRIES_DEFAULT} when it is left out.")]
    ] = None
    cursor: Optionally[Cursor] = None
    partitions: Optionally[SomePartitions] = None
    as_of: Optionally[AsOfAll] = None


@dataclass(frozen=True)
class OfHolds(Waiting):
    """Which holds of an account."""

    limit: Limit = ENTRIES_DEFAULT


@dataclass(frozen=True, kw_only=True)
class OfReference(Waiting):
    """Which reference."""

    reference: Reference
    limit: Limit = ENTRIES_DEFAULT
    partitions: Optionally[SomePartitions] = None


@dataclass(frozen=True)
class OfTransfers(Waiting):
    """Which transfers that are under way."""

    phase: Annotated[
        str,
        Field(
            pattern=grammar.whole(f"(?:{OPEN}|{_SOME_PHASES}(?:,{_SOME_PHASES})*)"),
            description=f"`{OPEN}` for all, or some of `{','.join(OPEN_PHASES)}`.",
        ),
        Says("parameter_malformed", f"must be open, or some of {', '.join(OPEN_PHASES)} with commas"),
    ] = OPEN
    older_than: Annotated[
        int, Digits(0, OLDER_THAN_S_MAX, "Only those that began this many seconds ago or before.")
    ] = 0
    limit: Annotated[int, Digits(1, TRANSFERS_MAX, "How many at most.")] = TRANSFERS_DEFAULT
    partitions: Optionally[SomePartitions] = None


@dataclass(frozen=True, kw_only=True)
class OfSystem(Waiting):
    """Which asset's system accounts."""

    asset: Asset
    partitions: Optionally[SomePartitions] = None
    as_of: Optionally[AsOfAll] = None


EVENT_ACCOUNTS_MAX: Final = 100
"""Of one event stream: the id of its events says what its client has of each, in some 10 bytes."""
EVENT_TOPICS_MAX: Final = 10


StreamTicket = Annotated[
    str,
    Field(
        pattern=grammar.whole(grammar.TICKET),
        description="Who asks, in the place of `Authorization`: a ticket of `POST /v1/stream/tickets`, which is used once.",
    ),
    Says("parameter_malformed", "must be a ticket as POST /v1/stream/tickets gives it"),
]


@dataclass(frozen=True)
class OfStream:
    """What may stand in the address of a WebSocket."""

    ticket: Optionally[StreamTicket] = None

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class OfEvents:
    """What an event stream tells of: accounts or all with a prefix, topics, or both."""

    accounts: Optionally[
        Annotated[SomeAccounts, Field(description=f"The accounts to watch, {EVENT_ACCOUNTS_MAX} at most, each once.")]
    ] = None
    topics: Optionally[
        Annotated[
            str,
            Field(
                pattern=grammar.whole(f"{grammar.TOPIC}(?:,{grammar.TOPIC})*"),
                examples=["leaderboard"],
                description=f"The topics to watch, {EVENT_TOPICS_MAX} at most, each once.",
            ),
            Says("parameter_malformed", "must be names of topics with commas"),
        ]
    ] = None
    transfers: Annotated[
        Literal["true", "false"],
        Field(description="Tell the phases of these accounts' transfers across partitions, too."),
        Says("parameter_malformed", "must be true or false"),
    ] = "false"
    max_rate_hz: Optionally[
        Annotated[
            int, Digits(1, RATE_HZ_MAX, "Of these accounts at most so many events a second, each with the newest.")
        ]
    ] = None
    prefix: Optionally[
        Annotated[
            str,
            Field(
                pattern=grammar.whole(grammar.ACCOUNT),
                examples=["shop:"],
                description=(
                    f"In the place of accounts: every account whose name begins so, {EVENT_ACCOUNTS_MAX} at most, also those "
                    "that open later."
                ),
            ),
            Says("account_malformed", ACCOUNT_SAYS),
        ]
    ] = None
    last_event_id: Optionally[
        Annotated[
            str,
            Field(
                pattern=grammar.whole("[A-Za-z0-9_=-]*"),
                description="The id of the newest event that the client has, where it cannot say `Last-Event-ID` (which counts).",
            ),
            Says("parameter_malformed", "must be the id of an event"),
        ]
    ] = None
    ticket: Optionally[StreamTicket] = None

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class OfBatch:
    """What a refused line means for the others."""

    mode: Annotated[
        BatchMode,
        Says("mode_malformed", "must be one of continue, stop, atomic"),
        Field(
            description=(
                "What a refused line means for the others: nothing, that those behind it are not run by this request (one that "
                "ran before is answered as it was then), or that none of them moves anything. A line that is still under way "
                "(202) has not been refused, and those behind it are run."
            )
        ),
    ] = "continue"

    __pydantic_config__ = ConfigDict(extra="forbid")


Written = Annotated[
    str,
    Field(
        pattern=grammar.whole(grammar.POSITIONS),
        examples=["0:17,3:9"],
        description="What writes were answered with through the gateway that asks: as `min_position`, of what is read only.",
    ),
    _POSITION_RULE,
]


@dataclass(frozen=True)
class ManyBalances:
    """Of many accounts at once, for gateways."""

    accounts: Annotated[list[AccountId], Field(max_length=BALANCES_MAX, description="Whose balances.")]
    min_position: Optionally[MinPosition] = None
    written: Optionally[Written] = None
    wait_ms: Annotated[int, Field(strict=True, ge=0, le=WAIT_MS_MAX, description=_WAITS)] = WAIT_MS_DEFAULT

    __pydantic_config__ = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class ManyParties:
    """Of many transfers and holds, for gateways. at_once: an id of which not everything is known by now is null, too."""

    ids: Annotated[list[TransferId], Field(max_length=IDS_MAX, description="Of which commands.")]
    at_once: Annotated[bool, Field(strict=True, description="Whether all that is in the log is not waited for.")] = (
        False
    )
    min_position: Optionally[MinPosition] = None
    wait_ms: Annotated[int, Field(strict=True, ge=0, le=WAIT_MS_MAX, description=_WAITS)] = WAIT_MS_DEFAULT

    __pydantic_config__ = ConfigDict(extra="forbid")
