"""A test that hangs is named, with what it waits for, and ends the run."""

from __future__ import annotations

import os
import subprocess
import sys

from tests import hung

HANGS = """
import asyncio, sys
from tests.hung import ended_after

async def deaf():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

async def main():
    asyncio.create_task(deaf(), name="left")
    await asyncio.sleep(0)

with ended_after(0.5, sys.stderr):
    asyncio.run(main())
"""
LIMIT_S = 60.0


def test_a_loop_that_waits_for_a_task_when_it_is_closed_is_told_with_the_task_and_the_test() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGS],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={**os.environ, "PYTEST_CURRENT_TEST": "tests/some.py::test (teardown)"},
        check=False,
    )
    assert ended.returncode == hung.EXIT_CODE
    *told, last = ended.stderr.splitlines()
    assert last.endswith("tests/some.py::test (teardown)")
    assert any(line.startswith("task left waits in locks.py:") and line.endswith(" deaf") for line in told), (
        ended.stderr
    )
