"""The browser that the console is tested with."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.servers.server import ServerMissing


def find_chromium() -> Path:
    """Path of the system's Chromium, or of the one named by CHROMIUM; ServerMissing without one."""
    named = os.environ.get("CHROMIUM")
    for candidate in [named] if named else ["chromium", "chromium-browser", "google-chrome"]:
        program = shutil.which(candidate)
        if program is not None:
            return Path(program)
    raise ServerMissing("Chromium is not installed: `make install-servers`, or apt-get install chromium")
