"""Reading a request's body: the right type, within a size and a time, whatever the headers promise."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Iterable, Mapping, MutableMapping
from functools import cache
from typing import Any, Final, TypeVar, cast
from urllib.parse import parse_qsl

from pydantic import ValidationError

from fanfold.api.answer_headers import PRINCIPAL
from fanfold.api.grammar import PRINCIPAL as PRINCIPAL_GRAMMAR
from fanfold.api.malformed import Malformed, malformed_of
from fanfold.api.routes import Route
from fanfold.api.values import names_of, read
from fanfold.doors.incoming import Incoming, Message, TooMuchAtOnce

Scope = MutableMapping[str, Any]
Headers = Mapping[bytes, bytes]
T = TypeVar("T")

BODY_SECONDS_MAX: Final = 30
"""A body that takes longer holds a connection for nothing: 8 MiB in 30 s is a 2 Mbit/s line. Then 408."""

DISCARDED_BYTES_MAX: Final = 64 * 1024 * 1024
"""How much of a body that is not kept is read and dropped, so that its sender gets to the answer instead of a reset."""


PRINCIPAL_NAME: Final = PRINCIPAL.lower().encode()
_READ: Final = frozenset({b"content-type", b"content-length", b"content-encoding", b"idempotency-key"})


_PRINCIPAL: Final = re.compile(rf"{PRINCIPAL_GRAMMAR}\Z", re.ASCII)


class ClientGone(Exception):
    """The client hung up before its request was whole. There is nobody to answer."""


def principal_of(scope: Scope) -> str | None:
    """Who asks, as the gateway in front says it; None where it asks nobody. Only a gateway and other neighbours reach a side, and
    they are believed; but it goes into the log, and says whose a share of the room is, so it is looked at all the same. Raises
    Malformed."""
    given: list[bytes] = [value.strip(b" \t") for name, value in scope["headers"] if name == PRINCIPAL_NAME]
    if not any(given):
        return None
    if len(given) > 1:
        raise Malformed("parameter_malformed", PRINCIPAL, "must not be given twice")
    name = given[0].decode("latin-1")
    if not _PRINCIPAL.match(name):
        raise Malformed("parameter_malformed", PRINCIPAL, "must be 1 to 255 visible ASCII characters")
    return name


def read_headers(given: Iterable[tuple[bytes, bytes]]) -> Headers:
    """The headers that mean something here, names in lower case, values without the blanks around them (RFC 9110, 5.5).

    Raises Malformed when one of them comes twice.
    """
    headers: dict[bytes, bytes] = {}
    for name, value in given:
        if name in _READ:
            if name in headers:
                raise Malformed("parameter_malformed", name.decode(), "must not be given twice")
            headers[name] = value.strip(b" \t")
    return headers


def named_by_path(scope: Scope, route: Route) -> str:
    """What the path names between its fixed parts, as the client wrote it.

    Not the router's parameter: its pattern lets a newline at the end pass and drops it.
    """
    before, _, rest = route.path.partition("{")
    path: str = scope["path"]
    return path.removeprefix(before).removesuffix(rest.partition("}")[2])


COMMANDS_TAKE_NONE: Final = "has a parameter, and none is known here: all that a command says is in its body"


def refuse_query(query: bytes, why: str) -> None:
    """Raises Malformed for any parameter in an address that takes none: what it is meant to say would not be heard."""
    if query.strip(b"&"):
        raise Malformed("parameter_malformed", "query", why)


def read_query(kind: type[T], query: bytes, *, bytes_max: int) -> T:
    """The parameters of an address as the class that declares them (`fanfold/api/questions.py`).

    Raises Malformed for one that is unknown, malformed or there twice, and for a query that is too long.
    """
    if not query:
        return cast("T", _asked_nothing(cast("Any", kind)))
    if len(query) > bytes_max:
        raise Malformed("parameter_malformed", "query", f"must not be longer than {bytes_max} bytes")
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("parameter_malformed", "query", "must not have the same parameter twice")
    known = names_of(cast("Any", kind))
    if not found.keys() <= known:
        raise Malformed("parameter_malformed", "query", f"takes {', '.join(sorted(known)) or 'no parameters'}")
    return _asked(kind, found)


@cache
def _asked_nothing(kind: type[object]) -> object:
    """As most ask: the values are frozen, and reading them anew took a twentieth of a balance's answer. Raises Malformed."""
    return _asked(kind, {})


