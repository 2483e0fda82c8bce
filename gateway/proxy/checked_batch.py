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
from gateway.identity.commands_allowed import unclear
from gateway.identity.grants import Principal
from gateway.identity.owners import TooManyNames
from gateway.identity.requests_allowed import Asked
from gateway.identity.shown import shown_to
from gateway.proxy.asgi import Receive, Scope, Send, said_again
from gateway.proxy.checked_commands import CheckedCommands, OutcomeCut, in_time, with_body
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
                judged = await self.judge(principal, lines_of(body))
            except TooManyNames as refused:
                raise Malformed("body_too_large", "body", str(refused)) from None
            passed = b"\n".join([*(line.passed for line in judged), b""])
            inner = with_body(scope, passed)
            try:
                answer = await whole_answer(lambda send: self._proxy(inner, said_again(passed, receive), send))
            except CutShort:
                raise OutcomeCut from None
            await _answered(answer, judged).send(send)
        finally:
            incoming.give_back()

    async def judge(self, principal: Principal, lines: Sequence[bytes]) -> list[Line]:
        """Of each line what goes further, in order. Raises NotLookedUp, TooManyNames."""
        return await in_time(self._judged(principal, lines))

    async def _judged(self, principal: Principal, lines: Sequence[bytes]) -> list[Line]:
        """Whose the accounts of all lines are is asked once, which takes reading all of them first."""
        asked = [_asked(line) async for line in in_turns(lines)]
        if principal.owners:
            unclear_of = [unclear(principal, each) for each in asked if not isinstance(each, dict)]
            needed, wished = ([name for each in unclear_of for name in each[at]] for at in (0, 1))
            principal = await self._commands.owners.knowing(principal, needed, wished)
        commands = iter(asked)
        judged: list[Line] = []
        async for line in in_turns(lines):
            command = next(commands)
            if isinstance(command, dict):
                judged.append(Line(NO_COMMAND, command, True, principal))
                continue
            may, reads_all, knowing = await self._commands.judge(principal, command)
            if not may:
                judged.append(Line(NO_COMMAND, problem_document("forbidden"), True, principal))
                continue
            judged.append(Line(line, None, reads_all, knowing))
        return judged


def _asked(line: bytes) -> Open | Command | dict[str, Any]:
    """What a line asks, or why it asks nothing."""
    try:
        return asked_by(line)
    except Malformed as refusal:
        return malformed_document(refusal)


def _answered(answer: WholeAnswer, judged: Sequence[Line]) -> WholeAnswer:
    """Line n of the answer tells line n of the request."""
    if answer.status != 200:
        return answer
    results = msgspec.json.Decoder(dict[str, Any]).decode_lines(answer.body)
    told = [told_of(result, line) for result, line in zip(results, judged, strict=True)]
    return answer._replace(body=msgspec.json.Encoder().encode_lines(told))


def told_of(result: dict[str, Any], line: Line) -> dict[str, Any]:
    """What is told of a line. result: what the write side says of what was passed on."""
    return shown_to(line.principal, result, reads_all=line.reads_all) if line.refused is None else line.refused
