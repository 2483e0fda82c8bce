"""The frames of `wallet.v1`, in and out. Shapes and rules: PROTOCOL.md beside this file.

What a client sends is checked in full before anything is done with it: one JSON object, no field twice, none unknown, every
number in range. What is wrong comes back as a `StreamError` value. It names the field, never its content.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, NoReturn, cast

import msgspec
from pydantic import TypeAdapter, ValidationError

from fanfold.api.frames.acks import Ack, AckedAccount, AckedTopic
from fanfold.api.frames.answered import ErrorFrame, Pong
from fanfold.api.frames.asked import Auth, Ping, Submit, Subscribe, Unsubscribe, Wanted, WantedTopic
from fanfold.api.frames.connection import Status
from fanfold.api.frames.kinds import CLIENT_FRAMES, ClientFrame
from fanfold.api.frames.members import NUMBER_MAX
from fanfold.api.frames.pushed import TopicFrame, TransfersMissed
from fanfold.api.frames.written import written_as
from fanfold.api.malformed import MISSING, UNKNOWN
from fanfold.api.problems import PROBLEMS
from fanfold.api.values import names_of
from gateway.protocol.submits import Commands, raw_commands
from read_side.contract.topics import TopicAnswer
from write_side.contract.words.atoms import format_transfer_id

Message = Auth | Subscribe | Unsubscribe | Ping | Commands

_MESSAGE: Final[TypeAdapter[Auth | Subscribe | Unsubscribe | Ping | Submit]] = TypeAdapter(ClientFrame)


class StreamError(NamedTuple):
    """Why a message was refused; nothing of it was done. `id` is the message's, None when it could not be read."""

    id: int | None
    code: str
    detail: str
    ids: Sequence[str] | None = None
    """Of commands that may have been done all the same; an opening has none. None: nothing was done."""


class NotUnicode(ValueError):
    """The text names half of a surrogate pair, which no text in UTF-8 can hold (RFC 8259 section 8.2)."""


class _DuplicateField(ValueError):
    pass


def decode(text: str) -> Message | StreamError:
    """One client message. Raises NotUnicode, nothing else on any text."""
    try:
        try:
            tree = json.loads(text, object_pairs_hook=_fields_once, parse_constant=_no_constant)
        except _DuplicateField:
            tree = _submit_unread(text)
    except _DuplicateField:
        return StreamError(None, "body_malformed", "a field appears twice")
    except (ValueError, RecursionError):
        return StreamError(None, "body_malformed", "the message is not one JSON object")
    number = _number_of(tree)
    if not isinstance(tree, dict):
        return StreamError(None, "body_malformed", "the message is not one JSON object")
    try:
        message = _MESSAGE.validate_python(tree)
    except ValidationError as error:
        return _explain(number, error, tree)
    match message:
        case Subscribe(accounts=[], topics=[], prefix=None):
            return StreamError(number, "field_missing", "accounts, prefix or topics is missing")
        case Subscribe(accounts=[_, *_], prefix=str()):
            return StreamError(number, "body_malformed", "accounts and prefix are two subscribes")
        case Unsubscribe(subs=[], topics=[], prefix=None):
            return StreamError(number, "field_missing", "subs, prefix or topics is missing")
        case Submit(id):
            return _commands_as_written(id, text)
    return message


def _commands_as_written(id: int, text: str) -> Commands | StreamError:
    """Of a submit that has each field once: all else of it is the write side's to judge, a command for itself."""
    try:
        commands = raw_commands(id, bytes(msgspec.json.decode(text, type=_Listed).commands).decode())
    except (msgspec.DecodeError, RecursionError):
        commands = None
    return commands or StreamError(id, "body_malformed", "commands are no JSON that can be passed on")


class _Listed(msgspec.Struct):
    commands: msgspec.Raw


def _fields_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateField
    return found


class _Pairs(list[tuple[str, object]]):
    """An object in which a field may be there twice."""


def _submit_unread(text: str) -> dict[str, object]:
    """A submit of which a command names a field twice: that one is refused by the write side, as a line of a batch is."""
    pairs = json.loads(text, object_pairs_hook=_Pairs, parse_constant=_no_constant)
    found: dict[str, object] = dict(pairs) if isinstance(pairs, _Pairs) else {}
    if found.get("op") != "submit" or len(found) != len(pairs):
        raise _DuplicateField
    return found


def _no_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _number_of(tree: object) -> int | None:
    """The message's id, so that a refusal can be matched even when the rest is wrong."""
    number = tree.get("id") if isinstance(tree, dict) else None
    return number if type(number) is int and 0 <= number <= NUMBER_MAX else None


_WORDS: Final = frozenset[str]().union(*map(names_of, (*CLIENT_FRAMES, Wanted, WantedTopic)))
"""Names of fields that are ours, and may be told."""


