"""The write side's HTTP edge: bodies to commands, one submission a request, answers and refusals to JSON.

Plain ASGI endpoints on a FastAPI application: a request costs one read, one strict parse and one write, and nothing but
this file and `command_bodies.py` decides what is accepted.  What a client sent is never echoed and never logged.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from time import perf_counter
from typing import Final, Protocol

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response as StarletteResponse
from starlette.routing import Route

from write_side.command_bodies import batch_item, open_account, transfer
from write_side.contract.answers import Answer
from write_side.contract.atoms import Malformed, format_transfer_id, parse_account
from write_side.contract.codes import PROBLEMS, problem_document
from write_side.http_answers import JSON, NDJSON, Response, Send, encode_lines, json_response, problem, send
from write_side.http_metrics import OTHER, HttpMetrics
from write_side.intake import Overloaded, Stopping
from write_side.ledger.commands import Command
from write_side.openapi import describe
from write_side.outcomes import OutcomeUnknown
from write_side.request_body import ClientGone, Receive, Scope, read_body, read_headers
from write_side.strict_json import parse_object

BODY_BYTES_MAX: Final = 16 * 1024
"""One command: some 200 bytes, 700 with the longest ids and owner. The rest is room for spaces and for escapes."""

BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
BATCH_LINES_MAX: Final = 8_192
"""As many commands as a block holds: a larger batch would only wait in pieces. 8 MiB leaves 1 KiB a line."""

ACCOUNTS: Final = "/v1/accounts/"

LINES_A_TURN: Final = 256
"""Lines of a batch parsed, or answers written, before other requests get a turn: some 2 ms."""

_LOGGER = logging.getLogger(__name__)


class Intake(Protocol):
    """What this edge needs of `write_side/intake.py`."""

    async def submit(self, commands: Sequence[Command]) -> list[Answer]:
        """One answer per command, in order, from the log. Raises Overloaded, Stopping and OutcomeUnknown."""
        ...


def create_app(intake: Intake, *, registry: CollectorRegistry, ready: Callable[[], list[str]]) -> FastAPI:
    """The application. `ready` gives the reasons why this process should not get requests yet, none when it should."""
    app = FastAPI(
        title="fanfold write side",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # It looks into the environment at every request, 12 us, and would report paths, which hold account ids.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        exception_handlers={
            HTTPException: _refuse_request,
            RequestValidationError: _refuse_request,
            Exception: _fail_request,
        },
    )
    metrics = HttpMetrics(registry)
    app.state.metrics = metrics
    doors = _Doors(intake, metrics)

    def answer_metrics() -> Response:
        return Response(200, CONTENT_TYPE_LATEST.encode(), generate_latest(registry))

    document = json_response(200, describe(body_bytes_max=BODY_BYTES_MAX, batch_lines_max=BATCH_LINES_MAX))
    for path, method, handle in (
        ("/v1/transfers", "POST", doors.transfer),
        ("/v1/transfers:batch", "POST", doors.batch),
        (ACCOUNTS + "{account:path}", "PUT", doors.open_account),
        ("/healthz", "GET", _answering(lambda: json_response(200, {"status": "alive"}))),
        ("/readyz", "GET", _answering(lambda: _readiness(ready()))),
        ("/metrics", "GET", _answering(answer_metrics)),
        ("/openapi.json", "GET", _answering(lambda: document)),
    ):
        route = path.replace(":path", "")
        app.router.routes.append(Route(path, _Endpoint(route, handle, metrics), methods=[method]))
    return app


Handle = Callable[[Scope, Receive], Awaitable[Response]]


class _Endpoint:
    """One address as an ASGI application: runs its handler and turns whatever it raises into a problem document."""

    def __init__(self, route: str, handle: Handle, metrics: HttpMetrics) -> None:
        self._route = route
        self._handle = handle
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send_message: Send) -> None:
        started = perf_counter()
        try:
            response = await self._handle(scope, receive)
        except ClientGone:
            return
        except Malformed as refusal:
            response = _malformed(refusal)
        except Overloaded:
            response = problem("overloaded")
        except Stopping:
            response = problem("stopping")
        except OutcomeUnknown:
            response = problem("outcome_unknown")
        except Exception as failure:
            _log_failure(self._route, failure)
            response = problem("internal")
        self._metrics.answered(self._route, response.status, perf_counter() - started)
        await send(send_message, response)


class _Doors:
    """The three addresses where commands come in."""

    def __init__(self, intake: Intake, metrics: HttpMetrics) -> None:
        self._intake = intake
        self._metrics = metrics

    async def open_account(self, scope: Scope, receive: Receive) -> Response:
        # Not the router's parameter: its pattern lets a newline at the end pass and drops it.
        account = parse_account(scope["path"].partition(ACCOUNTS)[2])
        body = await read_body(read_headers(scope["headers"]), receive, media_type=JSON, bytes_max=BODY_BYTES_MAX)
        try:
            (answer,) = await self._intake.submit((open_account(account, parse_object(body)),))
        except OutcomeUnknown:
            return problem("outcome_unknown", account=account)
        return json_response(answer.status, answer.document)

    async def transfer(self, scope: Scope, receive: Receive) -> Response:
        headers = read_headers(scope["headers"])
        body = await read_body(headers, receive, media_type=JSON, bytes_max=BODY_BYTES_MAX)
        key = headers.get(b"idempotency-key")
        command = transfer(parse_object(body), None if key is None else key.decode("latin-1"))
        try:
            (answer,) = await self._intake.submit((command,))
        except OutcomeUnknown:
            return problem("outcome_unknown", id=format_transfer_id(command.id))
        return json_response(answer.status, answer.document)

    async def batch(self, scope: Scope, receive: Receive) -> Response:
        body = await read_body(read_headers(scope["headers"]), receive, media_type=NDJSON, bytes_max=BATCH_BYTES_MAX)
        lines = _lines(body)
        del body
        self._metrics.batch(len(lines))
        commands, refused = await _parse(lines)
        answers = iter(await self._intake.submit(commands) if commands else ())
        return Response(200, NDJSON, await _render(len(lines), refused, answers))


async def _parse(lines: list[bytes]) -> tuple[list[Command], dict[int, dict[str, object]]]:
    """The commands of the good lines in order, and the refusals of the others by line."""
    commands: list[Command] = []
    refused: dict[int, dict[str, object]] = {}
    for number, line in enumerate(lines):
        if number % LINES_A_TURN == LINES_A_TURN - 1:
            await asyncio.sleep(0)
        try:
            commands.append(_item(line))
        except Malformed as refusal:
            refused[number] = _malformed_document(refusal)
    return commands, refused


async def _render(lines: int, refused: dict[int, dict[str, object]], answers: Iterator[Answer]) -> bytes:
    """A result for each line: its refusal or the next answer, for there is one for each line that was not refused."""
    pieces: list[bytes] = []
    for first in range(0, lines, LINES_A_TURN):
        turn = range(first, min(first + LINES_A_TURN, lines))
        pieces.append(encode_lines([refused.get(number) or _line(next(answers)) for number in turn]))
        await asyncio.sleep(0)
    return b"".join(pieces)


def _lines(body: bytes) -> list[bytes]:
    """The lines of a batch; the last one may or may not end in a newline. Raises Malformed."""
    lines = body.split(b"\n", BATCH_LINES_MAX + 1)
    if not lines[-1]:
        lines.pop()
    if not lines:
        raise Malformed("body_malformed", "body", "must have at least one line")
    if len(lines) > BATCH_LINES_MAX:
        raise Malformed("body_too_large", "body", f"must not have more than {BATCH_LINES_MAX} lines")
    return lines


def _item(line: bytes) -> Command:
    if len(line) > BODY_BYTES_MAX:
        raise Malformed("body_too_large", "body", f"a line must not be larger than {BODY_BYTES_MAX} bytes")
    return batch_item(parse_object(line))


def _line(answer: Answer) -> dict[str, object]:
    return {"status": answer.status} | answer.document


def _malformed(refusal: Malformed) -> Response:
    document = _malformed_document(refusal)
    return json_response(PROBLEMS[refusal.code].status, document)


def _malformed_document(refusal: Malformed) -> dict[str, object]:
    detail = f"{refusal.field} {refusal.detail}. {PROBLEMS[refusal.code].detail}"
    return problem_document(refusal.code, field=refusal.field, detail=detail)


def _answering(make: Callable[[], Response]) -> Handle:
    async def handle(_scope: Scope, _receive: Receive) -> Response:
        return make()

    return handle


def _readiness(reasons: list[str]) -> Response:
    return problem("not_ready", reasons=reasons) if reasons else json_response(200, {"status": "ready"})


async def _refuse_request(request: Request, refusal: Exception) -> StarletteResponse:
    """What the framework itself refuses: an address or a method that is not there."""
    status = refusal.status_code if isinstance(refusal, HTTPException) else 400
    word = {404: "not_found", 405: "method_not_allowed"}.get(status, "body_malformed")
    response = problem(word)
    request.app.state.metrics.answered(OTHER, response.status, 0.0)
    allowed = dict(getattr(refusal, "headers", None) or {})
    return StarletteResponse(response.body, response.status, allowed, response.content_type.decode())


async def _fail_request(request: Request, failure: Exception) -> StarletteResponse:
    _log_failure(OTHER, failure)
    response = problem("internal")
    return StarletteResponse(response.body, response.status, None, response.content_type.decode())


def _log_failure(route: str, failure: Exception) -> None:
    """Where it failed and with what kind of exception; its message is left out, for it may hold what the client sent."""
    places = ", ".join(f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(failure.__traceback__))
    _LOGGER.error("request to %s failed: %s at %s", route, type(failure).__name__, places)
