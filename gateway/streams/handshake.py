"""Who may open a stream, and how a refused handshake is answered."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, NamedTuple, cast
from urllib.parse import parse_qsl, urlsplit

import msgspec
from websockets.datastructures import Headers
from websockets.http11 import Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from fanfold.api.problems import problem_document
from fanfold.api.routes import PROBLEM, SUBPROTOCOL
from fanfold.doors.answer import INVALID_TOKEN, RETRY_AFTER_SECONDS
from fanfold.doors.security_headers import ALWAYS, POLICY

WALLET: Final = Subprotocol(SUBPROTOCOL)


class Refusal(NamedTuple):
    """A problem word and, where the code table's is not enough, a detail. retry_after_s: told where it is worth it."""

    word: str
    detail: str | None = None
    retry_after_s: int = RETRY_AFTER_SECONDS


NOT_ASKED: Final = "is not taken where nobody is asked who is there"


def ticket_in(query: bytes) -> str | None:
    """The ticket in an address, whatever it is; None where none is, or several are."""
    said = [value for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True) if name == "ticket"]
    return said[0] if len(said) == 1 else None


def choose_subprotocol(_: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Ours when it is offered; a client that offers none, or others only, is served all the same."""
    return WALLET if WALLET in offered else None


def origin_allowed(headers: Headers, origins: frozenset[str]) -> bool:
    """Browsers send Origin and never lie about it; other clients need none. A page may talk to its own host.

    The scheme is not compared: behind a proxy that ends TLS the page has https and the gateway sees http.
    """
    sent = headers.get_all("Origin")
    if not sent:
        return True
    if len(sent) > 1:
        return False
    return "*" in origins or sent[0] in origins or urlsplit(sent[0]).netloc == headers.get("Host")


def refusal_response(refusal: Refusal) -> Response:
    """The whole HTTP answer; the connection ends after it."""
    document = problem_document(refusal.word, detail=refusal.detail)
    status = HTTPStatus(cast("int", document["status"]))
    body = msgspec.json.encode(document)
    headers = Headers([("Content-Type", PROBLEM), ("Content-Length", str(len(body))), ("Connection", "close")])
    for name, value in (*ALWAYS, POLICY):
        headers[name.decode()] = value.decode()
    if status in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
        headers["Retry-After"] = str(refusal.retry_after_s)
    if status is HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = INVALID_TOKEN
    return Response(status.value, status.phrase, headers, body)
