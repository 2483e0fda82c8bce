"""A page of entries as lines: NDJSON, or CSV (RFC 4180). The next page is in a header (RFC 8288), and since when it is old."""

from __future__ import annotations

import csv
import io
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

from fanfold.api import routes
from fanfold.api.answer_headers import STALE_SINCE
from fanfold.api.csv_cells import cell, flags_cell
from fanfold.api.questions import OfEntries
from fanfold.doors.answer import NDJSON, Response, encode_lines, json_response
from fanfold.doors.request import Scope

COLUMNS: Final = (
    "version", "at", "position", "transfer", "kind", "amount", "posted", "held", "available", "accounts", "reference", "metadata",
    "held_change", "flags",
)  # fmt: skip
"""Of a CSV; what was added stands last, for who reads by place. accounts, flags: with blanks between them; metadata: JSON."""


def page_response(page: dict[str, Any], asked: OfEntries, scope: Scope) -> Response:
    """The page in the form that was asked for."""
    if asked.format == "json":
        return json_response(200, page)
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if "next" in page:
        path: str = scope["path"]
        asked_for = parse_qsl(scope["query_string"].decode("latin-1"))
        kept = [(name, value) for name, value in asked_for if name != "cursor"]
        target = f"{quote(path)}?{urlencode([*kept, ('cursor', page['next'])])}"
        headers = ((b"link", f'<{target}>; rel="next"'.encode("latin-1")),)
    if "stale_since" in page:
        headers += ((STALE_SINCE.lower().encode(), page["stale_since"].encode()),)
    if asked.format == "ndjson":
        return Response(200, NDJSON, encode_lines(page["entries"]), headers=headers)
    return Response(200, routes.CSV.encode(), _csv(page["entries"]), headers=headers)


def _csv(entries: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(COLUMNS)
    for entry in entries:
        metadata = entry.get("metadata")
        told = entry | {
            "accounts": " ".join(entry["accounts"]),
            "flags": flags_cell(entry.get("flags")),
            "metadata": "" if metadata is None else encode_lines([metadata]).decode().rstrip("\n"),
        }
        rows.writerow(["" if told.get(column) is None else cell(str(told[column])) for column in COLUMNS])
    return text.getvalue().encode()
