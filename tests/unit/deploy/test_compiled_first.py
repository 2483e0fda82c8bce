"""Compiling takes memory that no process gives back: another one does it, and its end, however it comes, is no service's."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from deploy.compiled_first import compiled_first
from write_side.contract.compiled.compiling import compiling


def _runs(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


async def _compiled_elsewhere(functions: int) -> None:
    async with asyncio.timeout(30):
        while compiling().elsewhere != functions:  # noqa: ASYNC110 - nobody else is told
            await asyncio.sleep(0.01)


async def test_nothing_is_started_where_everything_is_compiled(tmp_path: Path) -> None:
    is_done = tmp_path / "all"
    is_done.touch()
    await compiled_first(is_done, ("/there/is/no/such/program",))
    assert compiling().why is None


async def test_a_start_says_how_far_the_other_process_is(tmp_path: Path) -> None:
    go_on, said = tmp_path / "go on", tmp_path / "said"
    program = f"""
import os, pathlib, time
print(17, flush=True)
while not pathlib.Path({str(go_on)!r}).exists():
    time.sleep(0.01)
pathlib.Path({str(said)!r}).touch()
"""
    waiting = asyncio.create_task(compiled_first(tmp_path / "all", _runs(program)))
    await _compiled_elsewhere(17)
    assert "once a version" in str(compiling().why)
    go_on.touch()
    await waiting
    assert said.exists()
    assert compiling().why is None


@pytest.mark.parametrize(
    "command",
    [
        ("/there/is/no/such/program",),
        _runs("raise SystemExit(3)"),
        _runs("print('no number'); import time; time.sleep(600)"),
    ],
    ids=["not there", "fails", "says nonsense"],
)
async def test_a_service_starts_whatever_becomes_of_it(tmp_path: Path, command: tuple[str, ...]) -> None:
    async with asyncio.timeout(30):
        await compiled_first(tmp_path / "all", command)
    assert compiling().why is None


async def test_a_start_that_is_given_up_leaves_no_process_behind(tmp_path: Path) -> None:
    told = tmp_path / "id"
    program = f"""
import os, pathlib, time
pathlib.Path({str(told)!r}).write_text(str(os.getpid()))
print(1, flush=True)
time.sleep(600)
"""
    waiting = asyncio.create_task(compiled_first(tmp_path / "all", _runs(program)))
    await _compiled_elsewhere(1)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert not Path(f"/proc/{told.read_text()}").exists()
    assert compiling().why is None
