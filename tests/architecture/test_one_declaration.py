"""A field of a command is declared once: in a copy one line adds one, and all who read it have it, in every form."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from fanfold.api import grammar, request_parts, requests
from fanfold.api.routes import ROUTES
from gateway.doors.static_files import CONTRACT, static_files

ROOT = Path(__file__).parents[2]

SHOW = """
import sys
from fanfold.api import body_checks
from fanfold.api.openapi import public_document
from fanfold.api.requests import Capture, Hold, HoldBetween, LegsTransfer, Reverse, Transfer, between
from fanfold.http_requests import line_of, request_of
from fanfold.api.malformed import Malformed

HOLD, TWO = "01970f3e-8c2b-7d4f-9b3c-2345678901bc", ("alice", "bob", 5, "USD/2")
FORMS = {
    "OfTransfer": [
        (body_checks.transfer_body, Transfer, TWO),
        (body_checks.transfer_body, LegsTransfer, (list(between(*TWO)),)),
        (lambda body: body_checks.body_about(Capture, HOLD, body), Capture, (HOLD,)),
        (lambda body: body_checks.body_about(Reverse, HOLD, body), Reverse, (HOLD,)),
    ],
    "OfHold": [(body_checks.hold_body, HoldBetween, TWO), (body_checks.hold_body, Hold, (list(between(*TWO)),))],
}
schemas = public_document()["components"]["schemas"]
for read, form, what in FORMS[sys.argv[1]]:
    sent = form(*what, memo="rent")
    body = request_of(sent).body
    assert body["memo"] == "rent", "the client says it"
    assert read(body)[0] == sent, "the door reads it"
    assert body_checks.batch_line(line_of(sent)) == sent, "and in a batch"
    assert "memo" not in request_of(form(*what)).body, "it may be left out"
    try:
        read(body | {"memo": ""})
        raise SystemExit("the door does not check it")
    except Malformed as refused:
        assert (refused.code, refused.field) == ("reference_malformed", "memo")
    told = schemas[form.__name__ + "Body"]["properties"], schemas[form.__name__]["properties"]
    assert all("memo" in properties for properties in told), "documents tell it"
"""


RULE = (
    "protocol, note = _PROTOCOLS[asked.protocol], _note(asked)",
    "protocol, note = _PROTOCOLS[asked.protocol], Note(asked.memo or '')",
)
"""A line of `write_side/doors/asked_commands.py`, and the same where the rule uses the field: it is kept with the outcome."""

RUN = """
import asyncio, json, socket
import aiohttp, uvicorn
from prometheus_client import CollectorRegistry
import fanfold, write_side
from fanfold import Client, Moved, Open, Transfer
from fanfold.api.asyncapi import stream_document
from fanfold.api.openapi import public_document
from fanfold.http_requests import line_of, request_of
from tests.unit.write_side.running import RunningPartition
from write_side.contract.log.log_memory import MemoryRecords
from write_side.doors.http_api import create_app

assert fanfold.__file__.startswith(COPY) and write_side.__file__.startswith(COPY), "it is the copy that runs"
ONE, TWO = (f"3b1f8c9e-6d52-4d3a-9f5b-1234567890a{n}" for n in "bc")

async def run():
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    url = "http://127.0.0.1:%d" % listening.getsockname()[1]
    async with RunningPartition(MemoryRecords(1)) as partition:
        app = create_app(partition.intake, registry=CollectorRegistry(), ready=list)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve([listening]))
        async with Client(url, token="") as client, aiohttp.ClientSession() as http:
            await client.open_account("alice", "USD/2")
            asked = Transfer("@world", "alice", 5, "USD/2", ONE, memo="rent")
            assert isinstance(await client.ask(asked), Moved), "the client says it, and it is done"
            request = request_of(asked)
            async with http.request(request.method, url + request.path, json=request.body) as answer:
                told = await answer.json()
                assert (answer.status, told["reference"]) == (201, "rent"), told
            async with http.post(url + request.path, json=request.body | {"id": TWO, "memo": ""}) as answer:
                refused = await answer.json()
                assert (answer.status, refused["code"], refused["field"]) == (400, "reference_malformed", "memo"), refused
            lines = json.dumps(line_of(Transfer("@world", "alice", 5, "USD/2", TWO, memo="food")))
            async with http.post(url + "/v1/transfers:batch", data=lines, headers=NDJSON) as answer:
                assert json.loads(await answer.text())["reference"] == "food", "a line of a batch, too"
        server.should_exit = True
        await serving

