"""Commands of streams by who has a right to some of what there is: each is judged as the line of a batch that it becomes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import msgspec
import structlog

from gateway.identity.grants import Principal
from gateway.protocol.submits import Failed, Request, Told
from gateway.proxy.checked_batch import CheckedBatch, Line, told_of
from gateway.proxy.checked_commands import NOT_LOOKED_UP, NotLookedUp
from gateway.proxy.commands import CommandDoor

_log = structlog.get_logger(__name__)
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode
_encode: Final = msgspec.json.Encoder().encode


class CheckedSubmits:
    """In the place of the door for commands."""

    def __init__(self, door: CommandDoor, batch: CheckedBatch) -> None:
        self._door = door
        self._batch = batch

    async def ask(self, request: Request) -> list[Told]:
        """What became of each submit of it. Raises nothing: whatever fails is told as that."""
        whose = request.whose
        if whose is not None and whose.may_everything:
            return await self._door.ask(request)
        try:
            if whose is None:
                raise AssertionError("a stream at which nobody is says nothing")
            judged = await self._batch.judge(whose, [bytes(command) for command in request.commands])
        except NotLookedUp:
            return [Failed("upstream_unavailable", NOT_LOOKED_UP)] * len(request.ids)
        except Exception:
            _log.exception("submit_not_judged")
            return [Failed("internal", NOT_LOOKED_UP)] * len(request.ids)
        told = await self._door.ask(request._replace(commands=[msgspec.Raw(line.passed) for line in judged]))
        lines = iter(judged)
        return [_shown(whose, each, islice(lines, count)) for each, count in zip(told, request.counts, strict=True)]


def _shown(principal: Principal, told: Told, lines: Iterator[Line]) -> Told:
    """Of one submit."""
    if isinstance(told, Failed):
        list(lines)  # they are behind it
        return told
    return [_encode(told_of(principal, _decode(result), line)) for result, line in zip(told, lines, strict=True)]
