"""What a subscribe is answered with: which accounts and topics are watched, and how far the gateway is with each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from fanfold.api.answers.members import AccountName
from fanfold.api.declared import OPEN, shown
from fanfold.api.frames.members import OP, AnswerNumber, History, Number, Sub, TopicHistory, TopicName
from fanfold.api.words.rules import Optionally

NotRead = Literal["view_rebuilding", "starting", "partition_unavailable", "partition_elsewhere", "upstream_unavailable"]
"""Why the state of accounts cannot be read now."""


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
        Optionally[Literal["account_not_found", NotRead]],
        Field(description="Why there is no version. After some codes the account is named again once it can be read."),
    ] = None
    history: Optionally[History] = None

    __pydantic_config__ = OPEN


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

    __pydantic_config__ = OPEN


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
    op: Annotated[Literal["ack"], OP] = "ack"

    __pydantic_config__ = shown(
        {
            "op": "ack",
            "id": 1,
            "accounts": [{"account": "alice", "sub": 1, "version": 7, "history": "4232c58426196694"}],
        }
    )