def _asked(kind: type[T], found: dict[str, str]) -> T:
    needed = [field.name for field in dataclasses.fields(cast("Any", kind)) if field.default is dataclasses.MISSING]
    try:
        return read(kind, dict.fromkeys(needed, "") | found)
    except ValidationError as error:
        raise malformed_of(error, {}) from None


async def read_body(headers: Headers, incoming: Incoming, *, bytes_max: int) -> bytes:
    """The whole body of one request, whose type `media_type` has told. It counts in the door's budget until the answer.

    Raises Malformed with `body_too_large` (by content-length or by what came) or `body_timeout`, TooMuchAtOnce, and ClientGone.
    """
    # A promise of too much is read to its end like any other body, but nothing of it is kept.
    kept_bytes_max = bytes_max if _declared_bytes(headers) <= bytes_max else -1
    message = await incoming.receive()
    body: bytes = message.get("body", b"")
    if message["type"] == "http.request" and not message.get("more_body", False) and len(body) <= kept_bytes_max:
        incoming.keep(len(body))
        return body  # the usual case: small bodies come in one piece
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            gathered = await _gather(message, incoming, kept_bytes_max)
    except TimeoutError:
        raise Malformed("body_timeout", "body", f"must arrive within {BODY_SECONDS_MAX} seconds") from None
    if gathered is None:
        raise Malformed("body_too_large", "body", f"must not be larger than {bytes_max} bytes")
    return gathered


async def _gather(message: Message, incoming: Incoming, bytes_max: int) -> bytes | None:
    """The body's pieces as one; None when they are more than `bytes_max` together."""
    pieces: list[bytes] = []
    received_bytes = 0
    refused: TooMuchAtOnce | None = None
    while message["type"] != "http.disconnect":
        piece = message.get("body", b"")
        received_bytes += len(piece)
        # What is refused is read on, so that the client reads the answer, but nothing of it is kept.
        if received_bytes > bytes_max:
            pieces.clear()
            incoming.give_back()
        elif refused is None:
            try:
                incoming.keep(len(piece))
                pieces.append(piece)
            except TooMuchAtOnce as full:
                refused = full
                pieces.clear()
        if not message.get("more_body", False) or received_bytes > DISCARDED_BYTES_MAX:
            if refused is not None and received_bytes <= bytes_max:
                raise refused
            return b"".join(pieces) if received_bytes <= bytes_max else None
        message = await incoming.receive()
    raise ClientGone


def media_type(headers: Headers, *accepted: bytes) -> bytes:
    """Which of the accepted types the body has. Raises Malformed with `content_type_unsupported`."""
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Malformed(
            "content_type_unsupported", "Content-Encoding", "must be left out: compressed bodies are not read"
        )
    given = headers.get(b"content-type", b"")
    if given in accepted:
        return given
    essence, _, parameter = given.lower().partition(b";")
    if essence.strip() not in accepted or parameter.strip() not in (b"", b"charset=utf-8", b'charset="utf-8"'):
        names = " or ".join(name.decode() for name in accepted)
        raise Malformed("content_type_unsupported", "Content-Type", f"must be {names}, in UTF-8")
    return essence.strip()


def _declared_bytes(headers: Headers) -> int:
    value = headers.get(b"content-length", b"0")
    # The server in front has parsed it already; anything else counts as nothing and is bounded by what comes.
    return int(value) if value.isdigit() and len(value) < 20 else 0
