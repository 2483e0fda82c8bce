"""What `fanfold up` over a folder has no use for is not in its memory: the clients of brokers, stores and other sides."""

from __future__ import annotations

import subprocess
import sys

NEVER = ("aiohttp", "aiokafka", "fsspec", "pyarrow.fs", "redis", "requests")


def test_one_process_imports_no_client_of_what_it_does_not_talk_to() -> None:
    program = f"import sys, deploy.one_process; print(sorted(set({NEVER!r}) & set(sys.modules)))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"
