"""From the members of a JSON body to a command: every rule about shape that needs no state, in one order.

The order: unknown fields, missing fields, each field by itself, then what two fields say together.  The first rule that
is broken is the answer, as `Malformed` with a code of `write_side/contract/codes.py` and the name of a field of ours.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Final

from write_side.contract.atoms import (
    Malformed,
    format_transfer_id,
    parse_account,
    parse_amount,
    parse_asset,
    parse_floor,
    parse_integer,
    parse_transfer_id,
)
from write_side.ledger.commands import Command, OpenAccount, Transfer

PRINCIPAL: Final = "anonymous"
"""Who asks, until callers have names: all share one space of Idempotency-Keys."""

KEY_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:fanfold:idempotency-key")
"""Never changes: the same key must make the same id for ever."""

_KEY: Final = re.compile(r"[ -~]{1,255}\Z", re.ASCII)
_OWNER: Final = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?\Z", re.ASCII)

_OPEN: Final = frozenset({"asset", "floor", "owner"})
_OPEN_ITEM: Final = _OPEN | {"account"}
_SHORT: Final = frozenset({"id", "from", "to", "amount", "asset"})
_LONG: Final = frozenset({"id", "legs", "asset"})
_LEG: Final = frozenset({"account", "amount"})


def open_account(account: str, members: Mapping[str, object]) -> OpenAccount:
    """The body of `PUT /v1/accounts/{account}`. Raises Malformed."""
    _known(members, _OPEN)
    return OpenAccount(
        parse_account(account),
        parse_asset(_given(members, "asset")),
        parse_floor(members.get("floor", "0")),
        _owner(members["owner"]) if "owner" in members else "",
    )


def transfer(members: Mapping[str, object], key: str | None = None) -> Transfer:
    """The body of `POST /v1/transfers`; `key` is the Idempotency-Key header where there is one. Raises Malformed."""
    if "legs" in members:
        return _of_legs(members, key)
    _known(members, _SHORT)
    id = _transfer_id(members, key)
    debit = parse_account(_given(members, "from"), "from", system=True)
    credit = parse_account(_given(members, "to"), "to", system=True)
    amount = parse_amount(_given(members, "amount"))
    asset = parse_asset(_given(members, "asset"))
    return _between_two(Transfer(id, debit, credit, amount, asset), "to")


def batch_item(members: Mapping[str, object]) -> Command:
    """One line of a batch: the body of a transfer, or `{"open": {"account": ..., ...}}`. Raises Malformed."""
    if "open" not in members:
        return transfer(members)
    _known(members, frozenset({"open"}))
    inner = members["open"]
    if not isinstance(inner, dict):
        raise Malformed("body_malformed", "open", "must be a JSON object")
    _known(inner, _OPEN_ITEM)
    account = parse_account(_given(inner, "account"))
    return open_account(account, {name: value for name, value in inner.items() if name != "account"})


def id_of_key(key: str) -> bytes:
    """The transfer id that an Idempotency-Key stands for: UUIDv5 of principal and key. Raises Malformed."""
    if not _KEY.match(key):
        raise Malformed("idempotency_key_malformed", "Idempotency-Key", "must be 1 to 255 printable ASCII characters")
    return uuid.uuid5(KEY_NAMESPACE, f"{PRINCIPAL}\n{key}").bytes


def _transfer_id(members: Mapping[str, object], key: str | None) -> bytes:
    if "id" not in members:
        if key is None:
            raise Malformed("field_missing", "id", "is needed, in the body or as an Idempotency-Key header")
        return id_of_key(key)
    id = parse_transfer_id(members["id"])
    # A client may repeat the id itself as the key, for proxies that look at the header.
    if key is not None and id_of_key(key) != id and key.lower() != format_transfer_id(id):
        raise Malformed("ids_differ", "id", "must be the same as the Idempotency-Key when both are given")
    return id


def _of_legs(members: Mapping[str, object], key: str | None) -> Transfer:
    _known(members, _LONG, "unknown, or not possible together with legs")
    id = _transfer_id(members, key)
    legs = members["legs"]
    if not isinstance(legs, list) or len(legs) < 2:
        raise Malformed("legs_malformed", "legs", "must be a list of two objects with account and amount")
    parsed = [_leg(leg) for leg in legs]
    asset = parse_asset(_given(members, "asset"))
    if len(parsed) > 2:
        raise Malformed("legs_unsupported", "legs", "must be two: one account gives, one receives")
    (debit, amount), (credit, _) = sorted(parsed, key=lambda leg: leg[1])
    if parsed[0][1] + parsed[1][1] != 0:
        raise Malformed("legs_malformed", "legs", "must sum to zero")
    return _between_two(Transfer(id, debit, credit, -amount, asset), "legs")


def _leg(leg: object) -> tuple[str, int]:
    if not isinstance(leg, dict):
        raise Malformed("legs_malformed", "legs", "must be a list of two objects with account and amount")
    _known(leg, _LEG)
    account = parse_account(_given(leg, "account", "legs.account"), "legs.account", system=True)
    amount = parse_integer(_given(leg, "amount", "legs.amount"), "legs.amount")
    if amount == 0:
        raise Malformed("amount_malformed", "legs.amount", "must not be zero")
    return account, amount


def _between_two(command: Transfer, field: str) -> Transfer:
    if command.debit == command.credit:
        raise Malformed("same_account_twice", field, "must name two different accounts")
    return command


def _owner(text: object) -> str:
    if isinstance(text, str) and _OWNER.match(text):
        return text
    raise Malformed("owner_malformed", "owner", "must be 1 to 255 printable ASCII characters, no space at the ends")


def _known(members: Mapping[str, object], names: frozenset[str], detail: str = "unknown") -> None:
    if not members.keys() <= names:
        # The name of the field is the client's own text, so only the names that would do are said.
        raise Malformed(
            "field_unknown", "body", f"has a field that is {detail}; known here: {', '.join(sorted(names))}"
        )


def _given(members: Mapping[str, object], name: str, field: str | None = None) -> object:
    try:
        return members[name]
    except KeyError:
        raise Malformed("field_missing", field or name, "is needed") from None
