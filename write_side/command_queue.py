"""The command queue port: batches of commands from intakes and messages from relays, taken in order by each partition's writer.

Adapters: `queue_memory.py` (embedded: lost with the process, which has then answered none of them) and `queue_kafka.py`.
Offsets rise by at least one a record. A record is consumed whole by one block, and the block's `consumed_to` says where the next
writer goes on. Delivery is at least once: a record may be there twice, and the id table makes the second one harmless.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from write_side.contract.block import OUTCOMES_MAX
from write_side.ledger.command_batch import CommandBatch
from write_side.ledger.gathered import DUE_MAX
from write_side.ledger.step_batch import StepBatch


class Queued(NamedTuple):
    """One record. `batch` is None when it could not be read as commands: it is passed over and counted, never guessed at."""

    offset: int
    batch: CommandBatch | StepBatch | None


ROWS_MAX = OUTCOMES_MAX - DUE_MAX
"""Rows that a block can take, beside what time decides."""


TEXT_BYTES_MAX = 8 * 1024 * 1024
"""Texts a block, unless one record alone brings more: a record of the log may have 16 MiB."""


class QueueReader(Protocol):
    async def take(self, commands_max: int) -> list[Queued]:
        """At least one record, and as many more as are there and fit into a block. Waits for the first (`how_many_fit`)."""
        ...

    async def close(self) -> None: ...


class QueueFull(Exception):
    """The queue is at its bound: the command was not taken."""


class CommandQueue(Protocol):
    async def append(self, partition: int, batch: CommandBatch | StepBatch) -> int:
        """Append one record; returns its offset. Raises QueueFull; LogFailed when it is unknown whether it was taken."""
        ...

    async def open_reader(self, partition: int, from_offset: int) -> QueueReader:
        """Take records from this offset on. One reader a partition."""
        ...

    async def close(self) -> None: ...


def how_many_fit(records: Iterable[Queued], commands_max: int) -> int:
    """How many records from the first one make a block: at most `commands_max` commands of clients, and messages between
    partitions on top of them, for a block of messages alone would cost as much as one of commands."""
    taken = commands = rows = texts = 0
    for record in records:
        size = rows_of(record)
        commands += 0 if isinstance(record.batch, StepBatch) else size
        rows += size
        texts += text_bytes_of(record.batch)
        if taken and (commands > commands_max or rows > ROWS_MAX or texts > TEXT_BYTES_MAX):
            break
        taken += 1
    return taken


def text_bytes_of(batch: CommandBatch | StepBatch | None) -> int:
    """What the texts of a batch add to a record, and to the block that decides it."""
    return batch.details.text_bytes if isinstance(batch, CommandBatch) and batch.details is not None else 0


def rows_of(record: Queued) -> int:
    """How many rows it brings to a block."""
    return 0 if record.batch is None else len(record.batch)
