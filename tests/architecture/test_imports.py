"""Who may import whom, which folders are pure, who may name an adapter, and proof that the checks can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.architecture.rules import check_addresses, check_circles, check_name, check_source, check_tree

ROOT = Path(__file__).parents[2]


def test_the_repository_keeps_the_rules() -> None:
    violations = check_tree(ROOT)
    assert not violations, "\n" + "\n".join(map(str, violations))


def test_an_empty_tree_keeps_the_rules(tmp_path: Path) -> None:
    assert check_tree(tmp_path) == []


def test_a_violation_in_a_tree_is_found_and_placed(tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "hub.py").write_text("import asyncio\n\nimport write_side.writer\n")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "utils.py").write_text("")
    assert [violation.place for violation in check_tree(tmp_path)] == ["gateway/hub.py:3"]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("read_side/projector.py", "import write_side.writer"),
        ("read_side/projector.py", "import write_side"),
        ("read_side/projector.py", "from write_side import writer"),
        ("read_side/projector.py", "from write_side.contracts import block"),
        ("read_side/views/view.py", "from ...write_side.ledger import decide"),
        ("read_side/projector.py", "def later():\n    from gateway.contract import x"),
        ("read_side/projector.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import write_side.writer"),
        ("read_side/projector.py", "import importlib\nimportlib.import_module('write_side.writer')"),
        ("read_side/projector.py", "from tests.servers import running_redis"),
        ("write_side/writer.py", "from read_side.contract import rows"),
        ("write_side/writer.py", "import gateway.hub"),
        ("write_side/writer.py", "import fanfold"),
        ("gateway/hub.py", "from read_side.projector import Projector"),
        ("gateway/hub.py", "from write_side.ledger import decide"),
        ("gateway/hub.py", "from deploy import one_process"),
        ("write_side/owner/writer.py", "from write_side.doors.http_api import create_app"),
        ("write_side/queue/queue_memory.py", "def later():\n    from write_side.owner import writer"),
        ("write_side/ledger/rules/legs.py", "from write_side.ledger.across.steps import take_step"),
        ("write_side/contract/block/block.py", "from write_side.contract.state.fold import fold"),
        ("write_side/contract/words/codes.py", "from write_side.contract.block import limits"),
        ("read_side/fold/balances.py", "from read_side.tell import events"),
        ("gateway/protocol/session.py", "from gateway.streams.hub import Hub"),
        ("fanfold/api/words/names.py", "from fanfold.doors import answer"),
        ("fanfold/client.py", "from write_side.contract import codes"),
        ("fanfold/client.py", "from gateway import wiring"),
        ("fanfold/cli/up.py", "from write_side.writer import Writer"),
        ("fanfold/cli/up.py", "from tests.servers import running_kafka"),
        ("deploy/one_process.py", "from tests.servers import running_kafka"),
        ("write_side/wiring.py", "from write_side.designs.saga import Saga"),
        ("fanfold/cli/up.py", "import write_side.designs.wiring"),
        ("write_side/designs/saga.py", "from write_side.owner.writer import Writer"),
        ("write_side/owner/writer.py", "from write_side.wiring import open_log"),
        ("read_side/contract/rows.py", "import read_side.wiring"),
        ("write_side/contract/words/atoms.py", "from fanfold.api.problems import PROBLEMS"),
        ("write_side/ledger/rules/legs.py", "from write_side.contract.snapshots.store import SnapshotStore"),
        ("gateway/protocol/session.py", "from gateway.metrics import Metrics"),
        ("fanfold/client.py", "from fanfold.doors.answer import JSON"),
        ("fanfold/stream.py", "from fanfold.cli import printing"),
    ],
)
def test_an_import_of_another_folder_is_refused(path: str, source: str) -> None:
    assert any("may not import" in violation.rule for violation in check_source(path, source))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("read_side/projector.py", "from write_side.contract import block"),
        ("read_side/projector.py", "from write_side.contract.block import Block"),
        ("read_side/projector.py", "from . import rebuild\nfrom .views.view import ViewStore"),
        ("write_side/writer.py", "import asyncio\nfrom write_side.ledger.decide import decide"),
        ("gateway/hub.py", "import read_side.contract.rows, write_side.contract.position"),
        ("fanfold/client.py", "import aiohttp\nfrom fanfold import streams"),
        ("fanfold/cli/up.py", "from write_side.wiring import open_log_file\nfrom deploy.one_process import run"),
        ("fanfold/cli/tail.py", "from write_side.contract.block import decode"),
        ("fanfold/cli/bench.py", "from tests.servers import running_kafka"),
        ("write_side/designs/wiring.py", "from write_side.designs.saga import Saga"),
        ("deploy/one_process.py", "from gateway.hub import Hub\nfrom write_side.contract.log.log_file import FileLog"),
        ("tests/unit/test_x.py", "from write_side.writer import Writer\nfrom write_side.contract.log import log_file"),
    ],
)
def test_an_allowed_import_passes(path: str, source: str) -> None:
    assert check_source(path, source) == []


@pytest.mark.parametrize(
    "path",
    [
        "write_side/ledger/decide.py",
        "write_side/contract/fold.py",
        "read_side/contract/rows.py",
        "read_side/fold/checks.py",
        "read_side/tell/events.py",
        "gateway/protocol/session.py",
    ],
)
@pytest.mark.parametrize(
    "source",
    [
        "import os",
        "import os.path as paths",
        "from time import monotonic",
        "import asyncio",
        "def later():\n    import socket",
        "from redis.asyncio import Redis",
        "import aiokafka",
        "from websockets.asyncio.server import serve",
        "import random",
        "data = open('x').read()",
        "import uuid\nid = uuid.uuid4()",
        "from uuid import uuid4\nid = uuid4()",
        "import datetime\nnow = datetime.datetime.now(datetime.UTC)",
        "from datetime import UTC, datetime\nnow = datetime.now(UTC)",
    ],
)
def test_io_clock_and_chance_are_refused_in_a_pure_folder(path: str, source: str) -> None:
    assert any("a pure folder" in violation.rule for violation in check_source(path, source))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("write_side/ledger/decide.py", "import numpy as np\nfrom numba import njit\nimport uuid\nuuid.UUID(int=1)"),
        ("write_side/ledger/decide.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import asyncio"),
        ("write_side/contract/log/log.py", "from collections.abc import AsyncIterator"),
        ("write_side/contract/log/log_file.py", "import os, mmap, fcntl"),
        ("write_side/contract/log/log_kafka.py", "import asyncio\nimport aiokafka"),
        ("gateway/protocol/frames.py", "from websockets.frames import Frame"),
        ("write_side/writer.py", "import time, asyncio, os"),
    ],
)
def test_pure_imports_and_adapters_pass(path: str, source: str) -> None:
    assert check_source(path, source) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("write_side/writer.py", "from write_side.contract.log.log_file import FileLog"),
        ("write_side/writer.py", "from write_side.contract.log import log_kafka"),
        ("read_side/projector.py", "from read_side.views.view_redis import RedisView"),
        ("read_side/projector.py", "from read_side.views import memory"),
        ("read_side/views/view_redis.py", "from read_side.views.view_memory import MemoryView"),
        ("fanfold/cli/tail.py", "from write_side.contract.log.log_file import FileLog"),
        ("gateway/hub.py", "import read_side.contract.feed_in_process"),
    ],
)
def test_only_wiring_and_deploy_name_an_adapter(path: str, source: str) -> None:
    assert any("name an adapter" in violation.rule for violation in check_source(path, source))
    side = path.partition("/")[0]
    if side in {"write_side", "read_side"}:
        assert check_source(f"{side}/wiring.py", source) == []


def test_an_adapter_may_be_spread_over_files_of_its_technology() -> None:
    assert check_source("read_side/feed/feed_redis.py", "from read_side.feed.stream_redis import Stream") == []
    assert (
        check_source("write_side/contract/log/log_file.py", "from write_side.contract.log import log_file_folder") == []
    )
    assert check_source("write_side/contract/log/log_file_folder.py", "import fcntl") == []


@pytest.mark.parametrize(
    "path",
    [
        "write_side/utils.py",
        "gateway/common/x.py",
        "fanfold/base.py",
        "gateway/console/helpers.js",
        "a/view_manager.py",
    ],
)
def test_a_name_without_a_concept_is_refused(path: str) -> None:
    assert check_name(path)


@pytest.mark.parametrize("path", ["write_side/baseline.py", "deploy/lock/dev.txt", "read_side/views/database.py"])
def test_a_name_that_only_contains_one_passes(path: str) -> None:
    assert check_name(path) == []


@pytest.mark.parametrize("host", ["pypi|org", "f.pythonhosted|org", "repo1.maven|org", "deb.debian|org", "crates|io"])
def test_a_registry_address_is_refused(host: str) -> None:
    # Put together here, so that this file passes the rule it tests.
    line = f"fetch https://{host.replace('|', '.')}/simple/"
    assert check_addresses("deploy/Dockerfile", f"FROM debian:12\n{line}\n")[0].place == "deploy/Dockerfile:2"


def test_package_names_and_other_addresses_pass() -> None:
    text = "FROM debian:12\norg.apache.kafka:kafka_2.13\nhttp://www.apache.org/licenses/\npip install -r\n"
    assert check_addresses("x", text) == []


def test_a_circle_of_imports_is_found_also_where_it_is_for_types_only() -> None:
    first = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from write_side.b import B"
    assert (
        check_circles(
            {"write_side/a.py": first, "write_side/b.py": "from write_side.c import C", "write_side/c.py": ""}
        )
        == []
    )
    assert len(check_circles({"write_side/a.py": first, "write_side/b.py": "from write_side import a"})) == 1


def test_no_imports_of_ours_run_in_a_circle() -> None:
    paths = [
        path
        for top in ("write_side", "read_side", "gateway", "fanfold", "deploy")
        for path in (ROOT / top).rglob("*.py")
    ]
    assert check_circles({str(path.relative_to(ROOT)): path.read_text() for path in paths}) == []
