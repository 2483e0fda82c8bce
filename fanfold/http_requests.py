"""How a command is said over HTTP: its address, its body, its line in a batch. All of it follows from `fanfold/api`."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from fanfold.api.body_checks import LINE_WORDS
from fanfold.api.requests import Command, Open
from fanfold.api.routes import ROUTES, Route
from fanfold.api.values import document_of

_ROUTES: Final[Mapping[type, Route]] = {kind: route for route in ROUTES for kind in route.asked}
_WORDS: Final = {kind: word for word, kinds in LINE_WORDS.items() for kind in kinds}


class Request(NamedTuple):
    """A command over HTTP."""

    method: str
    path: str
    body: dict[str, Any]


def request_of(command: Open | Command) -> Request:
    """How a command is asked alone. Raises ValueError for a deadline without a time zone."""
    route, body = _ROUTES[type(command)], document_of(command)
    about: str | None = getattr(command, "about", None)
    return Request(route.method, path_of(route, **({} if about is None else {about: str(body.pop(about))})), body)


def path_of(route: Route, **named: str) -> str:
    """The address of a route with these names in it."""
    return route.path.format_map({name: quoted(each) for name, each in named.items()})


def line_of(command: Open | Command) -> dict[str, Any]:
    """How a command is asked in a batch."""
    word = _WORDS.get(type(command))
    return document_of(command) if word is None else {word: document_of(command)}


def quoted(segment: str) -> str:
    """Ids have no character that a path needs quoted; anything else is quoted, for the service to refuse."""
    return urllib.parse.quote(segment, safe="", errors="backslashreplace")


def bearer(token: str) -> dict[str, str]:
    """The header that says who asks (RFC 6750); none for an empty token."""
    return {"Authorization": f"Bearer {token}"} if token else {}
