"""The OpenAPI document of the write side, written by hand: the endpoints are plain ASGI, so no framework can derive it.

The tests send what it describes and compare what comes back, so it cannot drift from the code.
"""

from __future__ import annotations

from typing import Final

from write_side.openapi_schemas import Document, ref, schemas

_ID: Final = "01970f3e-7b1a-7c3e-8a2b-1234567890ab"


def describe(*, body_bytes_max: int, batch_lines_max: int, legs_max: int, wait_seconds_max: int) -> Document:
    """The whole document, OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fanfold write side",
            "version": "1",
            "description": (
                "Opens accounts and moves money. Every answer is given from the log: what it says has happened is durable. "
                "An id means one command, in all partitions: the same id with other content is refused "
                "(`id_reused_with_other_content`) and moves nothing. Where another account gives first, another partition "
                "decides, and the refusal holds from when the first request was decided: of two requests with one id and "
                "different first givers that are sent within the same moment both may run; then the id is `id_ambiguous`. "
                "Parameters in the address of a command are refused: all that it says is in its body. "
                f"A body is at most {body_bytes_max} bytes, a batch at most {batch_lines_max} lines."
            ),
        },
        "paths": {
            "/v1/accounts/{account}": {"put": _put_account(), "patch": _patch_account()},
            "/v1/transfers": {"post": _post_transfer(wait_seconds_max)},
            "/v1/transfers/{transfer}/reverse": {"post": _post_reverse(wait_seconds_max)},
            "/v1/holds": {"post": _post_hold(wait_seconds_max)},
            "/v1/holds/{hold}/capture": {"post": _post_capture(wait_seconds_max)},
            "/v1/holds/{hold}/void": {"post": _post_void(wait_seconds_max)},
            "/v1/transfers:batch": {"post": _post_batch(wait_seconds_max)},
            "/healthz": {"get": _probe("health", "This process runs.")},
            "/readyz": {"get": _probe("ready", "This process can take requests.")},
            "/metrics": {"get": _metrics()},
        },
        "components": {"schemas": schemas(legs_max=legs_max)},
    }


def _put_account() -> Document:
    return {
        "operationId": "open_account",
        "summary": "Open an account, or find it open with the same terms",
        "parameters": [_in_path("account", "AccountId")],
        "requestBody": _json_body("AccountTerms", {"asset": "USD/2", "floor": "0"}),
        "responses": {
            "200": _json("Opened", "It was there with the same terms."),
            "201": _json("Opened", "It is open."),
            "409": _problem("It is there with other terms."),
            **_refusals("400", "408", "413", "415", "422", "500", "503"),
        },
    }


def _patch_account() -> Document:
    return {
        "operationId": "change_account",
        "summary": "Freeze, free, close or reopen an account",
        "description": (
            "A frozen account gives nothing (`debit`) or receives nothing (`credit`); what was held or begun before goes on. "
            "Only an account at zero can be closed."
        ),
        "parameters": [_in_path("account", "AccountId"), _KEY],
        "requestBody": _json_body("AccountChange", {"id": _ID, "debit": "frozen"}),
        "responses": {
            "200": _json("Done", "The flags are as asked."),
            **_refusals("400", "408", "413", "415", "422", "500", "503"),
        },
    }


def _post_transfer(wait_seconds_max: int) -> Document:
    example = {"id": _ID, "from": "@world", "to": "alice", "amount": "1000", "asset": "USD/2"}
    return {
        "operationId": "transfer",
        "summary": "Move money between accounts, at most once for each id",
        "description": (
            "Between two accounts (`from`, `to`), or in legs that sum to zero in each asset, all or nothing. A leg may have "
            "conditions, tested before anything moves. With accounts in different partitions it can take longer than the "
            "answer: then 202, and `GET /v1/transfers/{id}` tells how far it is."
        ),
        **_command(
            "Transfer", example, wait_seconds_max, done="The money has moved; the same answer again for a repeat."
        ),
    }


def _post_reverse(wait_seconds_max: int) -> Document:
    return {
        "operationId": "reverse",
        "summary": "Move a done transfer the other way round, at most once",
        **_command("Reverse", {"id": _ID}, wait_seconds_max, "transfer", done="The money is back."),
    }


def _post_hold(wait_seconds_max: int) -> Document:
    example = {"id": _ID, "from": "alice", "to": "bob", "amount": "1000", "asset": "USD/2"}
    return {
        "operationId": "hold",
        "summary": "Authorise: hold what is to be given until it is captured, voided, or its deadline comes",
        **_command("Hold", example, wait_seconds_max, done="It is held: nobody can spend it meanwhile."),
    }


def _post_capture(wait_seconds_max: int) -> Document:
    return {
        "operationId": "capture",
        "summary": "Move what a hold holds: all that is left, an amount of it, or these legs of it",
        **_command("Capture", {"id": _ID, "amount": "600"}, wait_seconds_max, "hold", done="The money has moved."),
    }


def _post_void(wait_seconds_max: int) -> Document:
    return {
        "operationId": "void",
        "summary": "Let a hold go",
        **_command("Void", {"id": _ID}, wait_seconds_max, "hold", done="Nothing is held by it any more."),
    }


def _post_batch(wait_seconds_max: int) -> Document:
    content = {
        "application/x-ndjson": {"schema": {"type": "string"}},
        "application/vnd.apache.arrow.stream": {"schema": {"type": "string", "format": "binary"}},
    }
    mode = {
        "name": "mode",
        "in": "query",
        "description": (
            "What a refused line means for the others: nothing, that those behind it are not run by this request (one that ran "
            "before is answered as it was then), or that none of them moves anything. A line that is still under way (202) has "
            "not been refused, and those behind it are run."
        ),
        "schema": {"enum": ["continue", "stop", "atomic"], "default": "continue"},
    }
    return {
        "operationId": "transfer_batch",
        "summary": "Many commands in one request, one a line, answered line by line in the same order",
        "description": (
            "A line is the body of a transfer with its id, or one of "
            '{"open": {"account": ..., "asset": ..., "floor": ...}}, {"hold": {...}}, {"capture": {"hold": ..., ...}}, '
            '{"void": {"hold": ..., "id": ...}}, {"reverse": {"transfer": ..., ...}}, {"change": {"account": ..., ...}}. '
            "Line n of the answer tells line n of the request: its status and the document the single call would give. "
            "As an Arrow stream: columns id (16 bytes or text), from, to, amount (int64), asset; the answer has the columns "
            "status, code and position. A dry run is not possible here."
        ),
        "parameters": [mode, _prefer(wait_seconds_max)],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {"description": "A result for each line.", "content": content},
            **_refusals("400", "408", "413", "415", "422", "500", "503"),
        },
    }


def _command(body: str, example: Document, wait_seconds_max: int, about: str | None = None, *, done: str) -> Document:
    """What all addresses of one command have in common; `about`: the id in the path."""
    in_path = [] if about is None else [_in_path(about, "TransferId")]
    return {
        "parameters": [*in_path, _KEY, _prefer(wait_seconds_max)],
        "requestBody": _json_body(body, example),
        "responses": {
            "201": _json("Done", done),
            "202": _json("Pending", "It is under way between partitions."),
            **_refusals("400", "408", "413", "415", "422", "500", "503"),
        },
    }


_KEY: Final[Document] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": (
        "Stands for the id where the body has none. A key that is a UUID (with or without braces or `urn:uuid:`) is that id; of "
        "any other the id is made (UUIDv5 of caller and key), and the answer tells it. Blanks around the key are no part of it. "
        "An id made of a key carries no time: it is remembered for 7 days at least, and when there is no room for another the "
        "answer is 503 `id_memory_full`, and nothing was run."
    ),
    "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
}


def _prefer(wait_seconds_max: int) -> Document:
    return {
        "name": "Prefer",
        "in": "header",
        "description": (
            f"`wait=N`: answer after N seconds, 0 to {wait_seconds_max}, even when a transfer across partitions is not over. "
            "A batch waits once for all its lines."
        ),
        "schema": {"type": "string", "examples": ["wait=5"]},  # other preferences are passed over (RFC 7240)
    }


def _in_path(name: str, schema: str) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": ref(schema)}


def _probe(name: str, meaning: str) -> Document:
    healthy = {"description": meaning, "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"operationId": name, "summary": meaning, "responses": {"200": healthy, **_refusals("500", "503")}}


def _metrics() -> Document:
    text = {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"operationId": "metrics", "summary": "What this process counts", "responses": {"200": text}}


def _json_body(name: str, example: Document) -> Document:
    return {"required": True, "content": {"application/json": {"schema": ref(name), "example": example}}}


def _json(name: str, description: str) -> Document:
    return {"description": description, "content": {"application/json": {"schema": ref(name)}}}


def _problem(description: str) -> Document:
    return {"description": description, "content": {"application/problem+json": {"schema": ref("Problem")}}}


_REFUSALS: Final = {
    "400": "The request is malformed. Nothing changed.",
    "408": "The body did not arrive in time. Nothing changed.",
    "413": "The body is too large. Nothing changed.",
    "415": "The content type is not taken. Nothing changed.",
    "422": "Refused. No money moved by it.",
    "500": "Something failed that should not.",
    "503": "Not taken, or the outcome is not known yet. Repeat with the same id.",
}


def _refusals(*statuses: str) -> Document:
    return {status: _problem(_REFUSALS[status]) for status in statuses}
