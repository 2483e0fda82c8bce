"""The OpenAPI document of the write side, written by hand: the endpoints are plain ASGI, so no framework can derive it.

The tests send what it describes and compare what comes back, so it cannot drift from the code.
"""

from __future__ import annotations

from typing import Any, Final

_UUID: Final = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_NIL_OR_MAX: Final = ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff")

Document = dict[str, Any]


def describe(*, body_bytes_max: int, batch_lines_max: int) -> Document:
    """The whole document, OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fanfold write side",
            "version": "1",
            "description": (
                "Opens accounts and moves money. Every answer is given from the log: what it says has happened is durable. "
                f"A body is at most {body_bytes_max} bytes, a batch at most {batch_lines_max} lines."
            ),
        },
        "paths": {
            "/v1/accounts/{account}": {"put": _put_account()},
            "/v1/transfers": {"post": _post_transfer()},
            "/v1/transfers:batch": {"post": _post_batch()},
            "/healthz": {"get": _probe("health", "This process runs.")},
            "/readyz": {"get": _probe("ready", "This process can take requests.")},
            "/metrics": {"get": _metrics()},
        },
        "components": {"schemas": _schemas()},
    }


def _put_account() -> Document:
    return {
        "operationId": "open_account",
        "summary": "Open an account, or find it open with the same terms",
        "parameters": [{"name": "account", "in": "path", "required": True, "schema": _ref("AccountId")}],
        "requestBody": _json_body("AccountTerms", {"asset": "USD/2", "floor": "0"}),
        "responses": {
            "200": _json("Opened", "It was there with the same terms."),
            "201": _json("Opened", "It is open."),
            "409": _problem("It is there with other terms."),
            **_refusals("400", "408", "413", "415", "422", "500", "503"),
        },
    }


def _post_transfer() -> Document:
    key = {
        "name": "Idempotency-Key",
        "in": "header",
        "description": "Stands for the id (UUIDv5 of caller and key) where the body has none.",
        "schema": {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"},
    }
    example = {
        "id": "01970f3e-7b1a-7c3e-8a2b-1234567890ab",
        "from": "@world",
        "to": "alice",
        "amount": "1000",
        "asset": "USD/2",
    }
    return {
        "operationId": "transfer",
        "summary": "Move money between two accounts, at most once for each id",
        "parameters": [key],
        "requestBody": _json_body("Transfer", example),
        "responses": {
            "201": _json("Done", "The money has moved; the same answer again for the same transfer again."),
            "409": _problem("Not possible beside what is there."),
            **_refusals("400", "408", "413", "415", "422", "500", "503"),
        },
    }


def _post_batch() -> Document:
    text = {"schema": {"type": "string"}}
    return {
        "operationId": "transfer_batch",
        "summary": "Many commands in one request, one a line, answered line by line in the same order",
        "description": (
            'A line is the body of a transfer with its id, or {"open": {"account": ..., "asset": ..., "floor": ...}}. '
            "Line n of the answer tells line n of the request: its status and the document the single call would give. "
            "A line that is refused does not stop the others."
        ),
        "requestBody": {"required": True, "content": {"application/x-ndjson": text}},
        "responses": {
            "200": {"description": "A result for each line.", "content": {"application/x-ndjson": text}},
            **_refusals("400", "408", "413", "415", "500", "503"),
        },
    }


def _probe(name: str, meaning: str) -> Document:
    healthy = {"description": meaning, "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"operationId": name, "summary": meaning, "responses": {"200": healthy, **_refusals("500", "503")}}


def _metrics() -> Document:
    text = {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"operationId": "metrics", "summary": "What this process counts", "responses": {"200": text}}


def _schemas() -> Document:
    id = {"type": "string", "pattern": f"^{_UUID}$", "not": {"enum": list(_NIL_OR_MAX)}}
    amount = {"type": "string", "pattern": "^[1-9][0-9]{0,17}$", "description": "Minor units, 1 to 10^18."}
    signed = {"type": "string", "pattern": "^-?[1-9][0-9]{0,17}$", "description": "Minor units, not zero."}
    floor = {"type": ["string", "null"], "pattern": "^(0|-?[1-9][0-9]{0,17})$", "default": "0"}
    owner = {"type": "string", "pattern": "^[!-~]([ -~]{0,253}[!-~])?$"}
    balance = {"type": "string", "pattern": "^(0|-?[1-9][0-9]{0,18})$"}
    moment = {"type": "string", "format": "date-time"}
    position = {"type": "string", "pattern": "^[0-9]+:[0-9]+$", "examples": ["0:17"]}
    place = {"position": position, "at": moment}
    leg = _closed({"account": _ref("Party"), "amount": signed}, "account", "amount")
    short = {"id": id, "from": _ref("Party"), "to": _ref("Party"), "amount": amount, "asset": _ref("Asset")}
    long = {"id": id, "legs": {"type": "array", "items": leg, "minItems": 2, "maxItems": 2}, "asset": _ref("Asset")}
    state = {
        "account": _ref("AccountId"),
        "asset": _ref("Asset"),
        "posted": balance,
        "held": balance,
        "available": {"type": ["string", "null"]},
        "floor": {"type": ["string", "null"]},
        "version": {"type": "integer", "minimum": 0},
    } | place
    return {
        "AccountId": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"},
        "Party": {"type": "string", "pattern": "^([A-Za-z0-9][A-Za-z0-9_.:-]{0,63}|@world)$"},
        "Asset": {"type": "string", "pattern": "^[A-Z][A-Z0-9]{0,15}/[0-9]{1,2}$", "examples": ["USD/2"]},
        "AccountTerms": _closed({"asset": _ref("Asset"), "floor": floor, "owner": owner}, "asset"),
        "Transfer": {
            "oneOf": [_closed(short, "from", "to", "amount", "asset"), _closed(long, "legs", "asset")],
        },
        "AccountState": {"type": "object", "properties": state, "required": ["account", "posted", "version"]},
        "Opened": {
            "type": "object",
            "properties": {"account": _ref("AccountId"), "asset": _ref("Asset"), "result": {"type": "string"}} | place,
            "required": ["account", "asset", "result", "position"],
        },
        "Done": {
            "type": "object",
            "properties": {
                "id": id,
                "result": {"const": "done"},
                "accounts": {"type": "array", "items": _ref("AccountState"), "maxItems": 2},
            }
            | place,
            "required": ["id", "result", "position", "accounts"],
        },
        "Problem": {
            "type": "object",
            "properties": {
                "type": {"type": "string", "format": "uri"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "code": {"type": "string"},
                "detail": {"type": "string"},
            },
            "required": ["type", "title", "status", "code", "detail"],
        },
    }


def _closed(properties: Document, *required: str) -> Document:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _json_body(name: str, example: Document) -> Document:
    return {"required": True, "content": {"application/json": {"schema": _ref(name), "example": example}}}


def _json(name: str, description: str) -> Document:
    return {"description": description, "content": {"application/json": {"schema": _ref(name)}}}


def _problem(description: str) -> Document:
    return {"description": description, "content": {"application/problem+json": {"schema": _ref("Problem")}}}


_REFUSALS: Final = {
    "400": "The request is malformed. Nothing changed.",
    "408": "The body did not arrive in time. Nothing changed.",
    "413": "The body is too large. Nothing changed.",
    "415": "The content type is not taken. Nothing changed.",
    "422": "Refused. No money moved.",
    "500": "Something failed that should not.",
    "503": "Not taken, or the outcome is not known yet. Repeat with the same id.",
}


def _refusals(*statuses: str) -> Document:
    return {status: _problem(_REFUSALS[status]) for status in statuses}
