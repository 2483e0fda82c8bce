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
    """An account at one version. Amounts in minor units; `available` and `floor` are None when there is no floor.

    flags: what it may not do (`debit_frozen`, `credit_frozen`, `closed`); None in answers to commands that do not change them.
    """

    account: str
    asset: str
    posted: int
    held: int
    available: int | None
    floor: int | None
    version: int
    position: str
    at: str
    flags: tuple[str, ...] | None = None


class Opened(NamedTuple):
    """An account is open. `existed`: it was before, with the same terms."""

    account: str
    asset: str
    floor: int | None
    existed: bool
    position: str


class Step(NamedTuple):
    """What one partition did for a transfer across partitions, in the order of its log."""

    step: int
    action: str
    partition: int
    code: str
    position: str
    at: str


class Moved(NamedTuple):
    """It is done: `accounts` as they were right after it. `position` is where the log says so.

    Of a transfer across partitions `accounts` are only those of its home partition: ask for the others with `position`.
    result: `done` when money has moved, `held`, `voided`, `changed`. hold, reverses: what it was about. dry_run: what would
    have been; then nothing is in the log.
    """

    id: str
    position: str
    accounts: tuple[AccountState, ...]
    result: str = "done"
    protocol: str | None = None
    steps: tuple[Step, ...] = ()
    hold: str | None = None
    reverses: str | None = None
    dry_run: bool = False


class Pending(NamedTuple):
    """A transfer is under way between partitions: it ends by itself, and `Client.transfer_outcome` tells how."""

    id: str
    protocol: str
    phase: str
    position: str
    at: str


class Waiting(NamedTuple):
    """What an open transfer waits for: the answer of a partition to an action of a step."""

    step: int
    partition: int
    action: str


class OpenTransfer(NamedTuple):
    """A transfer under way. begun: its position in its home partition's log."""

    id: str
    protocol: str
    phase: str
    partition: int
    begun: str
    age_ms: int
    waiting_for: tuple[Waiting, ...]


class SystemPart(NamedTuple):
    """The system accounts of one partition, at its position; 0 where it has none yet."""

    partition: int
    position: str
    world: int
    transit: int


class SystemState(NamedTuple):
    """What came from outside (`world`, minus what it gave) and what is in flight (`transit`), in minor units.

    All other accounts together hold minus their sum, in every partition and in all.
    """

    asset: str
    world: int
    transit: int
    positions: str
    partitions: tuple[SystemPart, ...]


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
        tuple(document["flags"]) if "flags" in document else None,
    )


def opened_of(document: Mapping[str, Any]) -> Opened:
    return Opened(
        document["account"],
        document["asset"],
        optional_int(document["floor"]),
        document["result"] == "exists",
        document["position"],
    )


def outcome_of(document: Mapping[str, Any]) -> Moved | Pending:
    """From the answer to any command with an id that was not refused."""
    if document["result"] == "pending":
        return Pending(document["id"], document["protocol"], document["phase"], document["position"], document["at"])
    return Moved(
        document["id"],
        document.get("position", ""),
        tuple(state_of(account) for account in document.get("accounts", ())),
        document["result"],
        document.get("protocol"),
        tuple(_step_of(step) for step in document.get("steps", ())),
        document.get("hold"),
        document.get("reverses"),
        bool(document.get("dry_run", False)),
    )


def system_of(document: Mapping[str, Any]) -> SystemState:
    parts = tuple(
        SystemPart(each["partition"], each["position"] or "", _posted(each["world"]), _posted(each["transit"]))
        for each in document["partitions"]
    )
    world, transit = int(document["world"]), int(document["transit"])
    return SystemState(document["asset"], world, transit, document["positions"], parts)


def open_transfers_of(document: Mapping[str, Any]) -> list[OpenTransfer]:
    return [
        OpenTransfer(
            found["id"],
            found["protocol"],
            found["phase"],
            found["partition"],
            found["begun"],
            found["age_ms"],
            tuple(Waiting(each["step"], each["partition"], each["action"]) for each in found["waiting_for"]),
        )
        for found in document["transfers"]
    ]


def _posted(account: Mapping[str, Any] | None) -> int:
    return 0 if account is None else int(account["posted"])


def _step_of(step: Mapping[str, Any]) -> Step:
    return Step(step["step"], step["action"], step["partition"], step["code"], step["position"], step["at"])


def optional_int(digits: str | None) -> int | None:
    return None if digits is None else int(digits)
