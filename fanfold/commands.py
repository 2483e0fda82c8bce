"""What a program may ask of the service, as values, and how each is said over HTTP: its address, its body, its batch line.

Amounts are whole numbers of minor units. `id`: a UUID, made by the client when left out; the same id never runs twice.
"""

from __future__ import annotations

import datetime
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from fanfold.ids import uuid7

Across = Literal["saga", "tcc"]
"""How a transfer is run whose accounts live in different partitions; the service's default is `saga`."""


class Open(NamedTuple):
    """Open an account. `floor`: the lowest balance in minor units, 0 for no debts, None for no limit."""

    account: str
    asset: str
    floor: int | None = 0
    owner: str | None = None


class Transfer(NamedTuple):
    """Move `amount` minor units. `@world` as debit is a deposit, as credit a withdrawal."""

    debit: str
    credit: str
    amount: int
    asset: str
    id: str | None = None
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


class LegsTransfer(NamedTuple):
    """Move 2 to 32 legs that sum to zero in each asset, all or none."""

    legs: Sequence[Leg]
    id: str | None = None
    protocol: Across | None = None
    reference: str | None = None
    metadata: Mapping[str, str] | None = None


class Hold(NamedTuple):
    """Authorise: hold what the legs with a minus give, until it is captured, voided, or the deadline comes."""

    legs: Sequence[Leg]
    id: str | None = None
    deadline: datetime.datetime | str | None = None
    reference: str | None = None
    metadata: Mapping[str, str] | None = None


class Capture(NamedTuple):
    """Move what a hold holds: all that is left, an amount of it, or these legs. `final`: let go what is left then."""

    hold: str
    amount: int | None = None
    legs: Sequence[Leg] = ()
    final: bool = False
    id: str | None = None
    protocol: Across | None = None
    reference: str | None = None
    metadata: Mapping[str, str] | None = None


class Void(NamedTuple):
    """Let a hold go."""

    hold: str
    id: str | None = None


class Reverse(NamedTuple):
    """Move a done transfer the other way round, at most once."""

    transfer: str
    id: str | None = None
    protocol: Across | None = None
    reference: str | None = None
    metadata: Mapping[str, str] | None = None


class Change(NamedTuple):
    """Freeze, free, close or reopen an account; what is None stays as it is."""

    account: str
    debit: Literal["frozen", "free"] | None = None
    credit: Literal["frozen", "free"] | None = None
    state: Literal["closed", "open"] | None = None
    id: str | None = None


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


def named(command: Command) -> Command:
    """The same with an id: every attempt of one command must have the same."""
    return command if command.id is not None else command._replace(id=str(uuid7()))


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
    return urllib.parse.quote(segment, safe="")


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
