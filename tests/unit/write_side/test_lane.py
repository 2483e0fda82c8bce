"""What leaves a lane together: as many commands as fit a record, and no more than the block that decides it can have."""

from __future__ import annotations

import asyncio

from tests.unit.write_side.deciding import NOON_US, id_at
from tests.unit.write_side.running import RunningPartition
from write_side.contract.limits import COMMANDS_BYTES_MAX, RECORD_BYTES_MAX
from write_side.contract.log_memory import MemoryRecords
from write_side.lane import Lane
from write_side.ledger.command_batch import CommandBatch
from write_side.ledger.commands import Leg, LegsTransfer, Note
from write_side.ledger.step_batch import StepBatch


class KeptRecords:
    """A command queue that keeps what it is given and answers nobody."""

    def __init__(self) -> None:
        self.records: list[CommandBatch | StepBatch] = []

    async def append(self, partition: int, batch: CommandBatch | StepBatch) -> int:
        self.records.append(batch)
        return len(self.records) - 1

    async def open_reader(self, partition: int, from_offset: int) -> None:
        raise AssertionError("nobody reads here")

    async def close(self) -> None: ...


async def test_a_record_has_no_more_than_a_block_can_take() -> None:
    queue = KeptRecords()
    partition = RunningPartition(MemoryRecords(1))
    lane = Lane(0, queue, partition.outcomes, 8_192, 0.01)  # type: ignore[arg-type]
    legs = (Leg("a", -1, "USD/2"), Leg("b", 1, "USD/2"))
    large = Note(metadata='{"k":"' + "x" * 15_000 + '"}')
    futures = [lane.add(CommandBatch.of([LegsTransfer(id_at(NOON_US, n), legs, note=large)])) for n in range(1_000)]
    await asyncio.gather(*futures, return_exceptions=True)
    await lane.idle()
    records = [record for record in queue.records if isinstance(record, CommandBatch)]
    assert sum(map(len, records)) == 1_000
    assert all(record.weight() <= COMMANDS_BYTES_MAX and len(record.encode()) <= RECORD_BYTES_MAX for record in records)
    assert len(records) < 20
