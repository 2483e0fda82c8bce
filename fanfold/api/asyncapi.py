"""The AsyncAPI 3 document of the stream, made of the classes of its frames."""

from __future__ import annotations

from typing import Any, Final

from pydantic import TypeAdapter

from fanfold.api.batch_line_schema import line_schemas
from fanfold.api.close_codes import MEANINGS
from fanfold.api.declared import SCHEMA_REF, Document
from fanfold.api.frames.kinds import CLIENT_FRAMES, GATEWAY_FRAMES, ClientFrame, GatewayFrame
from fanfold.api.routes import STREAM_PATH, SUBPROTOCOL

_CHANNEL: Final = "#/channels/stream"


def stream_document() -> Document:
    """AsyncAPI 3.0."""
    schemas: Document = line_schemas()
    for frame in (ClientFrame, GatewayFrame):
        kinds: Any = frame
        schemas |= TypeAdapter(kinds).json_schema(ref_template=SCHEMA_REF)["$defs"]
    schemas["Submit"]["properties"]["commands"]["items"] = {"$ref": SCHEMA_REF.format(model="BatchLine")}
    frames = (*CLIENT_FRAMES, *GATEWAY_FRAMES)
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "fanfold stream", "version": "1", "description": _about()},
        "defaultContentType": "application/json",
        "channels": {
            "stream": {
                "address": STREAM_PATH,
                "description": f"A WebSocket, subprotocol `{SUBPROTOCOL}`, optional; one JSON object a text message.",
                "messages": {kind.__name__: {"$ref": f"#/components/messages/{kind.__name__}"} for kind in frames},
                "bindings": {"ws": {"method": "GET"}},
            }
        },
        "operations": {
            "say": _operation("receive", "What a client says.", CLIENT_FRAMES),
            "hear": _operation("send", "What the gateway says.", GATEWAY_FRAMES),
        },
        "components": {
            "messages": {
                kind.__name__: {
                    "name": kind.__name__,
                    "summary": kind.__doc__,
                    "payload": {"$ref": SCHEMA_REF.format(model=kind.__name__)},
                }
                for kind in frames
            },
            "schemas": dict(sorted(schemas.items())),
        },
    }


def _operation(action: str, summary: str, kinds: tuple[type[Any], ...]) -> Document:
    messages = [{"$ref": f"{_CHANNEL}/messages/{kind.__name__}"} for kind in kinds]
    return {"action": action, "summary": summary, "channel": {"$ref": _CHANNEL}, "messages": messages}


def _about() -> str:
    codes = "".join(
        f"\n- {int(code)}: {meaning.reason}; {'connect again' if meaning.reconnect else 'trying again changes nothing'}"
        for code, meaning in MEANINGS.items()
    )
    return (
        "Live balances: every item is the whole balance, never a difference, and versions never go back. The gateway closes with:"
        f"{codes}\n\nWhere the gateway asks who is there, `Authorization: Bearer` says so in the handshake, or `auth` "
        f"as the first message."
        " 4000-4499 mean connect again and resume by `since`, 4500-4999 that it changes nothing."
    )
