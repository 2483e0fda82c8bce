"""Commands of streams on their way to the write side: many lines as one request of its batch door, and a result for each.

No transfer across partitions is waited for (`Prefer: wait=0`): who waits for one would keep waiting whoever stands behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
import structlog

from fanfold.api.problems import NOT_TAKEN, PROBLEMS
from fanfold.api.routes import BATCH, NDJSON
from fanfold.doors.request import PRINCIPAL_NAME
from gateway.arrivals.trace import Trace
from gateway.identity.grants import Principal
from gateway.protocol.submits import Failed, Request, Told
from gateway.proxy.asgi import App, Message, Scope, nothing_more, own_request, said_again
from gateway.proxy.reverse_proxy import NEVER_SENT
from gateway.proxy.upstream import Crowded, NotSent, UpstreamUnavailable
from gateway.proxy.written import Written

OF_A_PARTITION: Final = frozenset({"partition_stopped", "starting"})
"""Why a request as a whole was not taken although another partition may take some of it."""

_UNKNOWN: Final = Failed("outcome_unknown", PROBLEMS["outcome_unknown"].detail, may_be_done=True)
_OF_ANOTHER_GATEWAY: Final = frozenset({"upstream_failed", "upstream_timeout"})
"""What one that is between here and the write side says of it. Streams have one code for all that may have been done."""
_log = structlog.get_logger(__name__)


class _Refused(Exception):
    """The write side took the request, and answered it as a whole."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.code)
        self.failed = failed


class CommandDoor:
    """write_side: an upstream, or what stands around one. silence_ms: how long it may take to answer."""

    def __init__(self, write_side: App, written: Written, silence_ms: int) -> None:
        self._write_side = write_side
        self._written = written
        self._silence_ms = silence_ms
        self._away = False

    async def ask(self, request: Request) -> list[Told]:
        """What became of each submit of it. Raises nothing: whatever fails is told as that."""
        try:
            told = request.shares(await self._asked(request))
        except _Refused as refused:
            if refused.failed.code in OF_A_PARTITION and len(request.ids) > 1:
                return await self._one_by_one(request)
            told = [refused.failed] * len(request.ids)
        except Exception:
            _log.exception("submit_failed")
            told = [_UNKNOWN] * len(request.ids)
        return told

    async def _one_by_one(self, request: Request) -> list[Told]:
        """Each submit alone, in order: what one of them names must not keep the others from being done. Those that could not be
        sent within `silence_ms` are not."""
        loop, told = asyncio.get_running_loop(), list[Told]()
        until_s = loop.time() + self._silence_ms / 1000
        for part in request.parts():
            told += await self.ask(part) if loop.time() < until_s else [Failed("overloaded", NEVER_SENT)]
        return told

    async def _asked(self, request: Request) -> Sequence[bytes]:
        """The results. Raises _Refused."""
        answer = _Answer(self._written)
        try:
            lines = request.lines
            async with asyncio.timeout(self._silence_ms / 1000):
                await self._write_side(
                    _request(len(lines), request.whose, request.named), said_again(lines, nothing_more), answer.take
                )
        except Crowded:
            raise _Refused(Failed("overloaded", NEVER_SENT)) from None
        except NotSent as gone:
            self._is_away(gone)
            raise _Refused(Failed("upstream_unavailable", NEVER_SENT)) from None
        except (UpstreamUnavailable, TimeoutError) as gone:
            self._is_away(gone)
            raise _Refused(_UNKNOWN) from None
        if self._away:
            self._away = False
            _log.info("commands_taken_again")
        if answer.status != 200:
            raise _Refused(_failed(answer))
        results = answer.body.split(b"\n")
        if not results[-1]:
            results.pop()
        if not answer.ended or len(results) != len(request.commands):
            raise _Refused(_UNKNOWN)
        return results

    def _is_away(self, gone: Exception) -> None:
        """Once, not for every request of an outage: the metrics count those."""
        if not self._away:
            self._away = True
            _log.warning("commands_not_taken", reason=str(gone) or type(gone).__name__)


class _Answer:
    """What the write side answers. Its position is noted before anybody hears of it."""

    def __init__(self, written: Written) -> None:
        self._written = written
        self._parts: list[bytes] = []
        self.status = 0
        self.ended = False

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._written.answered(message.get("headers", ()))
            return
        self._parts.append(message.get("body", b""))
        self.ended = not message.get("more_body", False)

    @property
    def body(self) -> bytes:
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)


def _request(size: int, whose: Principal | None, trace: Trace | None) -> Scope:
    headers = [(b"content-type", NDJSON.encode()), (b"content-length", b"%d" % size), (b"prefer", b"wait=0")]
    if whose is not None:
        headers.append((PRINCIPAL_NAME, whose.name.encode()))
    return own_request(BATCH.method, BATCH.path, headers if trace is None else [*headers, *trace.headers])


def _failed(answer: _Answer) -> Failed:
    """Of an answer to the request as a whole."""
    try:
        document = msgspec.json.decode(answer.body)
        code, detail = str(document["code"]), str(document["detail"])
    except (msgspec.DecodeError, TypeError, KeyError):
        return _UNKNOWN
    if code not in PROBLEMS or code in _OF_ANOTHER_GATEWAY:
        return _UNKNOWN
    return Failed(code, detail, may_be_done=answer.status >= 500 and code not in NOT_TAKEN)
