"""A field of a transfer is declared once: in a copy of the sources one line adds one, and all who read it have it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

DECLARED = """    id: MadeId = NEW_ID
    protocol: Optionally[Protocol] = None
"""

SHOW = """
import json
from fanfold.api import reading
from fanfold.api.openapi import public_document
from fanfold.api.requests import Transfer
from fanfold.http_requests import line_of, request_of
from fanfold.api.malformed import Malformed

sent = Transfer("alice", "bob", 5, "USD/2", memo="rent")
body = request_of(sent).body
assert body["memo"] == "rent", "the client says it"
assert line_of(sent)["memo"] == "rent", "and in a batch"
assert reading.transfer_body(body)[0] == sent, "the door reads it"
assert reading.batch_line(line_of(sent)) == sent, "and in a batch"
assert "memo" not in request_of(Transfer("alice", "bob", 5, "USD/2")).body, "it may be left out"
try:
    reading.transfer_body(body | {"memo": ""})
    raise SystemExit("the door does not check it")
except Malformed as refused:
    assert (refused.code, refused.field) == ("reference_malformed", "memo")
schemas = public_document()["components"]["schemas"]
assert {"memo"} <= schemas["TransferBody"]["properties"].keys() & schemas["Transfer"]["properties"].keys(), "documents tell it"
"""


def test_an_optional_field_of_a_transfer_is_one_line(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "fanfold", tmp_path / "fanfold")
    requests = tmp_path / "fanfold" / "api" / "requests.py"
    before = requests.read_text()
    first = before.index(DECLARED)
    requests.write_text(
        before[:first] + DECLARED + "    memo: Optionally[Reference] = None\n" + before[first + len(DECLARED) :]
    )
    ran = subprocess.run([sys.executable, "-c", SHOW], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
