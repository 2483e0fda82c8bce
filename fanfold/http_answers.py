"""A request over HTTP that is sent again, unchanged, while there is no answer to it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TypeVar

import aiohttp
import msgspec

from fanfold.answers import Refusal, refusal_of
from fanfold.api.problems import NOT_TAKEN
from fanfold.api.retry import ASKED_AGAIN, retry
from fanfold.http_requests import bearer
from fanfold.not_answered import ATTEMPTS_MAX, WAITS, NotAnswered

REQUEST_SECONDS_MAX: Final = 30.0
"""Longer than the service waits for an outcome (10 s), so its own answer comes first."""

T = TypeVar("T")


class Reply(NamedTuple):
    """What was answered, as it came."""

    status: int
    body: bytes

    def document(self) -> dict[str, Any]:
        """The body as a JSON object; empty when it is none (a proxy's own page, say)."""
        try:
            document = msgspec.json.decode(self.body)
        except msgspec.DecodeError:
            return {}
        return document if isinstance(document, dict) else {}


class Http:
    """Requests to one gateway. token: "" where nobody asks for one."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=REQUEST_SECONDS_MAX), headers=bearer(token)
        )

    async def close(self) -> None:
        await self._session.close()

    async def ask(self, method: str, path: str, read: Callable[[Mapping[str, Any]], T], **request: Any) -> T | Refusal:
        answer = await self.send(method, path, **request)
        document = answer.document()
        if answer.status >= 400 or document.get("result") == "refused":
            return refusal_of(document, int(document.get("status", answer.status)))
        with self.understanding():
            return read(document)

    @contextmanager
    def understanding(self) -> Iterator[None]:
        """An answer that is no wallet service's (a proxy's own page, say) says nothing about what was asked."""
        try:
            yield
        except (KeyError, TypeError, ValueError, AttributeError, msgspec.DecodeError):
            raise NotAnswered(f"{self._url}: its answer is not a wallet service's.") from None

    async def send(self, method: str, path: str, **request: Any) -> Reply:
        """One request, sent again with the same content while there is no answer, or only a 5xx or one of ASKED_AGAIN."""

        async def once() -> Reply:
            try:
                async with self._session.request(method, self._url + path, **request) as response:
                    reply = Reply(response.status, await response.read())
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                # Without a connection nothing of the request has left.
                unsent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
                raise NotAnswered(f"it cannot be reached ({type(error).__name__})", not_taken=unsent) from error
            if reply.status < 500 and reply.status not in ASKED_AGAIN:
                return reply
            document = reply.document()
            # Of a partition that stopped, it is the reason that tells what to do.
            reason = f" ({document['reason']})" if document.get("reason") else ""
            raise NotAnswered(
                f"{document.get('title') or 'it is not available'}{reason}",
                problem=document if "code" in document else None,
                not_taken=document.get("code") in NOT_TAKEN,
            )

        failures: list[NotAnswered] = []
        try:
            return await retry(once, NotAnswered, WAITS, asyncio.sleep, failures.append, ATTEMPTS_MAX, random.random)
        except NotAnswered as last:
            told = f"{self._url}: {last}, after {ATTEMPTS_MAX} attempts."
            not_taken = all(failure.not_taken for failure in failures)
            raise NotAnswered(told, problem=last.problem, not_taken=not_taken) from None


def waiting(seconds: int | None) -> dict[str, Any]:
    """How a request says how long it waits, and that it must not be given up before."""
    if seconds is None:
        return {}
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS_MAX + seconds)
    return {"headers": {"prefer": f"wait={seconds}"}, "timeout": timeout}
