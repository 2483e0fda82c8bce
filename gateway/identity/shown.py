"""What of an answer may be shown to who asks: documents in, documents out, without the accounts that are not theirs to see. Pure.

A command is answered also to who may not read what it changed: to be allowed to pay somebody is not to see what they have.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from fanfold.api.csv_cells import cell
from fanfold.api.problems import KEPT_BY_ID, PROBLEMS
from gateway.identity.commands_allowed import Party
from gateway.identity.grants import Principal, Right

Document = dict[str, Any]

_FORMULA_GUARD: Final = "'"
"""What a cell of a CSV begins with so that no sheet takes it for a formula, `'@world:USD/2`."""


def shown_to(principal: Principal, document: Mapping[str, Any], *, reads_all: bool) -> Document:
    """The answer to a command. reads_all: whether every account of the command may be read."""
    shown = dict(document)
    if "accounts" in shown:
        shown["accounts"] = _readable(principal, shown["accounts"])
    return shown if reads_all else _without_accounts(shown)


def outcome_shown_to(principal: Principal, document: Mapping[str, Any], parties: Iterable[Party]) -> Document:
    """What became of a command of these parties, one of which may be read at least. Who asked is told to who did."""
    reads_all = all(each.account is not None and principal.may(Right.READ, each.account) for each in parties)
    shown = shown_to(principal, document, reads_all=reads_all)
    if shown.get("asked_by") != principal.name:
        shown.pop("asked_by", None)
    for name in ("legs", "left"):
        if name in shown:
            shown[name] = _readable(principal, shown[name])
    if "step_accounts" in shown:
        shown["step_accounts"] = [
            None if touched is None else _readable(principal, touched) for touched in shown["step_accounts"]
        ]
    return shown


def reads_one(principal: Principal, parties: Iterable[Party]) -> bool:
    """Whether an account of these may be read. A system account takes part in every deposit: it makes no one a party."""
    return any(
        party.account is not None and not party.account.startswith("@") and principal.may(Right.READ, party.account)
        for party in parties
    )


def entries_shown_to(principal: Principal, page: Mapping[str, Any]) -> Document:
    """A page of a statement. The name of a system account tells nobody's money, only where this account's came from or went."""
    return {**page, "entries": [entry_shown_to(principal, entry) for entry in page["entries"]]}


def entry_shown_to(principal: Principal, entry: Mapping[str, Any]) -> Document:
    return {**entry, "accounts": list(filter(_nameable(principal), entry["accounts"]))}


def entry_lines_shown_to(principal: Principal, body: bytes) -> bytes:
    """The same of entries that are lines of JSON."""
    entries = msgspec.json.Decoder(dict[str, Any]).decode_lines(body)
    return msgspec.json.Encoder().encode_lines([entry_shown_to(principal, entry) for entry in entries])


def entry_rows_shown_to(principal: Principal, body: bytes) -> bytes:
    """The same of a CSV with a heading."""
    rows = list(csv.reader(line + "\n" for line in body.decode().split("\n")[:-1]))
    at, may = rows[0].index("accounts"), _nameable(principal)
    for row in rows[1:]:
        kept = [name for name in row[at].removeprefix(_FORMULA_GUARD).split(" ") if name and may(name)]
        row[at] = cell(" ".join(kept))
    written = _Written()
    csv.writer(written).writerows(rows)
    return "".join(written).encode()


class _Written(list[str]):
    """What a writer of CSV writes."""

    write = list.append


def _nameable(principal: Principal) -> Callable[[str], bool]:
    return lambda name: name.startswith("@") or principal.may(Right.READ, name)


def _readable(principal: Principal, rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if row["account"] is not None and principal.may(Right.READ, row["account"])]


def _without_accounts(document: Document) -> Document:
    """Of a refusal that the rules made: its detail may name an account and what it has, or its asset. What is malformed is
    told by the name of a field, and stays."""
    word = document.get("code")
    if document.get("result") != "refused" or word not in PROBLEMS:
        return document
    kept = KEPT_BY_ID * str(document.get("detail", "")).endswith(KEPT_BY_ID)
    shown = {name: value for name, value in document.items() if name not in ("account", "available")}
    return shown | {"detail": PROBLEMS[word].detail + kept}
