"""One OpenAPI document out of both sides': the public paths of each, and the stream that neither knows."""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.reverse_proxy import ROUTES, Side

Document = dict[str, Any]

_METHODS: Final = ("get", "put", "post", "delete", "patch", "head", "options", "trace")

STREAM: Final[Document] = {
    "get": {
        "operationId": "stream",
        "tags": ["Stream"],
        "summary": "Live balances over a WebSocket",
        "description": (
            "Upgrade to a WebSocket (subprotocol `wallet.v1`, optional) and subscribe:\n\n"
            '    > {"op": "subscribe", "id": 1, "accounts": [{"account": "alice", "since": 3}]}\n'
            '    < {"op": "ack", "id": 1, "accounts": [{"account": "alice", "sub": 1, "version": 4}]}\n'
            '    < {"op": "balances", "items": [{"sub": 1, "snapshot": true, "asset": "USD/2", "v": 4, "posted": "900", '
            '"held": "0", "available": "900", "at": "2026-01-01T00:00:00.000000Z"}]}\n\n'
            "Every item is the whole balance, never a difference. `since` is the newest version you have: after a lost "
            "connection you get only what changed. Versions never go back. `unsubscribe` takes `subs`, `ping` is "
            'answered by `pong`. With `"transfers": true` in a subscribe you also hear from then on when '
            'one of its transfers across partitions goes to a phase: `{"op": "transfer", "sub": 1, "id": …, "phase": …}`, and '
            "`transfers_missed` when some may have gone by. The transfer's home tells `debiting` to `done` or `refused`, another "
            "partition what its part is: `held`, then `done` or `released`. `status` with "
            "`live: false` says that balances may be old for now."
        ),
        "responses": {
            "101": {"description": "The stream is open."},
            "403": {"description": "A page of another origin may not open it."},
            "426": {"description": "This address speaks WebSocket only."},
            "503": {"description": "Too many streams, or the gateway is starting or stopping."},
        },
    }
}


def merge(write_side: Document, read_side: Document) -> Document:
    """Both documents as the gateway's. Schemas of one name and different content get the side's name before them."""
    own = _schemas(write_side)
    renamed = {
        name: f"Read{name}" for name, schema in _schemas(read_side).items() if name in own and own[name] != schema
    }
    read_side = _rename(read_side, renamed)
    paths: Document = {}
    for side, document, tag in (("write", write_side, "Write"), ("read", read_side, "Read")):
        for path, operations in document.get("paths", {}).items():
            public = {
                method: ({"tags": [tag]} | operation) if method in _METHODS else operation
                for method, operation in operations.items()
                if method not in _METHODS or _side_of(method.upper(), path) == side
            }
            if any(method in _METHODS for method in public):
                paths[path] = paths.get(path, {}) | public
    paths["/v1/stream"] = STREAM
    components: Document = {}
    for document in (write_side, read_side):
        for kind, entries in document.get("components", {}).items():
            components[kind] = components.get(kind, {}) | entries
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "fanfold",
            "version": "1",
            "description": (
                "A wallet service. Amounts are strings of digits in minor units. A write is answered when it is in the "
                "log; sent again with the same id it runs once. Every answer names its position: give it as "
                "`min_position` to read what you wrote."
            ),
        },
        "paths": dict(sorted(paths.items())),
        "components": components,
    }


def _schemas(document: Document) -> Document:
    schemas: Document = document.get("components", {}).get("schemas", {})
    return schemas


def _side_of(method: str, path: str) -> Side | None:
    """Path templates match the routing table as they are: `{account}` is one segment."""
    for pattern, sides in ROUTES:
        if re.match(pattern, path):
            return sides.get(method)
    return None


def _rename(tree: Any, names: dict[str, str]) -> Any:
    """The tree with schemas and all references to them renamed."""
    if not names:
        return tree
    prefix = "#/components/schemas/"

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str) and reference.removeprefix(prefix) in names:
                return node | {"$ref": prefix + names[reference.removeprefix(prefix)]}
            return {key: walk(value) for key, value in node.items()}
        return [walk(value) for value in node] if isinstance(node, list) else node

    document: Document = walk(tree)
    schemas = document["components"]["schemas"]
    document["components"]["schemas"] = {names.get(name, name): schema for name, schema in schemas.items()}
    return document
