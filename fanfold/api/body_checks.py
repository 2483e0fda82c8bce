"""From the members of a JSON body to the value of a declared command, every rule checked, in one order.

The order: unknown fields, missing fields, each field by itself, then what several fields say together. The first rule that is
broken is the answer, as `Malformed`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from operator import eq
from typing import Any, Final, NamedTuple, TypeVar, cast, get_args

import msgspec
from pydantic import ValidationError

from fanfold.api import grammar
from fanfold.api.malformed import Malformed, malformed_of, unknown_field
from fanfold.api.request_parts import Leg
from fanfold.api.requests import (
    Capture,
    Change,
    Command,
    Hold,
    HoldBetween,
    LegsTransfer,
    Open,
    Reverse,
    Transfer,
    Void,
)
from fanfold.api.values import adapter, names_of, read
from fanfold.api.words.names import ID_SAYS

Members = Mapping[str, object]
T = TypeVar("T")

PRINCIPAL: Final = "anonymous"
"""Who asks where nobody is asked who asks: all share one space of Idempotency-Keys."""

KEY_NAMESPACE: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:fanfold:idempotency-key")
"""Never changes: the same key must make the same id for ever."""

_KEY: Final = re.compile(rf"{grammar.KEY}\Z", re.ASCII)
_QUOTED_KEY: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"\Z')
"""A string of a structured field (RFC 9651, 3.3.3), as the draft of this header writes its keys."""
_UUID_KEY: Final = re.compile(
    rf"(?:urn:uuid:(?!\{{)|(\{{)|)({grammar.UUID}|[0-9a-f]{{32}})(?(1)\}})\Z",
    re.ASCII | re.IGNORECASE,
)
DRY_RUN: Final = "dry_run"
_MISSING: Final = {"id": "is needed, in the body or as an Idempotency-Key header"}

_WORDS: Final = frozenset({DRY_RUN}).union(*map(names_of, (*get_args(Command), Open, Leg)))
"""Every name that a field of a command has: of one that has no place in a body these are told, for they are no client's text."""

_PLAIN_QUOTES: Final = 20
"""Around the names and the values of five fields."""

_PLAIN_COMMAS: Final = 4

_IDS, _PARTIES, _AMOUNTS = (
    re.compile(rf"(?:{each}\n)*+", re.ASCII) for each in (grammar.UUID, grammar.PARTY, grammar.POSITIVE)
)
"""Many at once, one a line: one call of `re` instead of one for each."""
_ASSET: Final = re.compile(grammar.ASSET, re.ASCII)

LINE_WORDS: Final[Mapping[str, tuple[type, ...]]] = {
    "open": (Open,),
    "hold": (Hold, HoldBetween),
    "capture": (Capture,),
    "void": (Void,),
    "reverse": (Reverse,),
    "change": (Change,),
}
"""The one member of a batch line that is no transfer, and what is in it."""


def open_body(account: str, members: Members) -> Open:
    """The body of `PUT /v1/accounts/{account}`."""
    return _read(Open, members, about=account)


def transfer_body(
    members: Members, key: str | None = None, principal: str = PRINCIPAL
) -> tuple[Transfer | LegsTransfer, bool]:
    """The body of `POST /v1/transfers`, and whether it is a dry run. key: the Idempotency-Key header where there is one;
    principal: whose."""
    return _single(LegsTransfer if "legs" in members else Transfer, members, key, principal)


def plain_transfer(body: bytes) -> Transfer | None:
    """The body of a transfer with its id, both accounts, amount and asset and nothing more, read in one step; None for any other
    one, right or wrong, which `transfer_body` and `batch_line` read.

    Ten strings without an escape and four commas, where there is an id, are those five fields: none can be there twice, which
    pydantic's parser would not see. (An amount may be a number: without the commas it could be there twice.)
    """
    if body.count(b'"') != _PLAIN_QUOTES or body.count(b",") != _PLAIN_COMMAS or b"\\" in body:
        return None
    try:
        transfer: Transfer = adapter(Transfer).validator.validate_json(body)
    except ValidationError:
        return None
    return transfer if transfer.id else None


class PlainTransfers(NamedTuple):
    """n transfers with their ids, both accounts, amount and asset and nothing more, each list of n."""

    ids: list[str]
    from_: list[str]
    to: list[str]
    amounts: list[int]
    assets: list[str]


class _Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    id: str
    to: str
    amount: str
    asset: str
    from_: str = msgspec.field(name="from")


_plain: Final = msgspec.json.Decoder(_Plain).decode_lines


