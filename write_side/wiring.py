"""How the write side is put together: the only file here that names adapters.

Those of Kafka and of stores elsewhere are imported where the settings name them: their clients are some 10 MB and a tenth of a
second that `fanfold up` over a folder has no use for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from write_side.contract.archive.archived_log import ArchivedLog
from write_side.contract.archive.archiver import Archiver
from write_side.contract.archive.log_archive import LogArchive
from write_side.contract.block.chain import ChainBroken
from write_side.contract.compiled.compiling import compiling
from write_side.contract.log.log import Log, LogFailed
from write_side.contract.log.log_file import FileLog
from write_side.contract.log.log_file_folder import recorded_partitions
from write_side.contract.snapshots.read_whole import WholeReader
from write_side.contract.snapshots.snapshots import Snapshots
from write_side.contract.snapshots.store import SnapshotStore
from write_side.contract.snapshots.store_file import FileStore
from write_side.contract.snapshots.taker import SnapshotLimits, SnapshotTaker
from write_side.contract.state.fold import CheckFailed
from write_side.contract.state.partition_count import check_partition_count
from write_side.contract.state.snapshot import compile_snapshots
from write_side.contract.state.state import State
from write_side.doors.http_api import create_app
from write_side.id_runs.folder import RunFolder
from write_side.id_runs.runs import IdRuns, compile_id_runs
from write_side.intake.intake import Intake
from write_side.intake.intake_metrics import IntakeMetrics
from write_side.ledger.commands.commands import Protocol
from write_side.ledger.commands.fingerprint import FINGERPRINTS
from write_side.ledger.deciding.compile_ahead import compile_ahead
from write_side.owner import ids_kept
from write_side.owner.block_times import BlockTime, BlockTimes
from write_side.owner.clock import ClockStepped, SystemClock
from write_side.owner.decide_log_again import LogDecidedAgain, PartitionDecidedAgain, decide_log_again
from write_side.owner.demonstration import Fail, demonstrate
from write_side.owner.id_window import told_ready
from write_side.owner.ids_kept import IdsKept, kept_to
from write_side.owner.log_time import LogTime, PartitionTime, partition_time
from write_side.owner.look import look
from write_side.owner.partition import Partition, Standing, keep_all
from write_side.owner.trimmer import Trimmer
from write_side.owner.writer import Overtaken, WriterLimits
from write_side.owner.writer_metrics import WriterMetrics
from write_side.queue.command_queue import CommandQueue
from write_side.queue.queue_memory import MemoryQueue
from write_side.settings import WriteSettings

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = [
    "FINGERPRINTS",
    "Fail",
    "LogDecidedAgain",
    "LogTime",
    "PartitionDecidedAgain",
    "PartitionStopped",
    "PartitionTime",
    "Protocol",
    "WriteSide",
    "compile_loops",
    "decide_log_again",
    "demonstrate",
    "forget_in_folder",
    "ids_kept_in",
    "log_times",
    "open_log",
    "open_queue",
    "open_snapshots",
    "snapshot_limits",
    "snapshot_store",
]

PartitionStopped = (LogFailed, ChainBroken, CheckFailed, ClockStepped, Overtaken)
"""What ends a writer. Each says in a sentence what happened and what to do."""


async def open_log(settings: WriteSettings, *, writing: bool, lock: int | None = None) -> Log:
    """The log that the settings name, with its archive where they name one; `writing` takes the file log's process lock and
    creates what is missing. lock: of the file log, where it was taken before; it is the log's now, whatever happens.

    Raises LogFailed, also when it was written with another number of partitions; ValueError for an address of no known kind.
    """
    address = settings.log_archive_address
    store = None if address is None else file_store("FANFOLD_LOG_ARCHIVE", address)
    log = await _open_log(settings, writing, lock)
    if store is not None:
        log = ArchivedLog(log, LogArchive(store, log.partitions))
    try:
        await check_partition_count(log)  # first: of a topic that grew no setting is right
        _check_setting(settings, log)
    except BaseException:
        await log.close()
        raise
    return log


async def _open_log(settings: WriteSettings, writing: bool, lock: int | None) -> Log:
    scheme, _, rest = settings.log_address.partition(":")
    if scheme in ("file", "kafka") and not rest.strip("/"):
        raise ValueError(f"FANFOLD_LOG={scheme}: names no place; write file:FOLDER or kafka://host:9092")
    if scheme == "file" and rest.startswith("~"):
        raise ValueError(
            f"{rest} would be a folder named ~, which only a shell reads as your home; write the whole path"
        )
    if scheme == "file":
        folder = Path(rest)
        if not writing:
            return await FileLog.open_read_only(folder)
        count = settings.partitions or recorded_partitions(folder) or 1
        return await FileLog.open(folder, count, lock=lock)
    if scheme == "kafka":
        from write_side.contract.log.log_kafka import KafkaLog

        return await KafkaLog.open(
            rest.removeprefix("//"),
            f"{settings.topic}.events",
            create_partitions=(settings.partitions or 1) if writing else None,
            replication=settings.replication,
            min_in_sync=settings.min_in_sync,
        )
    raise ValueError(f"FANFOLD_LOG must start with file: or kafka:, not {scheme}:")


def _check_setting(settings: WriteSettings, log: Log) -> None:
    """Raises LogFailed when the settings say another number of partitions than the log has, also where it is only read."""
    if settings.partitions in (None, log.partitions):
        return
    kafka = settings.log_address.startswith("kafka:")
    place = f"topic {settings.topic}.events" if kafka else f"log in {settings.log_address.removeprefix('file:')}"
    raise LogFailed(
        f"The {place} has {log.partitions} partitions, and FANFOLD_PARTITIONS is {settings.partitions}. Accounts are dealt to "
        "partitions by that count, so another one would lose sight of their money. Nothing was started. Set "
        f"FANFOLD_PARTITIONS={log.partitions}, or leave it out."
    )


def open_snapshots(settings: WriteSettings, log: Log, ahead: WholeReader | None = None) -> Snapshots | None:
    """The snapshots that the settings name, for every side of this process; None for none. No store is asked yet: one that is
    away stops no start. ahead: of their store, which has begun to read. Raises ValueError for an address that names none."""
    address = settings.snapshots_address
    if address is None:
        return None
    # Beside a log in files they are on its disk, which every read of the log relies on, too. Elsewhere it may be a network's.
    store = snapshot_store(address, in_place=not settings.snapshots) if ahead is None else ahead.store
    return Snapshots(store, log, ahead)


def snapshot_store(address: str, *, in_place: bool = False) -> SnapshotStore:
    """Where an address says that snapshots are. in_place: see `FileStore`. Raises ValueError."""
    return file_store("FANFOLD_SNAPSHOTS", address, in_place=in_place)


def file_store(variable: str, address: str, *, in_place: bool = False) -> SnapshotStore:
    """Where an address says that files are. variable: which names it. Raises ValueError."""
    scheme, _, folder = address.partition(":")
    if scheme in ("s3", "webhdfs"):
        from write_side.contract.snapshots.store_hdfs import hdfs_store
        from write_side.contract.snapshots.store_s3 import s3_store

        try:
            return s3_store(address) if scheme == "s3" else hdfs_store(address)
        except ValueError as wrong:
            raise ValueError(f"{variable}: {wrong}") from None
    if scheme != "file" or not folder.strip("/") or folder.startswith("~"):
        raise ValueError(
            f"{variable} must be off, file: and the path of a folder, s3://BUCKET/FOLDER or webhdfs://HOST:PORT/FOLDER"
        )
    return FileStore(Path(folder.removeprefix("//")), in_place=in_place)


async def log_times(settings: WriteSettings, log: Log, on_partition: Callable[[int, int], None]) -> list[PartitionTime]:
    """How the time of each partition stands to this machine's clock, as a writer of these settings would find it.

    One after the other, so that beside a service that runs no more memory is taken than the state of one is. on_partition: told
    how many were read, of how many. Raises ValueError.
    """
    snapshots, found = open_snapshots(settings, log), list[PartitionTime]()
    step_us, accepted_us = settings.max_clock_step_ms * 1000, settings.accepted_log_time_us()
    for partition in range(log.partitions):
        found.append(await partition_time(log, partition, snapshots, SystemClock(), step_us, accepted_us))
        on_partition(len(found), log.partitions)
    return found


def snapshot_limits(settings: WriteSettings) -> SnapshotLimits:
    """When snapshots are taken, and how many stay."""
    return SnapshotLimits(
        settings.snapshot_blocks,
        settings.snapshot_minutes * 60.0,
        settings.snapshots_kept,
        settings.snapshots_kept_days * 86_400.0,
    )


async def open_queue(settings: WriteSettings, log: Log) -> CommandQueue:
    """The command queue that goes with the log: in memory beside a file log, a topic beside Kafka."""
    scheme, _, rest = settings.log_address.partition(":")
    if scheme == "file":
        return MemoryQueue()
    from write_side.queue.queue_kafka import KafkaQueue

    return await KafkaQueue.open(
        rest.removeprefix("//"),
        topic=f"{settings.topic}.commands",
        partitions=log.partitions,
        replication=settings.replication,
        min_in_sync=settings.min_in_sync,
        append_wait_ms=settings.answer_wait_ms,  # a request is not answered later because its record does not leave
    )


def _new_ids(folder: Path, partition: int) -> IdRuns:
    return IdRuns(RunFolder(folder, FileStore(folder, synced=False), partition))


def ids_kept_in(folder: Path | None) -> IdsKept | None:
    """See `owner/ids_kept.py`."""
    return ids_kept.ids_kept_in(folder, _new_ids)


async def forget_in_folder(folder: Path, partition: int, before: int) -> int:
    """Trim a partition of the file log in a folder that nobody serves. Raises LogFailed, also where somebody does by now."""
    return await FileLog.forget(folder, partition, before)


LATE_S: Final = 2.0
"""A record has its outcome within milliseconds: behind one that has none by then the next will hardly be answered.
The look at the brokers (`look.py`), which also refuses requests, takes up to 5 s to find the same."""


def compile_loops(*, ids: bool = True, snapshots: bool = True) -> None:
    """Compile, or load, what a service runs. ids: also what keeps every id that ran; snapshots: also what reads them."""
    compile_ahead()
    if ids:
        compile_id_runs()
    if snapshots:
        compile_snapshots()


class WriteSide:
    """Writers of the owned partitions, followers of the others, one intake and its HTTP edge (`app`)."""

    def __init__(
        self,
        settings: WriteSettings,
        log: Log,
        queue: CommandQueue,
        registry: CollectorRegistry,
        snapshots: Snapshots | None = None,
        ids: Path | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """ids: the folder for every id that ran; None: they are remembered as long as memory has them. tracer: None: nothing is
        traced."""
        compiling()  # listens from here on, so that a start can say that it compiles
        self.log = log
        self._queue = queue
        limits = WriterLimits(
            settings.block_commands_max,
            settings.ids_max,
            settings.max_clock_step_ms * 1000,
            settings.accepted_log_time_us(),
            settings.accepted_losses(),
        )
        owned = settings.owned(log.partitions)
        self.partitions = [
            Partition(
                p,
                log,
                queue,
                SystemClock(),
                limits,
                owned=p in owned,
                snapshots=snapshots,
                new_ids=None if ids is None else partial(_new_ids, ids, p),
                times=None if tracer is None else BlockTimes(),
            )
            for p in range(log.partitions)
        ]
        self._taker = None if snapshots is None else self._new_taker(snapshots, snapshot_limits(settings))
        kept_us = settings.commands_kept_us()
        self._trimmer = None if kept_us is None else Trimmer(self.partitions, queue, SystemClock(), kept_us)
        self._archiver = self._new_archiver(log) if isinstance(log, ArchivedLog) else None
        self.intake = Intake(
            queue,
            {partition.number: partition.outcomes for partition in self.partitions},
            partitions=log.partitions,
            clock=SystemClock(),
            record_commands_max=settings.block_commands_max,
            wait_s=settings.answer_wait_ms / 1000,
            ids_max=settings.ids_max,
        )
        self._stopping = False
        self._keeping: asyncio.Task[None] | None = None
        self._ids_max = settings.ids_max
        self._keeps_ids = ids is not None
        self._ids_folder = ids
        metrics = WriterMetrics(self.partitions, settings.ids_max, self._taker, self._archiver, self._trimmer)
        registry.register(metrics)
        registry.register(IntakeMetrics(self.intake))
        self.app: FastAPI = create_app(
            self.intake, registry=registry, ready=self.not_ready, standing=self._standing, told_ready=self._told_ready
        )
        self.door: Any = self.app if tracer is None else self._traced(tracer)
        """What is served: `app`, and around it what traces its requests."""

    def _traced(self, tracer: Tracer) -> Any:
        from fanfold.doors.server_spans import ServerSpans
        from write_side.doors.block_spans import BlockSpans

        def times(partition: int, sequence: int) -> BlockTime | None:
            kept = self.partitions[partition].times if partition < len(self.partitions) else None
            return None if kept is None else kept.of(sequence)

        return ServerSpans(self.app, tracer, "write side: ", BlockSpans(tracer, times).answered)

    async def start(self) -> None:
        """Fold the logs and take the owned partitions over; returns when each serves, waits or is given up, and one serves or all
        are given up: then the doors say why. Raises what ends the process (`owner/failures.py`)."""
        await asyncio.to_thread(compile_loops, ids=self._keeps_ids, snapshots=self._taker is not None)
        self._keeping = asyncio.create_task(self._keep())
        settled = asyncio.create_task(self._settled())
        try:
            await asyncio.wait((self._keeping, settled), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            raise
        finally:
            settled.cancel()
        if self._keeping.done():
            self._keeping.result()

    async def run(self) -> None:
        """Keep the partitions. Raises what ends the process (`owner/failures.py`)."""
        assert self._keeping is not None, "started"
        tasks = [self._keeping]
        if self._taker is not None:
            tasks.append(asyncio.create_task(self._taker.run()))
        if self._trimmer is not None:
            tasks.append(asyncio.create_task(self._trimmer.run()))
        if self._archiver is not None:
            tasks.append(asyncio.create_task(self._archiver.run()))
        try:
            await self._keeping
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def ids_kept(self, partition: int, state: State) -> int | None:
        """See `owner/ids_kept.py`, of what this process keeps."""
        if (ids := self.partitions[partition].outcomes.ids) is not None:
            return kept_to(ids, state)
        kept = ids_kept_in(self._ids_folder)  # it does not serve, or keeps none
        return None if kept is None else await kept(partition, state)

    async def _settled(self) -> None:
        for partition in self.partitions:
            await partition.settled.wait()
        waits: list[asyncio.Task[Any]] = [asyncio.create_task(each.served.wait()) for each in self.partitions]
        waits.append(asyncio.create_task(self._all_given_up()))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waits:
                task.cancel()

    async def _all_given_up(self) -> None:
        for partition in self.partitions:
            await partition.given_up.wait()

    async def _keep(self) -> None:
        looking = asyncio.create_task(look(self.log, self._queue, self.partitions))
        try:
            await keep_all(self.partitions)
        finally:
            looking.cancel()
            await asyncio.gather(looking, return_exceptions=True)

    def _new_taker(self, snapshots: Snapshots, limits: SnapshotLimits) -> SnapshotTaker:
        owned = {partition.number: partition.position for partition in self.partitions if partition.owned}
        return SnapshotTaker(snapshots, self.log, owned, limits, FINGERPRINTS)

    def _new_archiver(self, log: ArchivedLog) -> Archiver:
        folded = {each.number: each.last_offset for each in self.partitions if each.owned}
        return Archiver(log.log, log.archive, folded)

    def not_ready(self) -> list[str]:
        """Why no write would be answered. One partition that serves is enough: the others are told of, each for itself."""
        if self._stopping:
            return ["stopping"]
        reasons = [partition.reason or self._unanswered(partition.number) for partition in self.partitions]
        if any(reason is None for reason in reasons):
            return []
        return [f"partition {number}: {reason}" for number, reason in enumerate(reasons)]

    def _unanswered(self, partition: int) -> str | None:
        late_s = self.intake.unanswered_s(partition)
        return f"what was sent {late_s:.0f} s ago has no answer yet" if late_s > LATE_S else None

    def _told_ready(self) -> dict[str, object]:
        serving = [each.outcomes.state for each in self.partitions if each.standing is Standing.SERVING]
        return told_ready(serving, self._ids_max, for_ever=self._keeps_ids)

    def _standing(self) -> dict[str, dict[str, object]]:
        found = {str(partition.number): partition.document() for partition in self.partitions}
        for number, said in found.items():
            if said["reason"] is None and (late := self._unanswered(int(number))) is not None:
                said |= {"standing": str(Standing.TAKES_NOTHING), "reason": late}
        return found

    async def drain(self) -> None:
        """Take no more commands; wait until those taken are answered, then seconds for a snapshot where it is worth it."""
        self._stopping = True
        await self.intake.close()
        if self._taker is not None:
            await self._taker.take_last()
