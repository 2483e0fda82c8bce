"""What a webhook delivers: runs of balance changes as a POST, by the rules of Standard Webhooks (standardwebhooks.com, 1.0.0).

The fields of a change mean what they mean on the stream (`frames/pushed.py`) and in what is published (`events.EntryMade`):
absolute values, amounts as strings of digits, and the version of the account, by which a receiver knows what is new to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from fanfold.api.answers.members import AssetName, EntryKind, Flag, Id, Version
from fanfold.api.declared import OPEN
from fanfold.api.events import AnyAccount, EventId
from fanfold.api.values import adapter
from fanfold.api.words.beside import Reference
from fanfold.api.words.rules import Optionally
from fanfold.api.words.told import Balance, Moment, OptionalBalance, PositionText

BALANCES_TYPE: Final = "fanfold.balances.v1"
TEST_TYPE: Final = "fanfold.test.v1"

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

CHANGES_MAX: Final = 500
"""Of one delivery. A receiver that stores a change in some 10 ms has answered within the time it is given."""
BODY_BYTES_MAX: Final = 256 * 1024
"""Of one delivery: what small servers take without being told to, and little to hold for each webhook."""


@dataclass(frozen=True)
class BalanceChange:
    """One account as it is after a change, whole. The versions of an account rise by one; an opening is version 0."""

    id: EventId
    account: AnyAccount
    asset: AssetName
    version: Version
    posted: Balance
    held: Balance
    available: OptionalBalance
    kind: Annotated[EntryKind | Literal["open"], Field(description="What changed it; `open`: it was opened.")]
    at: Moment
    position: PositionText
    transfer: Annotated[
        Optionally[Id], Field(description="The transfer or other command that did it; absent of an opening.")
    ] = None
    reference: Optionally[Reference] = None
    flags: Annotated[
        Optionally[tuple[Flag, ...]],
        Field(description="What the account may not do from now on; absent where that is as before."),
    ] = None

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class Delivery:
    """Changes of one partition, in the order of its log. position, block_hash: of the block of the last one."""

    webhook: Annotated[str, Field(description="Which webhook it is, as `fanfold webhook list` names it.")]
    partition: Annotated[int, Field(ge=0, description="Positions and the order of changes are of this partition.")]
    position: PositionText
    block_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="Of the block at `position`, in hex.")]
    changes: Annotated[tuple[BalanceChange, ...], Field(min_length=1, max_length=CHANGES_MAX)]

    __pydantic_config__ = OPEN


@dataclass(frozen=True)
class BalancesWebhook:
    """The body of a delivery. timestamp: of the last change in it."""

    timestamp: Moment
    data: Delivery
    type: Annotated[Literal["fanfold.balances.v1"], Field(description="What is delivered.")] = "fanfold.balances.v1"

    __pydantic_config__ = OPEN


def webhook_schema() -> dict[str, Any]:
    """The JSON Schema of a delivery's body (draft 2020-12)."""
    made = adapter(BalancesWebhook).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "fanfold webhook"} | made
