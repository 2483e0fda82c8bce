"""A field of a command is declared once: in a copy one line adds one, and all who read it have it, in every form."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from fanfold.api import requests

ROOT = Path(__file__).parents[2]

SHOW = """
import sys
from fanfold.api import reading
from fanfold.api.openapi import public_document
from fanfold.api.requests import Capture, Hold, HoldBetween, LegsTransfer, Reverse, Transfer, between
from fanfold.http_requests import line_of, request_of
from fanfold.api.malformed import Malformed

HOLD, TWO = "01970f3e-8c2b-7d4f-9b3c-2345678901bc", ("alice", "bob", 5, "USD/2")
FORMS = {
    "OfTransfer": [
        (reading.transfer_body, Transfer, TWO),
        (reading.transfer_body, LegsTransfer, (list(between(*TWO)),)),
        (lambda body: reading.body_about(Capture, HOLD, body), Capture, (HOLD,)),
        (lambda body: reading.body_about(Reverse, HOLD, body), Reverse, (HOLD,)),
    ],
    "OfHold": [(reading.hold_body, HoldBetween, TWO), (reading.hold_body, Hold, (list(between(*TWO)),))],
}
schemas = public_document()["components"]["schemas"]
for read, form, what in FORMS[sys.argv[1]]:
    sent = form(*what, memo="rent")
    body = request_of(sent).body
    assert body["memo"] == "rent", "the client says it"
    assert read(body)[0] == sent, "the door reads it"
    assert reading.batch_line(line_of(sent)) == sent, "and in a batch"
    assert "memo" not in request_of(form(*what)).body, "it may be left out"
    try:
        read(body | {"memo": ""})
        raise SystemExit("the door does not check it")
    except Malformed as refused:
        assert (refused.code, refused.field) == ("reference_malformed", "memo")
    told = schemas[form.__name__ + "Body"]["properties"], schemas[form.__name__]["properties"]
    assert all("memo" in properties for properties in told), "documents tell it"
"""


@pytest.mark.parametrize("shared", ["OfTransfer", "OfHold"])
def test_an_optional_field_of_every_form_of_a_command_is_one_line(shared: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "fanfold", tmp_path / "fanfold")
    source = tmp_path / "fanfold" / "api" / "requests.py"
    before = source.read_text()
    docstring = before.index('"""', before.index(f"class {shared}("))
    end = before.index("\n", before.index('"""', docstring + 3)) + 1
    source.write_text(f"{before[:end]}\n    memo: Optionally[Reference] = None\n{before[end:]}")
    ran = subprocess.run(
        [sys.executable, "-c", SHOW, shared], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_no_field_of_the_commands_is_declared_twice() -> None:
    """But `asset`: needed for an account and between two, and of legs what they share."""
    kinds = [
        kind for kind in vars(requests).values() if isinstance(kind, type) and kind.__module__ == requests.__name__
    ]
    declared = Counter(
        name
        for kind in kinds
        for name in getattr(kind, "__annotations__", {})
        if name not in ("about", "account", "refuses")
    )
    assert {name: times for name, times in declared.items() if times > 1}.keys() <= {"asset", "amount", "legs"}
