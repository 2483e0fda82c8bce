"""The OpenAPI 3.1 document of the service, or of one side of it: FastAPI makes it of the declared routes and classes.

The application that is made for it is never served: doors keep to the same declarations and cost less (DECISIONS.md, 4).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import Final

from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter
from pydantic.json_schema import PydanticJsonSchemaWarning

from fanfold.api import grammar
from fanfold.api.answer_headers import (
    HISTORY,
    HISTORY_MEANS,
    POSITION,
    POSITION_MEANS,
    REPLAYED,
    REPLAYED_MEANS,
    STALE_SINCE,
    STALE_SINCE_MEANS,
)
from fanfold.api.answers.problem import Problem
from fanfold.api.answers.process import Health, Readiness
from fanfold.api.batch_line_schema import line_schemas
from fanfold.api.declared import SCHEMA_REF, Document
from fanfold.api.openapi_operation import operation_of
from fanfold.api.problems import PROBLEMS, problem_document
from fanfold.api.requests import BATCH_LINES_MAX, BODY_BYTES_MAX
from fanfold.api.routes import (
    ARROW,
    BATCH,
    EVENT_STREAM,
    EVENTS,
    JSON,
    NDJSON,
    PROBLEM,
    ROUTES,
    STREAM_PATH,
    STREAM_REFUSED,
    SUBPROTOCOL,
    TEXT,
    TICKETS,
    Answered,
    Route,
    Side,
)

WRITE_SIDE: Final = (
    "Every answer to a write is given from the log: what it says has happened is durable. An id means one command, in all "
    "partitions: the same id with other content is refused (`id_reused_with_other_content`) and moves nothing. Where another "
    "account gives first, another partition decides, and the refusal holds from when the first request was decided: of two "
    "requests with one id and different first givers that are sent within the same moment both may run; then the id is "
    "`id_ambiguous`. Parameters in the address of a command are refused: all that it says is in its body. "
    f"A body is at most {BODY_BYTES_MAX} bytes, a batch at most {BATCH_LINES_MAX} lines."
)
READ_SIDE: Final = (
    "Balances and outcomes. Every answer says which position of the log it reflects. A read waits until it reflects every write "
    "that was answered through the same gateway before, `wait_ms` at most. Then it is refused as `view_rebuilding`, with the "
    "`position` that is held: who asks with that as `min_position` is answered as it is held. `min_position` and `min_version` "
    "wait for what was written elsewhere. A 503 is said rather than an older balance."
)

BEARER: Final = (
    "With `FANFOLD_AUTH=tokens`: a token (JWT) of the issuer that the service is told, or a key of a machine. Grants "
    "say which accounts "
    "may be read, debited, credited, opened and frozen; what may not be read is told as what is not there, what may "
    "not be done is "
    "`forbidden`, and answers show only accounts that may be read. `/readyz` says whether it is asked (`auth`)."
)

PROBES: Final = (
    Route("GET", "/healthz", "read", "health", "This process runs.", {200: Answered(Health, "It does.")}),
    Route(
        "GET",
        "/readyz",
        "read",
        "ready",
        "This process can answer; how far readers are behind, how long ids are remembered.",
        {200: Answered(Readiness, "It can.")},
        refused=("not_ready",),
    ),
    Route(
        "GET",
        "/metrics",
        "read",
        "metrics",
        "What this process counts; of a gateway with an admin port, or with FANFOLD_AUTH=tokens, there alone",
        {200: Answered(None, "Prometheus text.")},
    ),
)
"""What every process answers."""
_POSITION_HEADER: Final = {
    "description": POSITION_MEANS,
    "schema": {"type": "string", "pattern": grammar.whole(grammar.POSITIONS)},
    "example": "0:17",
}
_REPLAYED_HEADER: Final = {"description": REPLAYED_MEANS, "schema": {"type": "string", "enum": ["true"]}}
_HISTORY_HEADER: Final = {"description": HISTORY_MEANS, "schema": {"type": "string"}, "example": "4f0c9d1e2b3a5867"}
_STALE_SINCE_HEADER: Final = {
    "description": STALE_SINCE_MEANS,
    "schema": {"type": "string", "format": "date-time"},
    "example": "2026-01-01T00:00:00.000000Z",
}


def public_document() -> Document:
    """What the gateway's door takes: the whole public API."""
    return document(
        [*(route for route in ROUTES if route.public), EVENTS, TICKETS, *PROBES],
        "fanfold",
        "A wallet service. Amounts are strings of digits in minor units. A write is answered when it is in the log; sent again "
        "with the same id it runs once. Every answer names its position, that of a write also in the header `Fanfold-Position`. "
        "Reads through the same gateway reflect it; through another one give it as `min_position`. Where requests are counted, "
        "answers say how many are granted (`RateLimit-Policy`) and left (`RateLimit`); one too many is a 429, and did nothing. "
        + WRITE_SIDE
        + " "
        + READ_SIDE,
        stream=True,
    )


