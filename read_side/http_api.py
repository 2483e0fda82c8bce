"""The read side's HTTP edge: strict parameters to questions, answers and refusals to JSON.

Plain ASGI endpoints on a FastAPI application, as on the write side: a balance costs one read of the view and one encode.
What a client sent is never echoed and never logged.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Any, Final, NamedTuple

import msgspec
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response as StarletteResponse
from starlette.routing import Route

from fanfold.api.malformed import Malformed
from fanfold.api.openapi import side_document
from fanfold.api.problems import PROBLEMS, problem_document
from fanfold.api.queries import BALANCES_MAX, OLDER_THAN_S_MAX, OPEN, TRANSFERS_DEFAULT, TRANSFERS_MAX
from read_side.health import Health
from read_side.http_answers import (
    JSON,
    WANTED,
    Message,
    Receive,
    Response,
    Scope,
    Send,
    json_response,
    number,
    parameters,
    problem,
    send,
    wanted,
)
from read_side.queries import Balances
from read_side.questions import Ambiguous, NotFound, NotReached, Unanswerable
from read_side.read_metrics import OTHER, HttpMetrics
from read_side.system_document import system_document
from read_side.transfer_documents import parse_partitions, parse_phases
from read_side.transfers import Transfers
from write_side.contract.answers import format_time
from write_side.contract.atoms import parse_account, parse_asset, parse_transfer_id
from write_side.contract.log import LogFailed

ACCOUNTS: Final = "/v1/accounts/"
TRANSFERS: Final = "/v1/transfers/"
BALANCES_BYTES_MAX: Final = 1024 * 1024
"""A gateway asks for what one socket may subscribe to; 10,000 ids of 64 characters are 670 KB."""

Handle = Callable[[Scope, Receive], Awaitable[Response]]
_log = structlog.get_logger(__name__)


class ReadDoors(NamedTuple):
    """What the edge answers from."""

    balances: Balances
    transfers: Transfers
    health: Health


def create_app(doors: ReadDoors, *, registry: CollectorRegistry) -> FastAPI:
    """The application."""
    app = FastAPI(
        title="fanfold read side",
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
    document = json_response(200, side_document("read"))
    edge = _Edge(doors, registry)
    for path, method, handle in (
        (ACCOUNTS + "{account:path}", "GET", edge.account),
        ("/v1/transfers", "GET", edge.transfers),
        (TRANSFERS + "{id:path}", "GET", edge.transfer),
        ("/v1/system", "GET", edge.system),
        ("/internal/balances", "POST", edge.balances),
        ("/healthz", "GET", edge.alive),
        ("/readyz", "GET", edge.ready),
        ("/metrics", "GET", edge.metrics),
        ("/openapi.json", "GET", _always(document)),
    ):
        route = path.replace(":path", "")
        found = Route(path, _Endpoint(route, handle, metrics), methods=[method])
        found.path_regex = re.compile(
            found.path_regex.pattern, re.DOTALL
        )  # a line break is a malformed id, not another address
        app.router.routes.append(found)
    return app


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
        except Malformed as refusal:
            response = problem(refusal.code, field=refusal.field, detail=f"{refusal.field} {refusal.detail}")
        except NotReached as held:
            response = problem(held.word, position=held.position, version=held.version)
        except Ambiguous:
            response = problem("id_ambiguous")
        except Unanswerable as refusal:
            response = problem(refusal.word, partitions=list(refusal.partitions) or None, reason=refusal.reason)
        except LogFailed as failure:
            response = problem("partition_unavailable", reason=str(failure))
        except Exception as failure:
            _log_failure(self._route, failure)
            response = problem("internal")
        self._metrics.answered(self._route, response.status, perf_counter() - started)
        await send(send_message, response, head=scope["method"] == "HEAD")


class _BalancesBody(msgspec.Struct, forbid_unknown_fields=True):
    accounts: list[str]
    min_position: str = ""
    wait_ms: int = 2_000


class _Edge:
    def __init__(self, doors: ReadDoors, registry: CollectorRegistry) -> None:
        self._doors = doors
        self._registry = registry

    async def account(self, scope: Scope, _receive: Receive) -> Response:
        # Not the router's parameter: its pattern lets a newline at the end pass and drops it.
        account = parse_account(scope["path"].partition(ACCOUNTS)[2])
        want = wanted(parameters(scope, _ACCOUNT_PARAMETERS))
        try:
            row, position = await self._doors.balances.account(account, want)
        except NotFound as nothing:
            return problem("account_not_found", position=nothing.positions)
        return json_response(200, row.document(position))

    async def transfer(self, scope: Scope, _receive: Receive) -> Response:
        transfer_id = parse_transfer_id(scope["path"].partition(TRANSFERS)[2])
        want = wanted(parameters(scope, WANTED))
        try:
            answer = await self._doors.transfers.outcome(transfer_id, want)
        except NotFound as nothing:
            return problem("transfer_not_found", position=nothing.positions, **_forgotten(nothing))
        # The reading succeeded, whatever became of the transfer: the document says that, as the answer to its POST did.
        return Response(200, JSON, msgspec.json.encode(answer.document))

    async def transfers(self, scope: Scope, _receive: Receive) -> Response:
        """Transfers across partitions that are under way, oldest first."""
        found = parameters(scope, _TRANSFERS_PARAMETERS)
        phases = parse_phases(found.get("phase", OPEN))
        older_than_s = number(found.get("older_than", "0"), "older_than", OLDER_THAN_S_MAX)
        limit = number(found.get("limit", str(TRANSFERS_DEFAULT)), "limit", TRANSFERS_MAX, least=1)
        text = found.get("partitions")
        partitions = None if text is None else parse_partitions(text, self._doors.balances.partitions)
        answer = await self._doors.transfers.under_way(phases, older_than_s, limit, wanted(found), partitions)
        return json_response(200, answer)

    async def system(self, scope: Scope, _receive: Receive) -> Response:
        found = parameters(scope, _SYSTEM_PARAMETERS)
        asset = parse_asset(found.get("asset"))
        return json_response(200, system_document(asset, await self._doors.balances.system(asset, wanted(found))))

    async def balances(self, scope: Scope, receive: Receive) -> Response:
        """For gateways: many balances, each partition's from one moment; null for an account that is not there as of it."""
        parameters(scope, frozenset())
        try:
            body = msgspec.json.decode(await _body(receive, BALANCES_BYTES_MAX), type=_BalancesBody)
        except msgspec.MsgspecError:
            raise Malformed(
                "body_malformed", "body", "must have accounts, and may have min_position and wait_ms"
            ) from None
        if len(body.accounts) > BALANCES_MAX:
            raise Malformed("body_too_large", "accounts", f"must not be more than {BALANCES_MAX}")
        accounts = [parse_account(account) for account in body.accounts]
        text = {"min_position": body.min_position} if body.min_position else {}
        want = wanted(text | {"wait_ms": str(body.wait_ms)})
        found = await self._doors.balances.many(accounts, want)
        documents = [None if each is None else each[0].document(each[1]) for each in found.rows]
        failed = [{"partition": p, "code": each.word} for each in found.failed for p in each.partitions]
        answer: dict[str, Any] = {"positions": found.positions, "accounts": documents}
        if found.undecided:
            answer["undecided"] = found.undecided
        if failed:
            answer["failed"] = failed
        return json_response(200, answer)

    async def alive(self, scope: Scope, _receive: Receive) -> Response:
        parameters(scope, frozenset())
        return json_response(200, {"status": "alive"})

    async def ready(self, scope: Scope, _receive: Receive) -> Response:
        parameters(scope, frozenset())
        document, reasons = self._doors.health.document(), self._doors.health.not_ready()
        if reasons:
            return json_response(503, problem_document("not_ready", reasons=reasons) | document)
        return json_response(200, {"status": "ready"} | document)

    async def metrics(self, scope: Scope, _receive: Receive) -> Response:
        parameters(scope, frozenset())
        return Response(200, CONTENT_TYPE_LATEST.encode(), generate_latest(self._registry))


