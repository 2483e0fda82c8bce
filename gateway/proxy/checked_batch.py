"""Batches by who has a right to some of what there is: a line that may not be done is a line that cannot be read, and its
answer says why. So what it means for the others is the mode's to say, as of any line that is refused at the door.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from fanfold.api.body_checks import batch_line, plain_transfer
from fanfold.api.malformed import Malformed
from fanfold.api.problems import problem_document
from fanfold.api.requests import BATCH_BYTES_MAX, BATCH_LINES_MAX, BODY_BYTES_MAX, Command, Open
from fanfold.api.strict_json import parse_object
from fanfold.doors.answer import ARROW, NDJSON, malformed_document
from fanfold.doors.incoming import Incoming
from fanfold.doors.request import media_type, read_body, read_headers
from gateway.identity.grants import Principal
from gateway.identity.requests_allowed import Asked
from gateway.identity.shown import shown_to
from gateway.proxy.checked_commands import CheckedCommands, OutcomeCut, in_time, with_body
from gateway.proxy.reverse_proxy import ReverseProxy
from gateway.proxy.upstream import Receive, Scope, Send
from gateway.proxy.whole_answer import CutShort, WholeAnswer, said_again, whole_answer

NO_COMMAND: Final = b"0"
"""In the place of a line that goes no further: no JSON object, so never a command of any version."""

BYTES_A_TURN: Final = 32 * 1024
"""What is looked at before others get a turn: some 1 ms."""
LINE_BYTES: Final = 128

COLUMNS: Final = (
    "is of Arrow, of which single rows are not looked at here. It is for who may do everything with every account; send lines of "
    "JSON"
)


class Line(NamedTuple):
    """passed: what is passed on. refused: the answer to a line that goes no further. reads_all: as of `Judged`."""

    passed: bytes
    refused: dict[str, Any] | None
    reads_all: bool


class CheckedBatch:
    """`POST /v1/transfers:batch`."""

    def __init__(self, proxy: ReverseProxy, commands: CheckedCommands) -> None:
        self._proxy = proxy
        self._commands = commands

    async def lines(self, principal: Principal, _: Asked, scope: Scope, receive: Receive, send: Send) -> None:
        """Raises as `CheckedCommands.one`, but Forbidden."""
        incoming = Incoming(receive, self._commands.budget)
        try:
            headers = read_headers(scope["headers"])
            given = media_type(headers, NDJSON, ARROW)
            body = await read_body(headers, incoming, bytes_max=BATCH_BYTES_MAX)
            if given == ARROW:
                raise Malformed("content_type_unsupported", "Content-Type", COLUMNS)
            judged = await self.judge(principal, _lines(body))
            passed = b"\n".join([*(line.passed for line in judged), b""])
            inner = with_body(scope, passed)
            try:
                answer = await whole_answer(lambda send: self._proxy(inner, said_again(passed, receive), send))
            except CutShort:
                raise OutcomeCut from None
            await _answered(principal, answer, judged).send(send)
        finally:
            incoming.give_back()

    async def judge(self, principal: Principal, lines: Sequence[bytes]) -> list[Line]:
        """Of each line what goes further, in order. Raises NotLookedUp."""
        return await in_time(self._judged(principal, lines))

    async def _judged(self, principal: Principal, lines: Sequence[bytes]) -> list[Line]:
        judged: list[Line] = []
        looked_at = 0
        for line in lines:
            looked_at += len(line) + LINE_BYTES
            if looked_at > BYTES_A_TURN:
                await asyncio.sleep(0)
                looked_at = len(line) + LINE_BYTES
            try:
                command = _command(line)
            except Malformed as refusal:
                judged.append(Line(NO_COMMAND, malformed_document(refusal), True))
                continue
            may, reads_all = await self._commands.judge(principal, command)
            if not may:
                judged.append(Line(NO_COMMAND, problem_document("forbidden"), True))
                continue
            judged.append(Line(line, None, reads_all))
        return judged


def _lines(body: bytes) -> list[bytes]:
    """Raises Malformed, as the write side says it."""
    lines = body.split(b"\n", BATCH_LINES_MAX + 1)
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise Malformed("body_malformed", "body", "must have at least one line")
    if len(lines) > BATCH_LINES_MAX:
        raise Malformed("body_too_large", "body", f"must not have more than {BATCH_LINES_MAX} lines")
    return lines


def _command(line: bytes) -> Open | Command:
    if len(line) > BODY_BYTES_MAX:
        raise Malformed("body_too_large", "body", f"a line must not be larger than {BODY_BYTES_MAX} bytes")
    return plain_transfer(line) or batch_line(parse_object(line))


def _answered(principal: Principal, answer: WholeAnswer, judged: Sequence[Line]) -> WholeAnswer:
    """Line n of the answer tells line n of the request."""
    if answer.status != 200:
        return answer
    results = msgspec.json.Decoder(dict[str, Any]).decode_lines(answer.body)
    told = [told_of(principal, result, line) for result, line in zip(results, judged, strict=True)]
    return answer._replace(body=msgspec.json.Encoder().encode_lines(told))


def told_of(principal: Principal, result: dict[str, Any], line: Line) -> dict[str, Any]:
    """What is told of a line. result: what the write side says of what was passed on."""
    return shown_to(principal, result, reads_all=line.reads_all) if line.refused is None else line.refused
