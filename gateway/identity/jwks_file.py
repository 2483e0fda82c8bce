"""Keys in a file."""

from __future__ import annotations

import asyncio
from pathlib import Path


class KeysInFile:
    """Where keys are read from: `read` gives the bytes as they are now. Raises OSError."""

    is_remote = False

    def __init__(self, path: Path) -> None:
        self.place = str(path)
        self._path = path

    async def read(self) -> bytes:
        return await asyncio.to_thread(self._path.read_bytes)
