"""The frames of `wallet.v1`, in and out. Shapes and rules: README.md beside this file.

What a client sends is checked in full before anything is done with it: one JSON object, no field twice, none unknown, every
number in range. What is wrong comes back as a `StreamError` value. It names the field, never its content.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Final, NamedTuple, NoReturn

import msgspec

from write_side.contract.atoms import Malformed, format_transfer_id, parse_account
from write_side.contract.codes import PROBLEMS

NUMBER_MAX: Final = 2**53 - 1
"""The largest integer that JavaScript holds exactly: ids, sub numbers and versions stay below."""

ACCOUNTS_PER_MESSAGE_MAX: Final = 1_000
"""Accounts in one subscribe, numbers in one unsubscribe: the size of one snapshot read."""

Number = Annotated[int, msgspec.Meta(ge=0, le=NUMBER_MAX)]


class Wanted(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One account of a subscribe. `since`: the newest version the client has; None asks for the state now."""

    account: str
    since: Number | None = None


class Subscribe(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="op", tag="subscribe"):
    """transfers: tell the phases of these accounts' transfers too."""

    id: Number
    accounts: list[Wanted]
    transfers: bool = False


class Unsubscribe(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="op", tag="unsubscribe"):
    id: Number
    subs: list[Number]


class Ping(msgspec.Struct, forbid_unknown_fields=True, frozen=True, tag_field="op", tag="ping"):
    id: Number


Message = Subscribe | Unsubscribe | Ping


class StreamError(NamedTuple):
    """Why a message was refused; nothing of it was done. `id` is the message's, None when it could not be read."""

    id: int | None
    code: str
    detail: str


class NotUnicode(ValueError):
    """The text names half of a surrogate pair, which no text in UTF-8 can hold (RFC 8259 section 8.2)."""


class _DuplicateField(ValueError):
    pass


def decode(text: str) -> Message | StreamError:
    """One client message. Raises NotUnicode, nothing else on any text."""
    try:
        tree = json.loads(text, object_pairs_hook=_fields_once, parse_constant=_no_constant)
    except _DuplicateField:
        return StreamError(None, "body_malformed", "a field appears twice")
    except (ValueError, RecursionError):
        return StreamError(None, "body_malformed", "the message is not one JSON object")
    number = _number_of(tree)
    try:
        message = msgspec.convert(tree, Message)
    except msgspec.ValidationError as error:
        return _explain(number, str(error))
    except UnicodeEncodeError:
        raise NotUnicode from None
    return _check_lists(message) or message


def _fields_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateField
    return found


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _number_of(tree: object) -> int | None:
    """The message's id, so that a refusal can be matched even when the rest is wrong."""
    number = tree.get("id") if isinstance(tree, dict) else None
    return number if type(number) is int and 0 <= number <= NUMBER_MAX else None


_PLACE = re.compile(r" - at `\$\.?([a-z0-9_.\[\]]*)`\Z")
_MISSING = re.compile(r"Object missing required field `(\w+)`")


def _explain(number: int | None, told: str) -> StreamError:
    """msgspec's message may quote the input, so only our own field names are taken out of it."""
    place = _PLACE.search(told)
    where = place[1] if place else ""
    if told.startswith("Object contains unknown field"):
        return StreamError(number, "field_unknown", f"{where or 'the message'} has a field that is not known")
    if missing := _MISSING.match(told):
        return StreamError(number, "field_missing", f"{where + '.' if where else ''}{missing[1]} is missing")
    if where == "op":
        return StreamError(number, "op_unknown", "op must be subscribe, unsubscribe or ping")
    return StreamError(number, "body_malformed", f"{where or 'the message'} is not of the asked type or range")