_ACCOUNT_PARAMETERS: Final = WANTED | {"min_version"}
_TRANSFERS_PARAMETERS: Final = WANTED | {"phase", "older_than", "limit", "partitions"}
_SYSTEM_PARAMETERS: Final = WANTED | {"asset"}


def _forgotten(nothing: NotFound) -> dict[str, str]:
    """What is added to an unknown id that may have run so long ago that it is not remembered: that is not known to be nothing."""
    if nothing.forgotten_before_us is None:
        return {}
    since = format_time(nothing.forgotten_before_us)
    detail = (
        f"It is not among the ids remembered since {since}. One that was sent before may have moved money: `fanfold explain` "
        "with this id asks the whole log. The position tells up to where this is true."
    )
    return {"detail": detail, "remembered_since": since}


def _always(response: Response) -> Handle:
    async def answer(scope: Scope, _receive: Receive) -> Response:
        parameters(scope, frozenset())
        return response

    return answer


async def _body(receive: Receive, bytes_max: int) -> bytes:
    """The whole body. Raises Malformed when it is too large; a client that hung up has sent nothing that decodes."""
    pieces: list[bytes] = []
    size, more = 0, True
    while more:
        message: Message = await receive()
        piece: bytes = message.get("body", b"")
        size += len(piece)
        if size > bytes_max:
            raise Malformed("body_too_large", "body", f"must not be larger than {bytes_max} bytes")
        pieces.append(piece)
        more = message["type"] == "http.request" and message.get("more_body", False)
    return b"".join(pieces)


async def _refuse_request(request: Request, refusal: Any) -> StarletteResponse:
    """What no endpoint took: an unknown address, or a method an address does not have."""
    word = {404: "not_found", 405: "method_not_allowed"}.get(getattr(refusal, "status_code", 400), "body_malformed")
    request.app.state.metrics.answered(OTHER, PROBLEMS[word].status, 0.0)
    response = problem(word)
    headers = getattr(refusal, "headers", None)
    return StarletteResponse(response.body, response.status, headers, response.content_type.decode())


async def _fail_request(_request: Request, failure: Exception) -> StarletteResponse:
    _log_failure(OTHER, failure)
    response = problem("internal")
    return StarletteResponse(response.body, response.status, None, response.content_type.decode())


def _log_failure(route: str, failure: Exception) -> None:
    """Where it failed, without the values: a message could hold what a client sent."""
    places: Sequence[str] = [
        f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(failure.__traceback__)
    ]
    _log.error("request failed", route=route, failure=type(failure).__name__, places=places)