NDJSON = {"content-type": "application/x-ndjson"}
asyncio.run(asyncio.wait_for(run(), 60))
schemas = public_document()["components"]["schemas"]
assert "memo" in schemas["TransferBody"]["properties"], "/docs shows it"
assert "memo" in stream_document()["components"]["schemas"]["Transfer"]["properties"], "and so does the stream"
"""


def _copy_with_memo(shared: str, to: Path) -> None:
    """`fanfold` there has one line more: an optional field of what `shared` is."""
    shutil.copytree(ROOT / "fanfold", to / "fanfold", ignore=shutil.ignore_patterns("__pycache__"))
    source = to / "fanfold" / "api" / "request_parts.py"
    before = source.read_text()
    docstring = before.index('"""', before.index(f"class {shared}("))
    end = before.index("\n", before.index('"""', docstring + 3)) + 1
    source.write_text(f"{before[:end]}\n    memo: Optionally[Reference] = None\n{before[end:]}")


@pytest.mark.parametrize("shared", ["OfTransfer", "OfHold"])
def test_an_optional_field_of_every_form_of_a_command_is_one_line(shared: str, tmp_path: Path) -> None:
    _copy_with_memo(shared, tmp_path)
    ran = subprocess.run(
        [sys.executable, "-c", SHOW, shared], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_a_rule_that_uses_it_is_one_line_more_and_doors_batch_client_and_documents_have_it(tmp_path: Path) -> None:
    """Over HTTP, through a door and a writer; their loops run uncompiled, for a copy would be compiled anew."""
    _copy_with_memo("OfTransfer", tmp_path)
    shutil.copytree(ROOT / "write_side", tmp_path / "write_side", ignore=shutil.ignore_patterns("__pycache__"))
    rule = tmp_path / "write_side" / "doors" / "asked_commands.py"
    assert rule.read_text().count(RULE[0]) == 1
    rule.write_text(rule.read_text().replace(*RULE))
    ran = subprocess.run(
        [sys.executable, "-c", f"COPY = {str(tmp_path)!r}\n{RUN}"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


def test_no_field_of_the_commands_is_declared_twice() -> None:
    """But `asset`: needed for an account and between two, and of legs what they share."""
    kinds = [
        kind
        for module in (requests, request_parts)
        for kind in vars(module).values()
        if isinstance(kind, type) and kind.__module__ == module.__name__
    ]
    declared = Counter(
        name
        for kind in kinds
        for name in getattr(kind, "__annotations__", {})
        if name not in ("about", "account", "refuses")
    )
    assert {name: times for name, times in declared.items() if times > 1}.keys() <= {"asset", "amount", "legs"}


SIDES = ("fanfold", "write_side", "read_side", "gateway", "deploy")
OF_THE_API = ROOT / "fanfold" / "api"
GRAMMARS = [grammar.ACCOUNT, grammar.ASSET.partition("/")[0], grammar.UUID, "[ -~]", "must match [A-Za-z0-9]"]


def _texts(source: Path) -> list[str]:
    """Of Python the texts that are no docstrings, of a page's module its lines without comments."""
    if source.suffix == ".js":
        return [line for line in source.read_text().splitlines() if not line.lstrip().startswith(("//", "/*", "*"))]
    tree = ast.parse(source.read_text())
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said
    ]


SOURCES = [
    source
    for side in SIDES
    for source in sorted((ROOT / side).rglob("*"))
    if source.suffix in (".py", ".js") and OF_THE_API not in source.parents
]


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.relative_to(ROOT).as_posix())
def test_addresses_and_grammars_are_written_in_the_contract_alone(source: Path) -> None:
    for text in _texts(source):
        assert not re.search(r"(^|\"|`)/(v1|internal)/", text), text
        assert not any(grammar in text for grammar in GRAMMARS), text


def test_the_console_reads_the_contract_from_what_the_gateway_makes_of_it() -> None:
    module = static_files()[CONTRACT].body.decode()
    for route in ROUTES:
        assert (json.dumps(route.path) in module) is (
            route.public or route.path in [r.path for r in ROUTES if r.public]
        )
    for pattern in (grammar.ACCOUNT, grammar.ASSET, grammar.NEW_ASSET):
        assert json.dumps(grammar.whole(pattern)) in module
    console = "".join(source.read_text() for source in SOURCES if source.suffix == ".js")
    for name in ("ACCOUNT", "ASSET", "NEW_ASSET", "STREAM", "WORLD", "ROUTES"):
        assert f"export const {name} = " in module
        assert re.search(rf"import {{[^}}]*\b{name}\b[^}}]*}} from \"/console/contract.js\"", console), name
