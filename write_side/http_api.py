"""The write side's HTTP edge: bodies to commands, one submission a request, answers and refusals to JSON.

Plain ASGI endpoints on a FastAPI application: a request costs one read, one strict parse and one write, and nothing but
`command_bodies.py` and the files that it names decides what is accepted.  What a client sent is never echoed and never logged.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Awaitable, Callable
from functools import partial
from time import perf_counter
from typing import Final, Protocol

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response as StarletteResponse
from starlette.routing import Route

from fanfold.api.malformed import Malformed
from fanfold.api.openapi import side_document
from fanfold.api.problems import PROBLEMS
from fanfold.api.reading import Members, body_about, hold_body, open_body, transfer_body
from fanfold.api.requests import BODY_BYTES_MAX, Capture, Change, Reverse, Void
from fanfold.api.requests import Command as Asked
from fanfold.api.strict_json import parse_object
from write_side.asked_commands import command_of
from write_side.batch_door import BatchDoor, BatchIntake
from write_side.contract.answers import Answer
from write_side.contract.atoms import parse_account
from write_side.contract.log import LogFailed
from write_side.http_answers import JSON, Response, Send, json_response, malformed_document, problem, send
from write_side.http_metrics import OTHER, HttpMetrics
from write_side.intake import Overloaded, Stopping
from write_side.ledger.commands import Command
from write_side.outcomes import OutcomeUnknown, PartitionUnavailable
from write_side.prefer_header import wait_preference
from write_side.request_body import (
    ClientGone,
    Headers,
    Receive,
    Scope,
    media_type,
    read_body,
    read_headers,
    refuse_query,
)

ACCOUNTS: Final = "/v1/accounts/"
TRANSFERS: Final = "/v1/transfers/"
REVERSE: Final = "/reverse"
HOLDS: Final = "/v1/holds/"
CAPTURE: Final = "/capture"
VOID: Final = "/void"

_LOGGER = logging.getLogger(__name__)


Standing = Callable[[], dict[str, dict[str, object]]]
"""By partition: `reason` is why it does not serve, None while it does."""


class Intake(BatchIntake, Protocol):
    """What this edge needs of `write_side/intake.py`."""

    async def dry_run(self, command: Command) -> Answer:
        """What `submit` would answer now, marked `dry_run`; nothing reaches the log. Raises Overloaded and Stopping."""
        ...


def create_app(
    intake: Intake,
    *,
    registry: CollectorRegistry,
    ready: Callable[[], list[str]],
    standing: Standing = dict,
    told_ready: Callable[[], dict[str, object]] = dict,
) -> FastAPI:
    """The application. `ready` gives the reasons why no request would be answered, none when one would; `standing` how each
    partition does; `told_ready` what else it says when it is ready."""
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
    doors = _Doors(intake)

    def answer_metrics() -> Response:
        return Response(200, CONTENT_TYPE_LATEST.encode(), generate_latest(registry))

    document = json_response(200, side_document("write"))
    for path, methods, handle in (
        ("/v1/transfers", ["POST"], doors.transfer),
        ("/v1/transfers:batch", ["POST"], BatchDoor(intake, metrics)),
        (TRANSFERS + "{transfer:path}" + REVERSE, ["POST"], doors.reverse),
        ("/v1/holds", ["POST"], doors.hold),
        (HOLDS + "{hold:path}" + CAPTURE, ["POST"], doors.capture),
        (HOLDS + "{hold:path}" + VOID, ["POST"], doors.void),
        (ACCOUNTS + "{account:path}", ["PUT", "PATCH"], doors.account),
        ("/healthz", ["GET"], _answering(lambda: json_response(200, {"status": "alive"}))),
        ("/readyz", ["GET"], _answering(lambda: _readiness(ready(), standing(), told_ready()))),
        ("/metrics", ["GET"], _answering(answer_metrics)),
        ("/openapi.json", ["GET"], _answering(lambda: document)),
    ):
        route = Route(path, _Endpoint(path.replace(":path", ""), handle, metrics), methods=methods)
        route.path_regex = re.compile(
            route.path_regex.pattern, re.DOTALL
        )  # a line break is a malformed id, not another address
        app.router.routes.append(route)
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
            response = json_response(PROBLEMS[refusal.code].status, malformed_document(refusal))
        except Overloaded:
            response = problem("overloaded")
        except Stopping:
            response = problem("stopping")
        except PartitionUnavailable as unavailable:
            response = partition_stopped(unavailable)
        except (OutcomeUnknown, LogFailed):  # a log that does not answer may have what was asked
            response = problem("outcome_unknown")
        except Exception as failure:
            _log_failure(self._route, failure)
            response = problem("internal")
        self._metrics.answered(self._route, response.status, perf_counter() - started)
        await send(send_message, response)


class _Doors:
    """The addresses where single commands come in."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def account(self, scope: Scope, receive: Receive) -> Response:
        # Not the router's parameter: its pattern lets a newline at the end pass and drops it.
        refuse_query(scope.get("query_string", b""))
        account = parse_account(scope["path"].partition(ACCOUNTS)[2])
        if scope["method"] == "PATCH":
            return await self._command(scope, receive, partial(body_about, Change, account))
        command = command_of(open_body(account, parse_object(await _body(read_headers(scope["headers"]), receive))))
        try:
            (answer,) = await self._intake.submit((command,))
        except OutcomeUnknown:
            return problem("outcome_unknown", account=account)
        return json_response(answer.status, answer.document)

    async def transfer(self, scope: Scope, receive: Receive) -> Response:
        return await self._command(scope, receive, transfer_body)

    async def hold(self, scope: Scope, receive: Receive) -> Response:
        return await self._command(scope, receive, hold_body)

    async def capture(self, scope: Scope, receive: Receive) -> Response:
        return await self._command(scope, receive, partial(body_about, Capture, _about(scope, HOLDS, CAPTURE)))

    async def void(self, scope: Scope, receive: Receive) -> Response:
        return await self._command(scope, receive, partial(body_about, Void, _about(scope, HOLDS, VOID)))

    async def reverse(self, scope: Scope, receive: Receive) -> Response:
        return await self._command(scope, receive, partial(body_about, Reverse, _about(scope, TRANSFERS, REVERSE)))

    async def _command(
        self, scope: Scope, receive: Receive, read: Callable[[Members, str | None], tuple[Asked, bool]]
    ) -> Response:
        refuse_query(scope.get("query_string", b""))
        headers = read_headers(scope["headers"])
        wait_s = wait_preference(scope["headers"])
        members = parse_object(await _body(headers, receive))
        key = headers.get(b"idempotency-key")
        asked, dry_run = read(members, None if key is None else key.decode("latin-1"))
        command = command_of(asked)
        try:
            if dry_run:
                answer = await self._intake.dry_run(command)
            else:
                (answer,) = await self._intake.submit((command,), wait_s=wait_s)
        except OutcomeUnknown:
            return problem("outcome_unknown", id=asked.id)
        return json_response(answer.status, answer.document)


