"""What a program may ask of the service, as values, and how each is said over HTTP: its address, its body, its batch line.

Amounts are whole numbers of minor units. `id`: a UUID; the same id never runs twice. A value that is made without one gets a new
UUIDv7 at once, so that the same value asked again, for whatever reason, is the same command; two values made alike are two.
"""

from __future__ import annotations

import datetime
import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, cast

from fanfold.ids import new_id

Across = Literal["saga", "tcc"]
"""How a transfer is run whose accounts live in different partitions; the service's default is `saga`."""


class _Id:
    """The field `id` of a command: a UUID as text; given None or left out, a new one is made with the value and stays with it."""

    def __get__(self, command: object | None, kind: type) -> str:
        # Asked of the class it is the default of the field, which `__set__` takes for "make one".
        return cast("str", None if command is None else vars(command)["id"])

    def __set__(self, command: object, given: str | None) -> None:
        vars(command)["id"] = new_id() if given is None else given


class Open(NamedTuple):
    """Open an account. `floor`: the lowest balance in minor units, 0 for no debts, None for no limit."""

    account: str
    asset: str
    floor: int | None = 0
    owner: str | None = None


@dataclass(frozen=True)
class Transfer:
    """Move `amount` minor units. `@world` as debit is a deposit, as credit a withdrawal."""

    debit: str
    credit: str
    amount: int
    asset: str
    id: _Id = _Id()
    protocol: Across | None = None
    reference: str | None = None
    metadata: Mapping[str, str] | None = None


class Leg(NamedTuple):
    """One side of a transfer: minus gives, plus receives. The conditions are tested before anything moves."""

    account: str
    amount: int
    asset: str
    if_version: int | None = None
    if_available_at_least: int | None = None


@dataclass(frozen=True)
class LegsTransfer:
    """Move 2 to 32 legs that sum to zero in each asset, all or none."""

    legs: Sequence[Leg]
    id: _Id = _Id()
    protocol: Across | None = None
    reference: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Hold:
    """Authorise: hold what the legs with a minus give, until it is captured, voided, or the deadline comes."""

    legs: Sequence[Leg]
    id: _Id = _Id()
    deadline: datetime.datetime | str | None = None
    reference: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Capture:
    """Move what a hold holds: all that is left, an amount of it, or these legs. `final`: let go what is left then."""

    hold: str
    amount: int | None = None
    legs: Sequence[Leg] = ()
    final: bool = False
    id: _Id = _Id()
    protocol: Across | None = None
    reference: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Void:
    """Let a hold go."""

    hold: str
    id: _Id = _Id()


@dataclass(frozen=True)
class Reverse:
    """Move a done transfer the other way round, at most once."""

    transfer: str
    id: _Id = _Id()
    protocol: Across | None = None
    reference: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Change:
    """Freeze, free, close or reopen an account; what is None stays as it is."""

    account: str
    debit: Literal["frozen", "free"] | None = None
    credit: Literal["frozen", "free"] | None = None
    state: Literal["closed", "open"] | None = None
    id: _Id = _Id()


Command = Transfer | LegsTransfer | Hold | Capture | Void | Reverse | Change
"""What has an id."""


class Request(NamedTuple):
    """A command over HTTP. about: the field of a batch line that says what the path says."""

    method: str
    path: str
    body: dict[str, Any]
    word: str | None
    about: dict[str, str]


def between(debit: str, credit: str, amount: int, asset: str) -> tuple[Leg, Leg]:
    """The two legs of a plain transfer. Raises ValueError for an amount that would turn it round."""
    if amount <= 0:
        raise ValueError("the amount must be positive")
    return Leg(debit, -amount, asset), Leg(credit, amount, asset)


def request_of(command: Command) -> Request:
    """How a command is asked alone. Raises ValueError for a deadline without a time zone."""
    match command:
        case Transfer():
            return Request("POST", "/v1/transfers", _plain(command) | _noted(command) | _how(command), None, {})
        case LegsTransfer():
            return Request("POST", "/v1/transfers", _legs(command) | _noted(command) | _how(command), None, {})
        case Hold():
            deadline = {} if command.deadline is None else {"deadline": _moment(command.deadline)}
            return Request("POST", "/v1/holds", _legs(command) | deadline | _noted(command), "hold", {})
        case Capture():
            path = f"/v1/holds/{quoted(command.hold)}/capture"
            body = _captured(command) | _noted(command) | _how(command)
            return Request("POST", path, body, "capture", {"hold": command.hold})
        case Void():
            path = f"/v1/holds/{quoted(command.hold)}/void"
            return Request("POST", path, {"id": command.id}, "void", {"hold": command.hold})
        case Reverse():
            path = f"/v1/transfers/{quoted(command.transfer)}/reverse"
            body = {"id": command.id} | _noted(command) | _how(command)
            return Request("POST", path, body, "reverse", {"transfer": command.transfer})
        case Change():
            given = {name: getattr(command, name) for name in ("id", "debit", "credit", "state")}
            body = {name: word for name, word in given.items() if word is not None}
            return Request(
                "PATCH", f"/v1/accounts/{quoted(command.account)}", body, "change", {"account": command.account}
            )


def line_of(item: Open | Command) -> dict[str, Any]:
    """How a command is asked in a batch."""
    if isinstance(item, Open):
        return {"open": terms_of(item) | {"account": item.account}}
    request = request_of(item)
    return request.body if request.word is None else {request.word: request.about | request.body}


def terms_of(item: Open) -> dict[str, Any]:
    """The body of opening an account."""
    terms: dict[str, Any] = {"asset": item.asset, "floor": None if item.floor is None else str(item.floor)}
    return terms if item.owner is None else terms | {"owner": item.owner}


def quoted(segment: str) -> str:
    """Ids have no character that a path needs quoted; anything else is quoted, for the service to refuse."""
    return urllib.parse.quote(segment, safe="", errors="backslashreplace")


def _plain(command: Transfer) -> dict[str, Any]:
    return {
        "id": command.id,
        "from": command.debit,
        "to": command.credit,
        "amount": str(command.amount),
        "asset": command.asset,
    }


def _legs(command: LegsTransfer | Hold) -> dict[str, Any]:
    return {"id": command.id, "legs": [_leg(leg) for leg in command.legs]}


def _captured(command: Capture) -> dict[str, Any]:
    body: dict[str, Any] = {"id": command.id}
    if command.amount is not None:
        body["amount"] = str(command.amount)
    if command.legs:
        body["legs"] = [_leg(leg) for leg in command.legs]
    return body | {"final": True} if command.final else body


def _leg(leg: Leg) -> dict[str, Any]:
    document: dict[str, Any] = {"account": leg.account, "amount": str(leg.amount), "asset": leg.asset}
    if leg.if_version is not None:
        document["if_version"] = leg.if_version
    if leg.if_available_at_least is not None:
        document["if_available_at_least"] = str(leg.if_available_at_least)
    return document


def _noted(command: Transfer | LegsTransfer | Hold | Capture | Reverse) -> dict[str, Any]:
    note: dict[str, Any] = {} if command.reference is None else {"reference": command.reference}
    return note if command.metadata is None else note | {"metadata": dict(command.metadata)}


def _how(command: Transfer | LegsTransfer | Capture | Reverse) -> dict[str, Any]:
    return {} if command.protocol is None else {"protocol": command.protocol}


def _moment(at: datetime.datetime | str) -> str:
    if isinstance(at, str):
        return at
    if at.tzinfo is None:
        raise ValueError("a deadline needs a time zone")
    return at.astimezone(datetime.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
