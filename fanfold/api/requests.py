"""What may be asked, each command as one class: its fields are the client's, the batch line's, the door's and the documents'.

A value made by a program is not checked, so that a client never refuses for a service that may be newer; the door reads the same
class with `body_checks.py`, which checks every field. `id`: a UUID; the same id never runs twice. A value that is made without
one gets a new UUIDv7 at once, so that the same value asked again, for whatever reason, is the same command; two values made alike
are two.

What commands have in common stands in `request_parts.py`, what a field needs beside its type in `words/`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pydantic import ConfigDict

from fanfold.api.examples import HOLD, ID
from fanfold.api.request_parts import (
    FLAGS,
    AboutAccount,
    AboutHold,
    AboutTransfer,
    Leg,
    NewFlags,
    OfHold,
    OfTransfer,
    Once,
    PartOfHold,
    SomeLegs,
    TwoAccounts,
)
from fanfold.api.words.amounts import Floor
from fanfold.api.words.names import Asset, Owner
from fanfold.api.words.rules import Optionally

BODY_BYTES_MAX: Final = 16 * 1024
"""One command: some 200 bytes, 14 KiB with 32 of the longest legs and all metadata. The rest is room for spaces and escapes."""

BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
BATCH_LINES_MAX: Final = 8_192
"""As many commands as a block holds: a larger batch would only wait in pieces. 8 MiB leaves 1 KiB a line."""


_LEGS: Final = [
    {"account": "alice", "amount": "-1000", "if_available_at_least": "1000"},
    {"account": "bob", "amount": "990"},
    {"account": "fees", "amount": "10"},
]


def _shown(*examples: dict[str, Any], **more: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", json_schema_extra={"examples": list(examples)} | more)


@dataclass(frozen=True)
class Open(AboutAccount):
    """Open an account, or find it open with the same terms. `floor`: 0 for no debts, None for no limit."""

    asset: Asset
    floor: Floor = 0
    owner: Optionally[Owner] = None

    __pydantic_config__ = _shown({"account": "alice", "asset": "USD/2", "floor": "0"})


@dataclass(frozen=True)
class Transfer(OfTransfer, TwoAccounts):
    """Move money between two accounts. `@world` gives a deposit and receives a withdrawal."""

    __pydantic_config__ = _shown({"id": ID, "from": "@world", "to": "alice", "amount": "1000", "asset": "USD/2"})


@dataclass(frozen=True)
class LegsTransfer(OfTransfer, SomeLegs):
    """Move 2 to 32 legs that sum to zero in each asset, all or none."""

    __pydantic_config__ = _shown({"id": ID, "asset": "USD/2", "legs": _LEGS})


@dataclass(frozen=True)
class Hold(OfHold, SomeLegs):
    """Authorise: hold what the legs with a minus give, until it is captured, voided, or the deadline comes."""

    __pydantic_config__ = _shown({"id": ID, "asset": "USD/2", "legs": _LEGS, "deadline": "2027-01-01T00:00:00Z"})


@dataclass(frozen=True)
class HoldBetween(OfHold, TwoAccounts):
    """Authorise, between two accounts."""

    __pydantic_config__ = _shown({"id": ID, "from": "alice", "to": "bob", "amount": "1000", "asset": "USD/2"})


@dataclass(frozen=True)
class Capture(OfTransfer, PartOfHold):
    """Move what a hold holds: all that is left, an amount of it, or these legs. `final`: let go what is left then."""

    __pydantic_config__ = _shown(
        {"id": ID, "hold": HOLD, "amount": "600"},
        **{"not": {"required": ["amount", "legs"]}, "dependentRequired": {"asset": ["legs"]}},
    )


@dataclass(frozen=True)
class Void(Once, AboutHold):
    """Let a hold go."""

    __pydantic_config__ = _shown({"id": ID, "hold": HOLD})


@dataclass(frozen=True)
class Reverse(OfTransfer, AboutTransfer):
    """Move a done transfer the other way round, at most once."""

    __pydantic_config__ = _shown({"id": ID, "transfer": HOLD})


@dataclass(frozen=True)
class Change(Once, NewFlags):
    """Freeze, free, close or reopen an account; what is None stays as it is."""

    __pydantic_config__ = _shown(
        {"id": ID, "account": "alice", "debit": "frozen"}, anyOf=[{"required": [flag]} for flag in FLAGS]
    )


Command = Transfer | LegsTransfer | Hold | HoldBetween | Capture | Void | Reverse | Change
"""What has an id."""


def between(from_: str, to: str, amount: int, asset: str) -> tuple[Leg, Leg]:
    """The two legs of a plain transfer. Raises ValueError for an amount that would turn it round."""
    if amount <= 0:
        raise ValueError("the amount must be positive")
    return Leg(from_, -amount, asset), Leg(to, amount, asset)