def _check_lists(message: Message) -> StreamError | None:
    match message:
        case Subscribe(id, accounts):
            if not 1 <= len(accounts) <= ACCOUNTS_PER_MESSAGE_MAX:
                return StreamError(id, "body_malformed", f"accounts must have 1 to {ACCOUNTS_PER_MESSAGE_MAX} items")
            for place, wanted in enumerate(accounts):
                try:
                    parse_account(wanted.account, f"accounts[{place}].account")
                except Malformed as malformed:
                    return StreamError(id, malformed.code, str(malformed))
            if len({wanted.account for wanted in accounts}) != len(accounts):
                return StreamError(id, "body_malformed", "accounts names an account twice")
        case Unsubscribe(id, subs) if not 1 <= len(subs) <= ACCOUNTS_PER_MESSAGE_MAX:
            return StreamError(id, "body_malformed", f"subs must have 1 to {ACCOUNTS_PER_MESSAGE_MAX} items")
        case _:
            pass
    return None


class Item(NamedTuple):
    """One account's state, encoded once for all who watch it. `tail` is the JSON from `"v"` to the closing brace."""

    version: int
    asset: str
    tail: bytes


def item(
    version: int, asset: str, posted: str, held: str, available: str | None, at: str, flags: Sequence[str] = ()
) -> Item:
    """Arguments are already checked text: digits, an asset, an RFC 3339 time, words; nothing in them needs escaping."""
    spendable = "null" if available is None else f'"{available}"'
    closed = ',"flags":["{}"]'.format('","'.join(flags)) if flags else ""
    tail = f'"v":{version},"posted":"{posted}","held":"{held}","available":{spendable},"at":"{at}"{closed}}}'
    return Item(version, asset, tail.encode())


def balances_frame(items: Iterable[bytes]) -> bytes:
    return b'{"op":"balances","items":[' + b",".join(items) + b"]}"


def transfer_frame(sub: int, transfer: bytes, phase: str) -> bytes:
    """A transfer across partitions of this account has gone to a phase."""
    return b'{"op":"transfer","sub":%d,"id":"%s","phase":"%s"}' % (
        sub,
        format_transfer_id(transfer).encode(),
        phase.encode(),
    )


def transfers_missed_frame(sub: int) -> bytes:
    """Phases of this account's transfers may have gone by unsent: whoever waits for one reads `GET /v1/transfers/{id}`."""
    return b'{"op":"transfers_missed","sub":%d}' % sub


class Acknowledged(NamedTuple):
    """One account of an ack: `version` is what the gateway holds now, None when there is no such account yet; `undecided`: when
    nobody can say yet whether there is."""

    account: str
    sub: int
    version: int | None
    undecided: bool = False


def ack_frame(id: int, accounts: Sequence[Acknowledged] = ()) -> bytes:
    """Answers subscribe (with accounts) and unsubscribe (without)."""
    if not accounts:
        return msgspec.json.encode({"op": "ack", "id": id})
    rows = [
        {"account": account, "sub": sub, "version": version}
        if version is not None
        else {
            "account": account,
            "sub": sub,
            "version": None,
            "code": "view_rebuilding" if undecided else "account_not_found",
        }
        for account, sub, version, undecided in accounts
    ]
    return msgspec.json.encode({"op": "ack", "id": id, "accounts": rows})


def pong_frame(id: int) -> bytes:
    return msgspec.json.encode({"op": "pong", "id": id})


def status_frame(live: bool) -> bytes:
    """`live: false`: the balances shown may be old, because the feed behind the gateway is silent."""
    return msgspec.json.encode({"op": "status", "live": live})


STREAM_TITLES: Final = {
    "op_unknown": "The op is not known",
    "too_many_subscriptions": "This connection has too many subscriptions",
}
"""Codes that only the stream says; every other code has its title in `write_side.contract.codes.PROBLEMS`."""


def error_frame(error: StreamError) -> bytes:
    title = STREAM_TITLES.get(error.code) or PROBLEMS[error.code].title
    return msgspec.json.encode(
        {"op": "error", "id": error.id, "code": error.code, "title": title, "detail": error.detail}
    )
