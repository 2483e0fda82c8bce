"""What a client says: it signs in, asks for accounts and topics, hands in commands."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, Strict
from pydantic_core import PydanticCustomError

from fanfold.api.declared import CLOSED
from fanfold.api.frames.members import OP, History, Number, TopicHistory, TopicName
from fanfold.api.grammar import ACCOUNT, whole
from fanfold.api.requests import BATCH_LINES_MAX
from fanfold.api.words.names import ACCOUNT_SAYS, AccountId
from fanfold.api.words.rules import Optionally, Says

ACCOUNTS_PER_MESSAGE_MAX: Final = 1_000
"""Accounts in one subscribe, numbers in one unsubscribe: the size of one snapshot read."""

RATE_HZ_MAX: Final = 1_000
TOPICS_PER_MESSAGE_MAX: Final = 100
RateHz = Annotated[
    int,
    Field(strict=True, ge=1, le=RATE_HZ_MAX),
    Says("body_malformed", "is not of the asked type or range"),
]
RequestNumber = Annotated[Number, Field(description="The client's number of the message; its answer has the same one.")]


@dataclass(frozen=True)
class Wanted:
    """One account of a subscribe. `since`: the newest version the client has; left out, it asks for the state now."""

    account: AccountId
    since: Annotated[
        Optionally[Number],
        Field(description="The newest version that the client has; without it the state now is told."),
    ] = None
    history: Annotated[
        Optionally[History],
        Field(description="Of the ack that `since` is from. Of another one than is held `since` means nothing."),
    ] = None

    __pydantic_config__ = CLOSED


def _each_once(accounts: list[Wanted]) -> list[Wanted]:
    if len({wanted.account for wanted in accounts}) != len(accounts):
        raise PydanticCustomError("body_malformed", "names an account twice")
    return accounts


@dataclass(frozen=True)
class WantedTopic:
    """One topic of a subscribe. `since`: the number of the newest answer that the client has, of `history`."""

    topic: TopicName
    since: Annotated[
        Optionally[Number],
        Field(description="The number of the newest answer that the client has; it counts with its `history` only."),
    ] = None
    history: Optionally[TopicHistory] = None

    __pydantic_config__ = CLOSED


def _named(wanted: object) -> object:
    return {"topic": wanted} if isinstance(wanted, str) else wanted


def _each_topic_once(topics: list[WantedTopic]) -> list[WantedTopic]:
    if len({wanted.topic for wanted in topics}) != len(topics):
        raise PydanticCustomError("body_malformed", "names a topic twice")
    return topics


_OrName: Final = BeforeValidator(_named, json_schema_input_type=WantedTopic | TopicName)
"""Who has nothing of a topic yet only names it."""


Prefix = Annotated[
    str,
    Field(
        strict=True,
        pattern=whole(ACCOUNT),
        examples=["shop:"],
        description="Every account whose name begins so, also those that open later.",
    ),
    Says("account_malformed", ACCOUNT_SAYS),
]


def _some(*lists: str) -> dict[str, Any]:
    """What JSON Schema says of a message with lists of which there must be one at least."""
    return {"required": ["op", "id"], "anyOf": [{"required": [name]} for name in lists]}


@dataclass(frozen=True)
class Subscribe:
    """Watch accounts or all accounts with a prefix, topics, or both. transfers: tell the phases of these accounts' transfers too.
    max_rate_hz: of these accounts at most so many frames a second."""

    id: RequestNumber
    accounts: Annotated[
        list[Wanted],
        Field(min_length=1, max_length=ACCOUNTS_PER_MESSAGE_MAX, description="The accounts to watch, each once."),
        AfterValidator(_each_once),
    ] = field(default_factory=list)
    topics: Annotated[
        list[Annotated[WantedTopic, _OrName]],
        Field(
            min_length=1,
            max_length=TOPICS_PER_MESSAGE_MAX,
            description="The topics to watch, each once: a name, or an object that says what the client has of it.",
        ),
        AfterValidator(_each_topic_once),
    ] = field(default_factory=list)
    transfers: Annotated[
        bool, Strict(), Field(description="Tell the phases of these accounts' transfers across partitions, too.")
    ] = False
    max_rate_hz: Annotated[
        Optionally[RateHz],
        Field(
            description="Of these accounts at most so many frames a second, each with the newest; without it, as they come."
        ),
    ] = None
    prefix: Annotated[
        Optionally[Prefix],
        Field(description="In the place of accounts: every account whose name begins so, also those that open later."),
    ] = None
    op: Annotated[Literal["subscribe"], OP] = "subscribe"

    __pydantic_config__ = ConfigDict(
        extra="forbid",
        json_schema_extra={
            **_some("accounts", "prefix", "topics"),
            "not": {"required": ["accounts", "prefix"]},
            "examples": [
                {"op": "subscribe", "id": 1, "accounts": [{"account": "alice", "since": 3}]},
                {"op": "subscribe", "id": 1, "accounts": [{"account": "alice"}], "max_rate_hz": 4},
                {"op": "subscribe", "id": 1, "prefix": "shop:"},
                {"op": "subscribe", "id": 1, "topics": ["leaderboard"]},
                {
                    "op": "subscribe",
                    "id": 1,
                    "topics": [{"topic": "leaderboard", "since": 12, "history": "4f0c9d1e2b3a5867"}],
                },
            ],
        },
    )


@dataclass(frozen=True)
class Unsubscribe:
    """Stop watching; numbers and topics that are not known are passed over."""

    id: RequestNumber
    subs: Annotated[
        list[Number],
        Field(
            min_length=1, max_length=ACCOUNTS_PER_MESSAGE_MAX, description="The numbers that the acks have given them."
        ),
    ] = field(default_factory=list)
    topics: Annotated[
        list[TopicName],
        Field(min_length=1, max_length=TOPICS_PER_MESSAGE_MAX, description="The names of topics."),
    ] = field(default_factory=list)
    prefix: Annotated[
        Optionally[Prefix],
        Field(description="Of a subscribe: accounts that nothing else here asks for are watched no more."),
    ] = None
    op: Annotated[Literal["unsubscribe"], OP] = "unsubscribe"

    __pydantic_config__ = ConfigDict(
        extra="forbid",
        json_schema_extra={
            **_some("subs", "prefix", "topics"),
            "examples": [
                {"op": "unsubscribe", "id": 2, "subs": [1]},
                {"op": "unsubscribe", "id": 2, "topics": ["leaderboard"]},
            ],
        },
    )


@dataclass(frozen=True)
class Ping:
    """Are you there? Answered by a pong."""

    id: RequestNumber
    op: Annotated[Literal["ping"], OP] = "ping"

    __pydantic_config__ = ConfigDict(
        extra="forbid", json_schema_extra={"required": ["op", "id"], "examples": [{"op": "ping", "id": 3}]}
    )


TOKEN_CHARACTERS_MAX: Final = 16 * 1024


@dataclass(frozen=True)
class Auth:
    """Who is there: the first message where the gateway asks that, and again before the token expires. Answered by an ack."""

    id: RequestNumber
    token: Annotated[
        str,
        Field(
            strict=True,
            min_length=1,
            max_length=TOKEN_CHARACTERS_MAX,
            description="A token or key, as `Authorization: Bearer` has it in a request.",
        ),
        Says("body_malformed", "is not of the asked type or length"),
    ]
    op: Annotated[Literal["auth"], OP] = "auth"

    __pydantic_config__ = ConfigDict(
        extra="forbid",
        json_schema_extra={"required": ["op", "id", "token"], "examples": [{"op": "auth", "id": 0, "token": "eyJ..."}]},
    )


@dataclass(frozen=True)
class Submit:
    """Run these commands, in this order, each as a line of `POST /v1/transfers:batch`. Answered from the log."""

    id: RequestNumber
    commands: Annotated[
        list[Any],  # as they were written: what they may be, the write side says of each (`asyncapi.py` tells it, too)
        Field(
            min_length=1,
            max_length=BATCH_LINES_MAX,
            description="The commands, each a line of a batch: the body of a transfer, or an object of one other kind.",
        ),
    ]
    op: Annotated[Literal["submit"], OP] = "submit"

    __pydantic_config__ = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "required": ["op", "id", "commands"],
            "examples": [
                {
                    "op": "submit",
                    "id": 4,
                    "commands": [
                        {
                            "id": "01970f3e-7b1a-7c3e-8a2b-1234567890ab",
                            "from": "alice",
                            "to": "bob",
                            "amount": "1000",
                            "asset": "USD/2",
                        }
                    ],
                }
            ],
        },
    )
