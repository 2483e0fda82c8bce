"""From the members of a JSON body to a command: every rule about shape that needs no state, in one order.

The order: unknown fields, missing fields, each field by itself, then what two fields say together.  The first rule that
is broken is the answer, as `Malformed` with a code of `write_side/contract/codes.py` and the name of a field of ours.
Fields that several bodies share are in `body_fields.py`, legs in `leg_bodies.py`, holds in `hold_bodies.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from write_side.body_fields import NOTE, Members, check_names, command_id, given, note, protocol
from write_side.contract.atoms import Malformed, parse_account, parse_asset, parse_floor, parse_transfer_id
from write_side.contract.codes import Flag
from write_side.hold_bodies import capture, hold, void
from write_side.ledger.commands import (
    Change,
    Command,
    LegsTransfer,
    Note,
    OpenAccount,
    Protocol,
    Reverse,
    Rich,
    Transfer,
)
from write_side.leg_bodies import LONG, SHORT, body_legs, has_conditions

_OWNER: Final = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?\Z", re.ASCII)

_OPEN: Final = frozenset({"asset", "floor", "owner"})
_TRANSFER: Final = NOTE | {"id", "protocol", "dry_run"}
_REVERSE: Final = NOTE | {"id", "protocol", "dry_run"}
_CHANGE: Final = frozenset({"id", "debit", "credit", "state", "dry_run"})

_FLAG_WORDS: Final = {
    "debit": ("frozen", "free", Flag.DEBIT_FROZEN),
    "credit": ("frozen", "free", Flag.CREDIT_FROZEN),
    "state": ("closed", "open", Flag.CLOSED),
}
"""Field of a change -> the word that sets its flag, the word that clears it, the flag."""


def open_account(account: object, members: Members) -> OpenAccount:
    """The body of `PUT /v1/accounts/{account}`. Raises Malformed."""
    check_names(members, _OPEN)
    return OpenAccount(
        parse_account(account),
        parse_asset(given(members, "asset")),
        parse_floor(members.get("floor", "0")),
        _owner(members["owner"]) if "owner" in members else "",
    )


def transfer(members: Members, key: str | None = None) -> Transfer | LegsTransfer:
    """The body of `POST /v1/transfers`; `key` is the Idempotency-Key header where there is one. Raises Malformed.

    What can be said by the plain `Transfer` is one, however it was written: that is the command with a fast path.
    """
    if "legs" in members:
        check_names(members, _TRANSFER | LONG, "unknown, or not possible together with legs")
    else:
        check_names(members, _TRANSFER | SHORT)
    id = command_id(members, key)
    legs = body_legs(members)
    how, noted = protocol(members), note(members)
    if len(legs) > 2 or how is not Protocol.SAGA or noted != Note() or has_conditions(legs):
        return LegsTransfer(id, legs, how, noted)
    giver, receiver = legs if legs[0].amount < 0 else legs[::-1]
    return Transfer(id, giver.account, receiver.account, receiver.amount, receiver.asset)


def reverse(original: object, members: Members, key: str | None = None) -> Reverse:
    """The body of `POST /v1/transfers/{original}/reverse`. Raises Malformed."""
    check_names(members, _REVERSE)
    id = command_id(members, key)
    return Reverse(id, parse_transfer_id(original, "transfer"), (), protocol(members), note(members))


def change(account: object, members: Members, key: str | None = None) -> Change:
    """The body of `PATCH /v1/accounts/{account}`. Raises Malformed."""
    check_names(members, _CHANGE)
    id = command_id(members, key)
    if _FLAG_WORDS.keys().isdisjoint(members):
        raise Malformed("field_missing", "body", f"needs at least one of {', '.join(_FLAG_WORDS)}")
    name = parse_account(account)
    to_set, to_clear = Flag(0), Flag(0)
    for field, (sets, clears, flag) in _FLAG_WORDS.items():
        if field not in members:
            continue
        word = members[field]
        if word == sets:
            to_set |= flag
        elif word == clears:
            to_clear |= flag
        else:
            raise Malformed("flags_malformed", field, f'must be "{sets}" or "{clears}"')
    return Change(id, name, to_set, to_clear)


def batch_item(members: Members) -> Command:
    """One line of a batch: the body of a transfer, or an object with one of `_ITEMS`. Raises Malformed."""
    for word, read in _ITEMS.items():
        if word in members:
            check_names(members, frozenset({word}))
            inner = members[word]
            if not isinstance(inner, dict):
                raise Malformed("body_malformed", word, "must be a JSON object")
            return read(_without_dry_run(inner))
    return transfer(_without_dry_run(members))


def _about(name: str, read: Callable[[object, Members], OpenAccount | Rich]) -> Callable[[Members], Command]:
    """A body that names in its field `name` what the path of its own address names."""

    def read_item(inner: Members) -> Command:
        about = given(inner, name)
        return read(about, {field: value for field, value in inner.items() if field != name})

    return read_item


_ITEMS: Final[dict[str, Callable[[Members], Command]]] = {
    "open": _about("account", open_account),
    "hold": hold,
    "capture": _about("hold", capture),
    "void": _about("hold", void),
    "reverse": _about("transfer", reverse),
    "change": _about("account", change),
}


def _without_dry_run(members: Members) -> Members:
    if "dry_run" in members:
        raise Malformed("field_unknown", "dry_run", "is not possible in a batch")
    return members


def _owner(text: object) -> str:
    if isinstance(text, str) and _OWNER.match(text):
        return text
    raise Malformed("owner_malformed", "owner", "must be 1 to 255 printable ASCII characters, no space at the ends")
