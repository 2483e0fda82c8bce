"""Commands of streams by who has a right to some of what there is: each is judged as the line of a batch that it becomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Final

import msgspec
import structlog

from gateway.identity.grants import Principal
from gateway.identity.owners import NotLookedUp, TooManyNames
from gateway.protocol.submits import Failed, Request, Told
from gateway.proxy.checked_batch import CheckedBatch, Line, told_of
from gateway.proxy.checked_commands import NOT_LOOKED_UP
from gateway.proxy.commands import CommandDoor
from gateway.proxy.reverse_proxy import SHUT_OUT

_log = structlog.get_logger(__name__)
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder().encode


class CheckedSubmits:
    """In the place of the door for commands."""

    def __init__(self, door: CommandDoor, batch: CheckedBatch, may_still: Callable[[Principal], bool]) -> None:
        self._door = door
        self._batch = batch
        self._may_still = may_still

    async def ask(self, request: Request) -> list[Told]:
        """What became of each submit of it. Raises nothing: whatever fails is told as that."""
        whose = request.whose
        try:
            if whose is None:
                raise AssertionError("a stream at which nobody is says nothing")
            if whose.may_everything:
                return await self._passed_on(request, whose)
            judged = await self._batch.judge(whose, [bytes(command) for command in request.commands])
        except NotLookedUp:
            return [Failed("upstream_unavailable", NOT_LOOKED_UP)] * len(request.ids)
        except TooManyNames as refused:
            return [Failed("body_too_large", f"Nothing was done: {refused}.")] * len(request.ids)
        except Exception:
            _log.exception("submit_not_judged")
            return [Failed("internal", NOT_LOOKED_UP)] * len(request.ids)
        told = await self._passed_on(request._replace(commands=[msgspec.Raw(line.passed) for line in judged]), whose)
        lines = iter(judged)
        return [_shown(each, islice(lines, count)) for each, count in zip(told, request.counts, strict=True)]

    async def _passed_on(self, request: Request, whose: Principal) -> list[Told]:
        """Unless they were shut out while it was looked at, or waited."""
        if not self._may_still(whose):
            return [Failed("token_invalid", SHUT_OUT)] * len(request.ids)
        return await self._door.ask(request)


def _shown(told: Told, lines: Iterator[Line]) -> Told:
    """Of one submit."""
    if isinstance(told, Failed):
        list(lines)  # they are behind it
        return told
    return [_encode(told_of(_decode(result), line)) for result, line in zip(told, lines, strict=True)]
