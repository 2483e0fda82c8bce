"""What a program makes of the service's answers, where it is not the answer itself (`fanfold/api/answers/`).

A refusal is a value too: it is the answer, and no money moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from fanfold.api.answers.accounts import Accounts, AccountState, OpenedAccount
from fanfold.api.answers.commands import Moved, Pending
from fanfold.api.answers.positions import PositionsNow
from fanfold.api.answers.statement import Entries
from fanfold.api.answers.system import System, SystemAccount
from fanfold.api.answers.under_way import OpenTransfers
from fanfold.api.values import read


class Refusal(NamedTuple):
    """The service said no. `code` is stable; `document` is the whole problem document (RFC 9457)."""

    status: int
    code: str
    title: str
    detail: str
    document: Mapping[str, Any]


class Opened(NamedTuple):
    """An account is open. `existed`: it was before, with the same terms."""

    account: str
    asset: str
    floor: int | None
    existed: bool
    position: str


class SystemPart(NamedTuple):
    """The system accounts of one partition, at its position; 0 where it has none yet. stale_since: see `AccountState`."""

    partition: int
    position: str
    world: int
    transit: int
    stale_since: str | None = None


class SystemState(NamedTuple):
    """What came from outside (`world`, minus what it gave) and what is in flight (`transit`), in minor units.

    All other accounts together hold minus their sum, in every partition and in all. known: whether there is such an account at
    all in the partitions that were asked: zeros of an asset that nobody has there say nothing.
    """

    asset: str
    world: int
    transit: int
    positions: str
    partitions: tuple[SystemPart, ...]
    known: bool = True


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
    flags: tuple[str, ...] = ()


class TransferPhase(NamedTuple):
    """A transfer across partitions, of which the account is a leg, has gone to a phase."""

    account: str
    id: str
    phase: str


class PhasesMissed(NamedTuple):
    """Phases of this account's transfers may have gone by untold."""

    account: str


class AccountStatus(NamedTuple):
    """Why nothing new is told of an account: `account_not_found` (told once it is opened), `partition_unavailable` and other
    codes of `fanfold/api/problems.py` (told once its partition can be read). code None: it is served again."""

    account: str
    code: str | None


class TopicAnswer(NamedTuple):
    """What the question of a topic is answered with, whole. number: rises within a history; positions: the blocks that are in it.

    rows: by the names of their columns, whole numbers as strings of digits; None where `code` says why they are not told.
    """

    topic: str
    history: str
    number: int
    positions: str
    rows: tuple[Mapping[str, str | float | None], ...] | None
    code: str | None = None


class ConnectionState(NamedTuple):
    """Whether what was received is up to date. `live` False: balances may be old until it is True again."""

    live: bool
    reason: str


def refusal_of(document: Mapping[str, Any], status: int) -> Refusal:
    """From a problem document; from anything else that came with a status of 400 and above, as good as it gets."""
    code, title, detail = (str(document.get(name, "")) for name in ("code", "title", "detail"))
    if not code:  # a proxy's own page, say, or another service
        code, title = f"http_{status}", title or "The service refused this"
        detail = detail or "It does not say why, or whether it is a wallet service: is the address right?"
    return Refusal(status, code, title, detail, document)


def state_of(document: Mapping[str, Any]) -> AccountState:
    return read(AccountState, document)


def accounts_of(document: Mapping[str, Any]) -> Accounts:
    return read(Accounts, document)


def opened_of(document: Mapping[str, Any]) -> Opened:
    told = read(OpenedAccount, document)
    return Opened(told.account, told.asset, told.floor, told.result == "exists", told.position)


def entries_of(document: Mapping[str, Any]) -> Entries:
    return read(Entries, document)


def outcome_of(document: Mapping[str, Any]) -> Moved | Pending:
    """From the answer to any command with an id that was not refused."""
    return read(Pending, document) if document["result"] == "pending" else read(Moved, document)


def system_of(document: Mapping[str, Any]) -> SystemState:
    told = read(System, document)
    parts = tuple(
        SystemPart(each.partition, each.position or "", _posted(each.world), _posted(each.transit), each.stale_since)
        for each in told.partitions
    )
    known = any(each.world is not None or each.transit is not None for each in told.partitions)
    return SystemState(told.asset, told.world, told.transit, told.positions, parts, known)


def positions_of(document: Mapping[str, Any]) -> PositionsNow:
    return read(PositionsNow, document)


def open_transfers_of(document: Mapping[str, Any]) -> OpenTransfers:
    return read(OpenTransfers, document)


def _posted(account: SystemAccount | None) -> int:
    return 0 if account is None else account.posted


def optional_int(digits: str | None) -> int | None:
    return None if digits is None else int(digits)
