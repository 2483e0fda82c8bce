"""A write side in memory: one partition's writer, its queue, its intake, over a log that outlives them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType

from tests.unit.write_side.deciding import NOON_US
from write_side.contract.block.block import Block
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.snapshots.store import SnapshotStore
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.tell.answers import Answer
from write_side.id_runs.folder import RunFolder
from write_side.id_runs.runs import IdRuns
from write_side.intake.intake import Intake
from write_side.ledger.commands.commands import Command
from write_side.owner.outcomes import Outcomes
from write_side.owner.writer import Writer, WriterLimits
from write_side.queue.queue_memory import MemoryQueue

DEADLINE_S = 20.0
"""Long after anything here is done: what a hanging test runs into."""


class SimulatedClock:
    def __init__(self, at_us: int = NOON_US) -> None:
        self.wall, self.monotonic = at_us, 0

    def wall_us(self) -> int:
        return self.wall

    def monotonic_us(self) -> int:
        return self.monotonic

    def pass_us(self, us: int) -> None:
        self.wall += us
        self.monotonic += us

    def set_wall(self, by_us: int) -> None:
        self.wall += by_us


class RunningPartition:
    """`async with`: started and running; at the end cancelled, as a process that is killed."""

    def __init__(
        self,
        records: MemoryRecords,
        clock: SimulatedClock | None = None,
        *,
        limits: WriterLimits | None = None,
        queue_commands_max: int = 131_072,
        wait_s: float = DEADLINE_S,
        snapshots: SnapshotStore | None = None,
        ids: Path | None = None,
    ) -> None:
        self.log = MemoryLog(records)
        self.clock = clock or SimulatedClock()
        self.queue = MemoryQueue(queue_commands_max)
        self.accepted: list[Block] = []
        self.failure: Exception | None = None
        self.snapshots = None if snapshots is None else Snapshots(snapshots, self.log)
        self.writer = Writer(
            0,
            self.log,
            self.queue,
            self.clock,
            limits or WriterLimits(),
            self._accepted,
            snapshots=self.snapshots,
            ids=None if ids is None else IdRuns(RunFolder(ids, FileStore(ids), 0)),
        )
        self.outcomes = Outcomes(0, self.writer.replay, self.log)
        self.intake = Intake(
            self.queue,
            {0: self.outcomes},
            partitions=1,
            clock=self.clock,
            wait_s=wait_s,
            ids_max=(limits or WriterLimits()).ids_max,
        )
        self.running: asyncio.Task[None] | None = None

    def _accepted(self, block: Block, offset: int) -> None:
        self.accepted.append(block)
        self.outcomes.accepted(block, offset)

    async def __aenter__(self) -> RunningPartition:
        await self.writer.start()
        self.outcomes.serve(self.writer.ids)
        self.running = asyncio.create_task(self._run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.kill()

    async def _run(self) -> None:
        try:
            await self.writer.run()
        except Exception as failure:
            self.failure = failure
            self.outcomes.fail(failure)

    async def ended(self) -> Exception:
        """How the writer ended, once it has."""
        assert self.running is not None
        await asyncio.wait_for(asyncio.shield(self.running), DEADLINE_S)
        assert self.failure is not None
        return self.failure

    async def kill(self) -> None:
        if self.running is not None and not self.running.done():
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)

    async def submit(self, *commands: Command) -> list[Answer]:
        return await asyncio.wait_for(self.intake.submit(commands), DEADLINE_S)
