"""A log, its view and its projectors in this process, for what is done beside them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from read_side.contract.rows import AccountRow, AccountRows
from read_side.contract.view import Checkpoint
from read_side.feed.feed_memory import MemoryFeed
from read_side.follow.projector import Projector
from read_side.views.view_memory import MemoryViewStore
from tests.unit.read_side.block_maker import BlockMaker, moved, opened
from tests.unit.read_side.manual_timer import ManualTimer
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords

LIMIT_S = 20.0


class BusyView(MemoryViewStore):
    """A store in which something happens to the live view after every so many reads: the service goes on meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.during: list[AsyncIterator[None]] = []

    async def read_columns(
        self, partition: int, accounts: list[str], generation: int
    ) -> tuple[Checkpoint | None, AccountRows]:
        if self.during:
            await anext(self.during[0], None)
        return await super().read_columns(partition, accounts, generation)


class Stage:
    def __init__(self, partitions: int = 1) -> None:
        self.log = MemoryLog(MemoryRecords(partitions))
        self.writers = [BlockMaker(self.log, p) for p in range(partitions)]
        self.view, self.feed, self.timer = BusyView(), MemoryFeed(), ManualTimer()
        self.projectors: list[Projector] = []

    async def fill(self) -> None:
        await self.writers[0].append(opened("alice"), opened("bob"))
        await self.writers[0].append(moved("@world", "alice", 100))
        await self.writers[0].append(moved("alice", "bob", 30), moved("alice", "bob", 900))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.projectors = [
            Projector(p, self.log, self.view, self.feed, self.timer, "boot") for p in range(self.log.partitions)
        ]
        for projector in self.projectors:
            await projector.start()
        tasks = [asyncio.ensure_future(projector.run()) for projector in self.projectors]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task

    async def spoil(self, *rows: AccountRow) -> None:
        """Write wrong rows under the projector's own checkpoint, as a bug or a hand in the store would."""
        owner = self.projectors[0].owner
        assert owner._owner is not None
        await self.view.apply(owner._owner, owner.stored, AccountRows.of(list(rows)), owner.stored or NOWHERE)

    async def expect_right(self, generation: int, partition: int = 0) -> None:
        state = self.writers[partition].state
        names = [state.row_name(n) for n in range(state.count)]
        checkpoint, rows = await self.view.read(partition, names)
        assert checkpoint is not None
        assert (checkpoint.generation, checkpoint.block_hash) == (generation, state.chained.block_hash)
        assert [(row.posted, row.version) for row in rows if row] == [
            (int(state.posted[n]), int(state.version[n])) for n in range(state.count)
        ]


NOWHERE = Checkpoint(1, -1, bytes(32), -1, 0)


async def reach(projector: Projector, sequence: int) -> None:
    assert await projector.shown.sequence.reach(sequence, LIMIT_S)
