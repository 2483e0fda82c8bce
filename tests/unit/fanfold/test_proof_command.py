"""`fanfold proof --check`: what was altered is found, whatever it was; and nonsense is told as that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fanfold.cli.main import app
from tests.unit.read_side.block_maker import BlockMaker, moved, opened
from write_side.contract.block.block import read_header
from write_side.contract.log.log_file import FileLog
from write_side.contract.words.times import format_time

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Of alice at version 2 of 3, of a file log that the environment names."""

    async def make() -> list[bytes]:
        log = await FileLog.open(tmp_path, 1)
        maker = BlockMaker(log)
        await maker.epoch()
        await maker.append(opened("alice"), opened("bob"))
        for amount in (10, 5, 2):
            await maker.append(moved("@world", "alice", amount))
        await log.close()
        return maker.blocks

    blocks = asyncio.run(make())
    monkeypatch.setenv("FANFOLD_LOG", f"file:{tmp_path}")
    header = read_header(blocks[3])
    return {
        "as_of": "2",
        "account": {
            "account": "alice", "asset": "USD/2", "posted": 15, "held": 0, "available": 15, "floor": 0, "version": 2,
            "position": "0:3", "at": format_time(header.created_at_us), "flags": [], "block_hash": header.block_hash.hex(),
            "final": True,
        },
    }  # fmt: skip


def check(proof: object, tmp_path: Path) -> tuple[int, str]:
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(proof))
    told = CliRunner().invoke(app, ["proof", "--check", str(file)])
    return told.exit_code, told.output


@pytest.mark.parametrize("as_of", ["2", "0:3"])
def test_what_the_blocks_say_holds(proof: dict[str, Any], tmp_path: Path, as_of: str) -> None:
    code, told = check(proof | {"as_of": as_of}, tmp_path)
    assert (code, "holds" in told) == (0, True), told


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(as_of="1"),
        lambda it: it.update(as_of="0:4"),
        lambda it: it.update(as_of="2001-01-01T00:00:00Z"),
        lambda it: it.update(as_of="2099-01-01T00:00:00Z"),
        lambda it: it["account"].update(posted=16),
        lambda it: it["account"].update(available=99),
        lambda it: it["account"].update(held=1),
        lambda it: it["account"].update(version=3),
        lambda it: it["account"].update(position="0:4"),
        lambda it: it["account"].update(block_hash="00" * 32),
        lambda it: it["account"].pop("block_hash"),
    ],
)
def test_what_was_altered_does_not_hold(proof: dict[str, Any], tmp_path: Path, change: Change) -> None:
    change(proof)
    code, told = check(proof, tmp_path)
    assert code == 1, told
    assert "DOES NOT HOLD" in told


@pytest.mark.parametrize(
    "change",
    [
        lambda it: it.update(as_of="yesterday"),
        lambda it: it["account"].update(position="0:3,1:2"),
        lambda it: it["account"].update(position="0:5,0:6"),
        lambda it: it["account"].update(at="soon"),
        lambda it: it.pop("account"),
    ],
)
def test_what_is_no_proof_is_told(proof: dict[str, Any], tmp_path: Path, change: Change) -> None:
    change(proof)
    code, told = check(proof, tmp_path)
    assert code == 2, told
    assert "is nothing that" in " ".join(told.split())
