"""One delivery sent, and what the receiver said: in bounded time and with hardly any memory, whatever is at the other end.

A receiver may hang, drip, answer with a gigabyte, redirect to this machine's own metadata service, or change where its name leads
between two looks. So the address is judged where the socket to it is made, of an answer its head is read and no more, and no
redirect is followed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from read_side.webhooks.addresses import refusal
from read_side.webhooks.apart import apart
from read_side.webhooks.delivery import Answer

ANSWER_S: Final = 15.0
"""For all of it: name, connection, TLS, request and the head of the answer. Who needs longer stores first, and answers then."""
HEAD_BYTES_MAX: Final = 8_190
"""Of a line of the answer's head; it has at most as many bytes altogether as aiohttp takes, some hundred of those."""
BODY_BYTES_MAX: Final = 4_096
BODY_S: Final = 1.0
"""Of an answer, and how long they are waited for: what it says is of no use here."""
CONNECTIONS_MAX: Final = 0
"""No bound of its own: a webhook has two deliveries under way at most, and none may wait for those of another one."""
KEPT_S: Final = 15.0
USER_AGENT: Final = "fanfold-webhooks"


class RefusedAddress(OSError):
    """The receiver's name leads to where this webhook may not go."""


class Sender:
    """`send` as often as wanted, then `close`. answer_s: for a whole delivery."""

    def __init__(self, answer_s: float = ANSWER_S) -> None:
        self._answer_s = answer_s
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    def _session(self, private: bool) -> aiohttp.ClientSession:
        """Connections that were made for the one kind of webhooks serve no other."""
        if private not in self._sessions:
            connector = aiohttp.TCPConnector(
                resolver=_Names(),
                use_dns_cache=False,
                limit=CONNECTIONS_MAX,
                keepalive_timeout=KEPT_S,
                socket_factory=_sockets(private),
            )
            self._sessions[private] = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=self._answer_s),
                auto_decompress=False,
                trust_env=False,
                max_line_size=HEAD_BYTES_MAX,
                max_field_size=HEAD_BYTES_MAX,
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            )
        return self._sessions[private]

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def send(self, url: str, private: bool, headers: Mapping[str, str], body: bytes) -> Answer:
        """Whatever happens is an answer. private: whether it may go to networks that are not public."""
        session = self._session(private)
        try:
            async with asyncio.timeout(self._answer_s):
                answer = await session.post(url, data=body, headers=dict(headers), allow_redirects=False)
        except TimeoutError:
            return Answer(None, f"did not answer within {self._answer_s:g} s")
        except (aiohttp.ClientError, OSError, ValueError) as failed:
            return Answer(None, _words(failed))
        try:
            await _pass_over_body(answer)
        finally:
            answer.close()
        return Answer(answer.status, _told(answer.status), _retry_after(answer))


async def _pass_over_body(answer: aiohttp.ClientResponse) -> None:
    """Nobody wants it; behind a short one the connection can be used again."""
    if (answer.content_length or 0) <= BODY_BYTES_MAX:
        with suppress(TimeoutError, aiohttp.ClientError, OSError, ValueError):
            async with asyncio.timeout(BODY_S):
                while await answer.content.read(BODY_BYTES_MAX) and answer.content.total_bytes <= BODY_BYTES_MAX:
                    pass


def _told(status: int) -> str:
    return f"answered {status}, and redirects are not followed" if 300 <= status < 400 else f"answered {status}"


def _retry_after(answer: aiohttp.ClientResponse) -> float | None:
    """Seconds; a date is as good as nothing: the back-off has its own idea."""
    text = answer.headers.get("Retry-After", "")
    return float(text) if answer.status in (429, 503) and text.isdecimal() and len(text) <= 6 else None


def _words(failed: Exception) -> str:
    """What failed, without the URL, which may have a token in it."""
    causes: list[BaseException] = [failed]
    while (cause := causes[-1].__cause__ or getattr(causes[-1], "os_error", None)) is not None and len(causes) < 8:
        causes.append(cause)
        causes.extend(getattr(cause, "exceptions", ()))
    for cause in causes:
        if isinstance(cause, RefusedAddress):
            return f"is not sent: {cause}"
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not to be trusted ({cause.verify_message})"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed ({cause.reason or 'no reason was told'})"
        if isinstance(cause, socket.gaierror):
            return f"its name leads nowhere now ({cause.strerror})"
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno is not None:
            return f"cannot be reached ({os.strerror(cause.errno)})"
    return f"the connection broke off, or what was answered is no HTTP ({type(failed).__name__})"


def _sockets(private: bool) -> Any:
    """What makes the socket for a connection to an address, once that was judged."""

    def make(address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, place = address
        if (reason := refusal(str(place[0]), private=private)) is not None:
            raise RefusedAddress(reason)
        return socket.socket(family, kind, protocol)

    return make


class _Names(AbstractResolver):
    """The system's resolver, a thread for each name that is looked up: it may hang for a minute, and neither those who fold
    blocks nor the lookups of other names may wait behind it. Who asks for a name that is being looked up shares the answer."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, int], asyncio.Future[list[Any]]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        asked = self._asked.get((host, port))
        if asked is None:
            asked = self._asked[host, port] = _looked_up(host, port)
            asked.add_done_callback(lambda done: (self._asked.pop((host, port), None), done.exception()))
        return [
            ResolveResult(
                hostname=host, host=str(place[0]), port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, place in await asyncio.shield(asked)
        ]

    async def close(self) -> None:
        """Nothing is kept; a lookup that hangs is left behind."""


def _looked_up(host: str, port: int) -> asyncio.Future[list[Any]]:
    return apart("webhook-name", socket.getaddrinfo, host, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
