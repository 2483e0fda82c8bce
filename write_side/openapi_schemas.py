"""The schemas of the write side's OpenAPI document: what bodies and answers look like."""

from __future__ import annotations

from typing import Any, Final

Document = dict[str, Any]

_UUID: Final = "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
_NIL_OR_MAX: Final = ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff")
_ACCOUNT: Final = "[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}"
_LINE: Final = "^[!-~]([ -~]{0,253}[!-~])?$"
_BALANCE: Final = {"type": "string", "pattern": "^(0|-?[1-9][0-9]{0,18})$"}
_MOMENT: Final = {"type": "string", "format": "date-time"}
_POSITION: Final = {"type": "string", "pattern": "^[0-9]+:[0-9]+(,[0-9]+:[0-9]+)*$", "examples": ["0:17", "0:19,3:9"]}
_PLACE: Final = {"position": _POSITION, "at": _MOMENT}
_SUBJECT: Final = {
    "hold": {"$ref": "#/components/schemas/TransferId", "description": "of a capture or void: what it is about"},
    "reverses": {"$ref": "#/components/schemas/TransferId", "description": "of a reversal: what it reverses"},
}
_ASSET: Final = (
    "Code and exponent: how many decimals the unit has. An exponent costs range: no balance, that of `@world` in each partition "
    "included, passes 10^18 minor units, which are 10^16 units at 2 decimals, 10^9 at 9, a thousand at 15, and no more decimals "
    "are taken. One spelling: `USD/2`, never `USD/02`. (Accounts that an older log has of other assets stay usable.)"
)
_FROM: Final = "ids that carry a time from then on are remembered, older ones are refused"
_ID: Final = (
    "A UUID, version 7 preferred. It runs at most once, whatever it is used for. One of version 7 carries its time and is "
    "refused (`id_expired`) once that is older than what is remembered, 7 days or less under load (`/readyz`, "
    "`ids.window_seconds`), so it can never run twice. One of another version is remembered for 7 days at least, and may run "
    "again after that; when there is no room for another it is 503 `id_memory_full`, and nothing is run."
)
_ACCOUNTS: Final = (
    "As they are after it. Of a transfer across partitions only the accounts of its home partition, as the transfer left them: "
    "home is where the first account that gives lives, and its log does not know the accounts of other partitions. Ask for "
    "those by `GET /v1/accounts/{account}` with the position of this answer as `min_position`."
)


def ref(name: str) -> Document:
    return {"$ref": f"#/components/schemas/{name}"}


def schemas(*, legs_max: int) -> Document:
    """Every schema by its name."""
    return _words() | _bodies(legs_max) | _answers()


def _words() -> Document:
    metadata = {
        "type": "object",
        "maxProperties": 16,
        "propertyNames": {"minLength": 1, "maxLength": 64},
        "additionalProperties": {"type": "string", "maxLength": 256},
        "description": "Kept with the outcome and given back with it.",
    }
    return {
        "TransferId": {
            "type": "string",
            "pattern": f"^{_UUID}$",
            "not": {"enum": list(_NIL_OR_MAX)},
            "description": _ID,
        },
        "AccountId": {"type": "string", "pattern": f"^{_ACCOUNT}$"},
        "Party": {"type": "string", "pattern": f"^({_ACCOUNT}|@world)$"},
        "Asset": {
            "type": "string",
            "pattern": "^[A-Z][A-Z0-9]{0,15}/([0-9]|1[0-5])$",
            "examples": ["USD/2"],
            "description": _ASSET,
        },
        "Amount": {"type": "string", "pattern": "^[1-9][0-9]{0,17}$", "description": "Minor units, 1 to 10^18."},
        "SignedAmount": {"type": "string", "pattern": "^-?[1-9][0-9]{0,17}$", "description": "Minor units, not zero."},
        "Protocol": {
            "enum": ["saga", "tcc"],
            "default": "saga",
            "description": "How it is run when its accounts live in different partitions; else it says nothing.",
        },
        "Reference": {"type": "string", "pattern": "^[ -~]{1,128}$"},
        "Metadata": metadata,
        "DryRun": {"type": "boolean", "default": False, "description": "Tell what would become of it; change nothing."},
        "Deadline": {
            "type": "string",
            "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?Z$",
            "examples": ["2026-01-01T00:00:00Z"],
        },
    }


