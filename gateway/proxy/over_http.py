"""A side in another process, over HTTP.

Whoever asks something holds a place while it is under way (`places.py`). What could hold one for ever does not: a client that
leaves cancels its request, one that sends a small body slowly has no place until the body is there, large bodies have places of
their own, so have reads that say what they wait for, a client that takes nothing of its answer is cut off, and all of it has an
end in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import aiohttp
import structlog
from yarl import URL

from fanfold.doors.query_names import naming
from fanfold.doors.security_headers import ALWAYS, POLICY
from gateway.arrivals.forwarded import forwarded_by_us
from gateway.arrivals.trace import REQUEST_ID
from gateway.proxy.asgi import Receive, Scope, Send
from gateway.proxy.circuit import Circuit
from gateway.proxy.places import NoPlace, Places
from gateway.proxy.retry_budget import RetryBudget
from gateway.proxy.upstream import HOP_BY_HOP, Crowded, NoAnswerInTime, NotSent, UpstreamUnavailable

REQUESTS_MAX: Final = 256
"""Requests under way to a side at once, and as many questions of the gateway itself; more wait for `upstream_connect_ms`."""

LARGE_REQUESTS_MAX: Final = 128
"""The same for bodies that are passed on while they come: a client that sends slowly keeps only others like it waiting."""

READS: Final = frozenset({"GET", "HEAD"})

_waits: Final = naming("min_position", "min_version", "after_version")

PATIENT_REQUESTS_MAX: Final = 128
"""The same for reads that say what they wait for: a client may say what never comes, and keeps only others like it waiting."""

GATHERED_BYTES_MAX: Final = 64 * 1024
"""A declared body up to here is gathered before the side is asked; the server holds that much of a body anyway."""

CHUNK_BYTES: Final = 64 * 1024
"""Bytes of an answer passed on at once."""

_NOT_PASSED_BACK: Final = HOP_BY_HOP | {REQUEST_ID} | {name for name, _ in (*ALWAYS, POLICY)}
"""Of an answer: what the public door says itself, and what said twice would mean nothing to a browser."""

_log = structlog.get_logger(__name__)


class OverHttp:
    """`Upstream` for a side in another process. Connects at the first request."""

    def __init__(
        self,
        url: str,
        connect_ms: int,
        silence_ms: int,
        circuit: Circuit | None = None,
        *,
        total_ms: int | None = None,
    ) -> None:
        """circuit: of the side; None: it is asked whatever it did before. total_ms: of one request, with its answer; None: as
        long as something comes."""
        self._total_s = None if total_ms is None else total_ms / 1000
        self._circuit = circuit
        self._budget = RetryBudget()
        self._connect_s = connect_ms / 1000
        self._base = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=connect_ms / 1000, sock_connect=connect_ms / 1000, sock_read=silence_ms / 1000
        )
        self._silence_s = silence_ms / 1000
        self._small = Places(REQUESTS_MAX, connect_ms)
        self._large = Places(LARGE_REQUESTS_MAX, connect_ms)
        self._patient = Places(PATIENT_REQUESTS_MAX, connect_ms)
        self._questions = Places(REQUESTS_MAX, connect_ms)
        self._client: aiohttp.ClientSession | None = None

    def _session(self) -> aiohttp.ClientSession:
        if self._client is None:
            self._client = aiohttp.ClientSession(
                timeout=self._timeout,
                connector=aiohttp.TCPConnector(limit=0),  # the places are the limit
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
            )
            # It repeats PUT as well, and when the second try finds nobody, it says that nobody was found: a write that may have
            # been made would be told as never sent.
            self._client._retry_connection = False
        return self._client

    def _url(self, raw_path: bytes, query: bytes) -> URL:
        """As the client wrote it: decoding and encoding again could name another account."""
        text = self._base + raw_path.decode("latin-1") + ("?" + query.decode("latin-1") if query else "")
        return URL(text, encoded=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._enter()
        declared = {
            name: value for name, value in scope["headers"] if name in (b"content-length", b"transfer-encoding")
        }
        small = (
            b"transfer-encoding" not in declared and int(declared.get(b"content-length", b"0")) <= GATHERED_BYTES_MAX
        )
        body = _Body(receive)
        gathered = None
        if small:
            try:
                gathered = b"".join([part async for part in body])
            except ConnectionResetError as gone:
                raise NotSent("the client went away") from gone
        places = self._patient if _waits(scope["query_string"]) else self._small if small else self._large
        exchange = self._exchange(scope, (gathered if small else aiter(body)) if declared else None, send, places)
        await _unless_left(exchange, body)

    async def _exchange(
        self, scope: Scope, body: bytes | AsyncIterator[bytes] | None, send: Send, places: Places
    ) -> None:
        """A request and its answer, in a place."""
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            # A body without a length is framed again here; the side's name is not the one that the client knows.
            if name not in (b"transfer-encoding", b"host")
        ]
        host = next((value for name, value in scope["headers"] if name == b"host"), None)
        told = forwarded_by_us(scope.get("client"), scope.get("scheme", "http"), host)
        if told is not None:
            headers.append(("forwarded", told))
        method, url = scope["method"], self._url(scope["raw_path"], scope["query_string"])
        started = False
        try:
            async with (
                asyncio.timeout(self._total_s),
                places.one(),
                self._asked(method, url, headers, body, is_read=method in READS) as response,
            ):
                answered = [
                    (name.lower(), value)
                    for name, value in response.raw_headers
                    if name.lower() not in _NOT_PASSED_BACK
                ]
                started = True
                await send({"type": "http.response.start", "status": response.status, "headers": answered})
                async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                    async with asyncio.timeout(self._silence_s):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b""})
        except NoPlace as full:
            raise Crowded("no place") from full
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if not started:
                raise _told(error) from error
            # The answer is half sent: returning without its end makes the server cut the connection, which says so.
            _log.warning("answer_cut_short", reason=type(error).__name__)

    async def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        headers = [("content-type", "application/json")] if body is not None else []
        path, _, query = path.partition("?")
        await self._enter()
        try:
            async with (
                self._questions.one(),
                # Whatever the gateway asks for itself is a read.
                self._asked(method, self._url(path.encode(), query.encode()), headers, body, is_read=True) as response,
            ):
                return response.status, await response.read()
        except NoPlace as full:
            raise Crowded("no place") from full
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise _told(error) from error

    @asynccontextmanager
    async def _asked(
        self,
        method: str,
        url: URL,
        headers: Iterable[tuple[str, str]],
        body: bytes | AsyncIterator[bytes] | None,
        *,
        is_read: bool,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, from its head on. What only reads, and has no answer because its connection ended, is asked a second time
        while the budget lasts: a connection that nothing was asked over for a while may end at any moment."""
        self._budget.asked()
        request = partial(
            self._session().request,
            method,
            url,
            headers=list(headers),
            data=body,
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
        )
        try:
            try:
                response = await request()
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as ended:
                again = is_read and not _is_unsent(ended) and not isinstance(body, AsyncIterator)
                if not again or not self._budget.take():
                    raise
                response = await request()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if self._circuit is not None and (_is_unsent(error) or not isinstance(body, AsyncIterator)):
                self._circuit.failed()  # of a body that comes from a client, the client may be what failed
            raise
        if self._circuit is not None:
            self._circuit.answered()
        async with response:
            yield response

    async def _enter(self) -> None:
        """Raises CircuitOpen."""
        if self._circuit is not None:
            await self._circuit.enter(self._is_there)

    async def _is_there(self) -> bool:
        """Whether the side answers a question that costs it nothing, whatever it says, in the time that a connection may take."""
        try:
            async with asyncio.timeout(self._connect_s), self._session().get(self._url(b"/healthz", b"")):
                return True
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False

    async def close(self) -> None:
        if self._circuit is not None:
            await self._circuit.close()
        if self._client is not None:
            await self._client.close()


def _told(error: Exception) -> UpstreamUnavailable:
    """Who never got a connection has sent nothing."""
    if _is_unsent(error):
        return NotSent(type(error).__name__)
    return (NoAnswerInTime if isinstance(error, TimeoutError) else UpstreamUnavailable)(type(error).__name__)


def _is_unsent(error: Exception) -> bool:
    return isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


class _Body:
    """A client's body as it comes; `read` is set once all of it was."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.read = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                # Never end a body early as if it were whole.
                raise ConnectionResetError("the client went away")
            if message.get("body"):
                yield message["body"]
            if not message.get("more_body", False):
                self.read.set()
                return

    async def left(self) -> None:
        """Until the client is gone. While the body is being read, who reads it notices that."""
        await self.read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _unless_left(exchange: Awaitable[None], body: _Body) -> None:
    """Do the exchange, but no longer than its client is there: nobody else wants the answer, and others want the place."""
    asking, leaving = asyncio.ensure_future(exchange), asyncio.ensure_future(body.left())
    try:
        await asyncio.wait({asking, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if asking.done():
            await asking
    finally:
        for task in (asking, leaving):
            task.cancel()
        await asyncio.gather(asking, leaving, return_exceptions=True)
