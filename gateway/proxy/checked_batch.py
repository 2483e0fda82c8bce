"""Batches by who has a right to some of what there is: a line that may not be done is a line that cannot be read, and its
answer says why. So what it means for the others is the mode's to say, as of any line that is refused at the door.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from fanfold.api.malformed import Malformed
from fanfold.api.problems import problem_document
from fanfold.api.requests import BATCH_BYTES_MAX, Command, Open
from fanfold.doors.answer import ARROW, NDJSON, malformed_document
from fanfold.doors.batch_lines import asked_by, in_turns, lines_of
from fanfold.doors.incoming import Incoming
from fanfold.doors.request import media_type, read_body, read_headers
from gateway.identity.grants import Principal
from gateway.identity.owners import TooManyNames
from gateway.identity.requests_allowed import Asked
from gateway.identity.shown import shown_to
from gateway.proxy.asgi import Receive, Scope, Send, said_again
from gateway.proxy.checked_commands import CheckedCommands, OutcomeCut, in_time, judged, with_body
from gateway.proxy.reverse_proxy import ReverseProxy
from gateway.proxy.whole_answer import CutShort, WholeAnswer, whole_answer

NO_COMMAND: Final = b"0"
"""In the place of a line that goes no further: no JSON object, so never a command of any version."""

COLUMNS: Final = (
    "is of Arrow, of which single rows are not looked at here. It is for who may do everything with every account; send lines of "
    "JSON"
)


class Line(NamedTuple):
    """passed: what is passed on. refused: the answer to a line that goes no further. reads_all, principal: as of `Judged`."""

    passed: bytes
    refused: dict[str, Any] | None
    reads_all: bool
    principal: Principal


class CheckedBatch:
    """`POST /v1/transfers:batch`."""

    def __init__(self, proxy: ReverseProxy, commands: CheckedCommands) -> None:
        self._proxy = proxy
        self._commands = commands

    async def lines(self, principal: Principal, _: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises as `CheckedCommands.one`, but Forbidden."""
        incoming = Incoming(receive, self._commands.budget, principal.name)
        try:
            headers = read_headers(scope["headers"])
            given = media_type(headers, NDJSON, ARROW)
            body = await read_body(headers, incoming, bytes_max=BATCH_BYTES_MAX)
            if given == ARROW:
                raise Malformed("content_type_unsupported", "Content-Type", COLUMNS)
            try:
                looked_at = await self.judge(principal, lines_of(body))
            except TooManyNames as refused:
                raise Malformed("body_too_large", "body", str(refused)) from None
            passed = b"\n".join([*(line.passed for line in looked_at), b""])
            inner = with_body(scope, passed)
            try:
                answer = await whole_answer(lambda send: self._proxy(inner, said_again(passed, receive), send))
            except CutShort:
                raise OutcomeCut from None
            await _answered(answer, looked_at).send(send)
        finally:
            incoming.give_back()

    async def judge(self, principal: Principal, lines: Sequence[bytes]) -> list[Line]:
        """Of each line what goes further, in order. Raises NotLookedUp, TooManyNames."""
        return await in_time(self._judged(principal, lines))

    async def _judged(self, principal: Principal, lines: Sequence[bytes]) -> list[Line]:
        """Whose the accounts of all lines are, and whom their ids are about, is asked at once, once all of them are read."""
        asked = [_asked(line) async for line in in_turns(lines)]
        known = await self._commands.known_of(principal, [each for each in asked if not isinstance(each, dict)])
        told, commands = list[Line](), iter(asked)
        async for line in in_turns(lines):
            command = next(commands)
            if isinstance(command, dict):
                told.append(Line(NO_COMMAND, command, True, principal))
                continue
            may, reads_all, knowing = judged(known, command)
            if not may:
                told.append(Line(NO_COMMAND, problem_document("forbidden"), True, principal))
                continue
            told.append(Line(line, None, reads_all, knowing))
        return told


def _asked(line: bytes) -> Open | Command | dict[str, Any]:
    """What a line asks, or why it asks nothing."""
    try:
        return asked_by(line)
    except Malformed as refusal:
        return malformed_document(refusal)


def _answered(answer: WholeAnswer, lines: Sequence[Line]) -> WholeAnswer:
    """Line n of the answer tells line n of the request."""
    if answer.status != 200:
        return answer
    results = msgspec.json.Decoder(dict[str, Any]).decode_lines(answer.body)
    told = [told_of(result, line) for result, line in zip(results, lines, strict=True)]
    return answer._replace(body=msgspec.json.Encoder().encode_lines(told))


def told_of(result: dict[str, Any], line: Line) -> dict[str, Any]:
    """What is told of a line. result: what the write side says of what was passed on."""
    return shown_to(line.principal, result, reads_all=line.reads_all) if line.refused is None else line.refused
