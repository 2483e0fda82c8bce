"""What the service answers, as values. A refusal is a value too: it is the answer, and no money moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Refusal(NamedTuple):
    """The service said no. `code` is stable; `document` is the whole problem document (RFC 9457)."""

    status: int
    code: str
    title: str
    detail: str
    document: Mapping[str, Any]


class AccountState(NamedTuple):
    """An account at one version. Amounts in minor units; `available` and `floor` are None when there is no floor."""

    account: str
    asset: str
    posted: int
    held: int
    available: int | None
    floor: int | None
    version: int
    position: str
    at: str


class Opened(NamedTuple):
    """An account is open. `existed`: it was before, with the same terms."""

    account: str
    asset: str
    floor: int | None
    existed: bool
    position: str


class Moved(NamedTuple):
    """The money has moved: `accounts` as they were right after it. `position` is where the log says so."""

    id: str
    position: str
    accounts: tuple[AccountState, ...]


class BalanceChange(NamedTuple):
    """An account as it is now. `snapshot`: the first of a subscription, so not necessarily a change."""

    account: str
    asset: str
    version: int
    posted: int
    held: int
    available: int | None
    at: str
    snapshot: bool


class ConnectionState(NamedTuple):
    """Whether what was received is up to date. `live` False: balances may be old until it is True again."""

    live: bool
    reason: str


def refusal_of(document: Mapping[str, Any], status: int) -> Refusal:
    """From a problem document; from anything else that came with a status of 400 and above, as good as it gets."""
    code, title, detail = (str(document.get(name, "")) for name in ("code", "title", "detail"))
    return Refusal(status, code or f"http_{status}", title or "The service refused this", detail, document)


def state_of(document: Mapping[str, Any]) -> AccountState:
    return AccountState(
        document["account"],
        document["asset"],
        int(document["posted"]),
        int(document["held"]),
        optional_int(document["available"]),
        optional_int(document["floor"]),
        document["version"],
        document["position"],
        document["at"],
    )


def opened_of(document: Mapping[str, Any]) -> Opened:
    return Opened(
        document["account"],
        document["asset"],
        optional_int(document["floor"]),
        document["result"] == "exists",
        document["position"],
    )


def moved_of(document: Mapping[str, Any]) -> Moved:
    return Moved(document["id"], document["position"], tuple(state_of(account) for account in document["accounts"]))


def optional_int(digits: str | None) -> int | None:
    return None if digits is None else int(digits)
