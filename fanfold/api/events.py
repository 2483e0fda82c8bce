"""What `fanfold publish` tells readers elsewhere, as CloudEvents 1.0 in JSON: an account was opened, an entry was made.

An event says that an account has changed. A refusal changed none, so it is no event: `fanfold tail` shows the whole log.
The fields of `data` mean what they mean in a statement (`answers/statement.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import Field, WithJsonSchema

from fanfold.api import grammar
from fanfold.api.answers.members import AssetName, EntryKind, Flag, Id, Version
from fanfold.api.declared import shown
from fanfold.api.examples import AT, ID
from fanfold.api.values import adapter
from fanfold.api.words.beside import Metadata, Reference
from fanfold.api.words.rules import Optionally
from fanfold.api.words.told import Balance, Moment, OptionalBalance, PositionText

OPENED_TYPE: Final = "fanfold.account.opened.v1"
ENTRY_TYPE: Final = "fanfold.entry.v1"
SPEC_VERSION: Final = "1.0"
DATA_TYPE: Final = "application/json"
CONTENT_TYPE: Final = "application/cloudevents+json; charset=UTF-8"
"""Of a record: the structured mode of the CloudEvents binding for Kafka."""
SOURCE: Final = "/fanfold"
EVENTS_TOPIC: Final = "published"
"""The last part of the topic's name, behind `FANFOLD_TOPIC`."""

EVENT_ID: Final = "(?:0|[1-9][0-9]{0,4})(?::(?:0|[1-9][0-9]{0,17})){3}"

_ANY_ACCOUNT: Final = (
    "The account. `@world` and `@transit` stand here with their asset, `@world:USD/2`: each partition has its own, so of these "
    "two the number before the first colon of the event's id belongs to the name."
)
AnyAccount = Annotated[str, Field(description=_ANY_ACCOUNT)]
_OPENED: Final = {"account": "alice", "asset": "USD/2", "version": 0, "floor": "0", "position": "0:17"}
_ENTRY: Final = {
    "account": "alice",
    "asset": "USD/2",
    "version": 1,
    "amount": "1000",
    "posted": "1000",
    "held": "0",
    "transfer": ID,
    "kind": "transfer",
    "position": "0:17",
}


def _envelope(number: str, kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {
        "specversion": SPEC_VERSION,
        "id": number,
        "source": SOURCE,
        "type": kind,
        "subject": "alice",
        "time": AT,
        "datacontenttype": DATA_TYPE,
        "data": data,
    }


_ALWAYS: Final = list(_envelope("", "", {}))


@dataclass(frozen=True)
class Opened:
    """An account was opened: its version 0, with nothing on it. `@world` and `@transit` are there without being opened."""

    account: AnyAccount
    asset: AssetName
    version: Version
    floor: OptionalBalance
    position: PositionText
    owner: Annotated[Optionally[str], Field(description="Whose account it is, as it was said when it was opened.")] = (
        None
    )

    __pydantic_config__ = shown(_OPENED)


@dataclass(frozen=True)
class EntryMade:
    """An account has changed. amount: what moved, minus gave, zero where only a hold or the flags have changed; posted, held:
    after it. transfer: the id of the transfer or other command that made it. The versions of an account rise by one from 1 on."""

    account: AnyAccount
    asset: AssetName
    version: Version
    amount: Balance
    posted: Balance
    held: Balance
    transfer: Id
    kind: EntryKind
    position: PositionText
    reference: Optionally[Reference] = None
    metadata: Optionally[Metadata] = None
    flags: Annotated[
        Optionally[tuple[Flag, ...]],
        Field(description="What the account may not do from now on; absent where that is as before."),
    ] = None

    __pydantic_config__ = shown(_ENTRY)


EventId = Annotated[
    str,
    WithJsonSchema(
        {
            "type": "string",
            "pattern": grammar.whole(EVENT_ID),
            "examples": ["0:17:3:1"],
            "description": (
                "partition:block:outcome:leg, where the event stands in the log. The same event has the same id for ever, and "
                "within a partition ids rise number by number: one that does not is a repeat, to be dropped."
            ),
        }
    ),
]
_SPEC: Final = Field(description="Of CloudEvents.")
_DATA_TYPE: Final = Field(description="Of `data`.")
Source = Annotated[
    str, Field(description="Whose events these are: the same for all of one log, `/fanfold` if nothing else is said.")
]
Subject = Annotated[str, Field(description="The account, as in `data`; the key of the record.")]
At = Annotated[Moment, Field(description="The time of the block in which it was decided, UTC.")]


@dataclass(frozen=True)
class OpenedEvent:
    """An account was opened."""

    id: EventId
    source: Source
    subject: Subject
    time: At
    data: Annotated[Opened, Field(description="The account, as it was opened.")]
    type: Annotated[Literal["fanfold.account.opened.v1"], Field(description="What happened.")] = (
        "fanfold.account.opened.v1"
    )
    specversion: Annotated[Literal["1.0"], _SPEC] = "1.0"
    datacontenttype: Annotated[Literal["application/json"], _DATA_TYPE] = "application/json"

    __pydantic_config__ = shown(_envelope("0:17:0:0", OPENED_TYPE, _OPENED), required=_ALWAYS)


@dataclass(frozen=True)
class EntryEvent:
    """An entry was made."""

    id: EventId
    source: Source
    subject: Subject
    time: At
    data: Annotated[EntryMade, Field(description="The entry.")]
    type: Annotated[Literal["fanfold.entry.v1"], Field(description="What happened.")] = "fanfold.entry.v1"
    specversion: Annotated[Literal["1.0"], _SPEC] = "1.0"
    datacontenttype: Annotated[Literal["application/json"], _DATA_TYPE] = "application/json"

    __pydantic_config__ = shown(_envelope("0:17:3:1", ENTRY_TYPE, _ENTRY), required=_ALWAYS)


Event = Annotated[OpenedEvent | EntryEvent, Field(discriminator="type")]


def event_schema() -> dict[str, Any]:
    """The JSON Schema of an event (draft 2020-12)."""
    made = adapter(Event).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "fanfold event"} | made
