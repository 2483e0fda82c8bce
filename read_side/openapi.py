"""The OpenAPI document of the read side, written by hand: the endpoints are plain ASGI, so no framework can derive it."""

from __future__ import annotations

from typing import Any, Final

from read_side.projections.phase_table import OPEN_PHASES
from read_side.transfer_documents import OPEN, PHASE_WORDS
from write_side.contract.codes import flag_words
from write_side.contract.pending_columns import Phase

Document = dict[str, Any]

_UUID: Final = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_POSITIONS: Final = "^(0|[1-9][0-9]{0,4}):(0|[1-9][0-9]{0,17})(,(0|[1-9][0-9]{0,4}):(0|[1-9][0-9]{0,17}))*$"


def describe(*, balances_max: int, transfers_default: int, transfers_max: int) -> Document:
    """The whole document, OpenAPI 3.1."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fanfold read side",
            "version": "1",
            "description": (
                "Balances and outcomes. Every answer says which position of the log it reflects; `min_position` and "
                "`min_version` wait until your own write is in it. A 503 is said rather than an older balance."
            ),
        },
        "paths": {
            "/v1/accounts/{account}": {"get": _get_account()},
            "/v1/transfers": {"get": _get_transfers(transfers_default, transfers_max)},
            "/v1/transfers/{id}": {"get": _get_transfer()},
            "/v1/system": {"get": _get_system()},
            "/internal/balances": {"post": _post_balances(balances_max)},
            "/healthz": {"get": _probe("health", "This process runs.")},
            "/readyz": {"get": _probe("ready", "This process can answer; how far readers are behind.")},
            "/metrics": {"get": _metrics()},
        },
        "components": {"schemas": _schemas()},
    }


def _get_account() -> Document:
    version = {"type": "integer", "minimum": 0, "description": "least version of the account"}
    return {
        "operationId": "get_account",
        "summary": "The balance of an account",
        "parameters": [
            _parameter("account", "path", _ref("AccountId")),
            *_waiting(),
            _parameter("min_version", "query", version),
        ],
        "responses": {
            "200": _json("Account", "The account at `position`."),
            "404": _problem("No such account, up to `position`: everything in the log at arrival was looked at."),
            "409": _problem(
                "The wanted position or version was not reached in time; `position` and `version` are held."
            ),
            **_refusals("400", "500", "503"),
        },
    }


def _get_transfer() -> Document:
    return {
        "operationId": "get_transfer",
        "summary": "The outcome of a transfer or hold, as its POST answered it, and what became of it since",
        "description": (
            "Beside what the POST answers: the `legs` of a transfer across partitions and the accounts after each step, "
            "`reversed_by`, and of a hold what is left of it. `accounts` are as the outcome left them, "
            "of a transfer across partitions those of its home partition only: for a balance as it is now ask for the account."
        ),
        "parameters": [_parameter("id", "path", {"type": "string", "pattern": _UUID}), *_waiting()],
        "responses": {
            "200": _json(
                "Outcome", "What became of it: `result` is done, refused, or pending with its phase and steps."
            ),
            "404": _problem(
                "No such transfer is remembered, up to `position`: every partition was asked. Where `remembered_since` is "
                "told, one of that time or older may have moved money and be forgotten: `fanfold explain` asks the whole log."
            ),
            "409": _problem("The wanted position was not reached in time, or two partitions hold this id."),
            **_refusals("400", "500", "503"),
        },
    }


def _get_transfers(default: int, most: int) -> Document:
    phases = ",".join(PHASE_WORDS[1:])
    words = "|".join(PHASE_WORDS[1:])
    phase = {"type": "string", "pattern": f"^({OPEN}|({words})(,({words}))*)$", "default": OPEN}
    older_than = {"type": "integer", "minimum": 0, "maximum": 1_000_000_000, "default": 0}
    limit = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    chosen = {"type": "string", "pattern": "^(0|[1-9][0-9]{0,3})(,(0|[1-9][0-9]{0,3}))*$", "examples": ["0,2"]}
    return {
        "operationId": "get_transfers",
        "summary": "Transfers across partitions that are under way, oldest first",
        "parameters": [
            _parameter("phase", "query", phase, f"`{OPEN}` for all, or some of `{phases}`"),
            _parameter("older_than", "query", older_than, "only those that began this many seconds ago or before"),
            _parameter("limit", "query", limit),
            _parameter(
                "partitions", "query", chosen, "only of these; all others must be projected by this process too"
            ),
            *_waiting(),
        ],
        "responses": {
            "200": _json("OpenTransfers", "What is under way, and what each waits for, as of `position`."),
            "409": _problem("The wanted position was not reached in time."),
            **_refusals("400", "500", "503"),
        },
    }


def _get_system() -> Document:
    return {
        "operationId": "get_system",
        "summary": "The system accounts of an asset: what came from outside, and what is in flight",
        "parameters": [_parameter("asset", "query", _ref("Asset"), required=True), *_waiting()],
        "responses": {
            "200": _json("System", "Sums over all partitions, and each partition at its position."),
            "409": _problem("The wanted position was not reached in time."),
            **_refusals("400", "500", "503"),
        },
    }


def _post_balances(balances_max: int) -> Document:
    body = {
        "type": "object",
        "properties": {
            "accounts": {"type": "array", "items": _ref("AccountId"), "maxItems": balances_max},
            "min_position": {"type": "string", "pattern": _POSITIONS},
            "wait_ms": {"type": "integer", "minimum": 0, "maximum": 10_000, "default": 2_000},
        },
        "required": ["accounts"],
        "additionalProperties": False,
    }
    return {
        "operationId": "get_balances",
        "summary": "Many balances at once, for gateways; null for an account that does not exist as of its partition's position",
        "description": (
            "`undecided`: places of accounts that are null while the view is behind the log. `failed`: partitions that were not "
            "read, and why, as codes; their accounts are null and have no position. When none can be read, the answer is a 503."
        ),
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": _json("Balances", "In the order asked for."),
            "409": _problem("The wanted position was not reached in time."),
            **_refusals("400", "413", "500", "503"),
        },
    }


def _waiting() -> list[Document]:
    position = {"type": "string", "pattern": _POSITIONS, "examples": ["0:17,3:9"]}
    wait_ms = {"type": "integer", "minimum": 0, "maximum": 10_000, "default": 2_000}
    return [
        _parameter("min_position", "query", position, "least position the answer must reflect"),
        _parameter("wait_ms", "query", wait_ms, "how long to wait for what is wanted, milliseconds"),
    ]


def _schemas() -> Document:
    balance = {"type": "string", "pattern": "^(0|-?[1-9][0-9]{0,18})$", "description": "minor units"}
    optional = {"type": ["string", "null"], "pattern": "^(0|-?[1-9][0-9]{0,18})$"}
    moment = {"type": "string", "format": "date-time"}
    position = {"type": "string", "pattern": "^[0-9]+:[0-9]+$", "examples": ["0:17"]}
    account = {
        "account": _ref("AccountId"),
        "asset": _ref("Asset"),
        "posted": balance,
        "held": balance,
        "available": optional,
        "floor": optional,
        "version": {"type": "integer", "minimum": 0},
        "flags": {"type": "array", "items": {"enum": flag_words(~0)}, "description": "what it may not do"},
        "position": position,
        "at": moment,
    }
    action = {"enum": ["try", "confirm", "cancel"]}
    waiting = {"step": {"type": "integer"}, "partition": {"type": "integer"}, "action": action}
    step = waiting | {"code": {"type": "string"}, "position": position, "at": moment}
    leg = {
        "account": {"type": ["string", "null"]},
        "amount": balance,
        "asset": {"type": ["string", "null"]},
        "step": {"type": "integer"},
        "partition": {"type": "integer"},
    }
    after = {"account": {"type": "string"}, "asset": _ref("Asset"), "posted": balance, "held": balance}
    outcome = {
        "id": {"type": "string", "pattern": _UUID},
        "result": {"enum": ["done", "refused", "pending", "held", "voided", "changed", "expired"]},
        "code": {"type": "string", "description": "why it was refused"},
        "position": {"type": "string", "pattern": _POSITIONS},
        "at": moment,
        "reference": {"type": "string"},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
        "accounts": {"type": "array", "items": _ref("State"), "description": "as the outcome left them"},
        "protocol": _ref("Protocol"),
        "phase": {"enum": [phase.name.lower() for phase in Phase], "description": "of one that spans partitions"},
        "steps": {"type": "array", "items": _object(step)},
        "step_accounts": {
            "type": "array",
            "items": {"type": ["array", "null"], "items": _object(after)},
            "description": (
                "of each step the accounts that it touched, as they were after it, `@transit` with them; null where this process "
                "does not project the partition of the step"
            ),
        },
        "legs": {"type": "array", "items": _object(leg)},
        "waiting_for": {"type": "array", "items": _object(waiting)},
        "reversed_by": {"type": "string", "pattern": _UUID},
        "reverses": {"type": "string", "pattern": _UUID},
        "hold": {"type": "string", "pattern": _UUID, "description": "of a capture or void"},
        "state": {"enum": ["open", "busy", "over"], "description": "of a hold, now"},
        "left": {"type": "array", "items": _object({name: leg[name] for name in ("account", "amount", "asset")})},
        "deadline": moment,
    }
    under_way = {
        "id": {"type": "string", "pattern": _UUID},
        "protocol": _ref("Protocol"),
        "phase": {"enum": [phase.name.lower() for phase in OPEN_PHASES]},
        "partition": {"type": "integer", "description": "its home"},
        "begun": position,
        "age_ms": {"type": "integer"},
        "waiting_for": {"type": "array", "items": _object(waiting)},
    }
    partition = {
        "partition": {"type": "integer"},
        "position": {"type": ["string", "null"]},
        "world": {"type": ["object", "null"]},
        "transit": {"type": ["object", "null"]},
    }
    system = {
        "asset": _ref("Asset"),
        "world": balance,
        "transit": balance,
        "positions": {"type": "string"},
        "partitions": {"type": "array", "items": _object(partition)},
    }
    answers = {"type": "array", "items": {"oneOf": [_ref("Account"), {"type": "null"}]}}
    told = {"type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"}}
    return {
        "AccountId": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$"},
        "Asset": {"type": "string", "pattern": "^[A-Z][A-Z0-9]{0,15}/[0-9]{1,2}$", "examples": ["USD/2"]},
        "Account": _object(account),
        "State": _object({name: schema for name, schema in account.items() if name != "flags"}),
        "Protocol": {"enum": ["saga", "tcc"]},
        "Outcome": _object(outcome, "id", "result", "position", "at"),
        "OpenTransfers": _object(
            {"transfers": {"type": "array", "items": _object(under_way)}, "position": {"type": "string"}}
        ),
        "System": _object(system),
        "Balances": _object(
            {
                "positions": {"type": "string"},
                "accounts": answers,
                "undecided": {"type": "array", "items": {"type": "integer"}},
                "failed": {
                    "type": "array",
                    "items": _object({"partition": {"type": "integer"}, "code": {"type": "string"}}),
                },
            },
            "positions",
            "accounts",
        ),
        "Problem": _object(told | {"code": {"type": "string"}, "detail": {"type": "string"}}),
    }


def _object(properties: Document, *required: str) -> Document:
    return {"type": "object", "properties": properties, "required": list(required or properties)}


def _parameter(name: str, place: str, schema: Document, meaning: str = "", *, required: bool = False) -> Document:
    parameter = {"name": name, "in": place, "required": required or place == "path", "schema": schema}
    return parameter | {"description": meaning} if meaning else parameter


def _probe(name: str, meaning: str) -> Document:
    healthy = {"description": meaning, "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"operationId": name, "summary": meaning, "responses": {"200": healthy, **_refusals("500", "503")}}


def _metrics() -> Document:
    text = {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return {"operationId": "metrics", "summary": "What this process counts", "responses": {"200": text}}


def _ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(name: str, description: str) -> Document:
    return {"description": description, "content": {"application/json": {"schema": _ref(name)}}}


def _problem(description: str) -> Document:
    return {"description": description, "content": {"application/problem+json": {"schema": _ref("Problem")}}}


_REFUSALS: Final = {
    "400": "The request is malformed.",
    "413": "The body is too large.",
    "500": "Something failed that should not.",
    "503": (
        "Nothing is said rather than something old: the view is not caught up (`view_rebuilding`), the log is being folded "
        "(`starting`), another process projects the `partitions` (`partition_elsewhere`), or they fail for the `reason` "
        "that is told (`partition_unavailable`). What was done is in the log. Try again soon."
    ),
}


def _refusals(*statuses: str) -> Document:
    return {status: _problem(_REFUSALS[status]) for status in statuses}