def _bodies(legs_max: int) -> Document:
    floor = {"type": ["string", "null"], "pattern": "^(0|-?[1-9][0-9]{0,17})$", "default": "0"}
    id = {"id": ref("TransferId")}
    dry_run = {"dry_run": ref("DryRun")}
    noted = {"reference": ref("Reference"), "metadata": ref("Metadata")}
    how = {"protocol": ref("Protocol")}
    short = {"from": ref("Party"), "to": ref("Party"), "amount": ref("Amount"), "asset": ref("Asset")}
    leg = {"account": ref("Party"), "amount": ref("SignedAmount"), "asset": ref("Asset")}
    conditions = {
        "if_version": {"type": "integer", "minimum": 0, "maximum": 10**18 - 1},
        "if_available_at_least": {"type": "string", "pattern": "^(0|-?[1-9][0-9]{0,17})$"},
    }
    long = {"legs": _legs("Leg", legs_max), "asset": ref("Asset")}
    captured = {"legs": _legs("CapturedLeg", legs_max), "asset": ref("Asset")}
    final = {"final": {"type": "boolean", "default": False, "description": "Let go what is left of the hold."}}
    frozen = {"enum": ["frozen", "free"]}
    flags = {"debit": frozen, "credit": frozen, "state": {"enum": ["closed", "open"]}}
    of_transfer = id | how | noted | dry_run
    of_hold = id | {"deadline": ref("Deadline")} | noted | dry_run
    of_capture = id | final | how | noted | dry_run
    return {
        "AccountTerms": _closed(
            {"asset": ref("Asset"), "floor": floor, "owner": {"type": "string", "pattern": _LINE}}, "asset"
        ),
        "AccountChange": _closed(id | flags | dry_run)
        | {"anyOf": [{"required": [name]} for name in flags], "minProperties": 1},
        "Leg": _closed(leg | conditions, "account", "amount"),
        "CapturedLeg": _closed(leg, "account", "amount"),
        "Transfer": _either(_closed(of_transfer | short, *short), _closed(of_transfer | long, "legs")),
        "Hold": _either(_closed(of_hold | short, *short), _closed(of_hold | long, "legs")),
        "Capture": _either(_closed(of_capture | {"amount": ref("Amount")}), _closed(of_capture | captured, "legs")),
        "Void": _closed(id | dry_run),
        "Reverse": _closed(id | how | noted | dry_run),
    }


def _answers() -> Document:
    state = {
        "account": ref("AccountId"),
        "asset": ref("Asset"),
        "posted": _BALANCE,
        "held": _BALANCE,
        "available": {"type": ["string", "null"]},
        "floor": {"type": ["string", "null"]},
        "version": {"type": "integer", "minimum": 0},
        "flags": {"type": "array", "items": {"enum": ["debit_frozen", "credit_frozen", "closed"]}},
    } | _PLACE
    step = {
        "step": {"type": "integer", "minimum": 0},
        "action": {"enum": ["try", "confirm", "cancel"]},
        "partition": {"type": "integer", "minimum": 0},
        "code": {"type": "string", "description": "`done`, or the word of a refusal"},
    } | _PLACE
    begun = {"id": ref("TransferId"), "protocol": {"enum": ["saga", "tcc"]}, "phase": {"type": "string"}} | _PLACE
    return {
        "AccountState": _open(state, "account", "posted", "version"),
        "Opened": _open(
            {"account": ref("AccountId"), "asset": ref("Asset"), "result": {"type": "string"}} | _PLACE,
            "account",
            "asset",
            "result",
            "position",
        ),
        "Step": _open(step, "step", "action", "partition", "code"),
        "Done": _open(
            begun
            | {
                "result": {"enum": ["done", "held", "voided", "changed"]},
                **_SUBJECT,
                "dry_run": {"const": True},
                "reference": ref("Reference"),
                "metadata": ref("Metadata"),
                "accounts": {"type": "array", "items": ref("AccountState"), "description": _ACCOUNTS},
                "steps": {"type": "array", "items": ref("Step"), "description": "of a transfer across partitions"},
            },
            "id",
            "result",
        ),
        "Pending": _open(begun | _SUBJECT | {"result": {"const": "pending"}}, "id", "result"),
        "Problem": _open(
            {
                "type": {"type": "string", "format": "uri"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "code": {"type": "string"},
                "detail": {"type": "string"},
                "remembered_from": {
                    "type": "string",
                    "format": "date-time",
                    "description": "of `id_expired`: " + _FROM,
                },
                **_SUBJECT,
            },
            "type",
            "title",
            "status",
            "code",
            "detail",
        ),
    }


def _legs(name: str, legs_max: int) -> Document:
    return {"type": "array", "items": ref(name), "minItems": 2, "maxItems": legs_max}


def _either(*forms: Document) -> Document:
    return {"oneOf": list(forms)}


def _closed(properties: Document, *required: str) -> Document:
    return _open(properties, *required) | {"additionalProperties": False}


def _open(properties: Document, *required: str) -> Document:
    document: Document = {"type": "object", "properties": properties}
    return document | {"required": list(required)} if required else document
