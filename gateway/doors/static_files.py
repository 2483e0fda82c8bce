"""Pages served from package files: read once, sent with a tag so that a browser asks whether they changed."""

from __future__ import annotations

import hashlib
import json
from importlib.resources import files
from typing import Final, NamedTuple

from fanfold.api import grammar
from fanfold.api.retry import ASKED_AGAIN
from fanfold.api.routes import ROUTES, STREAM_PATH

TYPES: Final = {
    "html": b"text/html; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "svg": b"image/svg+xml",
}

CONSOLE_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing but our own files; `connect-src 'self'` covers the WebSocket of the same host too."""

DOCS_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    b"connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI sets inline styles and draws its icons from data addresses."""


FOLDERS: Final = ("gateway.console", "gateway.console.uplot", "clients.javascript")
CONTRACT: Final = "/console/contract.js"
"""Tells the console's other modules the addresses and grammars of the API: made of `fanfold/api`, not typed again."""


class StaticFile(NamedTuple):
    """One file, ready to be sent."""

    body: bytes
    content_type: bytes
    tag: bytes
    policy: bytes


def static_files() -> dict[str, StaticFile]:
    """Every page file by its path. Raises FileNotFoundError for a broken installation."""
    found = {}
    for resource in (each for folder in FOLDERS for each in files(folder).iterdir()):
        ending = resource.name.rpartition(".")[2]
        if ending in TYPES:
            docs = resource.name.startswith("docs.")
            found[f"/console/{resource.name}"] = _file(resource.read_bytes(), ending, docs=docs)
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        body = files("fastapi_swagger.resources").joinpath(name).read_bytes()
        found[f"/console/{name}"] = _file(body, name.rpartition(".")[2], docs=True)
    found[CONTRACT] = _file(_contract(), "js", docs=False)
    found["/"] = found.pop("/console/index.html")
    found["/docs"] = found.pop("/console/docs.html")
    return found


def _contract() -> bytes:
    paths = {route.operation: {"method": route.method, "path": route.path} for route in ROUTES if route.public}
    patterns = {"ACCOUNT": grammar.ACCOUNT, "ASSET": grammar.ASSET, "NEW_ASSET": grammar.NEW_ASSET}
    told = [f"export const {name} = new RegExp({json.dumps(grammar.whole(text))});" for name, text in patterns.items()]
    words: dict[str, object] = {
        "WORLD": grammar.WORLD,
        "STREAM": STREAM_PATH,
        "ROUTES": paths,
        "LEGS_MAX": grammar.LEGS_MAX,
    }
    words["ASKED_AGAIN"] = sorted(ASKED_AGAIN)
    told += [f"export const {name} = {json.dumps(word)};" for name, word in words.items()]
    return "\n".join(["// Made of fanfold/api when the gateway starts.", *told, ""]).encode()


def _file(body: bytes, ending: str, *, docs: bool) -> StaticFile:
    tag = b'"%s"' % hashlib.blake2b(body, digest_size=12).hexdigest().encode()
    return StaticFile(body, TYPES[ending], tag, DOCS_POLICY if docs else CONSOLE_POLICY)
