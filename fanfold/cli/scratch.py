"""A folder for what a measurement makes, that is gone when the command ends, however it ends."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SCRATCH_PREFIX: Final = "fanfold-bench-"
"""`.gitignore` names it, for a run that is killed."""
_REMOVALS: Final = 100
"""How often a folder is removed in which other threads go on writing: a file made behind a removal's back keeps it."""


@contextlib.contextmanager
def scratch_folder(parent: Path | None) -> Iterator[Path]:
    """Make a folder in `parent` (else in the current one) that is removed at the end, at SIGTERM too."""
    with tempfile.TemporaryDirectory(prefix=SCRATCH_PREFIX, dir=parent or Path.cwd()) as name:
        folder = Path(name)

        def end(number: int, _frame: object) -> None:
            # Not an exception: raised in a callback of the compiler or of a loop it would be lost, and the run go on.
            remove(folder)
            os._exit(128 + number)

        before = signal.signal(signal.SIGTERM, end)
        try:
            yield folder
        finally:
            signal.signal(signal.SIGTERM, before)


def remove(folder: Path) -> None:
    """Remove a folder in which other threads may still be writing."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
