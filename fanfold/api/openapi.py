"""The OpenAPI 3.1 document of the service, or of one side of it: FastAPI makes it of the declared routes and classes.

The application that is made for it is never served: doors keep to the same declarations and cost less (DECISIONS.md, 4).
"""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, Final, Union, cast, get_type_hints

from fastapi import Body, FastAPI, Header, Path, Query
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field, TypeAdapter
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
from fanfold.api.body_checks import LINE_WORDS
from fanfold.api.declared import SCHEMA_REF
from fanfold.api.problems import PROBLEMS, problem_document
from fanfold.api.questions import WAIT_SECONDS_MAX
from fanfold.api.requests import BATCH_LINES_MAX, BODY_BYTES_MAX, LegsTransfer, Transfer
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
from fanfold.api.words import AccountId, Choice, TransferId

Document = dict[str, Any]

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

_KEY: Final = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        pattern=grammar.whole(grammar.KEY),
        description=(
            "Stands for the id where the body has none. A key that is a UUID (in capitals or not, with or without hyphens, "
            "braces or `urn:uuid:`) is that id; of any other the id is made (UUIDv5 of caller and key), and the answer tells it. "
            "A key in quotes (a string of a structured field) is what is in them. "
            "So 32 hexadecimal digits that are no UUID, such as a hash, need a letter before them: digits that look like a UUID "
            "of version 7 tell a time, and may be refused for it. Blanks around the key are no part of it. An id made "
            "of a key carries no time: it is remembered for ever where `FANFOLD_IDS` names a folder, elsewhere for 7 days; and "
            "when there is no room for another there, the answer is 503 `id_memory_full`, and nothing was run."
        ),
    ),
]
_PREFER: Final = Annotated[
    str,
    Header(
        alias="Prefer",
        description=(
            f"`wait=N`: answer after N seconds, 0 to {WAIT_SECONDS_MAX}, even when a transfer across partitions is not over. "
            "A batch waits once for all its lines."
        ),
        examples=["wait=5"],
    ),
]
_DRY_RUN: Final = Annotated[Choice, Field(description="Tell what would become of it; change nothing.")]
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
_SEGMENTS: Final = {"account": AccountId, "transfer": TransferId, "hold": TransferId}


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
        _operation(route),
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


def _operation(route: Route) -> Any:
    """A function with the signature of the operation: what FastAPI reads."""
    parameters = []

    def add(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> None:
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
        )

    for segment, word in _SEGMENTS.items():
        if f"{{{segment}}}" in route.path:
            add(segment, Annotated[word, Path()])
    if route.asked:
        add("body", Annotated[Union[tuple(_body(route, kind) for kind in route.asked)], Body()])  # noqa: UP007
    for field in dataclasses.fields(route.query) if route.query is not None else ():
        annotation = _hints(cast("Any", route.query))[field.name]
        default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
        add(field.name, Annotated[annotation, Query()], default)
    if route.keyed:
        add("key", _KEY, None)
    if route.waits:
        add("prefer", _PREFER, None)

    def operation() -> None:
        """Never called."""

    operation.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    operation.__doc__ = None
    return operation


def _body(route: Route, kind: Any) -> Any:
    about = getattr(kind, "about", None)
    return body_of(kind, about, route.keyed) if route.side == "write" else kind


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


@cache
def body_of(kind: Any, about: str | None, may_be_dry: bool) -> Any:
    """A command as the body of its own address: without what the path says (`about`), and with the wish for a dry run."""
    fields: list[tuple[str, Any, Any]] = [
        (field.name, _hints(kind)[field.name], dataclasses.field(default=field.default))
        for field in dataclasses.fields(kind)
        if field.name != about
    ]
    if may_be_dry:
        fields.append(("dry_run", _DRY_RUN, dataclasses.field(default=False)))
    config: ConfigDict = kind.__pydantic_config__
    extra = cast("Document", config.get("json_schema_extra", {}))
    examples = [
        {name: each[name] for name in each if name != about} for each in cast("list[Document]", extra["examples"])
    ]
    shown = ConfigDict(extra="forbid", json_schema_extra=cast("Any", extra | {"examples": examples}))
    made = dataclasses.make_dataclass(
        f"{kind.__name__}Body", fields, kw_only=True, namespace={"__pydantic_config__": shown}
    )
    made.__doc__ = kind.__doc__
    return made


def line_schemas() -> Document:
    """JSON Schema of one line of a batch, `BatchLine`, and the schemas that it names."""
    lines: list[Any] = [Transfer, LegsTransfer]
    for word, kinds in LINE_WORDS.items():
        inner = kinds[0] if len(kinds) == 1 else Union[kinds]  # noqa: UP007
        about = f"The line of a batch that says `{word}`."
        closed = {"__pydantic_config__": ConfigDict(extra="forbid"), "__doc__": about}
        field = (word, Annotated[inner, Field(description="What is asked, with its id where it has one.")])
        lines.append(dataclasses.make_dataclass(f"{word.title()}Line", [field], namespace=closed))
    every: Any = Union[tuple(lines)]  # noqa: UP007
    made = TypeAdapter(every).json_schema(ref_template=SCHEMA_REF)
    return {**made.pop("$defs"), "BatchLine": made | {"description": "One line of a batch: one command."}}


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
