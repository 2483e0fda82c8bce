"""The frames of the stream `wallet.v1`: what a client says and what the gateway says, one class each.

The rules of a conversation stand in `gateway/protocol/README.md`; these are its shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, Strict
from pydantic_core import PydanticCustomError

from fanfold.api.answers import AccountName, AssetName, Flag, Id, Word
from fanfold.api.words import AccountId, Balance, Moment, OptionalBalance, Optionally, Says

NUMBER_MAX: Final = 2**53 - 1
"""The largest integer that JavaScript holds exactly: ids, sub numbers and versions stay below."""

ACCOUNTS_PER_MESSAGE_MAX: Final = 1_000
"""Accounts in one subscribe, numbers in one unsubscribe: the size of one snapshot read."""

_CLOSED: Final = ConfigDict(extra="forbid")
_OPEN: Final = ConfigDict(extra="ignore")

Number = Annotated[
    int,
    Field(strict=True, ge=0, le=NUMBER_MAX),
    Says("body_malformed", "is not of the asked type or range"),
]
Sub = Annotated[Number, Field(description="Names an account on this connection, from its ack on.")]


@dataclass(frozen=True)
class Wanted:
    """One account of a subscribe. `since`: the newest version the client has; left out, it asks for the state now."""

    account: AccountId
    since: Optionally[Number] = None

    __pydantic_config__ = _CLOSED


def _each_once(accounts: list[Wanted]) -> list[Wanted]:
    if len({wanted.account for wanted in accounts}) != len(accounts):
        raise PydanticCustomError("body_malformed", "names an account twice")
    return accounts


@dataclass(frozen=True)
class Subscribe:
    """Watch accounts. transfers: tell the phases of these accounts' transfers too."""

    id: Number
    accounts: Annotated[
        list[Wanted], Field(min_length=1, max_length=ACCOUNTS_PER_MESSAGE_MAX), AfterValidator(_each_once)
    ]
    transfers: Annotated[bool, Strict()] = False
    op: Literal["subscribe"] = "subscribe"

    __pydantic_config__ = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "required": ["op", "id", "accounts"],
            "examples": [{"op": "subscribe", "id": 1, "accounts": [{"account": "alice", "since": 3}]}],
        },
    )


@dataclass(frozen=True)
class Unsubscribe:
    """Stop watching; numbers that are not known are passed over."""

    id: Number
    subs: Annotated[list[Number], Field(min_length=1, max_length=ACCOUNTS_PER_MESSAGE_MAX)]
    op: Literal["unsubscribe"] = "unsubscribe"

    __pydantic_config__ = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "required": ["op", "id", "subs"],
            "examples": [{"op": "unsubscribe", "id": 2, "subs": [1]}],
        },
    )


@dataclass(frozen=True)
class Ping:
    """Are you there? Answered by a pong."""

    id: Number
    op: Literal["ping"] = "ping"

    __pydantic_config__ = ConfigDict(
        extra="forbid", json_schema_extra={"required": ["op", "id"], "examples": [{"op": "ping", "id": 3}]}
    )


ClientFrame = Annotated[Subscribe | Unsubscribe | Ping, Discriminator("op")]


@dataclass(frozen=True)
class AckedAccount:
    """`version` is what the gateway holds now; null with a code when there is no such account yet, or nobody can say now.

    code: `account_not_found` and `view_rebuilding` are served from now on. After any other code the account's partition cannot
    be read: it is named in another ack of this id once it has been, and is served from then on.
    """

    account: AccountName
    sub: Sub
    version: Number | None
    code: Optionally[
        Literal[
            "account_not_found",
            "view_rebuilding",
            "starting",
            "partition_unavailable",
            "partition_elsewhere",
            "upstream_unavailable",
        ]
    ] = None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Ack:
    """Answers a subscribe, with its accounts, or an unsubscribe, without.

    A subscribe is answered once; what could not be read then is named in further acks of its id, when it has been.
    """

    id: Number
    accounts: tuple[AckedAccount, ...] = ()
    op: Literal["ack"] = "ack"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class BalanceItem:
    """One account as it is: the whole balance, never a difference. The first of a sub has `snapshot` and `asset`.

    v: the version. flags: what it may not do, left out when that is nothing.
    """

    sub: Sub
    v: Number
    posted: Balance
    held: Balance
    available: OptionalBalance
    at: Moment
    snapshot: Optionally[Literal[True]] = None
    asset: Optionally[AssetName] = None
    flags: Optionally[tuple[Flag, ...]] = None

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class BalancesFrame:
    """What changed, as it is at one position of each partition: the newest of each account, never one older than before."""

    items: tuple[BalanceItem, ...]
    op: Literal["balances"] = "balances"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class TransferFrame:
    """A transfer across partitions of this account has gone to a phase; of another partition than its home: its part has."""

    sub: Sub
    id: Id
    phase: str
    op: Literal["transfer"] = "transfer"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class TransfersMissed:
    """Phases of this account's transfers may have gone by: whoever waits for one asks for it."""

    sub: Sub
    op: Literal["transfers_missed"] = "transfers_missed"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Pong:
    """Answers a ping."""

    id: Number
    op: Literal["pong"] = "pong"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class Status:
    """`live: false`: the balances told may be old, until it is true again."""

    live: bool
    op: Literal["status"] = "status"

    __pydantic_config__ = _OPEN


@dataclass(frozen=True)
class ErrorFrame:
    """A message was refused, and nothing of it was done. `id` is the message's, null when it could not be read."""

    id: Number | None
    code: Word
    title: str
    detail: str
    op: Literal["error"] = "error"

    __pydantic_config__ = _OPEN


GatewayFrame = Annotated[
    Ack | BalancesFrame | TransferFrame | TransfersMissed | Pong | Status | ErrorFrame, Discriminator("op")
]
CLIENT_FRAMES: Final[tuple[type[Any], ...]] = (Subscribe, Unsubscribe, Ping)
GATEWAY_FRAMES: Final[tuple[type[Any], ...]] = (
    Ack, BalancesFrame, TransferFrame, TransfersMissed, Pong, Status, ErrorFrame
)  # fmt: skip
