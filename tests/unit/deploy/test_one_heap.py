"""A service has one heap for all its threads and for Arrow, whatever its imports have begun before it serves."""

from __future__ import annotations

import os
import subprocess
import sys

_LOOK = """
import ctypes, sys
from fanfold.cli.main import main

sys.argv = ["fanfold", {command!r}, "--help"]
try:
    main()
except SystemExit:
    sys.stdout.flush()
import pyarrow

libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
print("Arrow:", pyarrow.default_memory_pool().backend_name)
"""


def _told(command: str) -> str:
    # A service that ran in this process before would have chosen for its children, too.
    environment = {name: value for name, value in os.environ.items() if name != "ARROW_DEFAULT_MEMORY_POOL"}
    return subprocess.run(
        [sys.executable, "-c", _LOOK.format(command=command)],
        capture_output=True, text=True, check=True, env=environment,
    ).stdout  # fmt: skip


def test_a_service_has_one_heap() -> None:
    told = _told("up")
    assert told.count("<heap nr=") == 1
    assert "Arrow: system" in told


def test_a_command_that_serves_nobody_keeps_what_is_faster_alone() -> None:
    assert "Arrow: system" not in _told("balance")
