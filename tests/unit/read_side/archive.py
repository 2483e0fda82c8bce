"""A bank of two partitions whose history is kept, asked over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from read_side.history.folder import SegmentFolder
from read_side.history.history import History
from tests.unit.read_side.ask.test_transfers import Bank
from write_side.contract.snapshots.store_file import FileStore


class Archive(Bank):
    """A bank whose history is kept."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        for projector in self.projectors:
            history = History(SegmentFolder(folder, FileStore(folder), projector.partition))
            projector.history = projector.fold.history = history

    async def open(self) -> None:
        await super().open()
        for projector in self.projectors:
            assert projector.history is not None
            await projector.history.fill(self.log)

    async def page(self, target: str) -> Any:
        reply = await self.get(target)
        assert reply.status == 200, reply.document
        return reply.document
