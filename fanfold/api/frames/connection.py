"""What a connection hears because it is there: who it is, whether what is told is up to date, that it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from fanfold.api.declared import OPEN, shown
from fanfold.api.frames.members import OP, Number
from fanfold.api.words.rules import Optionally
from fanfold.api.words.told import Moment


@dataclass(frozen=True)
class Status:
    """`live: false`: the balances told may be old, until it is true again."""

    live: Annotated[bool, Field(description="Whether what was told is up to date.")]
    op: Annotated[Literal["status"], OP] = "status"

    __pydantic_config__ = shown({"op": "status", "live": False})


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

    __pydantic_config__ = OPEN


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
    op: Annotated[Literal["hello"], OP] = "hello"

    __pydantic_config__ = shown(
        {
            "op": "hello",
            "connection": "c-17",
            "time": "2026-01-31T12:00:00.000000Z",
            "heartbeat_ms": 25_000,
            "limits": {"accounts": 10_000, "accounts_a_message": 1_000, "topics_a_message": 100},
        }
    )


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
    op: Annotated[Literal["heartbeat"], OP] = "heartbeat"

    __pydantic_config__ = shown({"op": "heartbeat", "time": "2026-01-31T12:00:25.000000Z", "positions": "0:17,1:4"})


@dataclass(frozen=True)
class Bye:
    """The last frame: the gateway closes the connection with this code, and the client is to come back."""

    code: Annotated[Number, Field(description="Of the close frame that follows.")]
    reason: Annotated[str, Field(description="The same for a person.")]
    after_ms: Annotated[
        Number, Field(description="Connect again after so long: each client is told another time, so not all at once.")
    ]
    op: Annotated[Literal["bye"], OP] = "bye"

    __pydantic_config__ = shown({"op": "bye", "code": 1012, "reason": "the gateway is stopping", "after_ms": 3_120})
