"""The command queue port: batches of commands from intakes and messages from relays, taken in order by each partition's writer.

Adapters: `queue_memory.py` (embedded: lost with the process, which has then answered none of them) and `queue_kafka.py`.
Offsets rise by at least one a record. A record is consumed whole by one block, and the block's `consumed_to` says where the next
writer goes on. Delivery is at least once: a record may be there twice, and the id table makes the second one harmless.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from write_side.ledger.command_batch import CommandBatch
from write_side.ledger.step_batch import StepBatch


class Queued(NamedTuple):
    """One record. `batch` is None when it could not be read as commands: it is passed over and counted, never guessed at."""

    offset: int
    batch: CommandBatch | StepBatch | None


class QueueReader(Protocol):
    async def take(self, commands_max: int) -> list[Queued]:
        """At least one record, and as many more as are there and fit into `commands_max` commands. Waits for the first."""
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
