"""Work that is done in the process which serves a folder: a rebuild, a rollback, a trim."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploy.control_socket import ask_process
from fanfold.cli.asking import URL_VARIABLE


async def done_in_process(
    folder: Path, wanted: str, how: dict[str, Any], on_progress: Callable[[dict[str, Any]], None], then: str = ""
) -> dict[str, Any]:
    """The result's document. wanted, how: as the process is asked. then: what follows when the command is run again after the
    process ended in the middle. Raises FileNotFoundError, ConnectionRefusedError where nobody serves the folder; ValueError."""
    async for line in ask_process(folder, wanted, how, os.environ.get(URL_VARIABLE)):
        if "error" in line:
            raise ValueError(line["error"])
        if "result" in line:
            return dict(line["result"])
        on_progress(line["progress"])
    raise ValueError(f"the process ended before the {wanted} did. Start it, and run the command again{then}.")
