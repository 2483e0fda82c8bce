"""The frames of the stream `wallet.v1`: what a client says and what the gateway says, one class each.

The rules of a conversation stand in `gateway/protocol/PROTOCOL.md`; these are its shapes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, Strict
from pydantic_core import PydanticCustomError

from fanfold.api.answers import AccountName, AssetName, Flags, Id, ProblemCode, ProblemDetail, ProblemTitle
from fanfold.api.grammar import ACCOUNT, TOPIC, whole
from fanfold.api.requests import BATCH_LINES_MAX
from fanfold.api.words import ACCOUNT_SAYS, AccountId, Balance, Moment, OptionalBalance, Optionally, Says

NUMBER_MAX: Final = 2**53 - 1
"""The largest integer that JavaScript holds exactly: ids, sub numbers and versions stay below."""

ACCOUNTS_PER_MESSAGE_MAX: Final = 1_000
"""Accounts in one subscribe, numbers in one unsubscribe: the size of one snapshot read."""

RATE_HZ_MAX: Final = 1_000
TOPICS_PER_MESSAGE_MAX: Final = 100
TOPIC_BYTES_MAX: Final = 64 * 1024
"""Of the rows of a topic, as JSON: they are sent whole each time, to every subscriber."""

_CLOSED: Final = ConfigDict(extra="forbid")
_OPEN: Final = ConfigDict(extra="ignore")

_OP: Final = Field(description="What kind of message this is.")
Number = Annotated[
    int,
    Field(strict=True, ge=0, le=NUMBER_MAX),
    Says("body_malformed", "is not of the asked type or range"),
]
RateHz = Annotated[
    int,
    Field(strict=True, ge=1, le=RATE_HZ_MAX),
    Says("body_malformed", "is not of the asked type or range"),
]
RequestNumber = Annotated[Number, Field(description="The client's number of the message; its answer has the same one.")]
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

    __pydantic_config__ = _CLOSED


def _each_once(accounts: list[Wanted]) -> list[Wanted]:
    if len({wanted.account for wanted in accounts}) != len(accounts):
        raise PydanticCustomError("body_malformed", "names an account twice")
    return accounts


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


@dataclass(frozen=True)
class WantedTopic:
    """One topic of a subscribe. `since`: the number of the newest answer that the client has, of `history`."""

    topic: TopicName
    since: Annotated[
        Optionally[Number],
        Field(description="The number of the newest answer that the client has; it counts with its `history` only."),
    ] = None
    history: Optionally[TopicHistory] = None

    __pydantic_config__ = _CLOSED


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
    op: Annotated[Literal["subscribe"], _OP] = "subscribe"

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
    op: Annotated[Literal["unsubscribe"], _OP] = "unsubscribe"

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
    op: Annotated[Literal["ping"], _OP] = "ping"

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
    op: Annotated[Literal["auth"], _OP] = "auth"

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
    op: Annotated[Literal["submit"], _OP] = "submit"

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


ClientFrame = Annotated[Auth | Subscribe | Unsubscribe | Ping | Submit, Discriminator("op")]


@dataclass(frozen=True)
class AckedAccount:
    """`version` is what the gateway holds now; null with a code when there is no such account yet, or nobody can say now.

    code: `account_not_found` and `view_rebuilding` are served from now on. After any other code the account's partition cannot
    be read: it is named in another ack of this id once it has been, and is served from then on.
    """

    account: AccountName
    sub: Sub
    version: Annotated[Number | None, Field(description="The version that the gateway holds; null with a code.")]
    code: Annotated[
        Optionally[
            Literal[
                "account_not_found",
                "view_rebuilding",
                "starting",
                "partition_unavailable",
                "partition_elsewhere",
                "upstream_unavailable",
            ]
        ],
        Field(description="Why there is no version. After some codes the account is named again once it can be read."),
    ] = None
    history: Optionally[History] = None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class AckedTopic:
    """`number` is that of the answer that the gateway has; null with a code when there is no such topic, or no answer yet.

    code: `topic_not_found` is not watched. `topic_unavailable` is, and told once there is an answer.
    """

    topic: TopicName
    number: Annotated[Number | None, Field(description="Of the answer that the gateway has; null with a code.")]
    code: Annotated[
        Optionally[Literal["topic_not_found", "topic_unavailable"]], Field(description="Why there is no number.")
    ] = None
    history: Optionally[TopicHistory] = None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Ack:
    """Answers a subscribe, with its accounts or topics, or an unsubscribe, without.

    A subscribe is answered once for its topics and once for its accounts; what could not be read then is named in further acks of
    its id, when it has been, and so is an account that the log does not have any more.
    """

    id: AnswerNumber
    accounts: Annotated[tuple[AckedAccount, ...], Field(description="Of a subscribe: one for each, in its order.")] = ()
    topics: Annotated[
        tuple[AckedTopic, ...], Field(description="Of a subscribe with topics: one for each, in its order.")
    ] = ()
    prefix: Annotated[
        Optionally[AccountName],
        Field(description="Of a subscribe with a prefix, each time that accounts with it are named."),
    ] = None
    complete: Annotated[
        Optionally[bool],
        Field(description="Of a prefix: whether all accounts with it are named by now; if not, others follow."),
    ] = None
    op: Annotated[Literal["ack"], _OP] = "ack"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class BalanceItem:
    """One account as it is: the whole balance, never a difference. The first of a sub has `snapshot` and `asset`.

    v: the version. flags: what it may not do, left out when that is nothing.
    """

    sub: Sub
    v: Version
    posted: Balance
    held: Balance
    available: OptionalBalance
    at: Moment
    snapshot: Annotated[
        Optionally[Literal[True]], Field(description="The first of a sub: its state, so not necessarily a change.")
    ] = None
    asset: Optionally[AssetName] = None
    flags: Optionally[Flags] = None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class BalancesFrame:
    """What changed, as it is at one position of each partition: the newest of each account, never one older than before."""

    items: Annotated[tuple[BalanceItem, ...], Field(description="One for each account that changed.")]
    op: Annotated[Literal["balances"], _OP] = "balances"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class TransferFrame:
    """A transfer across partitions of this account has gone to a phase; of another partition than its home: its part has."""

    sub: Sub
    id: Id
    phase: Annotated[str, Field(description="Where the transfer stands now.")]
    op: Annotated[Literal["transfer"], _OP] = "transfer"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class TransfersMissed:
    """Phases of this account's transfers may have gone by: whoever waits for one asks for it."""

    sub: Sub
    op: Annotated[Literal["transfers_missed"], _OP] = "transfers_missed"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class TopicFrame:
    """What the question of a topic is answered with now: every row each time, never a difference. The newest wins."""

    topic: TopicName
    number: TopicNumber
    history: TopicHistory
    positions: Annotated[
        str,
        Field(description="The last block of each partition that is in the answer, `0:17,1:4`; empty of an empty log."),
    ]
    rows: Annotated[
        tuple[dict[str, str | float | None], ...] | None,
        Field(
            description="The rows by the names of their columns, whole numbers as strings of digits; null with a code.",
        ),
    ]
    code: Annotated[
        Optionally[Literal["topic_too_large", "topic_not_found"]],
        Field(
            description=f"Why the rows are not told: they have more than {TOPIC_BYTES_MAX} bytes of JSON; or there is no such "
            "topic any more, and it is told again if it comes back."
        ),
    ] = None
    op: Annotated[Literal["topic"], _OP] = "topic"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Pong:
    """Answers a ping."""

    id: AnswerNumber
    op: Annotated[Literal["pong"], _OP] = "pong"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Status:
    """`live: false`: the balances told may be old, until it is true again."""

    live: Annotated[bool, Field(description="Whether what was told is up to date.")]
    op: Annotated[Literal["status"], _OP] = "status"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class StreamLimits:
    """What a connection is held to. What is beyond is refused, and named in the refusal."""

    accounts: Annotated[Number, Field(description="Accounts that it may watch.")]
    accounts_a_message: Annotated[Number, Field(description="Accounts in one subscribe, numbers in one unsubscribe.")]
    topics_a_message: Annotated[Number, Field(description="Topics in one subscribe.")]
    message_bytes: Annotated[Optionally[Number], Field(description="The largest message of a client.")] = None
    commands_a_submit: Annotated[
        Optionally[Number], Field(description="Commands in one submit; left out where no commands are taken.")
    ] = None
    submit_bytes: Annotated[
        Optionally[Number],
        Field(description="Of commands that may wait while others of the connection are under way."),
    ] = None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Hello:
    """The first frame of a connection: which one it is, the gateway's time, and what counts here."""

    connection: Annotated[str, Field(min_length=1, max_length=64, description="Names the connection, in logs too.")]
    time: Annotated[Moment, Field(description="The gateway's time, so that a client knows how far its own is off.")]
    heartbeat_ms: Annotated[
        Number, Field(description="A heartbeat comes when nothing was said for so long, and no later than twice that.")
    ]
    limits: StreamLimits
    sign_in_ms: Annotated[
        Optionally[Number],
        Field(description="Somebody has to sign in, and has so long to do it; left out where nobody is asked."),
    ] = None
    op: Annotated[Literal["hello"], _OP] = "hello"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Heartbeat:
    """Nothing else was said for a while. positions: nothing newer of what is watched, up to there."""

    time: Annotated[Moment, Field(description="The gateway's time.")]
    positions: Annotated[
        str,
        Field(
            description="`0:17,1:4`: of each partition that is watched the block up to which everything has been told; a "
            "partition of which something has still to be told or read is left out."
        ),
    ]
    op: Annotated[Literal["heartbeat"], _OP] = "heartbeat"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Bye:
    """The last frame: the gateway closes the connection with this code, and the client is to come back."""

    code: Annotated[Number, Field(description="Of the close frame that follows.")]
    reason: Annotated[str, Field(description="The same for a person.")]
    after_ms: Annotated[
        Number, Field(description="Connect again after so long: each client is told another time, so not all at once.")
    ]
    op: Annotated[Literal["bye"], _OP] = "bye"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class AnswersFrame:
    """Answers a submit: what became of each command, in their order, as `POST /v1/transfers:batch` tells it line by line."""

    id: AnswerNumber
    answers: Annotated[
        tuple[dict[str, Any], ...],
        Field(description="Of each command its `status`, and with it the document that the single call would answer."),
    ]
    op: Annotated[Literal["answers"], _OP] = "answers"

    __pydantic_config__ = _OPEN


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
    op: Annotated[Literal["error"], _OP] = "error"

    __pydantic_config__ = _OPEN


GatewayFrame = Annotated[
    Hello
    | Ack
    | BalancesFrame
    | TransferFrame
    | TransfersMissed
    | TopicFrame
    | AnswersFrame
    | Pong
    | Status
    | Heartbeat
    | ErrorFrame
    | Bye,
    Discriminator("op"),
]
CLIENT_FRAMES: Final[tuple[type[Any], ...]] = (Auth, Subscribe, Unsubscribe, Ping, Submit)
GATEWAY_FRAMES: Final[tuple[type[Any], ...]] = (
    Hello, Ack, BalancesFrame, TransferFrame, TransfersMissed, TopicFrame, AnswersFrame, Pong, Status, Heartbeat, ErrorFrame, Bye
)  # fmt: skip