def plain_transfers(body: bytes, lines: int) -> PlainTransfers | None:
    """So many lines of a batch, when each is a plain transfer; None when one of them is not, or not right: then `batch_line` and
    `plain_transfer` read them one by one.

    As there, no field can be in a line twice: all are strings without an escape, five in each line, and no line has fewer. That
    each object is one line: there are as many as lines, and every line begins with one.
    """
    if (
        body.count(b'"') != _PLAIN_QUOTES * lines
        or b"\\" in body
        or not body.startswith(b"{")
        or not body.count(b"{") == body.count(b"\n{") + 1 == lines
    ):
        return None
    try:
        found = _plain(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    ids, from_, to = [each.id for each in found], [each.from_ for each in found], [each.to for each in found]
    amounts, assets = [each.amount for each in found], [each.asset for each in found]
    if (
        len(found) != lines
        or not _are_ids(ids)
        or not _PARTIES.fullmatch("\n".join([*from_, *to, ""]))
        or any(map(eq, from_, to))
        or not _AMOUNTS.fullmatch("\n".join([*amounts, ""]))
        or not all(_ASSET.fullmatch(asset) for asset in set(assets))
    ):
        return None
    return PlainTransfers(ids, from_, to, list(map(int, amounts)), assets)


def _are_ids(ids: list[str]) -> bool:
    text = "\n".join([*ids, ""])
    return _IDS.fullmatch(text) is not None and not any(none in text.lower() for none in grammar.NIL_AND_MAX)


def hold_body(members: Members, key: str | None = None, principal: str = PRINCIPAL) -> tuple[Hold | HoldBetween, bool]:
    """The body of `POST /v1/holds`."""
    return _single(Hold if "legs" in members else HoldBetween, members, key, principal)


def body_about(
    kind: type[T], about: str, members: Members, key: str | None = None, principal: str = PRINCIPAL
) -> tuple[T, bool]:
    """A body whose address names in its path what the command is about, such as the hold of a capture."""
    return _single(kind, members, key, principal, about)


def batch_line(members: Members) -> Open | Command:
    """One line of a batch: the body of a transfer, or an object with one of `LINE_WORDS`."""
    for word, kinds in LINE_WORDS.items():
        if word in members:
            if len(members) > 1:
                raise Malformed("field_unknown", "body", f"has a field that is unknown; known here: {word}")
            inner = members[word]
            if not isinstance(inner, dict):
                raise Malformed("body_malformed", word, "must be a JSON object")
            _refuse_dry_run(inner)
            kind = kinds[0] if len(kinds) == 1 or "legs" in inner else kinds[1]
            return cast("Open | Command", _read(kind, inner))
    _refuse_dry_run(members)
    return _read(LegsTransfer, members) if "legs" in members else _read(Transfer, members)


def id_of_key(key: str, principal: str = PRINCIPAL) -> str:
    """The id that an Idempotency-Key stands for: the UUID that it is, in whichever of the usual spellings, else UUIDv5 of
    principal and key. Blanks around it are no part of it (RFC 9110, 5.5), nor are the quotes of a structured string."""
    key = key.strip(" \t")
    if quoted := _QUOTED_KEY.match(key):
        key = re.sub(r"\\(.)", r"\1", quoted[1])
    if not _KEY.match(key):
        raise Malformed("idempotency_key_malformed", "Idempotency-Key", "must be 1 to 255 printable ASCII characters")
    if found := _UUID_KEY.match(key):
        id = found[2] if "-" in found[2] else str(uuid.UUID(found[2]))
        if id.lower() in grammar.NIL_AND_MAX:
            raise Malformed("idempotency_key_malformed", "Idempotency-Key", ID_SAYS)
        return id
    return str(uuid.uuid5(KEY_NAMESPACE, f"{principal}\n{key}"))


def _single(
    kind: type[T], members: Members, key: str | None, principal: str, about: str | None = None
) -> tuple[T, bool]:
    named = {name: value for name, value in members.items() if name != DRY_RUN} if DRY_RUN in members else members
    id = None if key is None else id_of_key(key, principal)
    if id is not None and "id" not in named:
        named = {**named, "id": id}
    command = _read(kind, named, about=about)
    # A client may repeat the id itself as the key, for proxies that look at the header.
    if id is not None and cast("Any", command).id.lower() != id.lower():
        raise Malformed("ids_differ", "id", "must be the same as the Idempotency-Key when both are given")
    dry_run = members.get(DRY_RUN, False)
    if not isinstance(dry_run, bool):
        raise Malformed("body_malformed", DRY_RUN, "must be true or false")
    return command, dry_run


def _read(kind: type[T], members: Members, *, about: str | None = None) -> T:
    subject: str | None = getattr(kind, "about", None)
    names = names_of(cast("Any", kind))
    if about is not None and subject is not None:
        names = names - {subject}
    if not members.keys() <= names:
        raise _unknown(members, names | {DRY_RUN} if kind is not Open else names)
    if about is not None and subject is not None:
        members = {**members, subject: about}
    if "id" in names and "id" not in members:
        raise Malformed("field_missing", "id", _MISSING["id"])
    try:
        return read(kind, members)
    except ValidationError as error:
        raise malformed_of(error, _MISSING, _WORDS) from None


def _unknown(members: Members, names: frozenset[str]) -> Malformed:
    found = unknown_field(next(name for name in members if name not in names), _WORDS, names)
    together = ", or is not possible together with legs" if "legs" in members else ""
    return Malformed(found.code, found.field, f"{found.detail}{together}; known here: {', '.join(sorted(names))}")


def _refuse_dry_run(members: Members) -> None:
    if DRY_RUN in members:
        raise Malformed("field_unknown", DRY_RUN, "is not possible in a batch")
