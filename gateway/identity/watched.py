"""A file that is looked at again: its bytes whenever they have become others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

BYTES_MAX: Final = 4 * 1024 * 1024


class TooLarge(OSError):
    """A file that is larger than anything asked for."""


class WatchedFile:
    """A file whose changes are noticed by what the file system says of it: another file in its place, another size, another
    time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None

    def changed(self) -> bytes | None:
        """Its bytes, the first time and whenever it has become another; None while it is as before. Raises OSError, and is asked
        again then."""
        before = self._stat()
        if before == self._seen:
            return None
        data = self._read()
        # Written while it was read, it is another one at the next look.
        self._seen = before
        return data

    def _stat(self) -> tuple[int, int, int]:
        found = os.stat(self.path)
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> bytes:
        with self.path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
        if len(data) > BYTES_MAX:
            raise TooLarge(f"{self.path} is larger than {BYTES_MAX} bytes")
        return data