def _explain(number: int | None, error: ValidationError, tree: object) -> StreamError:
    """The first rule that is broken, by the name of our own field: what was sent is never told."""
    first = error.errors(include_url=False, include_input=False)[0]
    kind, where = first["type"], _place(first["loc"])
    if kind == "account_malformed":
        return StreamError(number, kind, f"{where} {first['msg']}")
    _check_unicode(tree)
    if kind == "union_tag_not_found":
        return StreamError(number, "field_missing", "op is missing")
    if kind == "union_tag_invalid":
        return StreamError(number, "op_unknown", "op must be auth, subscribe, unsubscribe, ping or submit")
    if kind in UNKNOWN:
        holder, name = _place(first["loc"][:-1]), str(first["loc"][-1])
        which = f" there: {name}" if name in _WORDS else ""
        return StreamError(number, "field_unknown", f"{holder or 'the message'} has a field that is not known{which}")
    if kind in MISSING:
        return StreamError(number, "field_missing", f"{where} is missing")
    detail = first["msg"] if kind == "body_malformed" else "is not of the asked type, range or length"
    return StreamError(number, "body_malformed", f"{where or 'the message'} {detail}")


def _place(place: tuple[int | str, ...]) -> str:
    """`accounts[3].since`, without the op, which is named first."""
    return "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in place[1:]).removeprefix(".")


def _check_unicode(tree: object) -> None:
    try:
        json.dumps(tree, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise NotUnicode from None


_acked_account: Final = written_as(AckedAccount)
acked_topic: Final = written_as(AckedTopic)
_ack: Final = written_as(Ack)
_prefix_ack: Final = written_as(Ack, "id", "prefix", "accounts")
_topic: Final = written_as(TopicFrame)
_transfers_missed: Final = written_as(TransfersMissed)
_pong: Final = written_as(Pong)
_status: Final = written_as(Status)
_error: Final = written_as(ErrorFrame)


class Item(msgspec.Struct, gc=False, eq=False):
    """One account's state, encoded once for all who watch it. `tail` is the JSON from `"v"` to the closing brace."""

    version: int
    asset: str
    tail: bytes
    number: int = 0
    frame: bytes = b""
    """What was made of it last for a client that hears of nothing else, as a WebSocket frame, and the `sub` in it: most clients
    have the same, so that what many watch is put together once."""


def item_of(version: int, asset: str, posted: int, held: int, available: int | None, rest: bytes) -> Item:
    """Amounts in minor units. rest: `rest_of_item`."""
    if available is None:
        tail = b'"v":%d,"posted":"%d","held":"%d","available":null,%b' % (version, posted, held, rest)
    else:
        tail = b'"v":%d,"posted":"%d","held":"%d","available":"%d",%b' % (version, posted, held, available, rest)
    return Item(version, asset, tail)


def rest_of_item(at: str, flags: Sequence[str]) -> bytes:
    """What items of many accounts have in common: an RFC 3339 time, and what may not be done; nothing in it needs escaping."""
    closed = ',"flags":["{}"]'.format('","'.join(flags)) if flags else ""
    return f'"at":"{at}"{closed}}}'.encode()


def item(
    version: int, asset: str, posted: str, held: str, available: str | None, at: str, flags: Sequence[str] = ()
) -> Item:
    """The same of amounts in digits."""
    spendable = None if available is None else int(available)
    return item_of(version, asset, int(posted), int(held), spendable, rest_of_item(at, flags))


def balance_frame(sub: int, tail: bytes) -> bytes:
    """Of one item that is no snapshot, `balances_frame`."""
    return b'{"op":"balances","items":[{"sub":%d,%b]}' % (sub, tail)


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
    return msgspec.json.encode(_transfers_missed(sub))


def acked(
    account: str, sub: int, version: int | None, code: str = "account_not_found", history: str | None = None
) -> AckedAccount:
    """One account of an ack: `version` is what the gateway holds now, None with the `code` that says why there is none: there is
    no such account yet, nobody can say yet whether there is, or its partition cannot be read. history: of its partition's log."""
    return _acked_account(account, sub, version, cast("Any", code) if version is None else None, history)


def topic_ack_frame(id: int, topics: Sequence[AckedTopic]) -> bytes:
    """Answers the topics of a subscribe."""
    return msgspec.json.encode(_ack(id=id, topics=tuple(topics)))


def topic_frame(answer: TopicAnswer) -> bytes:
    """The whole answer. Its rows are JSON already."""
    rows = None if answer.rows is None else cast("Any", msgspec.Raw(answer.rows))
    code = cast("Any", answer.code) if answer.rows is None else None
    return msgspec.json.encode(_topic(answer.topic, answer.number, answer.history, answer.positions, rows, code))


def ack_frame(id: int, accounts: Sequence[AckedAccount] = ()) -> bytes:
    """Answers subscribe (with accounts) and unsubscribe (without)."""
    return msgspec.json.encode(_ack(id=id, accounts=tuple(accounts)))


def prefix_ack_frame(id: int, prefix: str, accounts: Sequence[AckedAccount], complete: bool) -> bytes:
    """Names accounts with a prefix. complete: all of them are named by now."""
    return msgspec.json.encode(_prefix_ack(id=id, prefix=prefix, accounts=tuple(accounts), complete=complete))


def pong_frame(id: int) -> bytes:
    return msgspec.json.encode(_pong(id))


def status_frame(live: bool) -> bytes:
    """`live: false`: the balances shown may be old, because the feed behind the gateway is silent."""
    return msgspec.json.encode(_status(live))


def error_frame(error: StreamError) -> bytes:
    ids = None if error.ids is None else tuple(error.ids)
    return msgspec.json.encode(_error(error.id, error.code, PROBLEMS[error.code].title, error.detail, ids))