def side_document(side: Side) -> Document:
    """What one side takes, what only gateways ask of it included."""
    about = {"write": WRITE_SIDE, "read": READ_SIDE}[side]
    return document([*(route for route in ROUTES if route.side == side), *PROBES], f"fanfold {side} side", about)


def document(routes: Iterable[Route], title: str, description: str, *, stream: bool = False) -> Document:
    """OpenAPI 3.1 of these routes; `stream`: and of the WebSocket, whose frames `asyncapi.py` describes."""
    app = FastAPI(title=title, version="1", description=description)
    routes = [*routes]
    for route in routes:
        _describe(app, route)
    with warnings.catch_warnings():
        # A field that is left out has None for a default, which is no value of it and in no schema.
        warnings.simplefilter("ignore", PydanticJsonSchemaWarning)
        made: Document = app.openapi()
    for route in routes:
        operation = made["paths"][route.path][route.method.lower()]
        if not any(PROBLEMS[word].status == 422 for word in route.codes):
            operation["responses"].pop("422", None)  # FastAPI's own; here what is malformed is a 400
        for parameter in operation.get("parameters", ()):
            _say(parameter, made["components"]["schemas"])
    schemas = made["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    if any(route.operation == "transfer_batch" for route in routes):
        schemas |= line_schemas()
    problem = TypeAdapter(Problem).json_schema(ref_template=SCHEMA_REF)
    schemas |= problem.pop("$defs") | {"Problem": problem}
    made["components"]["schemas"] = dict(sorted(schemas.items()))
    if stream:
        made["paths"][STREAM_PATH] = {"get": _stream()}
        _say_who_asks(made)
    return made


def _say_who_asks(made: Document) -> None:
    """Of the public door, which asks that where it is told to: so what is asked of it may also have no token."""
    made["components"]["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "description": BEARER}}
    for path, operations in made["paths"].items():
        for operation in operations.values():
            if path.startswith("/v1/"):
                operation["security"] = [{"bearer": []}, {}]


def _describe(app: FastAPI, route: Route) -> None:
    responses: dict[int | str, Document] = {}
    for status, answered in route.answered.items():
        content = _content(route, answered)
        responses[status] = {"description": answered.meaning} | (
            {"content": content} if content else {"model": answered.model}
        )
        if route.side == "write":
            responses[status]["headers"] = {POSITION: _POSITION_HEADER}
            if route.keyed:
                responses[status]["headers"][REPLAYED] = _REPLAYED_HEADER
        if route.operation == "get_account":
            responses[status]["headers"] = {HISTORY: _HISTORY_HEADER}
        if route.operation == "get_entries":
            responses[status]["headers"] = {STALE_SINCE: _STALE_SINCE_HEADER}
    responses |= _refusals(route.codes)
    if route.operation == "ready":  # of a gateway it is no problem document, ready or not
        responses[503]["content"][JSON] = {"schema": {"$ref": SCHEMA_REF.format(model=Readiness.__name__)}}
    app.add_api_route(
        route.path,
        operation_of(route),
        methods=[route.method],
        operation_id=route.operation,
        summary=route.summary,
        description=route.description + _of_lines(route),
        tags=["Write" if route.side == "write" else "Read"],
        responses=responses,
        response_model=None,
        status_code=next(iter(route.answered)),
        response_class=JSONResponse,
        openapi_extra=_lines() if route is BATCH else None,
    )


def _say(parameter: Document, schemas: Mapping[str, Document]) -> None:
    """What a parameter is, beside its schema: who shows the document looks for it there."""
    schema = parameter["schema"]
    named = schemas.get(str(schema.get("$ref", "")).rpartition("/")[2], {})
    own = schema.pop("description", None) if named else schema.get("description")
    said = own or named.get("description")
    if said is not None:
        parameter.setdefault("description", said)


def _refusals(codes: Iterable[str]) -> dict[int | str, Document]:
    """The responses with these codes, by status: each says which, in the words of the one table."""
    by_status: dict[int | str, list[str]] = {}
    for word in codes:
        by_status.setdefault(PROBLEMS[word].status, []).append(word)
    return {
        status: {
            "description": _told(by_status[status]),
            "content": {
                PROBLEM: {
                    "schema": {
                        "allOf": [
                            {"$ref": SCHEMA_REF.format(model="Problem")},
                            {"properties": {"code": {"enum": by_status[status]}}},
                        ]
                    },
                    "example": problem_document(by_status[status][0]),
                }
            },
        }
        for status in sorted(by_status)
    }


def _of_lines(route: Route) -> str:
    return f"\n\nA line may be refused with:\n\n{_told(route.of_lines)}" if route.of_lines else ""


def _told(codes: Iterable[str]) -> str:
    return "\n".join(f"- `{word}`: {PROBLEMS[word].title}." for word in codes)


def _content(route: Route, answered: Answered) -> Document:
    if answered.model is not None:
        return {}
    if route is EVENTS:
        return {EVENT_STREAM: {"schema": {"type": "string"}}}
    if route.method == "GET":
        return {TEXT: {"schema": {"type": "string"}}}
    return {NDJSON: {"schema": {"type": "string"}}, ARROW: {"schema": {"type": "string", "format": "binary"}}}


def _lines() -> Document:
    content = {
        NDJSON: {"schema": {"type": "string"}, "x-line": {"$ref": SCHEMA_REF.format(model="BatchLine")}},
        ARROW: {"schema": {"type": "string", "format": "binary"}},
    }
    return {"requestBody": {"required": True, "content": content}}


def _stream() -> Document:
    return {
        "operationId": "stream",
        "tags": ["Stream"],
        "summary": "Live balances over a WebSocket",
        "description": (
            f"Upgrade to a WebSocket (subprotocol `{SUBPROTOCOL}`, optional) and subscribe; `/asyncapi.json` describes every "
            "frame and close code:\n\n"
            '    > {"op": "subscribe", "id": 1, "accounts": [{"account": "alice", "since": 3}]}\n'
            '    < {"op": "ack", "id": 1, "accounts": [{"account": "alice", "sub": 1, "version": 4}]}\n'
            '    < {"op": "balances", "items": [{"sub": 1, "snapshot": true, "asset": "USD/2", "v": 4, "posted": "900", '
            '"held": "0", "available": "900", "at": "2026-01-01T00:00:00.000000Z"}]}\n\n'
            "Every item is the whole balance, never a difference. `since` is the newest version you have: after a lost "
            'connection you get only what changed. Versions never go back. With `"transfers": true` in a subscribe you also hear '
            "of the phases of its transfers across partitions. `status` with `live: false` says that balances may be old for now."
        ),
        "parameters": [
            {
                "name": "ticket",
                "in": "query",
                "required": False,
                "description": "Who asks, in the place of `Authorization`: a ticket of `POST /v1/stream/tickets`, used once.",
                "schema": {"type": "string", "pattern": grammar.whole(grammar.TICKET)},
            }
        ],
        "responses": {"101": {"description": "The stream is open."}}
        | {str(status): answer for status, answer in _refusals(STREAM_REFUSED).items()},
    }
