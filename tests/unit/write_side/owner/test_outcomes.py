"""Answers while a partition fails and begins its next life."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tests.unit.write_side.deciding import NOON_US, DecidingPartition, id_at
from write_side.contract.block.block import decode
from write_side.contract.log.log import Record
from write_side.contract.log.log_memory import MemoryLog, MemoryRecords
from write_side.contract.state.replay import Replay
from write_side.contract.state.state import Place, State
from write_side.ledger.commands.commands import OpenAccount, Transfer
from write_side.owner.outcomes import Outcomes, OutcomeUnknown


class SlowLog(MemoryLog):
    """fetched: a fetch was asked for; go_on: it may be answered."""

    def __init__(self, records: MemoryRecords) -> None:
        super().__init__(records)
        self.fetched, self.go_on = asyncio.Event(), asyncio.Event()

    async def fetch(self, partition: int, offset: int) -> bytes | memoryview:
        self.fetched.set()
        await self.go_on.wait()
        return await super().fetch(partition, offset)


async def test_an_answer_that_is_read_while_the_next_life_begins_is_told_by_what_the_last_one_knew() -> None:
    partition, records = DecidingPartition(), MemoryRecords(1)
    partition.decide([OpenAccount("ann", "USD/2", 0, "")], NOON_US)
    partition.decide([Transfer(id_at(NOON_US, 1), "@world", "ann", 5, "USD/2")], NOON_US + 1)
    for data in partition.blocks:
        records.append(0, data)
    log, replay = SlowLog(records), Replay(State(0))
    replay.take_all([Record(offset, data) for offset, data in enumerate(partition.blocks)])
    outcomes = Outcomes(0, replay, log)
    outcomes.serve()
    sequence = decode(partition.blocks[-1]).header.sequence
    asking = asyncio.create_task(outcomes.first(Place(sequence, 0)))
    await log.fetched.wait()
    outcomes.fail(RuntimeError("the writer ended"))
    outcomes.restart(Replay(State(0)))
    log.go_on.set()
    answer = await asking
    assert answer.status == 201
    assert [each["account"] for each in answer.document["accounts"]] == ["ann"]  # type: ignore[attr-defined]
    assert outcomes._remembered == {}, "the next life does not keep the last one's state"


async def test_who_waits_for_the_end_of_one_transfer_is_told_in_the_order_of_asking() -> None:
    outcomes = Outcomes(0, Replay(State(0)), MemoryLog(MemoryRecords(1)))
    outcomes.serve()
    told: list[int] = []

    async def ask(number: int) -> None:
        with suppress(OutcomeUnknown):
            await outcomes.ended(id_at(NOON_US, 1), asyncio.get_running_loop().time() + 60)
        told.append(number)

    asking = [asyncio.create_task(ask(number)) for number in range(50)]
    await asyncio.sleep(0)
    assert len(outcomes._ending._by_id[id_at(NOON_US, 1)]) == len(asking)
    outcomes.fail(RuntimeError("the writer ended"))
    await asyncio.gather(*asking)
    assert told == list(range(50))
