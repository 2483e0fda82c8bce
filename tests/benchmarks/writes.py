"""`fanfold bench writes`: durable transfers through the embedded writers, one a partition, over the file log.

Measured from the command queue (columnar records, as intake gathers them) to the accepted block: account keys and fingerprints
hashed, decided with dedupe and digest, encoded, BLAKE3, one fdatasync a block, read back and decoded. Latency is from the
record's append to the queue until its block counts. A transfer across partitions counts when it has ended: its debit, its credit
and the end of it are three outcomes in two logs.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import numpy as np

from tests.benchmarks import report, workload
from write_side.contract.block.block import Block
from write_side.contract.log.log import Log
from write_side.contract.log.log_file import FileLog
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.words.codes import Code, Kind
from write_side.id_runs.folder import RunFolder
from write_side.id_runs.runs import IdRuns, compile_id_runs
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.deciding.compile_ahead import compile_ahead
from write_side.owner.clock import SystemClock
from write_side.owner.relay import Relay
from write_side.owner.writer import Writer, WriterLimits
from write_side.queue.queue_memory import MemoryQueue

RECORDS_AHEAD = 4
"""Records waiting in a partition's queue: enough that the writer never waits, few enough that latency means something."""


class Lane:
    """Feeds one writer and counts what it accepted."""

    def __init__(
        self, partition: int, log: Log, queue: MemoryQueue, load: workload.Load, block: int, ids: Path | None
    ) -> None:
        self.load = load
        self.latencies_ms: list[float] = []
        self.bytes = 0
        self.accepted = 0
        self._partition = partition
        self._queue = queue
        self._room = asyncio.Semaphore(RECORDS_AHEAD)
        self._appended_at: dict[int, float] = {}
        self._idle = asyncio.Event()
        self.writer = Writer(
            partition,
            log,
            queue,
            SystemClock(),
            WriterLimits(block_commands_max=block),
            self._on_accepted,
            ids=None if ids is None else IdRuns(RunFolder(ids, FileStore(ids, synced=False), partition)),
        )
        self.relay = Relay(partition, queue, SystemClock())
        self._open = 0

    async def feed(self, batches: list[CommandBatch]) -> None:
        """Append these records, and return when all are accepted."""
        waiting = len(batches)
        self._idle.clear()
        for batch in batches:
            await self._room.acquire()
            self._appended_at[await self._queue.append(self._partition, batch)] = time.perf_counter()
            waiting -= 1
        while self._appended_at:
            self._idle.clear()
            await self._idle.wait()

    async def ended(self) -> None:
        """Return when every transfer that this partition began has ended."""
        while self._open:
            self._idle.clear()
            await self._idle.wait()

    def _on_accepted(self, block: Block, offset: int) -> None:
        now = time.perf_counter()
        self.relay.accepted(block)
        kind, code = block.outcomes["kind"], block.outcomes["code"]
        begun = int(np.count_nonzero((kind == Kind.TRANSFER) & (code == Code.PENDING)))
        ended = int(np.count_nonzero((kind == Kind.ANSWER) & (code == Code.DONE)))
        self._open += begun - ended
        # A transfer counts when it is done: one across partitions by the block that ends it.
        self.accepted += int(np.count_nonzero(kind <= Kind.TRANSFER)) - begun + ended
        self.bytes += block.header.body_bytes
        for record in [record for record in self._appended_at if record < block.header.consumed_to]:
            self.latencies_ms.append((now - self._appended_at.pop(record)) * 1000)
            self._room.release()
        self._idle.set()


async def run(
    folder: Path,
    *,
    transfers: int,
    accounts: int,
    partitions: int,
    block: int,
    cross: float = 0.0,
    open_holds: int = 0,
) -> str:
    """The report line over the file log. `folder` must be on the disk to be measured. cross: share across partitions.

    open_holds: holds in all that stay open all the while, each with a deadline of its own.
    """
    log = await FileLog.open(folder, partitions)
    return await measure(
        "writes",
        log,
        transfers=transfers,
        accounts=accounts,
        block=block,
        cross=cross,
        open_holds=open_holds,
        log_kind="file, fdatasync a block",
        ids=folder / "ids",
    )


async def measure(
    name: str,
    log: Log,
    *,
    transfers: int,
    accounts: int,
    block: int,
    log_kind: str,
    cross: float = 0.0,
    open_holds: int = 0,
    ids: Path | None = None,
) -> str:
    """Drive a writer for every partition of the log with the canonical load; returns the report line. Closes the log.

    ids: the folder for every id that ran, as beside a file log; None: it is not kept.
    """
    partitions = log.partitions
    loads = workload.loads(
        partitions=partitions,
        accounts=accounts,
        transfers=transfers,
        batch=block,
        now_us=time.time_ns() // 1000,
        cross=cross,
    )
    compile_ahead()
    compile_id_runs()
    # Room for the records of the load and for the messages that follow from them.
    queue = MemoryQueue(commands_max=block * (4 * RECORDS_AHEAD + 1))
    lanes = [Lane(p, log, queue, load, block, ids) for p, load in enumerate(loads)]
    for lane in lanes:
        await lane.writer.start()
    running = [asyncio.create_task(part.run()) for lane in lanes for part in (lane.writer, lane.relay)]
    await asyncio.sleep(0)
    warm = max(1, len(loads[0].transfers) // 10)
    for lane in lanes:
        await lane.feed(lane.load.openings)
        await lane.feed(workload.holds(lane.load, open_holds // partitions, block, time.time_ns() // 1000))
    await asyncio.gather(*(lane.feed(lane.load.transfers[:warm]) for lane in lanes))
    await asyncio.gather(*(lane.ended() for lane in lanes))
    for lane in lanes:
        lane.accepted, lane.bytes = 0, 0
        lane.latencies_ms.clear()
    cpu, started = time.process_time(), time.perf_counter()
    await asyncio.gather(*(lane.feed(lane.load.transfers[warm:]) for lane in lanes))
    await asyncio.gather(*(lane.ended() for lane in lanes))
    elapsed, cpu_used = time.perf_counter() - started, time.process_time() - cpu
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    await log.close()
    done = sum(lane.accepted for lane in lanes)
    return report.line(
        name,
        rate=done / elapsed,
        unit="transfers",
        durable=True,
        latencies_ms=[value for lane in lanes for value in lane.latencies_ms],
        transfers=done,
        cpu_us_per_transfer=round(cpu_used / done * 1e6, 3),
        bytes_per_transfer=round(sum(lane.bytes for lane in lanes) / done, 1),
        log=log_kind,
        partitions=partitions,
        accounts=accounts,
        block=block,
        cross=cross,
        open_holds=open_holds,
        load="zipf 1.0, string ids, UUIDv7, dedupe, BLAKE3, digest" + (", every id kept" if ids is not None else ""),
    )
