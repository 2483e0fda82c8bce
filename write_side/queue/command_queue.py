"""The command queue port: batches of commands from intakes and messages from relays, taken in order by each partition's writer.

Adapters: `queue_memory.py` (embedded: lost with the process, which has then answered none of them) and `queue_kafka.py`.
Offsets rise by at least one a record. A record is consumed whole by one block, and the block's `consumed_to` says where the next
writer goes on. Delivery is at least once: a record may be there twice, and the id table makes the second one harmless.
What is consumed by accepted blocks is never needed again, and is forgotten when `consumed` says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from write_side.contract.block.limits import ROWS_MAX
from write_side.ledger.commands.command_batch import CommandBatch
from write_side.ledger.commands.step_batch import StepBatch


class Queued(NamedTuple):
    """One record. `batch` is None when it could not be read as commands: it is passed over and counted, never guessed at."""

    offset: int
    batch: CommandBatch | StepBatch | None


class QueueReader(Protocol):
    async def take(self, commands_max: int) -> list[Queued]:
        """At least one record, and as many more as are there and whose rows fit into a block (`how_many_fit`).

        Waits for the first. What they weigh is the writer's to look at: it knows the state that they meet."""
        ...

    async def close(self) -> None: ...


class QueueFull(Exception):
    """The queue is at its bound: the command was not taken."""


class CommandQueue(Protocol):
    async def append(self, partition: int, batch: CommandBatch | StepBatch) -> int:
        """Append one record; returns its offset. Raises QueueFull; LogFailed when it is unknown whether it was taken."""
        ...

    async def open_reader(self, partition: int, from_offset: int) -> QueueReader:
        """Take records from this offset on, which is not below `begins_at`. One reader a partition.

        Whatever is appended from then on has this offset or a higher one, also where the queue ended below it (its topic was made
        again): else it would never be taken. Raises LogFailed when that cannot be brought about now."""
        ...

    async def begins_at(self, partition: int) -> int:
        """The lowest offset that records can still be taken from; every one below is forgotten. Raises LogFailed."""
        ...

    async def consumed(self, below: Mapping[int, int]) -> None:
        """Forget the records of each partition below this offset: accepted blocks have consumed them.

        Raises LogFailed when it did not happen in every partition, in bounded time: all there is to do is to say it again later.
        """
        ...

    async def troubles(self) -> Mapping[int, str]:
        """Why a record would not be taken now, by partition; empty when each would. As in the log port."""
        ...

    async def close(self) -> None: ...


def how_many_fit(records: Iterable[Queued], commands_max: int) -> int:
    """How many records from the first one make a block: at most `commands_max` commands of clients, and messages between
    partitions on top of them, for a block of messages alone would cost as much as one of commands."""
    taken = commands = rows = 0
    for record in records:
        size = rows_of(record)
        commands += 0 if isinstance(record.batch, StepBatch) else size
        rows += size
        if taken and (commands > commands_max or rows > ROWS_MAX):
            break
        taken += 1
    return taken


def rows_of(record: Queued) -> int:
    """How many rows it brings to a block."""
    return 0 if record.batch is None else len(record.batch)