async def _body(headers: Headers, receive: Receive) -> bytes:
    media_type(headers, JSON)
    return await read_body(headers, receive, bytes_max=BODY_BYTES_MAX)


def _about(scope: Scope, before: str, behind: str) -> str:
    """What the path names between its fixed parts, as the client wrote it (see `_Doors.account`)."""
    path: str = scope["path"]
    return path.removeprefix(before).removesuffix(behind)


def _answering(make: Callable[[], Response]) -> Handle:
    async def handle(_scope: Scope, _receive: Receive) -> Response:
        return make()

    return handle


def _readiness(not_ready: list[str], standing: dict[str, dict[str, object]], told: dict[str, object]) -> Response:
    if not_ready:
        progress = {number: said["progress"] for number, said in standing.items() if "progress" in said}
        starting = {"partitions": progress} if progress else None
        return problem("not_ready", ready=False, reasons=not_ready, partitions=standing or None, starting=starting)
    away = [f"partition {number}: {said['reason']}" for number, said in standing.items() if said["reason"] is not None]
    status = "degraded" if away else "ready"
    partitions = {"degraded": away, "partitions": standing} if standing else {}
    return json_response(200, {"status": status} | partitions | told)


def partition_stopped(unavailable: PartitionUnavailable) -> Response:
    """The refusal of a partition that does not serve: which one, why, and that nothing was done."""
    if unavailable.is_starting:
        return problem("starting", detail=f"This request was not taken. {PROBLEMS['starting'].detail}")
    return problem("partition_stopped", partition=unavailable.partition, reason=unavailable.reason)


async def _refuse_request(request: Request, refusal: Exception) -> StarletteResponse:
    """What the framework itself refuses: an address or a method that is not there."""
    status = refusal.status_code if isinstance(refusal, HTTPException) else 400
    word = {404: "not_found", 405: "method_not_allowed"}.get(status, "body_malformed")
    response = problem(word)
    request.app.state.metrics.answered(OTHER, response.status, 0.0)
    # The router keeps methods as a set, whose order is another one in each process.
    headers: dict[str, str] = getattr(refusal, "headers", None) or {}
    allowed = {name: ", ".join(sorted(value.split(", "))) for name, value in headers.items()}
    return StarletteResponse(response.body, response.status, allowed, response.content_type.decode())


async def _fail_request(request: Request, failure: Exception) -> StarletteResponse:
    _log_failure(OTHER, failure)
    response = problem("internal")
    return StarletteResponse(response.body, response.status, None, response.content_type.decode())


def _log_failure(route: str, failure: Exception) -> None:
    """Where it failed and with what kind of exception; its message is left out, for it may hold what the client sent."""
    places = ", ".join(f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(failure.__traceback__))
    _LOGGER.error("request to %s failed: %s at %s", route, type(failure).__name__, places)
