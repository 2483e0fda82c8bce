"""What is told without being asked again: balances, phases of transfers, topics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field

from fanfold.api.answers.members import AssetName, Flags, Id
from fanfold.api.declared import OPEN, shown
from fanfold.api.frames.members import OP, Sub, TopicHistory, TopicName, TopicNumber, Version
from fanfold.api.words.rules import Optionally
from fanfold.api.words.told import Balance, Moment, OptionalBalance

TOPIC_BYTES_MAX: Final = 64 * 1024
"""Of the rows of a topic, as JSON: they are sent whole each time, to every subscriber."""


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

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class BalancesFrame:
    """What changed, as it is at one position of each partition: the newest of each account, never one older than before."""

    items: Annotated[tuple[BalanceItem, ...], Field(description="One for each account that changed.")]
    op: Annotated[Literal["balances"], OP] = "balances"

    __pydantic_config__ = shown(
        {
            "op": "balances",
            "items": [
                {
                    "sub": 1,
                    "v": 8,
                    "posted": "750",
                    "held": "0",
                    "available": "750",
                    "at": "2026-01-31T12:00:00.000000Z",
                }
            ],
        }
    )


@dataclass(frozen=True)
class TransferFrame:
    """A transfer across partitions of this account has gone to a phase; of another partition than its home: its part has."""

    sub: Sub
    id: Id
    phase: Annotated[str, Field(description="Where the transfer stands now.")]
    op: Annotated[Literal["transfer"], OP] = "transfer"

    __pydantic_config__ = shown(
        {"op": "transfer", "sub": 1, "id": "01970f3e-7b1a-7c3e-8a2b-1234567890ab", "phase": "done"}
    )


@dataclass(frozen=True)
class TransfersMissed:
    """Phases of this account's transfers may have gone by: whoever waits for one asks for it."""

    sub: Sub
    op: Annotated[Literal["transfers_missed"], OP] = "transfers_missed"

    __pydantic_config__ = shown({"op": "transfers_missed", "sub": 1})


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
    op: Annotated[Literal["topic"], OP] = "topic"

    __pydantic_config__ = shown(
        {
            "op": "topic",
            "topic": "leaderboard",
            "number": 12,
            "history": "1-0",
            "positions": "0:17,1:4",
            "rows": [{"account": "alice", "posted": "750"}],
        }
    )
