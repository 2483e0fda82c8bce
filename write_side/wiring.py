"""How the write side is put together: the only file here that names adapters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from write_side.clock import ClockStepped, SystemClock
from write_side.command_queue import CommandQueue
from write_side.contract.block import Block
from write_side.contract.chain import ChainBroken
from write_side.contract.fold import CheckFailed
from write_side.contract.log import Log, LogFailed
from write_side.contract.log_file import FileLog
from write_side.contract.log_file_folder import recorded_partitions
from write_side.contract.log_kafka import KafkaLog
from write_side.contract.partition_count import check_partition_count
from write_side.demonstration import Fail, demonstrate
from write_side.follower import Follower
from write_side.http_api import create_app
from write_side.id_window import told_ready
from write_side.intake import Intake
from write_side.ledger.commands import Protocol
from write_side.ledger.compile_ahead import compile_ahead
from write_side.outcomes import Outcomes
from write_side.queue_kafka import KafkaQueue
from write_side.queue_memory import MemoryQueue
from write_side.relay import Relay
from write_side.settings import WriteSettings
from write_side.writer import Overtaken, Writer, WriterLimits
from write_side.writer_metrics import WriterMetrics

__all__ = ["Fail", "PartitionStopped", "Protocol", "WriteSide", "demonstrate", "open_log", "open_queue"]

PartitionStopped = (LogFailed, ChainBroken, CheckFailed, ClockStepped, Overtaken)
"""What ends a writer, and with it its process. Each says in a sentence what happened and what to do."""


async def open_log(settings: WriteSettings, *, writing: bool) -> Log:
    """The log that the settings name; `writing` takes the file log's process lock and creates what is missing.

    Raises LogFailed, also when it was written with another number of partitions; ValueError for an address of no known kind.
    """
    log = await _open_log(settings, writing)
    try:
        await check_partition_count(log)
    except BaseException:
        await log.close()
        raise
    return log


async def _open_log(settings: WriteSettings, writing: bool) -> Log:
    scheme, _, rest = settings.log_address.partition(":")
    if scheme in ("file", "kafka") and not rest.strip("/"):
        raise ValueError(f"FANFOLD_LOG={scheme}: names no place; write file:FOLDER or kafka://host:9092")
    if scheme == "file":
        folder = Path(rest)
        if not writing:
            return await FileLog.open_read_only(folder)
        return await FileLog.open(folder, settings.partitions or recorded_partitions(folder) or 1)
    if scheme == "kafka":
        return await KafkaLog.open(
            rest.removeprefix("//"),
            f"{settings.topic}.events",
            create_partitions=(settings.partitions or 1) if writing else None,
            replication=settings.replication,
            min_in_sync=settings.min_in_sync,
        )
    raise ValueError(f"FANFOLD_LOG must start with file: or kafka:, not {scheme}:")


async def open_queue(settings: WriteSettings, log: Log) -> CommandQueue:
    """The command queue that goes with the log: in memory beside a file log, a topic beside Kafka."""
    scheme, _, rest = settings.log_address.partition(":")
    if scheme == "file":
        return MemoryQueue()
    return await KafkaQueue.open(
        rest.removeprefix("//"),
        topic=f"{settings.topic}.commands",
        partitions=log.partitions,
        replication=settings.replication,
        min_in_sync=settings.min_in_sync,
    )


class WriteSide:
    """Writers of the owned partitions, followers of the others, one intake and its HTTP edge (`app`)."""

    def __init__(self, settings: WriteSettings, log: Log, queue: CommandQueue, registry: CollectorRegistry) -> None:
        self.log = log
        limits = WriterLimits(settings.block_commands_max, settings.ids_max, settings.max_clock_step_ms * 1000)
        owned = settings.owned(log.partitions)
        self.outcomes: dict[int, Outcomes] = {}
        self.writers = [
            Writer(p, log, queue, SystemClock(), limits, self._accepted(p)) for p in range(log.partitions) if p in owned
        ]
        self.followers = [Follower(p, log, self._accepted(p)) for p in range(log.partitions) if p not in owned]
        self._parts: list[Writer | Follower] = [*self.writers, *self.followers]
        for part in self._parts:
            self.outcomes[part.partition] = Outcomes(part.partition, part.replay, log, follows=part in self.followers)
        self.intake = Intake(
            queue,
            self.outcomes,
            partitions=log.partitions,
            clock=SystemClock(),
            record_commands_max=settings.block_commands_max,
            wait_s=settings.answer_wait_ms / 1000,
            ids_max=settings.ids_max,
        )
        self._not_ready = ["the log is being folded"]
        self.relays = {writer.partition: Relay(writer.partition, queue, SystemClock()) for writer in self.writers}
        registry.register(WriterMetrics(self.writers, self.relays, settings.ids_max))
        self.app: FastAPI = create_app(
            self.intake,
            registry=registry,
            ready=lambda: self._not_ready,
            told_ready=lambda: told_ready([outcomes.state for outcomes in self.outcomes.values()], settings.ids_max),
        )

    def _accepted(self, partition: int) -> Callable[..., None]:
        def accepted(block: Block, offset: int) -> None:
            self.outcomes[partition].accepted(block, offset)
            if partition in self.relays:
                self.relays[partition].accepted(block)

        return accepted

    async def start(self) -> None:
        """Fold the logs and take the owned partitions over. Raises what `Writer.start` raises."""
        await asyncio.to_thread(compile_ahead)
        await _together(part.start() for part in self._parts)
        for writer in self.writers:
            self.relays[writer.partition].start(writer.state)

    async def run(self) -> None:
        """Decide until something fails: then whoever waits is told so, and the process must end."""
        self._not_ready = []
        try:
            await _together(part.run() for part in (*self._parts, *self.relays.values()))
        except Exception as failure:
            self._not_ready = [str(failure)]
            for outcomes in self.outcomes.values():
                outcomes.fail(failure)
            raise

    async def drain(self) -> None:
        """Take no more commands; wait until those taken are answered."""
        self._not_ready = ["stopping"]
        await self.intake.close()


async def _together(parts: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Run all; the first failure ends the others and is raised as itself."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for part in parts:
                tasks.create_task(part)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
