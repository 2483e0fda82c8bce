"""Whether all loops that a service runs are compiled: a file beside what is compiled says so."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from write_side.contract.compiled.compiled import DISABLED


def all_compiled() -> Path:
    """The file: of these sources and this version of Python."""
    return Path(os.environ["NUMBA_CACHE_DIR"]) / f"all-{sys.implementation.cache_tag}"


def is_all_compiled() -> bool:
    """Whether whatever a start runs is only loaded, and not compiled in this process."""
    return not DISABLED and all_compiled().exists()
